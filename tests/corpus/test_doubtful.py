import json
from dataclasses import replace

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus
from notesmith.corpus.check import Finding
from notesmith.corpus.doubtful import doubtful_documents, write_for_correction
from notesmith.errors import CorpusError
from tests.corpus.marked import reading, shown

GOLD = reading("P:one:negated", "Q:three")
FINDINGS = [
    Finding("committee denies", "all", "n", "P", "T1", 5, 8, "0.97", 0.97),
    Finding("other label elsewhere", "all", "n", "Q", "T2", 13, 18, "P in 9", suggested="P"),
    Finding("labelled elsewhere", "all", "n", "P", "", 29, 32, "labelled in 2 of 3 places"),
    Finding("committee marks", "all", "n", "P", "", 29, 32, "0.95", 0.951),
    Finding("cuts a word", "all", "m", "P", "T1", 0, 3),
]
MARKED = [
    "P:one:doubt=committee-denies:negated",
    "Q:three:doubt=other-label-elsewhere:suggested=P",
    "maybe-P:six:doubt=committee-marks:doubt=labelled-elsewhere:score=0.95",
]


def write(tmp_path, tool):
    docs = doubtful_documents({"all": [GOLD, reading(doc_id="m")]}, FINDINGS)
    write_for_correction(docs, tmp_path / "out", tool=tool, labels=["P", "Q", "R"])
    return tmp_path / "out"


def test_doubtful_documents_are_marked():
    (doc,) = doubtful_documents({"all": [GOLD, reading("P:one", doc_id="m")]}, FINDINGS)
    assert shown(doc) == MARKED
    assert doc.provenance.kind == "silver"
    assert [note["text"] for note in doc.metadata["notes"]] == [
        "notesmith: committee denies 0.97",
        "notesmith: other label elsewhere P in 9",
        "notesmith: labelled elsewhere labelled in 2 of 3 places; committee marks 0.95",
    ]


def test_label_studio_gets_predictions_and_the_configuration_that_shows_them(tmp_path):
    folder = write(tmp_path, "label-studio")
    (task,) = json.loads((folder / "tasks.json").read_text())
    assert (task["annotations"], len(task["predictions"])) == ([], 1)
    (doc,) = read_corpus(folder / "tasks.json", ReadingConfig(predictions=True)).docs
    assert shown(doc) == MARKED
    config = (folder / "labeling-config.xml").read_text()
    for name in ("P", "Q", "R", "maybe-P"):
        assert f'<Label value="{name}"/>' in config
    assert '<Choice value="committee-denies"/>' in config
    assert oct((folder / "tasks.json").stat().st_mode)[-3:] == "600"


def test_brat_gets_notes_and_its_configuration(tmp_path):
    folder = write(tmp_path, "brat")
    (doc,) = read_corpus(folder).docs
    assert shown(doc) == [*MARKED[:2], MARKED[2].removesuffix(":score=0.95")]
    assert [(note["of"], note["kind"]) for note in doc.metadata["notes"]] == [
        ("T1", "AnnotatorNotes"),
        ("T2", "AnnotatorNotes"),
        ("T3", "AnnotatorNotes"),
    ]
    assert (folder / "annotation.conf").read_text() == (
        "[entities]\nP\nQ\nR\nmaybe-P\n[relations]\n[events]\n[attributes]\n"
        "doubt\tArg:<ENTITY>, Value:committee-denies|committee-marks|labelled-elsewhere|"
        "other-label-elsewhere\nnegated\tArg:<ENTITY>\nsuggested\tArg:<ENTITY>, Value:P\n"
    )


def test_inception_gets_features(tmp_path):
    pytest.importorskip("cassis")
    (doc,) = read_corpus(write(tmp_path, "uima")).docs
    assert shown(doc) == MARKED


def test_what_cannot_be_written():
    def doubtful(doc, **splits):
        doubtful_documents(splits or {"all": [doc]}, FINDINGS)

    with pytest.raises(CorpusError, match="nothing is doubtful"):
        doubtful(reading(doc_id="m"))
    with pytest.raises(CorpusError, match="doc 'n': 'T1' has an attribute doubt"):
        doubtful(reading("P:one:doubt=x"))
    with pytest.raises(CorpusError, match="'T1' has the label maybe-P, which marks doubt"):
        doubtful(reading("maybe-P:one"))
    both = [*FINDINGS, replace(FINDINGS[0], split="b")]
    with pytest.raises(CorpusError, match="doc 'n' is in two parts of the corpus"):
        doubtful_documents({"all": [GOLD], "b": [GOLD]}, both)
