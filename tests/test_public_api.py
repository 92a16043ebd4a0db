"""The public names and the command line: small, documented, and thin over the library.

That they load no torch and resolve is in ``test_imports.py``.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
import typer

import notesmith
from notesmith.cli.app import app

CLI = sorted((Path(notesmith.__file__).parent / "cli").glob("*.py"))
# What does the work: a command imports it inside its function, and never names a tensor or array.
WORK = {"torch", "transformers", "trl", "peft", "datasets", "numpy", "scipy", "safetensors"}
# Packages whose modules load such libraries, so a command's file imports them late.
LATE = ("notesmith.ner", "notesmith.lm", "notesmith.evaluate", "notesmith.synthesis")


def test_the_public_names_read_in_one_breath():
    assert len(notesmith.__all__) <= 16
    assert dir(notesmith) == sorted(notesmith.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+", notesmith.__version__)
    with pytest.raises(AttributeError, match="has no attribute 'wizard'"):
        _ = notesmith.wizard


@pytest.mark.parametrize("name", [n for n in notesmith.__all__ if not n.startswith("__")])
def test_public_names_are_documented(name):
    made = getattr(notesmith, name)
    doc = inspect.getdoc(made) or ""
    assert doc and not doc.startswith(f"{name}(")
    if not inspect.isclass(made):
        hints = inspect.signature(made)
        assert hints.return_annotation is not inspect.Signature.empty
        assert all(
            parameter.annotation is not inspect.Parameter.empty
            for parameter in hints.parameters.values()
        )


def imported(path: Path, *, top: bool) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", CLI, ids=lambda path: path.stem)
def test_commands_parse_and_call(path):
    assert not {name.partition(".")[0] for name in imported(path, top=False)} & WORK
    early = {name for name in imported(path, top=True) if name.startswith(LATE)}
    assert not early, f"{path.name} imports {sorted(early)} at its top"


def test_every_command_says_what_it_does():
    def walk(group, trail):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, [*trail, name])
            else:
                yield " ".join([*trail, name]), command

    commands = dict(walk(typer.main.get_command(app), []))
    assert set(commands) >= set(
        "run,status,report,evaluate,show,train,predict,card dataset,card model,"
        "corpus convert,corpus stats,corpus check,corpus split".split(",")
    )
    for name, command in commands.items():
        assert command.help, name
        undocumented = [p.name for p in command.params if not getattr(p, "help", None)]
        assert undocumented in ([], ["help"]), name
