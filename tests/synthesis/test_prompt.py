"""Prompts are files with snapshots; marks move with their spaces and come back."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from notesmith.document import Document, Entity
from notesmith.markup import Marks, from_lm, nest, parse, to_lm
from notesmith.synthesis import PromptConfig
from notesmith.synthesis.prompt import (
    attributes_of,
    completion_of,
    mentions_line,
    mentions_of,
    prompt_of,
    rounded_words,
    values_in,
)
from notesmith.synthesis.requests import Request

MARKS = Marks.plain(["Problem", "Drug"])
DOC = Document(
    "x",
    "Chest pain and DM type 2 today.",
    (
        Entity("T1", "Problem", ((0, 10),)),
        Entity("T2", "Problem", ((15, 24),)),
        Entity("T3", "Drug", ((15, 17),)),
    ),
)


def test_snapshot_of_every_template() -> None:
    request = Request(
        "r1",
        "x",
        13,
        (("Problem", "gout"), ("Drug", "aspirin"), ("Problem", "DM")),
        "N b",
        "B",
        "E",
    )

    def text(name: str) -> str:
        config = PromptConfig(template=name, kind="note")  # type: ignore[arg-type]
        return prompt_of(request, config=config, unit="sentence", labels=["Drug", "Problem"])

    scratch = "One sentence of a note, about 15 words.\nProblem: gout; DM | Drug: aspirin\nText:"
    assert text("scratch") == scratch
    assert text("neighbour") == (
        "One sentence of a note, about 15 words.\nExample: N b\n"
        "Problem: gout; DM | Drug: aspirin\nText:"
    )
    assert text("infill") == (
        "One sentence of a note, about 15 words.\nProblem: gout; DM | Drug: aspirin\n"
        "Begins: B\nEnds: E\nMiddle:"
    )


def test_attributes_stand_behind_their_mentions():
    mentions = [("Problem", "gout"), ("Drug", "aspirin"), ("Problem", "DM")]
    line = mentions_line(
        mentions, ["Drug", "Problem"], [("negated",), (), ("Certainty=low", "family")]
    )
    assert line == "Problem: gout (negated); DM (Certainty=low, family) | Drug: aspirin"


ATTRIBUTE_MARKS = Marks.plain(["Problem", "Drug"], ["family", "negated"])


def test_attributes_of_a_unit_are_those_that_have_a_mark():
    ents = (
        Entity("T1", "Problem", ((0, 10),), ("historical", "negated")),
        Entity("T2", "Problem", ((15, 24),)),
        Entity("T3", "Drug", ((15, 17),), ("negated", "family")),
    )
    unit = replace(DOC, entities=ents)
    assert attributes_of(unit, ATTRIBUTE_MARKS) == (("negated",), (), ("family", "negated"))
    assert len(attributes_of(unit, ATTRIBUTE_MARKS)) == len(mentions_of(unit))
    assert attributes_of(unit, MARKS) == ()
    assert values_in([unit], ["negated", "absent"]) == ("negated",)
    completion = completion_of(unit, ATTRIBUTE_MARKS)
    assert completion == (
        "<Problem><+negated> Chest pain</> and"
        "<Problem><Drug><+family><+negated> DM</> type 2</> today."
    )
    parsed = parse(from_lm(completion, ATTRIBUTE_MARKS).strip(), ATTRIBUTE_MARKS, doc_id="x")
    assert parsed == replace(unit, entities=(replace(ents[0], attributes=("negated",)), *ents[1:]))


@st.composite
def units(draw: st.DrawFn) -> Document:
    """Words with mentions of whole words, nested or not, and any of two attributes."""
    words = draw(st.lists(st.sampled_from(["a", "bc", "<x>", "d.", r"e\f", "</>"]), min_size=1))
    starts = [sum(len(w) + 1 for w in words[:k]) for k in range(len(words))]
    places = st.tuples(st.integers(0, len(words) - 1), st.integers(0, 3))
    found = [
        Entity(
            f"{first}.{more}.{k}",
            draw(st.sampled_from(ATTRIBUTE_MARKS.labels)),
            (
                (
                    starts[first],
                    starts[last := min(first + more, len(words) - 1)] + len(words[last]),
                ),
            ),
            tuple(draw(st.sets(st.sampled_from(ATTRIBUTE_MARKS.attributes)))),
        )
        for k, (first, more) in enumerate(draw(st.lists(places, max_size=5)))
    ]
    kept, _ = nest(found)
    return Document(
        "n", " ".join(words), tuple(replace(e, id=f"T{k}") for k, e in enumerate(kept, 1))
    )


@given(units())
def test_a_unit_comes_back_from_the_models_form_with_its_attributes(unit: Document) -> None:
    completion = completion_of(unit, ATTRIBUTE_MARKS)
    found = parse(from_lm(completion, ATTRIBUTE_MARKS).strip(), ATTRIBUTE_MARKS, doc_id="n")
    assert found == unit


def test_nothing_asked_for_is_said() -> None:
    assert mentions_line([], ["Disease"]) == "No Disease."
    assert mentions_line([], ["Drug", "Problem"]) == "No mentions."


def test_lengths_are_told_in_fives() -> None:
    assert [rounded_words(n) for n in (1, 7, 8, 12, 13)] == [5, 5, 10, 10, 15]


def test_marks_stand_before_the_space_in_the_models_form() -> None:
    assert completion_of(DOC, MARKS) == (
        "<Problem> Chest pain</> and<Problem><Drug> DM</> type 2</> today."
    )
    parsed = parse(from_lm(completion_of(DOC, MARKS), MARKS).strip(), MARKS, doc_id="x")
    assert parsed == DOC


def test_loose_spaces_inside_a_mention_move_out() -> None:
    assert from_lm("a<Drug> b </>c", MARKS) == "a <Drug>b</> c"


@given(st.lists(st.sampled_from(["a", " ", "b", "<Drug>", "<Problem>", "</>", "."]), max_size=12))
def test_moving_marks_loses_no_character(pieces: list[str]) -> None:
    marked = "".join(pieces)
    for moved in (to_lm(marked, MARKS), from_lm(marked, MARKS)):
        assert sorted(moved) == sorted(marked)


def test_descriptions_of_the_labels_asked_for_stand_before_the_mentions() -> None:
    descriptions = {"Drug": "a substance given to treat", "Test": "never asked for"}

    def text(*mentions: tuple[str, str]) -> str:
        request = Request("r1", "x", 13, mentions)
        return prompt_of(
            request,
            config=PromptConfig(kind="note", label_descriptions=descriptions),
            unit="sentence",
            labels=["Drug", "Problem"],
        )

    assert text(("Problem", "gout"), ("Drug", "aspirin")) == (
        "One sentence of a note, about 15 words.\nDrug means a substance given to treat\n"
        "Problem: gout | Drug: aspirin\nText:"
    )
    assert text() == "One sentence of a note, about 15 words.\nNo mentions.\nText:"
