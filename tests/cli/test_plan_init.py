import json

import pytest
from tests.experiment.doubles import note
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.corpus import write_corpus
from notesmith.forecast import checks


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "_installed", lambda name: True)
    write_corpus([note("train", i) for i in range(20)], tmp_path / "export.jsonl")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_init_then_plan(folder):
    done = run("init", "export.jsonl", "--hours", "0.5")
    assert done.exit_code == 0, done.output
    assert "Notes: recipe-notes (12 train, 8 test; they hold note text" in done.output
    assert "Which of the three systems fits these notes (docs/which-system.md):" in done.output
    assert "      synthesize: yes. 20 labelled notes are few" in done.output
    assert "      annotate: perhaps, but it is not built yet." in done.output
    assert "Next: notesmith plan recipe.toml" in done.output
    assert "notesmith run recipe.toml --preview" in done.output
    assert "notesmith run recipe.toml --only arm=gold,replacement" in done.output
    assert "Time: roughly " in done.output
    assert "longer than the 0.5 hours given: begin with --only arm=gold,replacement" in done.output
    done = run("plan", "recipe.toml", "--no-probe")
    assert done.exit_code == 0, done.output
    for said in (
        "train: 12 documents",
        "Time: about",
        "by figures of another machine",
        "Memory: about ",
        "Smallest gain that would show:",
        "Leaves the machine: nothing.",
        "runs/recipe/cells: drawn, made and dropped text",
        "Note: every draw holds all 12 documents",
        "Nothing was found that would stop this run.",
    ):
        assert said in done.output, said
    assert "patient reports" not in done.output and not (folder / "runs").exists()


def test_a_run_that_cannot_succeed_is_exit_code_1(folder):
    run("init", "export.jsonl", "--hours", "0.5")
    changes = ("--set", "draws.sizes=[50]", "--no-probe")
    done = run("plan", "recipe.toml", *changes)
    assert done.exit_code == 1
    assert "Cannot succeed: draws of 50 documents and train holds 12. Remedy:" in done.output
    done = run("plan", "recipe.toml", *changes, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["can_succeed"] is False
