from dataclasses import dataclass, replace

from notesmith.corpus.check import Finding
from notesmith.corpus.committee import committee_findings
from notesmith.document import Entity
from tests.corpus.marked import reading


@dataclass(frozen=True)
class Opinion:
    marks: tuple[Entity, ...]
    confidence: tuple[float, ...]
    denial: tuple[float, ...]


def found(gold, marks, denial=(), *, confidence=0.9):
    """Findings where the judge marks the mentions of a reading, each with its confidence."""
    said = reading(*marks).entities if marks else ()
    opinion = Opinion(said, tuple(marks.values()), tuple(denial) or (0.0,) * len(gold.entities))
    result = committee_findings({"all": [gold]}, lambda docs: [opinion], confidence=confidence)
    return [(f.check, f.entity_id, f.start, f.end, f.detail) for f in result]


def test_what_the_judge_denies_and_marks():
    gold = reading("P:one", "P:three")
    assert found(gold, {"P:one": 0.99, "P:six": 0.95}, (0.0, 0.97)) == [
        ("committee denies", "T2", 13, 18, "confidence 0.97"),
        ("committee marks", "", 29, 32, "confidence 0.95"),
    ]


def test_only_what_it_is_sure_of():
    assert found(reading("P:one"), {"P:six": 0.89}, (0.89,)) == []
    assert len(found(reading("P:one"), {"P:six": 0.89}, (0.89,), confidence=0.8)) == 2


def test_other_boundaries_and_labels():
    assert found(reading("P:two"), {"P:one two": 0.91}) == [
        ("committee sees other boundary", "T1", 9, 12, "[5, 12), confidence 0.91")
    ]
    gold = reading("P:two")
    opinion = Opinion(reading("Q:one two").entities, (0.96,), (0.0,))
    assert committee_findings({"all": [gold]}, lambda docs: [opinion]) == [
        Finding(
            "committee sees other label",
            "all",
            "n",
            "P",
            "T1",
            9,
            12,
            "Q, confidence 0.96",
            0.96,
            "Q",
        )
    ]


def test_what_a_student_cannot_mark_is_no_doubt():
    # A nested mention, and boundaries inside a word.
    assert found(reading("P:one two", "Q:two"), {"P:one two": 0.99}) == []
    assert found(reading("P:wo thr"), {"P:two three": 0.99}) == []
    assert found(replace(reading(), masked=((5, 8),)), {"P:one": 0.99}) == []


def test_splits_are_judged_together_and_one_id_is_one_patient():
    seen = []

    def judge(docs):
        seen.extend((doc.id, doc.metadata["patient"]) for doc in docs)
        return [Opinion((), (), (0.5 + 0.1 * i,)) for i, _ in enumerate(docs)]

    splits = {"a": [reading("P:one"), reading("P:one", doc_id="m", patient="p")]}
    splits["b"] = [reading("P:one")]
    findings = committee_findings(splits, judge, confidence=0.6)
    assert seen == [("a/n", "doc n"), ("a/m", "p"), ("b/n", "doc n")]
    assert [(f.split, f.doc_id, f.confidence) for f in findings] == [
        ("b", "n", 0.7),
        ("a", "m", 0.6),
    ]
