from dataclasses import replace

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus
from notesmith.corpus.check import Finding
from notesmith.corpus.corrected import merge_corrections
from notesmith.corpus.doubtful import doubtful_documents, write_for_correction
from notesmith.corpus.problems import Tally
from notesmith.document import Entity, Provenance, Relation
from notesmith.errors import CorpusError
from tests.corpus.marked import reading, shown

GOLD = reading("P:one:negated", "Q:three", patient="p")


def merge(*corrected, gold=GOLD):
    return merge_corrections([gold], corrected)


def test_what_a_person_changed():
    made = merge(reading("P:one two", "P:three:doubt=committee-denies", "P:six:score=0.9"))
    assert shown(made.docs[0]) == ["P:one two", "P:three", "P:six"]
    assert made.docs[0].provenance == Provenance("gold", ("n",), stage="corrected")
    assert made.docs[0].metadata == {"patient": "p"}
    assert made.changed == ("n",)
    assert made.counts == {
        "boundaries of mentions changed": 1,
        "documents changed": 1,
        "labels of mentions changed": 1,
        "mentions added": 1,
    }


def test_marks_of_doubt_and_suggestions_that_nobody_labelled_change_nothing():
    left = reading("P:one:negated:doubt=x", "Q:three:suggested=P", "maybe-P:six:score=0.9")
    made = merge(left)
    assert made.docs[0] is GOLD
    assert made.counts == {
        "documents unchanged": 1,
        "suggestions that nobody labelled, left out": 1,
    }


def test_a_suggestion_that_was_given_a_label_is_gold():
    made = merge(reading("P:one:negated", "Q:three", "P:six:doubt=committee-marks:score=0.9"))
    assert shown(made.docs[0]) == ["P:one:negated", "Q:three", "P:six"]


def test_attributes_and_removed_mentions():
    made = merge(reading("P:one"))
    assert made.counts["attributes or concept ids of mentions changed"] == 1
    assert made.counts["mentions removed"] == 1


def test_a_mention_keeps_its_id_and_relations_when_label_or_boundary_change():
    relation = Relation("R1", "of", "T1", "T2")
    gold = replace(GOLD, relations=(relation,))
    found = reading("P:six", "R:three", "P:one two", relations=[Relation("R1", "of", "T3", "T2")])
    made = merge(found, gold=gold).docs[0]
    assert [(ent.id, ent.label, ent.start) for ent in made.entities] == [
        ("T1", "P", 5),
        ("T2", "R", 13),
        ("C1", "P", 29),
    ]
    assert made.relations == (relation,)


def test_a_mention_in_parts_comes_back_from_a_tool_that_writes_it_whole():
    parts = replace(GOLD, entities=(Entity("T1", "P", ((0, 4), (9, 12))),))
    whole = replace(GOLD, entities=(Entity("T1", "P", ((0, 12),)),))
    assert merge(whole, gold=parts).docs[0] is parts


def test_a_mention_that_stands_twice_is_not_lost():
    twice = replace(GOLD, entities=(GOLD.entities[0], replace(GOLD.entities[0], id="T9")))
    assert merge(twice, gold=twice).docs[0] is twice


def test_relations_in_one_direction_are_gold_s_symmetric_ones():
    gold = replace(GOLD, relations=(Relation("R1", "same", "T1", "T2", symmetric=True),))
    back = replace(GOLD, relations=(Relation("R7", "same", "T2", "T1"),))
    assert merge(back, gold=gold).docs[0] is gold
    made = merge(replace(GOLD, relations=(Relation("R1", "of", "T1", "T2"),)), gold=gold)
    assert made.docs[0].relations == (Relation("R1", "of", "T1", "T2"),)
    assert (made.counts["relations added"], made.counts["relations removed"]) == (1, 1)


def test_documents_are_paired_by_id_and_text():
    made = merge_corrections([GOLD, reading(doc_id="m")], [GOLD, reading(doc_id="x")])
    assert made.counts == {
        "corrected documents that gold lacks, left out": 1,
        "documents unchanged": 1,
        "documents without a correction": 1,
    }
    with pytest.raises(CorpusError, match="none of 1 corrected documents is among the 1 of gold"):
        merge(reading(doc_id="x"))
    with pytest.raises(CorpusError, match="doc 'n': the text differs from gold's from offset 5"):
        merge(reading(text="zero One"))
    tally = Tally("count")
    assert merge_corrections([GOLD], [reading(text="zero")], tally=tally).docs == [GOLD]
    assert tally.counts["dropped: corrected document whose text differs"] == 1


def test_a_control_character_that_xml_cannot_hold_is_no_other_text():
    gold = reading(text="zero\x0cone")
    assert merge(reading("P:one", text="zero one"), gold=gold).docs[0].text == "zero\x0cone"


@pytest.mark.parametrize("tool", ["label-studio", "brat", "uima"])
def test_nothing_changes_on_the_way_there_and_back(tmp_path, tool):
    if tool == "uima":
        pytest.importorskip("cassis")
    gold = replace(
        reading("P:one:negated", "Q:three", "P:four"),
        entities=(
            Entity("T1", "P", ((5, 8),), ("negated",), ("UMLS:1", "UMLS:2")),
            Entity("x", "Q", ((9, 12), (19, 23))),
        ),
        relations=(Relation("R1", "same", "T1", "x", symmetric=True),),
    )
    finding = Finding("committee denies", "all", "n", "P", "T1", 5, 8, "0.97", 0.97)
    added = Finding("committee marks", "all", "n", "P", "", 29, 32, "0.95", 0.95)
    docs = doubtful_documents({"all": [gold]}, [finding, added])
    write_for_correction(docs, tmp_path / "out", tool=tool, labels=["P", "Q"])
    path = tmp_path / "out" / ("tasks.json" if tool == "label-studio" else "")
    back = read_corpus(path, ReadingConfig(predictions=tool == "label-studio")).docs
    made = merge_corrections([gold], back)
    assert made.docs[0] is gold
    assert made.counts["suggestions that nobody labelled, left out"] == 1
