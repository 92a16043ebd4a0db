"""Labels by source, worked by hand."""

from __future__ import annotations

from collections.abc import Sequence

from notesmith.document import Document, Entity, Provenance
from notesmith.filters import Candidate
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


ATTRIBUTE_MARKS = Marks.plain(["Drug", "Problem"], ["family", "negated"])
CARRIERS = Lexicon.of(
    {"Problem": ["gout", "asthma"], "Drug": ["aspirin"]}, carriers=frozenset({"Problem"})
)


def decode_attributes(
    text: str, *asked: tuple[str, str, tuple[str, ...]], annotator: object = None
) -> Candidate:
    request = Request(
        "r0",
        "note-1:0-30",
        5,
        tuple((label, name) for label, name, _ in asked),
        attributes=tuple(own for *_, own in asked),
    )
    (made,) = candidates_of(
        [request],
        [text],
        [True],
        marks=ATTRIBUTE_MARKS,
        lexicon=CARRIERS,
        provenance=Provenance("synthetic", stage="synthesize"),
        annotator=annotator,  # type: ignore[arg-type]
    )
    return made


def test_attributes_are_those_that_are_marked_and_the_others_asked_for_are_counted() -> None:
    made = decode_attributes(
        " No<Problem><+negated> gout</>, mother had<Problem> asthma</>.",
        ("Problem", "gout", ("negated",)),
        ("Problem", "asthma", ("family", "negated")),
        ("Problem", "rash", ("negated",)),
        ("Problem", "gout", ()),
    )
    assert isinstance(made.result, Document)
    assert [e.attributes for e in made.result.entities] == [("negated",), ()]
    assert made.requested_attributes == (("negated",), ("family", "negated"), ("negated",), ())
    # Two of asthma; and one of rash, which is missing as a mention too.
    assert made.missing_attributes == 3
    assert made.missing == 2


def test_an_attribute_asked_for_twice_must_stand_twice() -> None:
    asked = [("Problem", "gout", ("negated",))] * 2
    made = decode_attributes(" No<Problem><+negated> gout</>, and<Problem> gout</>.", *asked)
    assert (made.missing, made.missing_attributes) == (0, 1)
    # One that nobody asked for stays: the text says so.
    made = decode_attributes(" No<Problem><+negated> gout</>.", ("Problem", "gout", ()))
    assert made.missing_attributes == 0
    assert made.result.entities[0].attributes == ("negated",)  # type: ignore[union-attr]


def test_an_unmarked_name_whose_attributes_are_unknown_is_masked() -> None:
    made = decode_attributes(" No gout after aspirin.", ("Problem", "gout", ("negated",)))
    doc = made.result
    assert isinstance(doc, Document)
    assert doc.mentions() == ["aspirin"]
    assert [doc.text[s:e] for s, e in doc.masked] == ["gout"]
    assert (made.missing, made.missing_attributes) == (1, 1)


def test_an_annotator_leaves_attributes_as_marked_and_decides_no_unmarked_name() -> None:
    def annotator(texts: Sequence[str]) -> list[Document]:
        ents = (Entity("T1", "Problem", ((3, 7),)), Entity("T2", "Problem", ((12, 16),)))
        return [Document("a", text, ents) for text in texts]

    text = " No<Problem><+negated> rash</> and gout."
    doc = decode_attributes(text, annotator=annotator).result
    assert isinstance(doc, Document) and doc.text == "No rash and gout."
    assert [(e.mention(doc.text), e.attributes) for e in doc.entities] == [("rash", ("negated",))]
    assert doc.masked == ((12, 16),)


def test_a_text_that_does_not_parse_says_what_it_was_asked_for() -> None:
    made = decode_attributes(" No<+negated> gout.", ("Problem", "gout", ("negated",)))
    assert made.result == Fault("misplaced attribute", 3)
    assert made.requested_attributes == (("negated",),)


def test_letters_that_fold_otherwise_than_they_match_are_no_name() -> None:
    # A dotless i: the pattern takes it for an i, case folding does not.
    assert LEXICON.find("Known renal fa\u0131lure.") == []
    assert LEXICON.find("Known RENAL FAILURE.") == [((6, 19), "Problem")]
