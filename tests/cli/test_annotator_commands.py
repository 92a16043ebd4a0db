from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.ner.tiny import tiny_encoder
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, CorpusError, FileError

TEXT = "Secretgout and secretpain today"


def note(doc_id: str, *labels: str) -> Document:
    """The first label marks the first word, the second the third."""
    spans = ((0, 10), (15, 25))
    ents = (Entity(f"T{i}", x, (s,)) for i, (x, s) in enumerate(zip(labels, spans, strict=False)))
    return Document(doc_id, TEXT, tuple(ents))


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["corpus", *(str(a) for a in arguments)], env={"COLUMNS": "120"})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    assert "ecretgout" not in done.output and "secretpain" not in done.output
    return done.output


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    places = tmp_path / "ann", tmp_path / "ben"
    write_corpus([note("1", "P", "P"), note("2", "P")], places[0], format="brat")
    write_corpus([note("1", "P", "Q"), note("2", "P")], places[1], format="brat")
    return places


def test_agreement_as_table_page_and_json(two: tuple[Path, Path], tmp_path: Path) -> None:
    out = run("agreement", *two, "--page", tmp_path / "page.html")
    assert "ann: 2 documents, 3 mentions" in out
    assert "66.7" in out and "label" in out
    assert "page.html: 1 places (holds note text)" in out.replace("\n", "")
    page = tmp_path / "page.html"
    assert page.stat().st_mode & 0o777 == 0o600 and "secretpain" in page.read_text()
    record = json.loads(run("agreement", f"x={two[0]}", two[1], "--json"))
    assert list(record["annotators"]) == ["x", "ben"]
    assert record["overall"]["strict"]["f1"] == pytest.approx(2 / 3)
    assert record["kinds"] == {"label": 1}


def test_agreement_needs_two(two: tuple[Path, Path]) -> None:
    with pytest.raises(CorpusError, match=r"one annotator \(ann\)"):
        run("agreement", two[0])
    with pytest.raises(ConfigError, match="write NAME=PATH"):
        run("agreement", f"={two[0]}")


def test_adjudicate(two: tuple[Path, Path], tmp_path: Path) -> None:
    out = run("adjudicate", *two, "--out", tmp_path / "gold.jsonl")
    assert "1 places undecided, masked" in out and "P, Q" in out
    docs = read_corpus(tmp_path / "gold.jsonl").docs
    assert [(len(d.entities), d.masked) for d in docs] == [(1, ((15, 25),)), (1, ())]
    out = run("adjudicate", *two, "--rule", "prefer=ben", "--out", tmp_path / "b.jsonl", "--json")
    assert json.loads(out)["counts"] == {"documents as ben has read them": 2}
    for rule in ("prefer=", "best"):
        with pytest.raises(ConfigError, match=r"is not majority, union, intersection or prefer="):
            run("adjudicate", *two, "--rule", rule, "--out", tmp_path / "c.jsonl")
    with pytest.raises(ConfigError, match=r"name a \.jsonl file"):
        run("adjudicate", *two, "--out", tmp_path / "c")


def test_doubtful_labels_there_and_back(tmp_path: Path) -> None:
    gold, folder = tmp_path / "gold.jsonl", tmp_path / "doubtful"
    write_corpus([*(note(str(i), "P", "P") for i in range(3)), note("3", "P")], gold)
    out = run("check", gold, "--doubtful", folder, "--as", "brat")
    assert "doubtful: 1 of 4 documents for brat (holds note text)" in out.replace("\n", "")
    with pytest.raises(FileError, match="exists already"):
        run("check", gold, "--doubtful", folder)
    annotations = folder / "3.ann"
    annotations.write_text(annotations.read_text().replace("maybe-P", "P"))
    out = run("corrected", gold, folder, "--out", tmp_path / "new.jsonl")
    assert "1 mentions added" in out and "3 documents without a correction" in out
    (doc,) = read_corpus(tmp_path / "new.jsonl").docs[3:]
    assert [ent.label for ent in doc.entities] == ["P", "P"]
    assert (doc.provenance.stage, doc.provenance.parents) == ("corrected", ("3",))


def test_corrections_must_hold_attributes(tmp_path: Path) -> None:
    write_corpus([note("1", "P")], tmp_path / "gold.jsonl")
    write_corpus([note("1", "P")], tmp_path / "gold.conll", format="conll")
    with pytest.raises(ConfigError, match="conll does not hold attributes and relations"):
        run("corrected", *(tmp_path / f"gold.{x}" for x in ("jsonl", "conll")), "--out", "x.jsonl")


def test_a_committee_doubts_what_it_did_not_see(tmp_path: Path) -> None:
    text = "Patient denies fever."
    fever = (Entity("T1", "Problem", ((15, 20),)),)
    gold = [Document(f"d{i}", text, fever) for i in range(7)]
    write_corpus([*gold, Document("d7", text)], tmp_path / "gold.jsonl")
    settings = [f"ner.encoder={tiny_encoder(tmp_path / 'e')}", "ner.steps=60", "ner.batch_size=4"]
    changes = [x for s in (*settings, "ner.learning_rate=3e-3") for x in ("--set", s)]
    options = ("--committee", "--members", 2, "--confidence", 0.5, *changes)
    out = run("check", tmp_path / "gold.jsonl", *options)
    assert "committee marks: 1" in out
    with pytest.raises(ConfigError, match="add --committee"):
        run("check", tmp_path / "gold.jsonl", *changes)
