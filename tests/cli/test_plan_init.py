import json
from dataclasses import replace

import pytest
from tests.experiment.doubles import note
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.corpus import write_corpus
from notesmith.document import Document
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
    assert "      annotate: perhaps. Notes without labels" in done.output
    assert "Next: notesmith plan recipe.toml" in done.output
    assert "notesmith run recipe.toml --preview" in done.output
    assert "notesmith run recipe.toml --only arm=gold,replacement" in done.output
    assert "Time: roughly " in done.output
    assert "longer than the 0.5 hours given: begin with --only arm=gold,replacement" in done.output
    done = run("plan", "recipe.toml", "--no-probe")
    assert done.exit_code == 0, done.output
    for said in (
        "train: 12 documents",
        "Time: ",
        " min to ",
        "by figures of another machine",
        "Memory: about ",
        "Smallest gain that would show:",
        "Leaves the machine: nothing.",
        "runs/recipe/cells: drawn, made and dropped text",
        "Nothing was found that would stop this run.",
    ):
        assert said in done.output, said
    assert "every draw holds all" not in done.output
    assert "patient reports" not in done.output and not (folder / "runs").exists()


def test_init_says_that_notes_of_one_patient_may_be_divided(folder):
    docs = [
        Document(f"p{i // 2}-{i}", doc.text, doc.entities)
        for i, doc in enumerate(note("train", i) for i in range(20))
    ]
    write_corpus(docs, folder / "bare.jsonl")
    said = "Patients: none are named, so notes of one patient may be divided; name them with"
    assert said in run("init", "bare.jsonl").output
    named = run("init", "bare.jsonl", "--patient-from", r"^(p\d+)-", "--force").output
    assert "Notes: recipe-notes" in named and "Patients:" not in named


def test_a_run_that_cannot_succeed_is_exit_code_1(folder):
    run("init", "export.jsonl", "--hours", "0.5")
    changes = ("--set", "draws.sizes=[50]", "--no-probe")
    done = run("plan", "recipe.toml", *changes)
    assert done.exit_code == 1
    assert "Cannot succeed: draws of 50 documents and train holds 12. Remedy:" in done.output
    done = run("plan", "recipe.toml", *changes, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["can_succeed"] is False


def test_a_part_of_a_run_is_planned(folder):
    run("init", "export.jsonl", "--hours", "0.5")

    def planned(*options):
        done = run("plan", "recipe.toml", "--no-probe", "--json", *options)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    whole, part = planned(), planned("--only", "arm=gold,replacement", "--only", "replicate=1")
    assert {"sft", "sample"} <= {stage["stage"] for stage in whole["stages"]}
    assert not {"sft", "sample"} & {stage["stage"] for stage in part["stages"]}
    assert part["seconds"] < whole["seconds"] / 4
    low, high = whole["seconds_range"]
    assert low < whole["seconds"] < high
    done = run("plan", "recipe.toml", "--no-probe", "--only", "arm=none")
    assert done.exit_code == 1 and "no cell of the plan passes --only" in str(done.exception)


def test_init_and_plan_say_what_is_left_out(folder):
    again = replace(note("train", 0), id="again", metadata={})
    write_corpus([*(note("test", i) for i in range(6)), again], folder / "test.jsonl")
    said = "1 document of train is left out, as its text stands in test too."
    assert said in run("init", "export.jsonl", "--test", "test.jsonl").output
    done = run("plan", "recipe.toml", "--no-probe")
    assert done.exit_code == 0 and said in done.output and "train: 19 documents" in done.output
