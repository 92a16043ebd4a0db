import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.corpus.check import Finding, check_corpus
from notesmith.document import Document, Entity
from tests.corpus.documents import documents

LONG = "The patient came in on foot with a sore left knee after a long walk on the hill"


def doc(doc_id, text, *mentions, patient=None):
    """A document with (label, mention) pairs at their first places after one another."""
    ents, at = [], 0
    for i, (label, mention) in enumerate(mentions, 1):
        start = text.index(mention, at)
        at = start + 1
        ents.append(Entity(f"T{i}", label, ((start, start + len(mention)),)))
    return Document(doc_id, text, tuple(ents), metadata={"patient": patient} if patient else {})


def check(*names, **splits):
    result = check_corpus(splits, few_mentions=1)
    return [f for f in result.findings if f.check in names]


def test_ragged_spans():
    docs = [doc("n", "No chestpain today", ("P", "chest"), ("P", "pain "), ("P", "today"))]
    assert check("white space at an end", "cuts a word", all=docs) == [
        Finding("cuts a word", "all", "n", "P", "T1", 3, 8),
        Finding("white space at an end", "all", "n", "P", "T2", 8, 13),
        Finding("cuts a word", "all", "n", "P", "T2", 8, 13),
    ]


def test_a_border_between_chinese_characters_cuts_no_word():
    docs = [doc("n", "服用布洛芬三天", ("D", "布洛芬")), doc("m", "Cre\u0300me", ("D", "Cre"))]
    (finding,) = check("cuts a word", all=docs)
    assert finding.doc_id == "m"


def test_identical_mention_twice():
    ents = (
        Entity("T1", "P", ((0, 4),)),
        Entity("T2", "P", ((0, 4),)),
        Entity("T3", "Q", ((0, 4),)),
    )
    (finding,) = check("stands twice", all=[Document("n", "pain", ents)])
    assert finding.entity_id == "T2"


def test_few_mentions_count_over_all_splits():
    result = check_corpus({"a": [doc("n", "gout", ("P", "gout"))], "b": []}, few_mentions=2)
    assert result.findings == [Finding("few mentions", "all", "", "P", detail="1 mention")]
    assert result.counts == {"few mentions": 1}
    assert result.n_serious == 0


def test_string_labelled_in_one_place_and_not_in_another():
    train = [doc("a", "Gout today. Gout again.", ("P", "Gout"), ("P", "Gout"))]
    test = [Document("b", "No gout, but a goutweed leaf. GOUT?")]
    assert check("labelled elsewhere", train=train, test=test) == [
        Finding("labelled elsewhere", "test", "b", "P", "", 3, 7, "labelled in 2 of 3 places")
    ]


def test_a_string_mostly_unlabelled_is_left_alone():
    docs = [doc("a", "cold cold cold cold cold", ("P", "cold"), ("P", "cold"))]
    assert check("labelled elsewhere", all=docs) == []


def test_the_longest_string_is_found_and_one_inside_a_mention_is_not():
    docs = [
        doc("a", "renal failure. renal failure.", ("P", "renal failure"), ("P", "renal failure")),
        doc("b", "failure failure", ("P", "failure"), ("P", "failure")),
        doc("c", "acute renal failure", ("P", "acute renal failure")),
        Document("d", "renal failure"),
    ]
    assert [(f.doc_id, f.start, f.end) for f in check("labelled elsewhere", all=docs)] == [
        ("d", 0, 13)
    ]


def test_rare_label_of_a_string():
    mentions = [("P", "gout")] * 10 + [("Q", "gout")]
    docs = [doc("a", " ".join(["gout"] * 11), *mentions)]
    (finding,) = check("other label elsewhere", all=docs)
    assert (finding.label, finding.detail) == ("Q", "P in 10 of 11 places")


def test_near_duplicates_within_and_across_splits():
    train = [Document("a", LONG), Document("b", LONG.upper() + ".")]
    test = [Document("c", LONG + " today"), Document("d", "Short text.")]
    found = check("near-duplicate", "near-duplicate across splits", train=train, test=test)
    assert [(f.check, f.doc_id, f.detail) for f in found] == [
        ("near-duplicate", "b", "100% like train a"),
        ("near-duplicate across splits", "c", "93% like train a"),
        ("near-duplicate across splits", "c", "93% like train b"),
    ]


def test_documents_and_patients_across_splits_are_serious():
    splits = {
        "train": [doc("a", LONG, patient="p1"), doc("b", "x", patient="p2")],
        "test": [doc("a", LONG, patient="p1"), doc("c", "x", patient="p2")],
    }
    result = check_corpus(splits)
    assert [(f.check, f.doc_id, f.detail) for f in result.findings] == [
        ("document across splits", "a", "also in train"),
        ("patient across splits", "a", "patient p1 is in train, test"),
        ("patient across splits", "c", "patient p2 is in train, test"),
    ]
    assert result.n_serious == 3


@given(st.lists(documents(), max_size=3))
def test_any_corpus_can_be_checked(docs):
    check_corpus({"all": docs})


@pytest.mark.parametrize("secret", ["Zyxolitis", "qwvx-secret"])
def test_findings_hold_no_text(secret):
    text = f"{secret} and {secret} and {secret}{secret} " + LONG
    docs = [doc(i, text, ("P", secret), ("P", secret + " ")) for i in ("a", "b")]
    result = check_corpus({"train": docs, "test": [doc("c", text)]})
    assert len({f.check for f in result.findings}) > 3
    assert secret not in json.dumps([f.to_record() for f in result.findings])
