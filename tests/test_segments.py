import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.document import Document, Entity, Section
from notesmith.errors import ConfigError
from notesmith.segments import cut, cut_long, join_over_entities, sections, sentences, split
from tests.corpus.documents import entities, texts

note_texts = st.lists(
    st.sampled_from(
        [
            "Dr. ",
            "Pain",
            ". ",
            "PLAN:",
            "\n",
            "\n\n",
            "- item",
            " ",
            "b.i.d. ",
            "1. ",
            "x",
            "?",
            "HPI\n",
        ]
    ),
    max_size=25,
).map("".join)


@st.composite
def marked(draw):
    text = draw(st.one_of(texts, note_texts))
    return Document("n", text, tuple(draw(entities(text, pieces=2))))


def strings(text, spans):
    return [text[start:end] for start, end in spans]


@given(st.one_of(texts, note_texts))
def test_sentences_cover_everything_but_white_space(text):
    spans = sentences(text)
    rest = list(text)
    end_before = 0
    for start, end in spans:
        assert end_before <= start < end
        assert not text[start].isspace()
        assert not text[end - 1].isspace()
        rest[start:end] = " " * (end - start)
        end_before = end
    assert "".join(rest).strip() == ""


@given(st.one_of(texts, note_texts))
def test_sections_are_sorted_disjoint_and_reach_the_end(text):
    found = sections(text)
    for sec, after in itertools.pairwise(found):
        assert sec.end == after.start
    if found:
        assert found[-1].end == len(text)
        assert text[: found[0].start].strip() == ""


@given(
    marked(),
    st.sampled_from(["sentence", "passage", "section", "document"]),
    st.none() | st.integers(1, 8),
)
def test_no_unit_cuts_or_loses_an_entity(doc, unit, budget):
    units = split(doc, unit, max_tokens=budget)
    assert units == sorted(units)
    for ent in doc.entities:
        holders = [s for s in units if s[0] < ent.end and ent.start < s[1]]
        if doc.text[ent.start : ent.end].strip():
            assert len(holders) == 1
        for start, end in holders:
            assert start <= ent.start
            assert ent.end <= end


@given(marked())
def test_cut_keeps_the_mentions_of_a_unit(doc):
    for span in split(doc, "sentence"):
        part = cut(doc, span)
        assert part.text == doc.text[slice(*span)]
        inside = [e for e in doc.entities if span[0] <= e.start and e.end <= span[1]]
        assert part.mentions() == [e.mention(doc.text) for e in inside]
        assert part.provenance.parents == ("n",)


def test_sentences_of_a_note():
    text = (
        "Seen by Dr. Marsh at 9 a.m. today. Takes 5 mg b.i.d. and sleeps.\n- no fever\n- no chills"
    )
    assert strings(text, sentences(text)) == [
        "Seen by Dr. Marsh at 9 a.m. today.",
        "Takes 5 mg b.i.d. and sleeps.",
        "- no fever",
        "- no chills",
    ]


def test_sections_of_a_note():
    text = "Seen today.\nHPI: cough\nPLAN:\nrest"
    assert [(s.name, text[s.start : s.end]) for s in sections(text)] == [
        ("", "Seen today.\n"),
        ("HPI", "HPI: cough\n"),
        ("PLAN", "PLAN:\nrest"),
    ]


def test_a_mention_over_a_sentence_border_joins_the_sentences():
    doc = Document("n", "One. Two. Three.", (Entity("T1", "A", ((2, 6),)),))
    assert split(doc, "sentence") == [(0, 9), (10, 16)]


def test_a_mention_that_begins_in_white_space_widens_its_sentence():
    doc = Document("n", "One.  Two.", (Entity("T1", "A", ((5, 9),)),))
    assert split(doc, "sentence") == [(0, 4), (5, 10)]


def test_join_leaves_out_a_mention_of_white_space():
    doc = Document("n", "One.   Two.", (Entity("T1", "A", ((5, 6),)),))
    assert join_over_entities([(0, 4), (7, 11)], doc) == [(0, 4), (7, 11)]


def test_passages_hold_the_asked_number_of_sentences():
    doc = Document("n", "One. Two. Three. Four.")
    assert split(doc, "passage", passage_sentences=2) == [(0, 9), (10, 22)]


def test_section_unit_uses_given_sections_first_and_falls_back_to_the_document():
    doc = Document("n", "aa bb", sections=(Section("title", 0, 2), Section("rest", 3, 5)))
    assert split(doc, "section") == [(0, 2), (3, 5)]
    assert split(Document("n", "aa bb"), "section") == [(0, 5)]


def test_a_long_unit_is_split_at_sentences_to_the_budget():
    doc = Document("n", "One two. Three four. Five six.")
    assert split(doc, "document", max_tokens=4) == [(0, 20), (21, 30)]


def count_words(text):
    return len(text.split())


def test_a_long_sentence_is_cut_at_white_space_with_no_entity_cut():
    text = "a b  c d e f g h"
    doc = Document("d", text, (Entity("T1", "L", ((2, 10),)), Entity("T2", "L", ((15, 16),))))
    assert strings(text, cut_long(doc, (0, 16), 2, count_words)) == ["a", "b  c d e", "f g", "h"]
    assert strings(text, cut_long(doc, (0, 16), 4, count_words)) == ["a", "b  c d e", "f g h"]
    assert cut_long(doc, (0, 16), 99, count_words) == [(0, 16)]


@given(marked(), st.integers(1, 5))
def test_cutting_loses_no_word_and_no_entity(doc, most):
    for span in split(doc, "document"):
        parts = cut_long(doc, span, most, count_words)
        assert parts == sorted(parts)
        assert " ".join(strings(doc.text, parts)).split() == doc.text[slice(*span)].split()
        for ent in doc.entities:
            holders = [s for s in parts if s[0] < ent.end and ent.start < s[1]]
            assert all(s <= ent.start and ent.end <= e for s, e in holders)


def test_unknown_unit_is_refused():
    with pytest.raises(ConfigError, match="'page'"):
        split(Document("n", "x"), "page")  # type: ignore[arg-type]


def test_cut_moves_masks_and_sections_and_names_the_part():
    doc = Document("n", "HPI: cough. Plan.", sections=(Section("HPI", 0, 17),), masked=((5, 10),))
    part = cut(doc, (5, 11))
    assert part.id == "n:5-11"
    assert part.masked == ((0, 5),)
    assert part.sections == (Section("HPI", 0, 6),)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("头痛加重。否认胸痛！服药？？止痛", ["头痛加重。", "否认胸痛！", "服药？？", "止痛"]),
        ("他说“头痛。”走了。", ["他说“头痛。”", "走了。"]),
        ("रोगी को बुखार है। दवा दी।", ["रोगी को बुखार है।", "दवा दी।"]),
    ],
)
def test_sentences_of_other_scripts(text, found):
    assert strings(text, sentences(text)) == found
