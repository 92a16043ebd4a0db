"""``notesmith reward``: what is scored, what is left out and why, and that no text is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.corpus import write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError

GOLD = Document(
    "g",
    "Carriers were told about gout before they left the ward.",
    (Entity("T1", "P", ((26, 30),)),),
)
DOCS = [
    Document("new", "Nobody of the family had ever been abroad."),
    Document("copy", GOLD.text, GOLD.entities),
    Document("short", "Well."),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_corpus(DOCS, tmp_path / "made.jsonl")
    write_corpus([GOLD], tmp_path / "gold.jsonl")
    (tmp_path / "own.py").write_text("def half(docs):\n    return [0.5] * len(docs)\n")
    return tmp_path


def run(*arguments: object):
    return CliRunner().invoke(app, ["reward", *map(str, arguments)], env={"COLUMNS": "120"})


def test_parts_are_explained_and_those_left_out_too(folder: Path) -> None:
    done = run(folder / "made.jsonl", "--gold", folder / "gold.jsonl")
    assert done.exit_code == 0, done.output
    assert "1 failed: repeats gold" in done.output
    assert "1 failed: too short" in done.output
    assert "agreement left out: no committee was given" in done.output
    assert "density left out: there is no request" in done.output
    assert "novelty: 1 minus the largest share" in done.output
    assert "mean of 3" in done.output
    for word in ("family", "abroad", "gout", "ward"):
        assert word not in done.output


def test_without_gold_what_needs_it_is_left_out(folder: Path) -> None:
    done = run(folder / "made.jsonl", "--json")
    found = json.loads(done.output)
    assert found["left_out"]["novelty"] == "there is no gold"
    assert found["gates"] == {"too short": 1}
    assert [row["total"] for row in found["documents"]] == [None, None, 0.0]
    assert found["documents"][0]["parts"] == {"diversity": 1.0}


def test_ones_own_reward_can_be_tried(folder: Path) -> None:
    own = f"{folder / 'own.py'}:half"
    done = run(folder / "made.jsonl", "--gold", folder / "gold.jsonl", "--user", own, "--json")
    found = json.loads(done.output)
    assert [row["total"] for row in found["documents"]] == [0.5, 0.0, 0.0]
    assert found["documents"][0]["parts"]["user_half"] == 0.5
    assert found["means"]["total"] == pytest.approx(0.5 / 3)
    wrong = run(folder / "made.jsonl", "--user", "half")
    assert isinstance(wrong.exception, ConfigError)


def test_documents_are_cut_into_units(folder: Path) -> None:
    write_corpus(
        [Document("two", "He was seen on Monday. She was seen on Friday.")], folder / "two.jsonl"
    )
    done = run(folder / "two.jsonl", "--unit", "sentence", "--json")
    assert [r["id"] for r in json.loads(done.output)["documents"]] == ["two:0-22", "two:23-46"]


def test_a_student_judges_labels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    class Student:
        def count_unknown(self, docs: list[Document]) -> dict[str, int]:
            return {"Q": 2}

        def predict(self, docs: list[Document]) -> list[Document]:
            return [d.with_entities([Entity("T1", "P", ((0, 6),))]) for d in docs]

    monkeypatch.setattr("notesmith.ner.model.load_ner", lambda folder: Student())
    done = run(folder / "made.jsonl", "--model", folder, "--gold", folder / "gold.jsonl", "--json")
    assert "made.jsonl: 2 of label Q, which the model does not know" in done.output
    found = json.loads(done.stdout)
    assert found["documents"][0]["parts"]["agreement"] == 0.625
