"""Nothing from outside reaches the terminal raw, whatever prints it."""

import ast
import io
import json
import logging
import sys
import time
from pathlib import Path

import pytest
from rich.table import Table

import notesmith
from notesmith.cli import app
from notesmith.cli.screen import Screen, guard_logging, say, say_json
from notesmith.cli.train import moving_line
from notesmith.document import Document, Entity
from notesmith.progress import Progress
from notesmith.report.show import terminal_text

# ESC sequences, C0, C1, ends of lines and paragraphs, directions, halves of pairs, tags.
ODD = "\x1b[2J\x1b]0;x\x07\x00\x08\x0b\x0c\x7f\x85\x9b31m\u2028\u2029\u202e\u2066\u200f\ufeff\ud800"
ODD += "\U000e0041"
LABEL = f"[red]B{ODD}[/red]:warning:"
ROOT = Path(notesmith.__file__).parent


def assert_harmless(printed):
    assert "[red]B" in printed and ":warning:" in printed
    left = printed.replace("\n", "")
    assert left.isprintable(), [hex(ord(c)) for c in left if not c.isprintable()]


def test_only_the_edge_prints():
    for path in ROOT.rglob("*.py"):
        if path.name in ("screen.py", "show.py") and path.parent.name in ("cli", "report"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in (
                    *("print", "typer.echo", "typer.secho", "click.echo", "Console"),
                    *("sys.stdout.write", "sys.stderr.write", "Text.from_markup"),
                ), f"{path.name}:{node.lineno}"


def test_a_line_a_table_and_json(capsys):
    say(LABEL + "\r\n\tx")
    out = capsys.readouterr().out
    assert_harmless(out)
    assert out.count("\n") == 1 and "␛[2J␛]0;x␇␀␈␋␌␡��31m���" in out and out.endswith("␍␊␉x\n")
    say(LABEL, err=True)
    assert_harmless(capsys.readouterr().err)
    table = Table(LABEL, title=LABEL, caption=LABEL)
    table.add_column(LABEL)
    table.add_row(LABEL, LABEL)
    screen = Screen(width=400)
    screen.print(table)
    screen.print(LABEL, style="bold", soft_wrap=True)
    screen.rule(LABEL)
    assert_harmless(capsys.readouterr().out)
    value = {LABEL: ["é", ODD]}
    say_json(value)
    out = capsys.readouterr().out
    assert_harmless(out)
    assert "é" in out and json.loads(out) == value


def test_logged_lines(capsys):
    guard_logging()
    record = logging.LogRecord("x", logging.WARNING, "x", 1, "doc %s", (LABEL,), None)
    assert_harmless(logging.lastResort.format(record) + "\n")


@pytest.fixture
def notesmith_command(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["notesmith", *arguments])
        with pytest.raises(SystemExit):
            app.run()
        out, err = capsys.readouterr()
        return out + err

    return call


def test_commands_on_a_corpus_of_odd_names(notesmith_command, tmp_path):
    label = LABEL.replace("\ud800", "")
    record = {
        "schema": 1,
        "id": f"d{label}",
        "text": "fever and pain",
        "entities": [{"id": f"T{label}", "label": label, "spans": [[0, 6]], "attributes": [label]}],
        "metadata": {"kind": label, "patient": label},
    }
    name = label.replace("/", "").replace("\0", "") + ".jsonl"
    (tmp_path / name).write_text(json.dumps(record) + "\n", "utf-8")
    for command in (
        *(("corpus", "stats"), ("corpus", "stats", "--json"), ("corpus", "check", "--all")),
        *(("show",), ("corpus", "convert"), ("corpus", "agreement"), ("show", "--id", label[:3])),
        *(("status",), ("card",), ("predict",), ("evaluate",), ("plan",), ("init",)),
    ):
        more = ["out.jsonl"] if command[-1] == "convert" else []
        printed = notesmith_command(*command, name, *more)
        left = printed.replace("\n", "")
        assert left.isprintable(), (command, [hex(ord(c)) for c in left if not c.isprintable()])
        assert "Traceback" not in printed


def test_an_error_is_one_line_whatever_the_file_is_called(notesmith_command, tmp_path):
    name = "a\n\x1b[31mnotesmith: all is well.jsonl"
    (tmp_path / name).write_text("{")
    printed = notesmith_command("corpus", "stats", name)
    assert printed.count("\n") == 1 and "\x1b" not in printed
    assert printed.startswith("notesmith: a␊␛[31mnotesmith: all is well.jsonl:1: not JSON")


def test_a_document_shown(capsys):
    doc = Document("d", f"a{ODD}b", (Entity("T1", LABEL, ((0, 1),)),))
    for plain in (True, False):
        Screen(width=400).print(terminal_text(doc, plain=plain), soft_wrap=True)
        assert_harmless(capsys.readouterr().out)


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


def test_a_line_beside_a_moving_one_stands_alone(monkeypatch):
    terminal = Terminal(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    monkeypatch.setenv("TERM", "xterm")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        with moving_line() as on_progress:
            on_progress(Progress("adapt", 1, 10, "steps", 0, 1.0))
            deadline = time.monotonic() + 60
            while b"adapt 1 of 10" not in terminal.buffer.getvalue():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            say("notes.jsonl: 1,234 records left out", err=True)
        terminal.flush()
    # The moving line is erased before the other is written.
    assert b"\x1b[2Knotes.jsonl: 1,234 records left out\n" in terminal.buffer.getvalue()
