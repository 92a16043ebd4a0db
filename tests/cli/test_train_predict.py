from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.ner.tiny import tiny_encoder
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.cli.train import student_config
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, CorpusError, ModelError

TEXT = "Patient denies fever."
DOC = Document("a", TEXT, (Entity("T1", "Problem", ((15, 20),)),))


def run(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    tiny_encoder(folder / "encoder")
    write_corpus([DOC, Document("b", "No cough reported.")], folder / "gold.jsonl")
    done = run(
        *("train", folder / "gold.jsonl", "--out", folder / "model", "--made"),
        *(folder / "gold.jsonl", "--set", f"ner.encoder={folder / 'encoder'}"),
        *("--set", "ner.steps=60", "--set", "ner.learning_rate=3e-3"),
    )
    assert done.exit_code == 0, done.output
    assert "2 + 2 documents, labels Problem, 60 steps" in done.output
    return folder


def test_predicts_plain_texts(folder: Path) -> None:
    notes = folder / "notes"
    (notes / "ward").mkdir(parents=True)
    (notes / "ward" / "n1.txt").write_bytes(TEXT.encode())
    (notes / "n2.txt").write_bytes(b"line one\r\nline two")
    done = run("predict", folder / "model", notes, "--out", folder / "out.jsonl")
    assert done.exit_code == 0, done.output
    docs = {d.id: d for d in read_corpus(folder / "out.jsonl").docs}
    assert docs["n2"].text == "line one\r\nline two"
    assert [e.mention(TEXT) for e in docs["ward/n1"].entities] == ["fever"]
    assert docs["n2"].provenance.kind == "silver"


def test_predicts_a_corpus_and_counts_labels_it_does_not_know(folder: Path) -> None:
    strange = Document("x", "aspirin", (Entity("T1", "Drug", ((0, 7),)),))
    write_corpus([DOC, strange], folder / "other.jsonl")
    done = run("predict", folder / "model", folder / "other.jsonl", "--out", folder / "o2.jsonl")
    assert "other.jsonl: 1 of label Drug, which the model does not know" in done.output
    assert [d.id for d in read_corpus(folder / "o2.jsonl").docs] == ["a", "x"]


def test_nothing_is_trained_over_an_existing_folder(folder: Path) -> None:
    done = run("train", folder / "gold.jsonl", "--out", folder / "model")
    assert isinstance(done.exception, CorpusError) and "exists already" in str(done.exception)


def test_a_folder_without_a_model_is_an_error(folder: Path) -> None:
    done = run("predict", folder / "encoder", folder / "gold.jsonl", "--out", folder / "o3.jsonl")
    assert isinstance(done.exception, ModelError)
    assert not (folder / "o3.jsonl").exists()


def test_settings_reach_the_model(folder: Path) -> None:
    saved = json.loads((folder / "model" / "notesmith.json").read_text())
    assert saved["ner"]["steps"] == 60 and saved["labels"] == ["Problem"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("steps=5", "write it as ner.FIELD=VALUE"),
        ("ner.steps", "write it as ner.FIELD=VALUE"),
        ("ner.steps=0", "--set ner.steps: "),
        ("ner.stepz=5", "--set ner.stepz: "),
        ("ner.integration.how=blend", "--set ner.integration.how: "),
    ],
)
def test_a_wrong_setting_is_named(change: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        student_config([change])


def test_settings_are_toml_values_or_strings() -> None:
    config = student_config(["ner.encoder=minilm", "ner.integration.how=ratio", "ner.dropout=0"])
    assert (config.encoder, config.integration.how, config.dropout) == ("minilm", "ratio", 0)
