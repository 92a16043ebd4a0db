"""Every writer meets a full disk at each of its calls, and a limit on the size of files."""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from notesmith.cli import app as table
from notesmith.config import ReadingConfig
from notesmith.corpus import FORMATS, write_corpus
from notesmith.errors import NotesmithError
from notesmith.experiment import load_recipe, write_results
from notesmith.experiment import run as running
from notesmith.experiment.bundle import make_bundle
from notesmith.experiment.contents import METRICS
from notesmith.experiment.folder import claim_folder
from notesmith.experiment.graph import Cell
from notesmith.experiment.lock import run_lock
from notesmith.experiment.recipes import save_recipe
from notesmith.experiment.stages import gold
from notesmith.experiment.store import CellStore
from notesmith.files.leftovers import is_temporary
from notesmith.files.write import (
    atomic_folder,
    atomic_write_text,
    make_folder,
    write_part,
)
from notesmith.workflows import synthesize as making
from tests.experiment.doubles import DOUBLES, note
from tests.ner.tiny import tiny_encoder

from .breaking import Nth, full_disk, tree
from .quick import lasting, recipe, run

DOCS = [note("train", i) for i in range(5)]


def finish(folder: Path, text: str) -> None:
    """Finish a cell."""
    cell = Cell(gold.STAGE, gold.Settings(reading=ReadingConfig(), documents=1), seed=1)
    with CellStore(folder / "cells").write(cell) as out:
        write_part(out / "data.txt", text)
        write_part(out / METRICS, "{}")


def throw_away(folder: Path, text: str) -> None:
    CellStore(folder / "cells").discard(
        Cell(gold.STAGE, gold.Settings(reading=ReadingConfig(), documents=1), seed=1)
    )


def folder_of(folder: Path, text: str, *, replace: bool) -> None:
    with atomic_folder(folder / "out", replace=replace) as out:
        write_part(out / "a.txt", text)
        write_part(out / "below" / "b.txt", text)


def fetch(requirements, folder: Path) -> None:
    for requirement in requirements[:2]:
        name = requirement.rpartition("/")[2]
        (folder / f"{name}.whl").write_bytes(metadata.version("numpy").encode() * 500)


def lock(folder: Path, text: str) -> None:
    with run_lock(folder):
        pass


WRITERS = {
    "a file": lambda folder, text: atomic_write_text(folder / "new" / "a.txt", text),
    "a folder": partial(folder_of, replace=False),
    "a cell": finish,
    "the marker of a run folder": lambda folder, text: claim_folder(folder / "run"),
    "run.lock": lock,
    "recipe.toml": lambda folder, text: save_recipe(load_recipe("quickstart"), folder),
    "an archive": lambda folder, text: make_bundle(folder / "b.tar", extras=(), fetch=fetch),
    **{
        f"a corpus in {name}": lambda folder, text, name=name: write_corpus(
            DOCS, folder / "out", format=name
        )
        for name in FORMATS
    },
}
# (first written as "old", then as "new")
REWRITERS = {
    "a file in another's place": lambda folder, text: atomic_write_text(folder / "a.txt", text),
    "a folder in another's place": partial(folder_of, replace=True),
    "a discarded cell": throw_away,
}


def state(folder: Path) -> dict[str, bytes]:
    """What a reader sees: no hidden temporary names, no lock, nothing empty."""
    return {
        name: data
        for name, data in tree(folder).items()
        if not any(is_temporary(part) for part in Path(name).parts) and data
    }


@pytest.mark.parametrize("what", [*WRITERS, *REWRITERS])
def test_the_nth_call_fails(tmp_path, tried, amount, what):
    writer = (WRITERS | REWRITERS)[what]

    def prepare(name: str) -> Path:
        folder = make_folder(tmp_path / name)
        if what in REWRITERS:
            (finish if what == "a discarded cell" else writer)(folder, "old" * 50)
        return folder

    whole = prepare("whole")
    old = state(whole)
    with Nth(0, full_disk).watching() as calls:
        writer(whole, "new" * 50)
    new = state(whole)
    step = max(1, calls.seen // amount(8, 60))
    for n in range(1, calls.seen + 1, step):
        folder = prepare(str(n))
        try:
            with Nth(n, full_disk).watching():
                writer(folder, "new" * 50)
            survived = True
        except NotesmithError as error:
            survived = "disk full" in str(error) and "\n" not in str(error)
        except OSError:  # the command line makes a line of it
            survived = False
        found = state(folder)
        # A run's marker holds an id of its own, an archive times.
        same = found in (old, new) or (
            what in ("the marker of a run folder", "an archive", "a corpus in docbin")
            and found.keys() in (old.keys(), new.keys())
        )
        left = [p for p in folder.rglob("*") if is_temporary(p.name)]
        tried.count(f"disk full at the nth call: {what}", survived and same and not left)
        shutil.rmtree(folder)
    tried.check()


def test_a_run_meets_a_full_disk_at_the_nth_call(tmp_path, tried, amount):
    config = recipe(tmp_path / "notes", draws={"replicates": 1, "curve": []})
    whole = run(config, tmp_path / "whole")
    with Nth(0, full_disk).watching() as calls:
        run(config, tmp_path / "counted")
    out = tmp_path / "run"
    for n in range(1, calls.seen, max(1, calls.seen // amount(3, 40))):
        shutil.rmtree(out, ignore_errors=True)
        try:
            with Nth(n, full_disk).watching():
                run(config, out)
            survived = True
        except NotesmithError as error:
            survived = "disk full" in str(error)
        except OSError:
            survived = False
        again = run(config, out)
        survived = survived and lasting(again.results) == lasting(whole.results)
        left = [p for p in out.rglob("*") if is_temporary(p.name) or p.name.endswith(".partial")]
        tried.count("disk full at the nth call: a run", survived and not left)
    tried.check()


@contextmanager
def size_limit(n_bytes: int) -> Iterator[None]:
    """No file may grow beyond ``n_bytes`` (Python ignores the signal that comes with it)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# How each command of the table writes; "{run}" is a finished run.
WRITING: dict[str, list[str]] = {
    "init": ["init", "notes/train.jsonl", "--out", "new.toml"],
    "run": ["run", "{run}/recipe.toml", "--out", "run2"],
    "report": ["report", "{run}"],
    "methods": ["methods", "{run}", "--out", "draft.md"],
    "corpus convert": ["corpus", "convert", "notes/train.jsonl", "new.jsonl"],
    "corpus split": ["corpus", "split", "notes/train.jsonl", "parts"],
    "corpus check": ["corpus", "check", "doubt.jsonl", "--doubtful", "doubtful"],
    "corpus corrected": [
        *("corpus", "corrected", "notes/train.jsonl", "notes/train.jsonl", "--out", "new.jsonl"),
    ],
    "corpus agreement": [
        *("corpus", "agreement", "a=notes/train.jsonl", "b=doubt.jsonl", "--page", "new.html"),
    ],
    "corpus adjudicate": [
        *("corpus", "adjudicate", "a=notes/train.jsonl", "b=notes/train.jsonl"),
        *("--out", "new.jsonl"),
    ],
    "train": [
        *("train", "notes/train.jsonl", "--out", "new-model", "--set", "ner.encoder=encoder"),
        *("--set", "ner.steps=1", "--set", "ner.batch_size=1"),
    ],
    "synthesize": [
        *("synthesize", "notes/train.jsonl", "--out", "made.jsonl"),
        *("--set", "filter.copy_ratio=1.0", "--set", "filter.near_duplicate=1.0"),
    ],
    "annotate": ["annotate", "notes/test.jsonl", "--model", "model", "--out", "silver.jsonl"],
    "adapt": [
        *("adapt", "notes/train.jsonl", "--out", "adapted", "--encoder", "encoder"),
        *("--tokens", "200", "--set", "adapt.block_tokens=16"),
    ],
    "predict": ["predict", "model", "notes/test.jsonl", "--out", "new.jsonl"],
    "export": ["export", "model", "--out", "onnx"],
    "show": ["show", "notes/test.jsonl", "--html", "page.html"],
    "card dataset": ["card", "dataset", "{run}"],
    "card model": ["card", "model", "{run}", "--arm", "gold"],
    "bundle": ["bundle", "bundle.tar", "--extras", ""],
}
# What prints only; the second word is what a full disk behind a pipe is tried with.
PRINTING: dict[str, list[str]] = {
    "plan": ["plan", "{run}/recipe.toml", "--no-probe", "--json"],
    "status": ["status", "{run}"],
    "corpus stats": ["corpus", "stats", "notes/train.jsonl", "--json"],
    "evaluate": ["evaluate", "notes/test.jsonl", "notes/test.jsonl", "--json"],
    "thresholds": ["thresholds", "model", "notes/test.jsonl", "--json"],
    "reward": ["reward", "notes/test.jsonl", "--json"],
}


def commands(group: TyperGroup, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def test_no_command_is_forgotten():
    group = typer.main.get_command(table.app)
    assert isinstance(group, TyperGroup)
    assert set(commands(group)) == {*WRITING, *PRINTING}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Corpora, an encoder, a student and a finished run."""
    place = tmp_path_factory.mktemp("writing")
    config = recipe(place / "notes")
    run(config, place / "run")
    doubtful = [doc.with_entities(doc.entities[:1]) if i % 2 else doc for i, doc in enumerate(DOCS)]
    write_corpus(doubtful, place / "doubt.jsonl")
    tiny_encoder(place / "encoder")
    return place


@pytest.fixture(scope="module")
def student(bench):
    from notesmith.config import NerConfig
    from notesmith.ner import train_ner

    config = NerConfig(encoder=str(bench / "encoder"), steps=1, batch_size=1)
    train_ner(DOCS, config=config, seed=1).model.save(bench / "model")


@pytest.fixture
def call(bench, monkeypatch, capsys):
    """Run a command as the console script does; gives exit code and stderr."""
    monkeypatch.chdir(bench)
    monkeypatch.setenv("NOTESMITH_HOME", str(bench / "home"))
    monkeypatch.setattr("notesmith.experiment.bundle.fetch_wheels", fetch)
    # Libraries log to what pytest captures in a file, which the limit is for as well.
    monkeypatch.setattr("logging.raiseExceptions", False)
    real = running.run_recipe
    monkeypatch.setattr(running, "run_recipe", lambda *a, **k: real(*a, instead=DOUBLES, **k))
    make = making.synthesize
    monkeypatch.setattr(making, "synthesize", lambda *a, **k: make(*a, instead=DOUBLES, **k))

    def run_command(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        words = [word.replace("{run}", "run") for word in arguments]
        monkeypatch.setattr(sys, "argv", ["notesmith", *words])
        with pytest.raises(SystemExit) as done:
            table.run()
        return int(done.value.code or 0), capsys.readouterr().err

    return run_command


LIMITS = (0, 1, 100, 1000, 5000, 20_000, 60_000)
SLOW = ("train", "adapt", "annotate", "predict", "export")


@pytest.mark.parametrize("name", [*WRITING, *(f"corpus convert --to {x}" for x in FORMATS)])
def test_a_limit_on_the_size_of_files(bench, call, request, tried, amount, name):
    # In short, formats meet a full disk at the nth call alone.
    if amount(int(name in WRITING and name != "export"), 1) == 0:
        pytest.skip("at full size")
    if name in SLOW:
        request.getfixturevalue("student")
    arguments = WRITING.get(name) or [
        *("corpus", "convert", "notes/train.jsonl", "new", "--to", name.rpartition(" ")[2])
    ]
    before = state(bench)
    n = amount(2, len(LIMITS))
    for limit in LIMITS[:: -(-len(LIMITS) // n)]:
        with size_limit(limit):
            code, said = call(*arguments)
        lines = [line for line in said.splitlines() if line.startswith("notesmith: ")]
        # What is said first: that the plan has run in another folder, or what is asked for.
        lines = [
            line for line in lines if not re.search("this very plan|of fine-tuning|notes? of", line)
        ]
        refused = code == 1 and len(lines) == 1 and "larger than" in lines[0]
        found = state(bench)
        new = {path for path in found if found[path] != before.get(path)}
        # A run keeps what it finished and opened, a prediction the notes that it labelled.
        stays = ("run2/", "made.work/", "silver.work/", "home/openings/", ".new.jsonl.")
        kept = {p for p in new if p.startswith(stays)}
        stands = code == 0 or name == "report" or not (new - kept)
        if name == "corpus check" and code == 1:  # also the code of what it found
            stands = refused or (bench / "doubtful").exists()
            refused = stands
        no_trace = "Traceback" not in said
        tried.count(f"file-size limit: {name}", no_trace and (code == 0 or refused) and stands)
        for path in bench.iterdir():
            if path.name not in ("notes", "run", "encoder", "model", "doubt.jsonl"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(bench / "run" / "cards", ignore_errors=True)
        if name == "report":
            write_results(bench / "run")
    assert not [p for p in bench.rglob("*") if is_temporary(p.name)]
    tried.check()


@pytest.mark.parametrize("name", PRINTING)
def test_a_full_disk_behind_what_is_printed(call, request, monkeypatch, tried, name):
    if name == "thresholds":
        request.getfixturevalue("student")
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code, said = call(*PRINTING[name])
        monkeypatch.undo()
        # What stands in its buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    lines = [line for line in said.splitlines() if line.startswith("notesmith: ")]
    tried.count(
        "full disk behind what a command prints",
        code == 1
        and lines == ["notesmith: disk full; free some space and run the same command again"],
    )
    tried.check()
