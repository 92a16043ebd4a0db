import errno
import sys

import pytest
from rich.console import Console
from typer.testing import CliRunner

from notesmith.cli import app as table
from notesmith.cli.app import app
from notesmith.cli.progress import Display, describe, duration, print_preview, time_left
from notesmith.config import NerConfig
from notesmith.errors import CorpusError
from notesmith.experiment.engine import CellEvent
from notesmith.experiment.graph import Cell
from notesmith.experiment.run import RunResult
from notesmith.experiment.stages import ner
from notesmith.findings import NO_VERDICT
from notesmith.progress import Progress
from notesmith.results import Results

LIGHT = ["run", "ncbi-disease", "--set", "corpus.train=/no/such/file"]


@pytest.fixture
def notesmith(monkeypatch, capsys):
    """Run a command as the console script does; gives exit code, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["notesmith", *arguments])
        with pytest.raises(SystemExit) as stopped:
            table.run()
        return stopped.value.code, *capsys.readouterr()

    return call


def test_an_expected_error_is_one_line_and_exit_code_1(tmp_path, notesmith):
    said = "notesmith: corpus path '/no/such/file': nothing is there\n"
    assert notesmith(*LIGHT, "--out", str(tmp_path / "run")) == (1, "", said)
    assert not (tmp_path / "run").exists()


def test_wrong_usage_is_exit_code_2(notesmith):
    code, _, said = notesmith("run", "quickstart", "--no-such-option")
    assert code == 2 and "no-such-option" in said


def raising(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr("notesmith.experiment.recipes.load_recipe", fail)


def test_ctrl_c_is_a_hint_and_exit_code_130(monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("notesmith.experiment.run.run_recipe", interrupt)
    result = CliRunner().invoke(app, ["run", "quickstart"])
    assert result.exit_code == 130
    assert result.stderr.strip() == "notesmith: interrupted; the same command goes on where it was"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (CorpusError("doc 'x': bad"), "notesmith: doc 'x': bad"),
        (OSError(errno.ENOSPC, "no"), "notesmith: disk full; free some space and run the same"),
    ],
)
def test_errors_of_the_main_entry(monkeypatch, notesmith, error, line):
    raising(monkeypatch, error)
    code, _, said = notesmith("run", "quickstart")
    assert code == 1 and said.startswith(line) and said.count("\n") == 1


def test_a_bug_keeps_its_traceback(monkeypatch):
    raising(monkeypatch, ZeroDivisionError())
    monkeypatch.setattr(sys, "argv", ["notesmith", "run", "quickstart"])
    with pytest.raises(ZeroDivisionError):
        table.run()


def test_durations_in_words():
    assert [duration(s) for s in (0.4, 59, 200, 1500, 7500)] == [
        "0 s",
        "59 s",
        "3 min 20 s",
        "25 min",
        "2 h 5 min",
    ]


def test_progress_in_words():
    progress = Progress("sft", 5, 20, "steps", 1000, 10.0, {"loss": 2.5})
    assert describe(progress) == "sft 5 of 20 steps, 100 tokens/s, 30 s left, loss 2.5"


@pytest.mark.parametrize(
    ("eta", "n_untimed", "words"),
    [
        (1500, 0, "about 25 min"),
        (1500, 3, "more than 25 min"),
        (8, 3, ""),  # a draw was quick; that says nothing of the training to come
        (0, 0, ""),
    ],
)
def test_what_is_not_known_of_the_time_left_is_not_said(eta, n_untimed, words):
    assert time_left(eta, n_untimed) == words


@pytest.mark.parametrize("n_left", [0, 2])
def test_a_preview_shows_no_scores(tmp_path, capsys, n_left):
    (tmp_path / "examples.html").touch()
    verdict = NO_VERDICT.model_copy(update={"headline": "Demonstration, no claim: +3.0 F1"})
    results = Results.model_construct(verdict=verdict)
    print_preview(RunResult(tmp_path, results, tmp_path / "report.html", 5, n_left, 1.0))
    said = capsys.readouterr().out
    assert "report.html" in said
    if n_left:
        assert "2 cells are left" in said and "every stage ran" not in said
    else:
        assert "every stage ran" in said and "examples.html" in said and "F1" not in said


@pytest.mark.parametrize("terminal", [True, False])
def test_the_display_says_a_line_a_cell(terminal):
    console = Console(record=True, force_terminal=terminal, width=40)
    cell = Cell(ner.STAGE, NerConfig(), arm="gold", size=50, replicate=0)
    with Display(console) as display:
        display.on_progress(Progress("ner", 0, 1, "steps"))
        display.on_cell(CellEvent("start", cell, 3, 9, 60.0))
        display.on_progress(Progress("ner", 1, 2, "steps", 10, 1.0))
        display.on_cell(CellEvent("done", cell, 4, 9, 60.0, 75.0))
    assert "[4/9] ner · gold · n=50 · replicate 1: 1 min 15 s" in console.export_text()


def test_the_run_is_not_said_to_end_before_its_cell(monkeypatch):
    monkeypatch.setattr("notesmith.cli.progress.PLAIN_EVERY", 0.0)
    console = Console(record=True, force_terminal=False, width=200)
    cell = Cell(ner.STAGE, NerConfig(), arm="gold", size=50, replicate=0)
    with Display(console) as display:
        display.on_cell(CellEvent("start", cell, 3, 9, 59.0))
        display.on_progress(Progress("ner", 1, 6, "steps", 0, 100.0))
        display.on_progress(Progress("ner", 5, 6, "steps", 0, 100.0))
    first, second = console.export_text().splitlines()
    assert first.endswith("8 min 20 s left · run: more than 8 min 20 s left")
    assert second.endswith("20 s left · run: about 59 s left")
