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


def test_check_says_what_was_read_and_how_many_findings_are_not_shown(tmp_path):
    labels = [f"L{i:02}" for i in range(12)]
    docs = [Document(f"n{i}", "Weak", (Entity("T1", x, ((0, 4),)),)) for i, x in enumerate(labels)]
    write_corpus(docs, tmp_path / "c.json", format="label-studio")
    out = run("check", tmp_path / "c.json").splitlines()
    assert out[0] == "c: 12 documents, 12 mentions of 12 labels, read as label-studio"
    at = out.index("few mentions: 12; 10 are shown, --all shows all")
    assert out[at + 1] == "  L00: 1 mention"
    assert "  L11: 1 mention" not in out
    assert "  L11: 1 mention" in run("check", tmp_path / "c.json", "--all").splitlines()


def test_check_exits_with_1_on_something_serious(corpus, tmp_path):
    write_corpus(read_corpus(corpus).docs[:1], tmp_path / "d.jsonl")
    out = run("check", corpus, tmp_path / "d.jsonl", code=1)
    assert "patient across splits (serious): 1" in out
    record = json.loads(run("check", corpus, tmp_path / "d.jsonl", "--json", code=1))
    assert record["counts"]["document across splits"] == 1


def test_check_says_what_reading_collapsed_or_dropped(corpus):
    corpus.write_text(corpus.read_text() * 2)
    assert "c: 10 identical records collapsed" in run("check", corpus)


def test_check_says_the_ceiling_and_how_to_raise_it(tmp_path):
    # The shape of a corpus with roles: every mention of one label holds one of another.
    ents = (Entity("T1", "P", ((0, 19),)), Entity("T2", "Site", ((0, 10),)))
    docs = [Document(f"n{i}", f"Left ankle fracture {i}", ents) for i in range(3)]
    write_corpus(docs, tmp_path / "c.jsonl")
    out = run("check", tmp_path / "c.jsonl")
    assert "ceiling: A student that tags every word right scores 66.7 strict F1 (out of" in out
    assert "remedy: train 2 students" in out and "(at most 100.0)" in out
    assert f"notesmith train {tmp_path / 'c.jsonl'} --out student-1 --label-map 'Site='" in out
    assert "notesmith predict student-2 found-1.jsonl --out found-2.jsonl --keep" in out
    record = json.loads(run("check", tmp_path / "c.jsonl", "--json"))["ceiling"]
    assert (record["f1"], record["lost"]) == (66.67, {"nested": 3})
    assert (record["layers"], record["f1_of_layers"]) == ([["P"], ["Site"]], 100.0)


def test_check_says_a_full_ceiling_in_one_line(corpus):
    out = run("check", corpus)
    assert "ceiling: A student that tags every word right scores 100.0 strict F1." in out
    assert "remedy" not in out


def test_label_map_arguments():
    assert parse_label_map(["A=B", "C=", "*=D=E"]) == {"A": "B", "C": "", "*": "D=E"}
    for bad in (["A"], ["=B"], ["A=B", "A=C"]):
        with pytest.raises(ConfigError, match="write OLD=NEW"):
            parse_label_map(bad)
