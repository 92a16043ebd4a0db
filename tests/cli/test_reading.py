"""Commands that read documents have the same options for it, and heed them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.cli.reading import PANEL, READING
from notesmith.config import ReadingConfig
from notesmith.corpus import write_corpus
from notesmith.document import Document

READ_NO_DOCUMENTS = {"run", "status", "report", "methods", "bundle", "export", "plan"} | {
    *("card dataset", "card model")
}
WITHOUT = {
    # Labels of the input are not looked at.
    "adapt": {"label_map", "unknown"},
    "predict": {"label_map", "unknown"},
    "corpus corrected": {"unknown"},
    # These compare annotators, and have a repeatable --annotator of their own.
    "corpus agreement": {"annotator", "predictions", "unknown"},
    "corpus adjudicate": {"annotator", "predictions", "unknown"},
}


def options_of(command: typer.core.TyperCommand) -> dict[str, tuple[object, ...]]:
    return {
        str(p.name): (tuple(p.opts), p.help, p.default, p.metavar, p.multiple)
        for p in command.params
        if p.name in READING and isinstance(p, typer.core.TyperOption)
    }


def walk(command: Any, name: str = "") -> Iterator[tuple[str, typer.core.TyperCommand]]:
    """Every command of the app with its name."""
    if not hasattr(command, "commands"):
        yield name, command
    for each, inside in getattr(command, "commands", {}).items():
        yield from walk(inside, f"{name} {each}".strip())


def test_every_command_that_reads_documents_has_all_options_of_reading() -> None:
    commands = dict(walk(typer.main.get_command(app)))
    assert READ_NO_DOCUMENTS | WITHOUT.keys() <= commands.keys()
    every = options_of(commands["train"])
    assert list(every) == list(READING)
    for name, command in commands.items():
        left_out = READING if name in READ_NO_DOCUMENTS else WITHOUT.get(name, ())
        wanted = [(key, value) for key, value in every.items() if key not in left_out]
        assert list(options_of(command).items()) == wanted, name


def test_options_are_the_fields_of_the_model() -> None:
    assert set(READING) == set(ReadingConfig.model_fields)


def test_help_lists_the_options_of_the_command_before_those_of_reading() -> None:
    said = CliRunner().invoke(app, ["synthesize", "--help"], env={"COLUMNS": "120"}).output
    assert said.index("--preview") < said.index(PANEL) < said.index("--token-column")


def test_no_command_has_skip_bad() -> None:
    for name, command in walk(typer.main.get_command(app)):
        assert all("--skip-bad" not in param.opts for param in command.params), name


def test_what_was_dropped_is_said_apart_from_the_result(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    write_corpus([Document("a", "Has fever.")], path)
    path.write_text(path.read_text(encoding="utf-8") + "no record\n", encoding="utf-8")
    found = CliRunner().invoke(app, ["show", str(path), "--on-problem", "count"])
    assert found.exit_code == 0, found.output
    assert "notes.jsonl: 1 dropped" in found.stderr and "dropped" not in found.stdout


@pytest.fixture
def two_annotators(tmp_path: Path) -> Path:
    """A Label Studio export: one annotator marks ``fever`` as Sign, the other as Symptom."""

    def annotation(who: int, label: str) -> dict[str, object]:
        value = {"start": 4, "end": 9, "text": "fever", "labels": [label]}
        result = {
            "id": f"r{who}", "type": "labels", "from_name": "label", "to_name": "text",
            "value": value,
        }  # fmt: skip
        return {"id": who, "completed_by": who, "result": [result]}

    task = {
        "id": 1,
        "data": {"text": "Had fever."},
        "annotations": [annotation(1, "Sign"), annotation(2, "Symptom")],
    }
    path = tmp_path / "two.json"
    path.write_text(json.dumps([task]), encoding="utf-8")
    return path


@pytest.mark.parametrize(("who", "label"), [("1", "Sign"), ("2", "Symptom")])
def test_show_and_evaluate_take_the_annotator(two_annotators: Path, who: str, label: str) -> None:
    path = str(two_annotators)
    shown = CliRunner().invoke(app, ["show", path, "--annotator", who])
    assert shown.exit_code == 0, shown.output
    assert label in shown.output
    command = ["evaluate", path, path, "--annotator", who, "--resamples", "100", "--json"]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    assert [row["part"] for row in json.loads(found.stdout)["labels"]] == [label]


def test_evaluate_takes_the_label_map(two_annotators: Path) -> None:
    path = str(two_annotators)
    command = ["evaluate", path, path, "--annotator", "2", "--label-map", "Symptom=Finding"]
    found = CliRunner().invoke(app, [*command, "--resamples", "100", "--json"])
    assert [row["part"] for row in json.loads(found.stdout)["labels"]] == ["Finding"]
