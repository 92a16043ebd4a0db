import json
import os
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.cli.reading import parse_label_map
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, FileError


@pytest.fixture
def corpus(tmp_path):
    docs = [
        Document(
            f"n{i}",
            f"Secretgout today, note {i}.",
            (Entity("T1", "P", ((0, 10),), ("negated",)),),
            metadata={"patient": f"p{i % 5}", "kind": "letter"},
        )
        for i in range(10)
    ]
    write_corpus(docs, tmp_path / "c.jsonl")
    return tmp_path / "c.jsonl"


def run(*arguments, code=0):
    result = CliRunner().invoke(
        app, ["corpus", *(str(a) for a in arguments)], env={"COLUMNS": "160"}
    )
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    assert "Secretgout" not in result.output
    return result.output


def test_convert_prints_what_was_lost(corpus, tmp_path):
    out = run("convert", corpus, tmp_path / "c.conll", "--label-map", "P=Problem")
    assert "10 documents, 10 mentions: jsonl to conll" in out
    assert "not held by conll: 10 attributes left out" in out
    assert read_corpus(tmp_path / "c.conll").docs[0].labels == {"Problem"}


def test_convert_to_label_studio_gives_the_configuration_too(corpus, tmp_path):
    out = run("convert", corpus, tmp_path / "tasks.json", "--to", "label-studio")
    assert "tasks.labeling-config.xml" in out
    root = ET.parse(tmp_path / "tasks.labeling-config.xml").getroot()
    assert [label.get("value") for label in root.iter("Label")] == ["P"]
    assert [group.get("name") for group in root.iter("Choices")] == ["negated"]


def test_convert_needs_a_format(corpus, tmp_path):
    with pytest.raises(ConfigError, match="name the format with --to"):
        run("convert", corpus, tmp_path / "d")
    run("convert", corpus, tmp_path / "d", "--to", "brat")
    assert len(os.listdir(tmp_path / "d")) == 20
    with pytest.raises(FileError, match="exists already"):
        run("convert", corpus, tmp_path / "d", "--to", "brat")


def test_stats_as_table_and_json(corpus):
    assert "negated" in run("stats", corpus)
    record = json.loads(run("stats", corpus, "--json"))
    assert record["c"]["n_mentions"] == 10
    assert record["c"]["attributes"] == {"negated": 10}


def test_split_by_patient_and_check_of_it(corpus, tmp_path):
    out = run(
        "split", corpus, tmp_path / "s", "--seed", 7, "--train", 0.6, "--dev", 0.2, "--test", 0.2
    )
    assert "divided by patient, seed 7" in out
    assert sorted(os.listdir(tmp_path / "s")) == ["dev.jsonl", "test.jsonl", "train.jsonl"]
    out = run("check", tmp_path / "s")
    assert "few mentions" in out


def test_check_exits_with_1_on_something_serious(corpus, tmp_path):
    write_corpus(read_corpus(corpus).docs[:1], tmp_path / "d.jsonl")
    out = run("check", corpus, tmp_path / "d.jsonl", code=1)
    assert "1 patient across splits (serious)" in out
    record = json.loads(run("check", corpus, tmp_path / "d.jsonl", "--json", code=1))
    assert record["counts"]["document across splits"] == 1


def test_label_map_arguments():
    assert parse_label_map(["A=B", "C=", "*=D=E"]) == {"A": "B", "C": "", "*": "D=E"}
    for bad in (["A"], ["=B"], ["A=B", "A=C"]):
        with pytest.raises(ConfigError, match="write OLD=NEW"):
            parse_label_map(bad)
