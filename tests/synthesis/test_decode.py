"""Labels by source, worked by hand."""

from __future__ import annotations

from collections.abc import Sequence

from notesmith.document import Document, Entity, Provenance
from notesmith.markup import Fault, Marks
from notesmith.synthesis.decode import Lexicon, candidates_of
from notesmith.synthesis.requests import Request

MARKS = Marks.plain(["Drug", "Problem"])
LEXICON = Lexicon.of({"Problem": ["gout", "renal failure", "MS", "cold"], "Drug": ["cold"]})


def decode(text: str, *mentions: tuple[str, str], annotator: object = None) -> object:
    (made,) = candidates_of(
        [Request("r0", "note-1:0-30", 5, mentions)],
        [text],
        [True],
        marks=MARKS,
        lexicon=LEXICON,
        provenance=Provenance("synthetic", stage="synthesize"),
        annotator=annotator,  # type: ignore[arg-type]
    )
    return made


def test_requested_approved_and_unknown_marks() -> None:
    made = decode(
        " He has<Problem> Gout</> and<Problem> renal  failure</> and<Problem> bad luck</>.",
        ("Problem", "gout"),
        ("Problem", "asthma"),
    )
    doc = made.result
    assert doc.text == "He has Gout and renal  failure and bad luck."
    assert doc.mentions() == ["Gout", "renal  failure"]
    assert [doc.text[s:e] for s, e in doc.masked] == ["bad luck"]
    assert made.missing == 1
    assert doc.provenance.parents == ("note-1",)


def test_an_approved_name_without_mark_is_labelled() -> None:
    made = decode(" Known gout, no MS; ms is a title.", ("Problem", "gout"))
    assert made.result.mentions() == ["gout", "MS"]
    assert made.missing == 0


def test_a_name_under_two_labels_decides_nothing() -> None:
    assert "cold" not in LEXICON.labels
    assert decode(" He has a cold.").result.entities == ()


def test_the_wrong_label_around_an_approved_name_is_masked() -> None:
    doc = decode(" Takes<Drug> gout</> daily.").result
    assert doc.entities == () and doc.masked == ((6, 10),)


def test_a_fault_keeps_its_text_and_reason() -> None:
    made = decode(" He has<Problem> gout.")
    assert isinstance(made.result, Fault) and made.result.reason == "open without close"
    assert made.marked == " He has<Problem> gout."


def test_a_reserved_token_that_is_no_mark_is_a_fault() -> None:
    (made,) = candidates_of(
        [Request("r0", "note-1:0-30", 5)],
        [" He is<unused9> well."],
        [True],
        marks=MARKS,
        lexicon=LEXICON,
        provenance=Provenance("synthetic"),
        reserved=("<unused8>", "<unused9>", "<Drug>"),
    )
    assert made.result == Fault("unknown mark", 6)


def test_an_annotator_turns_masks_into_labels_only_where_it_agrees() -> None:
    def annotator(texts: Sequence[str]) -> list[Document]:
        return [
            Document(
                "a", t, (Entity("T1", "Problem", ((7, 15),)), Entity("T2", "Problem", ((0, 2),)))
            )
            for t in texts
        ]

    doc = decode(" He has<Problem> bad luck</> and<Problem> rain</>.", annotator=annotator).result
    assert doc.mentions() == ["bad luck"]
    assert [doc.text[s:e] for s, e in doc.masked] == ["rain"]


def test_letters_that_fold_otherwise_than_they_match_are_no_name() -> None:
    # A dotless i: the pattern takes it for an i, case folding does not.
    assert LEXICON.find("Known renal fa\u0131lure.") == []
    assert LEXICON.find("Known RENAL FAILURE.") == [((6, 19), "Problem")]
