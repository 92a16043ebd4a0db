"""Commands that read documents have the same options for it, and heed them."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.cli.reading import READING

COMMANDS = ["train", "evaluate", "compare", "show", "thresholds", "reward"]
CORPUS_COMMANDS = ["convert", "stats", "split"]


def options_of(command: typer.core.TyperCommand) -> dict[str, tuple[object, ...]]:
    return {
        str(p.name): (tuple(p.opts), p.help, p.default, p.metavar, p.multiple)
        for p in command.params
        if p.name in READING and isinstance(p, typer.core.TyperOption)
    }


def test_commands_have_the_same_reading_options() -> None:
    group = typer.main.get_command(app)
    first = options_of(group.commands["train"])
    assert set(first) == set(READING)
    for name in COMMANDS:
        assert list(options_of(group.commands[name]).items()) == list(first.items()), name
    predict = options_of(group.commands["predict"])
    assert predict["on_problem"] == first["on_problem"]
    corpus = group.commands["corpus"].commands
    for name in CORPUS_COMMANDS:
        found = options_of(corpus[name])
        assert found == {key: first[key] for key in found}, name


def test_no_command_has_skip_bad() -> None:
    def walk(command: object) -> None:
        for each in getattr(command, "commands", {}).values():
            walk(each)
        for param in getattr(command, "params", ()):
            assert "--skip-bad" not in param.opts

    walk(typer.main.get_command(app))


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
