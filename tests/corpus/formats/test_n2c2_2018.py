"""n2c2 2018 track 2 (adverse drug events) is brat: what its files ask of the brat reader."""

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Entity, Relation
from notesmith.errors import CorpusError

# Mentions that run over a line end are two ranges, with a space for the line end in the text.
TEXT = (
    "Started on vancomycin 1 g\nIV q12h for MRSA\nbacteremia, developed rash on vancomycin,\n"
    "now prednisone 20-10 mg PO daily.\n"
)
ANN = (
    "T1\tDrug 11 21\tvancomycin\n"
    "T2\tStrength 22 25\t1 g\n"
    "R1\tStrength-Drug Arg1:T2 Arg2:T1\n"
    "T3\tReason 38 42;43 53\tMRSA bacteremia\n"
    "R2\tReason-Drug Arg1:T3 Arg2:T1\n"
    "T4\tADE 65 69\trash\n"
    "R3\tADE-Drug Arg1:T4 Arg2:T5\n"
    "T5\tDrug 73 83\tvancomycin\n"
    "T6\tDrug 89 99\tprednisone\n"
    "T7\tDosage 100 102;106 108\t20 mg\n"
    "T8\tDosage 103 108\t10 mg\n"
    "T9\tFrequency 22 33\t1 g IV q12h\n"
)


def put(folder, ann=ANN):
    folder.mkdir()
    (folder / "100035.txt").write_text(TEXT, newline="")
    (folder / "100035.ann").write_text(ann, newline="")
    return folder


def test_reads_overlaps_split_mentions_and_relations_in_any_order(tmp_path):
    read = read_corpus(put(tmp_path / "c"))
    (doc,) = read.docs
    assert (read.format, doc.id, doc.text) == ("brat", "100035", TEXT)
    assert [(ent.id, ent.label, ent.mention(TEXT)) for ent in doc.entities] == [
        ("T1", "Drug", "vancomycin"),
        ("T2", "Strength", "1 g"),
        ("T3", "Reason", "MRSA\nbacteremia"),
        ("T4", "ADE", "rash"),
        ("T5", "Drug", "vancomycin"),
        ("T6", "Drug", "prednisone"),
        ("T7", "Dosage", "20 mg"),
        ("T8", "Dosage", "10 mg"),
        ("T9", "Frequency", "1 g\nIV q12h"),
    ]
    assert doc.entities[2] == Entity("T3", "Reason", ((38, 53),))
    assert doc.relations == (
        Relation("R1", "Strength-Drug", "T2", "T1"),
        Relation("R2", "Reason-Drug", "T3", "T1"),
        Relation("R3", "ADE-Drug", "T4", "T5"),
    )
    # T9 is one range over a line end, for which its text has a space.
    assert read.counts == {"mention columns that differ in white space (offsets kept)": 1}


def test_written_again_it_reads_equal(tmp_path):
    docs = read_corpus(put(tmp_path / "c")).docs
    assert write_corpus(docs, tmp_path / "d", format="brat") == {}
    assert read_corpus(tmp_path / "d").docs == docs


def test_a_relation_to_an_unknown_mention_is_an_error(tmp_path):
    folder = put(tmp_path / "c", ANN.replace("Arg2:T5", "Arg2:T55"))
    with pytest.raises(CorpusError, match=r"100035\.ann:7: doc '100035': names unknown 'T55'"):
        read_corpus(folder)
    read = read_corpus(folder, ReadingConfig(on_problem="count"))
    assert read.counts["dropped: relation"] == 1
    assert len(read.docs[0].relations) == 2
