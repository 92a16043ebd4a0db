"""The ceiling: what a student without a mistake would score, by hand."""

from __future__ import annotations

import pytest

from notesmith.ceiling import better_layers, ceiling, find_layers, label_maps, remedies
from notesmith.document import Document, Entity


def doc(text: str, *mentions: tuple[str, str], doc_id: str = "d", masked=()) -> Document:
    """A document with (label, mention) pairs; ``|`` divides the parts of a mention."""
    ents = []
    for i, (label, mention) in enumerate(mentions, 1):
        spans, at = [], 0
        for part in mention.split("|"):
            at = text.index(part, at)
            spans.append((at, at + len(part)))
            at += len(part)
        ents.append(Entity(f"T{i}", label, tuple(spans)))
    return Document(doc_id, text, tuple(ents), masked=masked)


# An invented corpus with roles: names of body parts inside those of problems.
NESTED = [
    doc(
        "Left ankle fracture after a fall. Severe left wrist pain since May.",
        ("Problem", "Left ankle fracture"),
        ("Body", "Left ankle"),
        ("Problem", "left wrist pain"),
        ("Body", "left wrist"),
        ("Time", "since May"),
    )
]


def test_flat_mentions_of_whole_words_can_all_be_found() -> None:
    found = ceiling([doc("No chest pain, took aspirin.", ("P", "chest pain"), ("D", "aspirin"))])
    assert (found.f1, found.lost, found.is_low) == (100, {}, False)
    assert found.sentence == "A student that tags every word right scores 100.0 strict F1."


def test_each_reason_counts_the_mentions_that_it_puts_out_of_reach() -> None:
    docs = [
        *NESTED,
        doc("leg and arm pain", ("Problem", "leg|pain")),
        doc("hyperlipidemia and gout", ("Problem", "lipidemia"), ("Problem", "gout")),
        doc("acute left wrist pain", ("Body", "left wrist pain"), ("Problem", "acute left")),
        Document("w", "a  b", (Entity("T1", "Problem", ((1, 3),)),)),
    ]
    found = ceiling(docs)
    # Found: three of the first, gout, left wrist pain. False positives: the stretch of the
    # discontinuous mention, and hyperlipidemia.
    assert (found.score.tp, found.score.fp, found.score.fn) == (5, 2, 6)
    assert found.lost == {
        "nested": 2,
        "discontinuous": 1,
        "inside_word": 1,
        "crossing": 1,
        "no_word": 1,
    }
    assert found.f1 == pytest.approx(100 * 10 / 18)
    assert found.is_low
    assert "6 of 11 mentions; 2 nested in a longer one" in found.sentence


def test_masked_mentions_and_mentions_that_stand_twice_are_not_lost() -> None:
    twice = doc("gout today", ("P", "gout"), ("P", "gout"))
    assert ceiling([twice]).f1 == 100
    masked = doc("lipids, hyperlipidemia", ("P", "lipids"), ("P", "lipidemia"), masked=((8, 22),))
    assert (ceiling([masked]).f1, ceiling([masked]).n_mentions) == (100, 1)
    cut = doc("hyperlipidemia", ("P", "lipidemia"), masked=((0, 5),))
    assert (ceiling([cut]).f1, ceiling([cut]).lost) == (0, {"inside_word": 1})


def test_no_mention_has_no_ceiling() -> None:
    assert not ceiling([Document("d", "Feels well.")]).is_low
    assert ceiling([]).n_mentions == 0


@pytest.mark.parametrize("text", ["口服阿司匹林止痛", "두통이 심하다", "ปวดหัวมาก"])
def test_scripts_without_spaces_can_be_tagged(text: str) -> None:
    ents = (Entity("T1", "P", ((0, 2),)),)
    assert ceiling([Document("d", text, ents)]).f1 == 100


def test_layers_part_the_labels_that_overlap() -> None:
    assert find_layers(NESTED) == (("Body", "Time"), ("Problem",))
    found = ceiling(NESTED)
    assert found.f1 == pytest.approx(100 * 6 / 8)
    layered = better_layers(NESTED, found)
    assert layered is not None and layered.ceiling.f1 == 100
    assert remedies(found, layered)[0].startswith("train 2 students, each on labels that do not")
    assert list(label_maps(layered.layers)) == [
        "--label-map 'Problem='",
        "--label-map 'Body=' --label-map 'Time='",
    ]


def test_label_maps_name_the_fewer_labels() -> None:
    assert list(label_maps((("A", "B", "C", "D"), ("it's",)))) == [
        "--label-map 'it'\\''s='",
        "--label-map 'it'\\''s=it'\\''s' --label-map '*='",
    ]


def test_layers_do_not_help_mentions_nested_in_their_own_label() -> None:
    docs = [doc("chronic kidney disease", ("P", "chronic kidney disease"), ("P", "kidney disease"))]
    found = ceiling(docs)
    assert better_layers(docs, found) is None
    assert remedies(found, None) == [
        "drop the inner or the outer of overlapping mentions in your annotation tool, or give one "
        "of them a label of its own"
    ]


def test_record_is_free_of_text() -> None:
    assert ceiling(NESTED).to_record() == {
        "precision": 100.0,
        "recall": 60.0,
        "f1": 75.0,
        "mentions": 5,
        "lost": {"nested": 2},
    }
