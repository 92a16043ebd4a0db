import json

import pytest
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.corpus.problems import Tally
from notesmith.corpus.unknown import late_labels, mark_unknown, revisit_findings
from notesmith.document import Document, Entity
from notesmith.evaluate.predictions import compare, rate
from notesmith.metrics import known_only

TEXT = "Allergic to latex, takes aspirin."
DRUG, ALLERGY = ("Drug", (25, 32)), ("Allergy", (12, 17))


def doc(name, *ents, **metadata):
    made = tuple(Entity(f"T{i}", x, (s,)) for i, (x, s) in enumerate(ents))
    return Document(str(name), TEXT, made, metadata=metadata)


OLD = [doc(f"old{i}", DRUG) for i in range(60)]
NEW = [doc(f"new{i}", DRUG, ALLERGY) for i in range(20)]


def test_a_label_is_unknown_where_no_mention_has_it(tmp_path):
    write_corpus([OLD[0], NEW[0]], tmp_path / "c.jsonl")
    read = read_corpus(tmp_path / "c.jsonl", ReadingConfig(unknown=("Allergy",)))
    assert [d.unknown for d in read.docs] == [("Allergy",), ()]
    assert read.counts == {"documents in which label Allergy is unknown": 1}
    write_corpus(read.docs, tmp_path / "again.jsonl")
    assert read_corpus(tmp_path / "again.jsonl").docs == read.docs
    lost = write_corpus(read.docs, tmp_path / "c.conll", format="conll")
    assert lost["documents whose unknown labels were left out"] == 1


def test_a_label_map_renames_unknown_labels_too(tmp_path):
    marked = mark_unknown([OLD[0], NEW[0]], ["Allergy"], Tally())
    write_corpus(marked, tmp_path / "c.jsonl")
    read = read_corpus(tmp_path / "c.jsonl", ReadingConfig(label_map={"Allergy": "Reaction"}))
    assert read.docs[0].unknown == ("Reaction",)


def test_a_label_that_only_later_documents_have_is_found():
    (late,) = late_labels([*OLD, *NEW])
    assert (late.label, late.where) == ("Allergy", "the first 60 documents")
    assert (late.n_without, late.n_with, late.n_documents) == (60, 20, 80)
    # 20 of 80 all among the last 20: 1 / C(80, 20), times two labels and one block.
    assert late.p == pytest.approx(2 / 3535316142212174320)


def test_a_rare_label_or_a_mixed_one_is_not_late():
    assert late_labels([*OLD[:3], NEW[0]]) == []
    mixed = [d for pair in zip(OLD, NEW, strict=False) for d in pair]
    assert late_labels(mixed) == []


def test_a_label_that_one_group_lacks_is_found_by_metadata():
    docs = [doc(i, DRUG, *([ALLERGY] if i % 2 else []), ward="AB"[i % 2]) for i in range(40)]
    (late,) = late_labels(docs)
    assert late.where == "the 20 documents of ward A"
    dated = [doc(i, DRUG, *([ALLERGY] if i % 2 else []), date=f"20{i % 2}1-01") for i in range(40)]
    assert late_labels(dated)[0].where == "the 20 earliest documents by date"


def test_what_is_unknown_already_is_not_late_again():
    assert late_labels(mark_unknown([*OLD, *NEW], ["Allergy"], Tally())) == []


def test_places_to_revisit_are_listed_by_offset():
    docs = mark_unknown([OLD[0], *NEW[:2]], ["Allergy"], Tally())
    (found,) = revisit_findings({"train": docs})
    assert (found.check, found.doc_id, found.label) == (
        "unlabelled where unknown",
        "old0",
        "Allergy",
    )
    assert (found.start, found.end) == (12, 17)
    assert found.detail == "labelled in 2 of 2 places where it is known"


def test_check_names_the_option_and_writes_the_places(tmp_path):
    write_corpus([*OLD, *NEW], tmp_path / "c.jsonl")
    run = CliRunner().invoke
    done = run(app, ["corpus", "check", str(tmp_path / "c.jsonl"), "--json"])
    found = {f["check"]: f for f in json.loads(done.output)["findings"]}
    assert found["label may be added later"]["detail"].endswith("--unknown Allergy")
    given = ["corpus", "check", str(tmp_path / "c.jsonl"), "--unknown", "Allergy"]
    done = run(app, [*given, "--doubtful", str(tmp_path / "out"), "--json"])
    assert '"unlabelled where unknown": 60' in done.output
    done = run(app, ["corpus", "check", str(tmp_path / "c.jsonl"), "--unknown", "Allergies"])
    assert "which no document has; labels are Allergy, Drug" in str(done.exception)


def test_predictions_of_an_unknown_label_are_not_scored():
    gold = mark_unknown([OLD[0], NEW[0]], ["Allergy"], Tally())
    predicted = [doc("old0", DRUG, ALLERGY), doc("new0", DRUG, ALLERGY)]
    found = rate(gold, predicted, resamples=100)
    strict = found.views[0]
    assert (strict.tp, strict.fp, strict.fn) == (3, 0, 0)
    assert found.notices[0] == (
        "Allergy: unknown in 1 of 2 documents of gold and not scored there; 1 of the predictions "
        "are left out for that."
    )
    assert compare(gold, predicted, predicted, resamples=100).views[0].f1_second == 100
    sides = known_only(gold, predicted)
    assert [len(d.entities) for d in sides.predicted] == [1, 2]
    assert sides.n_left_out == {"Allergy": 1}
