from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.document import Document, Entity
from notesmith.errors import StageError
from notesmith.ner.decode import best_tags
from notesmith.words import (
    GRID,
    IGNORED,
    tag_names,
    tag_words,
    to_entities,
    word_around,
    words,
)

LABELS = ("Drug", "Problem")
words("\U00010400")  # Builds the tables, which takes longer than a property test may.


def doc(text: str, *ents: tuple[str, int, int], masked=()) -> Document:
    return Document(
        "d",
        text,
        tuple(Entity(f"T{i}", label, ((s, e),)) for i, (label, s, e) in enumerate(ents)),
        masked=masked,
    )


def tags_of(document: Document):
    return tag_words(document, words(document.text), LABELS)


def test_words_are_runs_of_letters_and_digits_and_single_marks() -> None:
    text = "Pt's BP 120/80, x_ray +ve…"
    assert [text[s:e] for s, e in words(text)] == (
        ["Pt", "'", "s", "BP", "120", "/", "80", ",", "x", "_", "ray", "+", "ve", "…"]
    )


@given(st.text())
def test_words_cover_all_but_white_space(text: str) -> None:
    spans = words(text)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert "".join(text[s:e] for s, e in spans) == "".join(text.split())


def test_tag_names() -> None:
    assert tag_names(LABELS) == ("O", "B-Drug", "I-Drug", "B-Problem", "I-Problem")


def test_adjacent_entities_begin_anew() -> None:
    tagged = tags_of(doc("acute pain fever", ("Problem", 0, 10), ("Problem", 11, 16)))
    assert tagged.tags == (3, 4, 3) and not tagged.counts


def test_longest_of_nested_wins_and_the_other_is_counted() -> None:
    tagged = tags_of(doc("left wrist pain", ("Problem", 5, 10), ("Problem", 0, 15)))
    assert tagged.tags == (3, 4, 4) and tagged.counts == {"nested": 1}


def test_boundary_inside_a_word_takes_the_word_and_is_counted() -> None:
    tagged = tags_of(doc("hyperlipidemia", ("Problem", 5, 14)))
    assert tagged.tags == (3,) and tagged.counts == {"inside_word": 1}


def test_discontinuous_entity_is_tagged_as_its_hull() -> None:
    split = Document("d", "leg and arm pain", (Entity("T1", "Problem", ((0, 3), (12, 16))),))
    assert tags_of(split).tags == (3, 4, 4, 4)
    assert tags_of(split).counts == {"discontinuous": 1}


def test_entity_of_white_space_is_counted() -> None:
    assert tags_of(doc("a  b", ("Drug", 1, 3))).counts == {"no_word": 1}


def test_masked_words_are_ignored() -> None:
    tagged = tags_of(doc("no fever or cough", ("Problem", 3, 8), masked=((9, 13),)))
    assert tagged.tags == (0, 3, IGNORED, IGNORED)


def test_unknown_label_names_document_and_label() -> None:
    with pytest.raises(StageError, match=r"doc 'd': label Gene is not among .* Drug, Problem"):
        tags_of(doc("BRCA1", ("Gene", 0, 5)))


@given(st.data())
def test_entities_of_whole_words_survive(data) -> None:
    n = data.draw(st.integers(1, 12))
    text = " ".join(["word"] * n)
    spans = words(text)
    ents, i = [], 0
    while i < n:
        size = data.draw(st.integers(0, 3))
        if size and i + size <= n:
            label = data.draw(st.sampled_from(LABELS))
            ents.append((label, spans[i][0], spans[i + size - 1][1]))
        i += max(size, 1)
    tagged = tags_of(doc(text, *ents))
    found = to_entities(tagged.tags, spans, LABELS)
    assert [(e.label, e.start, e.end) for e in found] == ents


def test_inner_tag_that_continues_nothing_begins_an_entity() -> None:
    spans = words("a b c")
    found = to_entities([2, 4, 0], spans, LABELS)
    assert [(e.label, e.spans) for e in found] == [("Drug", ((0, 1),)), ("Problem", ((2, 3),))]


def test_best_tags_forbid_an_inner_tag_without_a_beginning() -> None:
    # Alone each word would take I (0.5); B I has 0.4 * 0.5, O O 0.1 * 0.1, O B 0.1 * 0.4.
    rows = np.log(np.array([[0.1, 0.4, 0.5], [0.1, 0.4, 0.5]], dtype=np.float32))
    assert best_tags(rows) == [1, 2]
    assert best_tags(rows[:0]) == []


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_best_tags_find_the_best_legal_sequence(n: int, seed: int) -> None:
    from itertools import product

    rows = np.log(np.random.default_rng(seed).dirichlet(np.ones(3), size=n)).astype(np.float32)

    def legal(tags: tuple[int, ...]) -> bool:
        return tags[0] != 2 and all(b != 2 or a != 0 for a, b in pairwise(tags))

    best = max(filter(legal, product(range(3), repeat=n)), key=lambda t: rows[range(n), t].sum())
    assert rows[range(n), best_tags(rows)].sum() == pytest.approx(rows[range(n), best].sum())


def spelled(text: str, grid: int = GRID) -> list[str]:
    return [text[start:end] for start, end in words(text, grid=grid)]


# The shape of case 20-combining: names whose letters bear marks, as macOS and some hospital
# systems spell them (decomposed), beside the composed spelling.
NAMES = "Guillain-Barré syndrome, Sjögren, Ménière: žádný, Đỗ, ὕβρις, Й, ガ"


def test_composed_and_decomposed_spelling_have_the_same_words() -> None:
    composed = unicodedata.normalize("NFC", NAMES)
    decomposed = unicodedata.normalize("NFD", NAMES)
    assert len(decomposed) > len(composed)
    assert [unicodedata.normalize("NFC", word) for word in spelled(decomposed)] == spelled(composed)
    assert spelled(composed)[:4] == ["Guillain", "-", "Barré", "syndrome"]


@given(st.text(st.characters(exclude_categories=["Cs", "Cn"], max_codepoint=0x1FFFF)))
def test_any_text_has_the_same_words_composed_and_decomposed(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    found = spelled(unicodedata.normalize("NFD", text))
    assert [unicodedata.normalize("NFC", word) for word in found] == spelled(composed)


@pytest.mark.parametrize("mark", ["\u00ad", "\u2060", "\ufeff", "\u200c", "\u200d"])
def test_a_format_character_within_a_word_belongs_to_it(mark: str) -> None:
    assert spelled(f"hyper{mark}tension, é") == [f"hyper{mark}tension", ",", "é"]


def test_format_characters_at_the_border_of_a_word_do_not() -> None:
    # A mention's border stands between them and the letters.
    assert spelled("\ufefffever\u200e, \u202aé\u202c") == (
        ["\ufeff", "fever", "\u200e", ",", "\u202a", "é", "\u202c"]
    )
    assert spelled("pain\u200bfever") == ["pain", "\u200b", "fever"]  # zero width space


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("服用二甲双胍500mg。", "服 用 二 甲 双 胍 500mg 。"),  # Chinese
        ("アスピリンを飲む", "ア ス ピ リ ン を 飲 む"),  # Japanese
        ("두통이 있다", "두 통 이 있 다"),  # Korean: the noun and its particle
        ("ปวดหัว๑๒", "ป ว ด หั ว ๑๒"),  # Thai, with a number
        ("ເຈັບ", "ເ ຈັ ບ"),  # Lao
        ("ឈឺក្បាល", "ឈឺ ក្ បា ល"),  # Khmer
        ("ခေါင်း", "ခေါ င်း"),  # Myanmar
        ("མགོ་ན", "མ གོ ་ ན"),  # Tibetan
        ("रोगी को बुखार है।", "रोगी को बुखार है ।"),  # Hindi has spaces: marks stay in their word
    ],
)
def test_letters_of_scripts_without_spaces_are_words(text: str, found: str) -> None:
    assert spelled(text) == found.split()


def test_latin_text_has_the_words_of_version_1() -> None:
    text = "Pt's BP 120/80, x_ray +ve… Ménière’s 5 µg – naïve ½ cm², Ångström"
    assert spelled(text) == spelled(text, grid=1)


@given(st.text(st.characters(max_codepoint=0x2FF, exclude_characters="\u00ad")))
def test_any_latin_text_has_the_words_of_version_1(text: str) -> None:
    assert spelled(text) == spelled(text, grid=1)


def test_version_1_is_kept_for_students_that_were_trained_on_it() -> None:
    assert spelled("Sjo\u0308gren", grid=1) == ["Sjo", "\u0308", "gren"]
    assert spelled("胸痛", grid=1) == ["胸痛"]


def test_words_that_an_offset_cuts() -> None:
    spans = words("No chestpain.")
    assert [word_around(spans, at) for at in (0, 3, 8, 12, 13)] == [None, None, (3, 12), None, None]
    assert word_around([], 0) is None
    assert word_around(words("胸痛三天"), 2) is None


def test_crossing_mentions_and_mentions_of_one_word_are_told_apart() -> None:
    crossing = tags_of(doc("acute left wrist pain", ("Problem", 0, 16), ("Drug", 6, 21)))
    assert crossing.counts == {"crossing": 1}
    apart = tags_of(doc("chestpain", ("Problem", 0, 5), ("Problem", 5, 9)))
    assert [reason for _, reason in apart.misfits] == ["inside_word", "inside_word"]
