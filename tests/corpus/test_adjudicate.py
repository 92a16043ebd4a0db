from dataclasses import replace

import pytest

from notesmith.corpus.adjudicate import adjudicate
from notesmith.document import ConceptRelation, Provenance, Relation
from notesmith.errors import ConfigError, CorpusError
from tests.corpus.marked import TEXT, reading, shown


def decide(rule, *readings, **options):
    named = {name: [doc] for name, doc in zip("abcde", readings, strict=False)}
    return adjudicate(named, rule=rule, **options)


def result(made):
    """Mentions and masked words of the only document."""
    (doc,) = made.docs
    return shown(doc), [TEXT[start:end] for start, end in doc.masked]


def test_majority_of_three():
    made = decide(
        "majority",
        reading("P:zero", "P:one", "P:four", "P:six seven"),
        reading("P:zero", "P:one", "P:four five", "P:seven"),
        reading("P:zero", "Q:one"),
    )
    # zero: all. one: two of three. four, seven: two of three mark something, not the same.
    assert result(made) == (["P:zero", "P:one"], ["four five", "six seven"])
    assert made.counts == {
        "documents decided by majority": 1,
        "mentions that all have marked": 1,
        "mentions kept by the rule": 1,
        "mentions left out by the rule": 1,
        "places undecided, masked": 2,
    }
    assert [(x.kind, x.markers) for x in made.undecided] == [("only", ("a", "b"))] * 2


def test_what_fewer_than_half_mark_is_no_mention():
    assert result(decide("majority", reading("P:one"), reading(), reading())) == ([], [])


def test_every_difference_of_two_is_undecided():
    one, other = reading("P:one", "P:two", "P:four"), reading("P:one", "Q:two")
    assert result(decide("majority", one, other)) == (["P:one"], ["two", "four"])
    made = decide("majority", one, other, mask=False)
    assert result(made) == (["P:one"], [])
    assert made.counts["places undecided, left out"] == 2


def test_a_mask_leaves_out_what_is_kept():
    made = decide("majority", reading("P:one two", "Q:two three"), reading("P:one two"))
    assert result(made) == (["P:one two"], [" three"])
    nested = decide("majority", reading("P:one two", "Q:two"), reading("P:one two"))
    assert result(nested) == (["P:one two"], [])
    assert nested.counts["places undecided, left out"] == 1


def test_union():
    made = decide(
        "union",
        reading("P:zero", "P:one", "P:four", "P:six"),
        reading("P:one two", "P:four five", "Q:six"),
        reading("P:four"),
    )
    # Longer wins, unless more have marked the other; even labels are undecided.
    assert result(made) == (["P:zero", "P:one two", "P:four"], ["six"])


def test_union_keeps_what_one_annotator_has_nested():
    assert result(decide("union", reading("P:one two", "Q:two"), reading())) == (
        ["P:one two", "Q:two"],
        [],
    )


def test_intersection():
    readings = reading("P:one", "P:two"), reading("P:one"), reading("P:one", "P:two")
    assert result(decide("intersection", *readings)) == (["P:one"], ["two"])
    assert result(decide("intersection", *readings, mask=False)) == (["P:one"], [])


def test_one_annotator_may_be_preferred():
    made = adjudicate(
        {
            "a": [reading("P:one"), reading("P:one", doc_id="m")],
            "b": [reading("P:two"), reading("P:one", doc_id="k")],
            "c": [reading("P:one", doc_id="m")],
        },
        rule="majority",
        prefer="b",
    )
    assert [(d.id, shown(d), d.provenance.stage) for d in made.docs] == [
        ("n", ["P:two"], "adjudicated: b preferred"),
        ("m", ["P:one"], "adjudicated: majority of 2"),
        ("k", ["P:one"], "adjudicated: b preferred"),
    ]
    with pytest.raises(ConfigError, match="no annotator 'z' to prefer; there are a, b"):
        decide("majority", reading(), reading(), prefer="z")


def test_ground_truth_wins_and_says_so():
    truth = {"n": reading("P:six", annotator="boss"), "m": reading(doc_id="m")}
    made = decide("majority", reading("P:one"), reading("P:two"), truth=truth)
    assert [shown(doc) for doc in made.docs] == [["P:six"], []]
    assert made.docs[0].provenance == Provenance(stage="adjudicated: ground truth")
    assert made.docs[0].metadata == {"annotators": "a, b"}
    assert made.counts == {"documents taken from the ground truth": 2}
    with pytest.raises(CorpusError, match="doc 'n': the text of the ground truth differs"):
        decide("majority", reading(), truth={"n": reading(text="zero")})


def test_an_only_reading_is_taken():
    made = decide("intersection", reading("P:one", annotator="a", patient="p"))
    assert made.docs[0].provenance.stage == "adjudicated: only annotator"
    assert made.docs[0].metadata == {"patient": "p", "annotators": "a"}


def test_attributes_are_those_of_most():
    made = decide("majority", *(reading(f"P:one:{x}") for x in ("new", "old", "old")))
    assert result(made)[0] == ["P:one:old"]
    assert made.counts["mentions whose attributes differ, those of most kept"] == 1
    even = decide("majority", reading("P:one:new"), reading("P:one:old"))
    assert result(even)[0] == ["P:one:new"]


def test_relations_follow_the_rule_by_what_they_join():
    rel = Relation("R9", "of", "T1", "T2")
    one = reading("P:one", "P:two", relations=[rel])
    other = reading("P:two", "P:one", relations=[replace(rel, head="T2", tail="T1")])
    without = reading("P:one", "P:two")
    made = decide("majority", one, other, without)
    assert made.docs[0].relations == (Relation("R1", "of", "T1", "T2"),)
    assert decide("intersection", one, other, without).docs[0].relations == ()
    assert decide("union", reading("P:one"), one).docs[0].relations == (
        Relation("R1", "of", "T1", "T2"),
    )
    assert decide("majority", one, other, without).counts.get("relations left out") is None
    lost = decide("intersection", one, other, without)
    assert lost.counts["relations left out"] == 1


def test_concept_relations_follow_the_rule():
    link = ConceptRelation("CID", "D1", "D2")
    one, other = replace(reading(), concept_relations=(link,)), reading()
    assert decide("majority", one, one, other).docs[0].concept_relations == (link,)
    assert decide("majority", one, other).docs[0].concept_relations == ()


def test_a_machine_s_reading_makes_it_silver():
    silver = replace(reading(), provenance=Provenance("silver", model="m"))
    (doc,) = decide("majority", reading(), silver).docs
    assert doc.provenance == Provenance("silver", stage="adjudicated: majority of 2")
