"""Processes are killed at every boundary and in the middle of things; two work on one folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import FORMATS, read_corpus, write_corpus
from notesmith.errors import NotesmithError, StageError
from notesmith.experiment import run_recipe, status_of, write_results
from notesmith.files.leftovers import hidden_beside, is_temporary, sweep
from notesmith.results import Results
from tests.experiment.doubles import DOUBLES, note
from tests.experiment.test_kill import kill_until, run_true
from tests.processes import CONTEXT

from .breaking import Nth, kill, tree
from .quick import kept, lasting, recipe, run

DOCS = [note("train", i) for i in range(12)]


def child(target, *arguments) -> int:
    """Run in a process of its own; its exit code."""
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode or 0


def run_with_end(config, out: Path, at: str, n: int, number: int) -> None:
    """Run until the nth start or end of a cell, or the nth call of the system; then a signal."""
    from notesmith.cli.process import prepare

    prepare()
    end = partial(os.kill, os.getpid(), number)
    seen = 0

    def on_cell(event) -> None:
        nonlocal seen
        seen += event.kind == at
        if seen == n:
            end()

    watching = Nth(n, end).watching() if at == "call" else contextlib.nullcontext()
    with watching, contextlib.suppress(KeyboardInterrupt):
        run(config, out, on_cell=on_cell)


def leftovers(out: Path) -> list[Path]:
    return [p for p in out.rglob("*") if is_temporary(p.name) or p.name.endswith(".partial")]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    place = tmp_path_factory.mktemp("kills")
    config = recipe(place / "notes")
    results = run(config, place / "whole").results
    return config, lasting(results), kept(place / "whole")


SIGNALS = {
    "killed as a cell begins": ("start", signal.SIGKILL),
    "killed as a cell is finished": ("done", signal.SIGKILL),
    "killed in the middle of a write": ("call", signal.SIGKILL),
    "ended politely (SIGTERM)": ("call", signal.SIGTERM),
    "interrupted (Ctrl-C)": ("call", signal.SIGINT),
}


@pytest.mark.parametrize("kind", SIGNALS)
def test_a_run_goes_on_after_its_end(reference, tmp_path, tried, amount, kind):
    """Ended again and again on its way, a run has lost nothing and holds nothing twice."""
    config, results, cells = reference
    at, number = SIGNALS[kind]
    rng, n_ended, turn = random.Random(kind), 0, 0
    while n_ended < amount(1, 50):
        out = tmp_path / str(turn)
        turn += 1
        while n_ended < amount(1, 50):
            # Past the last one the run ends by itself.
            n = rng.randrange(1, 12 if at != "call" else 160)
            if child(run_with_end, config, out, at, n, number) == 0 and number != signal.SIGINT:
                break
            n_ended += 1
            if not (out / "recipe.toml").exists():
                tried.count(kind, True)
                continue
            status = status_of(out)
            folders = [p for p in (out / "cells").glob("*/*") if len(p.name) == 24]
            tried.count(kind, status.n_done <= len(folders))
            if number == signal.SIGINT and not status.n_left:
                break
        found = run(config, out)
        whole = lasting(found.results) == results and kept(out) == cells
        tried.count("a run that was ended goes on to equal results", whole and not leftovers(out))
    tried.check()


def test_true_stages_go_on_after_kills(tmp_path, tried, amount):
    """Tiny models, trained and sampled from in earnest."""
    n_kills = amount(0, 6)
    if not n_kills:
        pytest.skip("tests/experiment/test_kill.py does it in short")
    from tests.experiment.test_kill import artefacts, results
    from tests.lm.tiny import save_tiny
    from tests.ner.tiny import tiny_encoder

    save_tiny("gemma3", tmp_path / "lm")
    tiny_encoder(tmp_path / "encoder")
    config = recipe(
        tmp_path / "notes",
        lm={"model": str(tmp_path / "lm"), "trim": False},
        ner={"encoder": str(tmp_path / "encoder"), "steps": 2, "batch_size": 4},
        draws={"sizes": [6], "replicates": 1, "curve": []},
        arm=[{"name": "gold"}, {"name": "synthetic", "made": ["synthetic"]}],
    )
    assert child(run_true, config, tmp_path / "whole") == 0
    kill_until(n_kills, run_true, config, tmp_path / "killed", span=5, seed=4)
    same = artefacts(tmp_path / "killed") == artefacts(tmp_path / "whole")
    same = same and results(tmp_path / "killed") == results(tmp_path / "whole")
    for _ in range(n_kills):
        tried.count("killed in a stage with true models", same)
    tried.check()


def write_killed(name: str, folder: Path, n: int) -> None:
    with Nth(n, kill).watching():
        writers()[name](folder)


def init_again(folder: Path) -> None:
    from notesmith.init.write import init_recipe

    init_recipe(folder / "export.jsonl", folder / "recipe.toml", force=True, hours=0.5)


def pack(folder: Path) -> None:
    from notesmith.experiment.bundle import make_bundle

    make_bundle(folder / "b.tar", extras=(), fetch=lambda names, to: None)


def split(folder: Path) -> None:
    from notesmith.files.write import atomic_folder

    with atomic_folder(folder / "parts") as parts:
        for i, part in enumerate((DOCS[:6], DOCS[6:])):
            write_corpus(part, parts / f"{i}.jsonl")


def writers():
    return {
        "report": lambda folder: write_results(folder / "run"),
        "bundle": pack,
        "init --force": init_again,
        "corpus split": split,
        **{
            f"corpus convert --to {name}": lambda folder, name=name: write_corpus(
                DOCS, folder / "out", format=name
            )
            for name in FORMATS
        },
    }


@pytest.mark.parametrize("name", writers())
def test_what_a_killed_command_left_goes_with_the_next(reference, tmp_path, tried, amount, name):
    """Of what another writes at the same time nothing goes."""
    n_kills = amount(int(name in ("report", "corpus split", "corpus convert --to jsonl")), 6)
    if not n_kills:
        pytest.skip("at full size")
    config, _, _ = reference
    folder = tmp_path
    write_corpus([note("train", i) for i in range(20)], folder / "export.jsonl")
    if name == "report":
        run(config, folder / "run")
    alive = hidden_beside(folder / "out")
    alive.mkdir()
    mine = folder / ".out.mine.tmp"
    mine.write_text("mine")
    rng = random.Random(name)
    for _ in range(n_kills):
        before = tree(folder)
        if child(write_killed, name, folder, rng.randrange(1, 30)) == 0:
            clear(folder)
            continue
        found = tree(folder)
        shown = {k: v for k, v in found.items() if not any(map(is_temporary, Path(k).parts))}
        n_new = len(shown.keys() - before.keys())
        writers()[name](folder)
        left = [p for p in folder.rglob("*") if is_temporary(p.name) and p != alive]
        stands = alive.exists() and mine.read_text() == "mine"
        # A file or folder of a format appears whole; a report is many files.
        whole = name == "report" or n_new == 0 or readable(name, folder)
        tried.count(
            f"killed in {name.partition(' --to')[0]}, then done again",
            stands and whole and not left,
        )
        clear(folder)
    tried.check()


def readable(name: str, folder: Path) -> bool:
    if not name.startswith("corpus convert") or name.endswith("gliner"):
        return True
    return len(
        read_corpus(folder / "out", ReadingConfig(format=name.rpartition(" ")[2])).docs
    ) == len(DOCS)


def clear(folder: Path) -> None:
    """Take away what a finished writer left, so that the next one begins anew."""
    for path in (folder / "out", folder / "parts"):
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def test_leftovers_of_others_stay(tmp_path, tried):
    """By name and by age: of a living writer, of another machine, of nobody we know."""
    target = tmp_path / "a.txt"
    alive = hidden_beside(target)
    there = target.with_name(".a.txt.1-2-ffffffff-01234567.tmp")
    old = target.with_name(".a.txt.1-2-ffffffff-89abcdef.tmp")
    foreign = [target.with_name(x) for x in (".a.txt.swp", ".a.txt.1.tmp", "a.txt.tmp", ".~a.txt")]
    for path in (alive, there, old, *foreign):
        path.write_text("x")
    link = target.with_name(f".a.txt.{2**22 + 7}-2-{alive.name.split('-')[2]}-01234567.tmp")
    link.symlink_to(foreign[0])
    os.utime(old, (0, time.time() - 8 * 24 * 3600))
    assert sweep(tmp_path) == 1
    for path in (alive, there, *foreign, link):
        tried.count("hidden file of somebody else", os.path.lexists(path))
    tried.count("leftover of another machine, a week old", not old.exists())
    tried.check()


def hold(config, out: Path, has_lock: bool, ready, go) -> None:
    """Run slowly; tells when a cell begins and when it is over."""
    # The server that forks has the home of whichever test came first.
    os.environ["NOTESMITH_HOME"] = f"{out}-home"
    if not has_lock:
        fcntl.flock = lambda descriptor, how: None
    go.wait()

    def on_cell(event) -> None:
        if event.kind == "start":
            ready.put(("running", os.getpid(), ""))
            time.sleep(0.05)

    began = time.monotonic()
    try:
        run_recipe(config, out, instead=DOUBLES, cache=out.parent / "c", on_cell=on_cell)
    except StageError as error:
        ready.put(("refused", os.getpid(), f"{time.monotonic() - began:.3f} {error}"))
    except NotesmithError as error:
        ready.put(("failed", os.getpid(), str(error)))


@pytest.mark.parametrize("has_lock", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_two_processes_on_one_folder(reference, tmp_path, tried, amount, has_lock, together):
    config, results, cells = reference
    n = amount(int(has_lock != together), 8)
    if not n:
        pytest.skip("at full size")
    kind = f"two processes{', at once' * together}{'' if has_lock else ', flock without effect'}"
    for i in range(n):
        out, ready, go = tmp_path / str(i), CONTEXT.Queue(), CONTEXT.Event()
        pair = [
            CONTEXT.Process(target=hold, args=(config, out, has_lock, ready, go)) for _ in range(2)
        ]
        said = []
        pair[0].start()
        if not together:
            go.set()
            said.append(ready.get(timeout=60))
        pair[1].start()
        time.sleep(0.3 * together)
        go.set()
        for process in pair:
            process.join()
        while not ready.empty():
            said.append(ready.get())
        refused = [text for what, _, text in said if what == "refused"]
        ran = {pid for what, pid, _ in said if what == "running"}
        once = len(refused) == 1 and len(ran) == 1 and "another notesmith" in refused[0]
        quick = bool(refused) and float(refused[0].split()[0]) < 2
        found = Results.read(out)
        whole = lasting(found) == results and kept(out) == cells and not leftovers(out)
        tried.count(kind, once and quick and whole)
    tried.check()
