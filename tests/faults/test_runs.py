"""A finished run is damaged in every file, and folders are not what they seem."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from notesmith.errors import NotesmithError
from notesmith.experiment import status_of, write_results
from notesmith.experiment.folder import KEEP, MARKER, SEAL, claim_folder
from notesmith.experiment.lock import LOCK, run_lock
from notesmith.files.processes import Owner
from notesmith.report.card import CardFacts, model_card
from notesmith.results import Results

from .breaking import damage, tree
from .quick import kept, lasting, recipe, run

KINDS = ("bit flipped", "cut", "gone", "equal size and time")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def finished(place):
    config = recipe(place / "notes")
    run(config, place / "run")
    return config, place / "run"


def one_line(error: Exception) -> bool:
    return isinstance(error, NotesmithError) and "\n" not in str(error)


def test_every_damage_of_a_finished_run_is_found_or_mended(finished, tried, amount, caplog):
    """First a report is made of the damaged run, then it is run again.

    Without the seal, the register of openings tells what was opened; it is tested elsewhere.
    """
    config, out = finished
    before = lasting(Results.read(out)), kept(out)
    rng = random.Random(20)
    files = sorted(p for p in out.rglob("*") if p.is_file() and p.name != KEEP)
    for i in range(amount(8, 320)):
        kind = KINDS[i % len(KINDS)]
        path = rng.choice(files)
        if kind == "gone" and path.name == SEAL:
            continue
        original = path.read_bytes()
        damage(path, kind, rng)
        what = "a cell" if "cells" in path.parts else "the run folder"
        if path.exists() and path.read_bytes() == original:
            continue
        caplog.clear()
        try:
            reported = lasting(write_results(out).results)
            card = Results.read(out)
            noticed = reported == before[0] or any(
                record.levelno >= logging.WARNING for record in caplog.records
            )
            noticed = noticed and (card.comparator == "gold")
        except Exception as error:
            noticed = one_line(error)
        tried.count(f"{kind}, in {what}: reported", noticed)
        try:
            found = run(config, out)
            mended = (lasting(found.results), kept(out)) == before
        except Exception as error:
            mended = one_line(error)
            path.write_bytes(original)
            run(config, out)
        tried.count(f"{kind}, in {what}: run again", mended)
    tried.check()


def test_damaged_results_are_not_described(finished, tried, amount):
    _, out = finished
    path, rng = out / "results.json", random.Random(3)
    original = path.read_bytes()
    before = model_card(Results.read(out), CardFacts("", "other", "en", "", ""))
    for i in range(amount(8, 120)):
        damage(path, KINDS[i % len(KINDS)], rng)
        try:
            survived = model_card(Results.read(out), CardFacts("", "other", "en", "", "")) == before
        except Exception as error:
            survived = one_line(error)
        tried.count("damaged results.json: card", survived)
        path.write_bytes(original)
    tried.check()


def owner(**changes) -> str:
    me = Owner.me()
    values = {"pid": me.pid, "started": me.started, "place": me.place}
    return json.dumps({**values, **changes})


ODD_LOCKS = [
    *("", "{", "[1]", "null", "7", '"x"', "\x00" * 100, "{" * 4000, "[" * 4096, '{"pid": NaN}'),
    *(
        owner(pid=pid)
        for pid in (-1, 0, 2**31, 2**63, 10**400, 1.5, "7", None, [1], {"a": 1}, True)
    ),
    *(owner(pid=999_999_999), owner(started="1"), owner(started=[]), owner(place={})),
    *(owner(place="ffffffff"), owner(started="\x1b[31m"), '{"pid": 1e400}'),
]


def test_odd_locks(tmp_path, tried):
    claim_folder(tmp_path)
    for content in ODD_LOCKS:
        (tmp_path / LOCK).write_bytes(content.encode())
        began = time.monotonic()
        try:
            with run_lock(tmp_path):
                survived = True
        except Exception as error:
            survived = one_line(error)
        tried.count("odd content of run.lock", survived and time.monotonic() - began < 2)
    tried.check()


def make_odd(path: Path, kind: str, elsewhere: Path) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to nothing":
        path.symlink_to(elsewhere / "nothing")
    else:
        path.symlink_to(elsewhere if kind == "link to a folder" else elsewhere / "mine.txt")


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "link to nothing", "link to a folder"])
def test_odd_files_in_the_places_of_ours(finished, tmp_path, tried, kind):
    config, _ = finished
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("mine")
    names = (LOCK, "recipe.toml", "results.json", "models.json", SEAL, "report.html", MARKER)
    for i, name in enumerate((*names, "cells", "tables", "figures", "cards", KEEP)):
        if kind == "folder" and name in ("cells", "tables", "figures", "cards"):
            continue
        out = tmp_path / f"run{i}"
        claim_folder(out)
        (out / name).unlink(missing_ok=True)
        make_odd(out / name, kind, elsewhere)
        for command in (partial(run, config), status_of, write_results):
            began = time.monotonic()
            try:
                command(out)
                refused = False
            except Exception as error:
                refused = one_line(error)
            same = tree(elsewhere) == {"mine.txt": b"mine"} and (out / name).lstat()
            quick = time.monotonic() - began < 2
            tried.count(
                f"a {kind} in the place of a file of ours", bool(refused and same and quick)
            )
    tried.check()


def test_folders_that_are_not_ours(finished, tmp_path, tried):
    config, _ = finished
    for i, name in enumerate(
        ("notes.txt", "cells/draw/x.txt", LOCK, "results.json", "recipe.toml", ".hidden", MARKER)
    ):
        out = tmp_path / str(i)
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("mine")
        before = tree(out)
        for command in (partial(run, config), write_results):
            try:
                command(out)
                refused = False
            except Exception as error:
                refused = one_line(error)
            tried.count("a folder that is not ours", refused and tree(out) == before)
    tried.check()


def test_files_of_the_user_in_a_run_folder_stay(finished, tmp_path, tried, caplog):
    config, _ = finished
    out = tmp_path / "run"
    run(config, out, only=["arm=gold"])
    stage = next((out / "cells" / "draw").iterdir())
    mine = [
        *(out / "mine.txt", out / "cells" / "mine.txt", out / "cells" / "mine" / "a.txt"),
        *(out / "cells" / "draw" / ".mine.tmp", out / "cells" / "draw" / "0" / "x.txt"),
        *(out / "tables" / "mine.csv", out / ".mine.0123456789ab.tmp"),
        *(out / "cells" / "draw" / f"{'a' * 24}.partial.txt", out / ".report.html.tmp"),
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    run(config, out)
    write_results(out)
    for path in mine:
        tried.count("a file of the user in a run folder", path.read_text() == "mine")
    assert "is not of notesmith; it is left alone" in caplog.text
    (stage / "mine.txt").write_text("mine")
    with pytest.raises(NotesmithError, match=r"mine\.txt: is not of the cell"):
        run(config, out)
    tried.count("a file of the user in a run folder", (stage / "mine.txt").read_text() == "mine")
    tried.check()


def test_locks_of_dead_processes_and_of_recycled_numbers(tmp_path, tried, amount):
    claim_folder(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    rng = random.Random(1)
    for i in range(amount(10, 100)):
        pid = rng.choice((child.pid, 1, os.getppid(), 2**22 + i))
        (tmp_path / LOCK).write_text(owner(pid=pid, started=str(rng.randrange(10))))
        began = time.monotonic()
        try:
            with run_lock(tmp_path):
                mine = json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
        except NotesmithError:
            mine = False
        tried.count(
            "lock of a dead process, or a recycled number", mine and time.monotonic() - began < 5
        )
    tried.check()
