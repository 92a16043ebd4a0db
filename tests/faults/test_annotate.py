"""``annotate`` is killed and meets a full disk at every call of the system, and bad notes."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
from pathlib import Path

import pytest

from notesmith.corpus import labelling, write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import NotesmithError
from notesmith.files.leftovers import is_temporary
from notesmith.workflows.annotate import annotate

from .breaking import Nth, full_disk, kill
from .test_readers import MUTATIONS

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.test_annotate"])
NAMES = ("silver.jsonl", "silver.scores.npz", "silver.html", "silver.md")
SECRET = "Zweitaktgemisch"


def label(folder: Path, **options):
    """Label by a dictionary, three notes a chunk; no model is loaded."""
    return annotate(
        folder / "notes.jsonl",
        folder / "out" / "silver.jsonl",
        **{"gold": folder / "gold.jsonl", "by": ["dictionary"], **options},
    )


def label_killed(folder: Path, n: int) -> None:
    os.environ["NOTESMITH_HOME"] = str(folder / "home")
    labelling.CHUNK_DOCS = 3
    with Nth(n, kill).watching():
        label(folder)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(labelling, "CHUNK_DOCS", 3)
    gold = Document("g", "Severe fever.", (Entity("T1", "Problem", ((7, 12),)),))
    write_corpus([gold], tmp_path / "gold.jsonl")
    notes = [Document(f"n{i}", f"Note {i}: {SECRET} and fever.") for i in range(10)]
    write_corpus(notes, tmp_path / "notes.jsonl")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "out" / name).read_bytes() for name in NAMES}


def is_clean(folder: Path) -> bool:
    """Nothing hidden or half is left, and the work folder holds no part."""
    out = folder / "out"
    left = [p for p in out.rglob("*") if is_temporary(p.name) or p.name.endswith(".part")]
    return not left and not (out / "silver.work" / "scores").exists()


def count_calls(folder: Path) -> tuple[int, dict[str, bytes]]:
    with Nth(0, full_disk).watching() as calls:
        label(folder)
    whole = contents(folder)
    shutil.rmtree(folder / "out")
    return calls.seen, whole


def test_it_goes_on_after_a_kill_at_any_call(folder, tried, amount):
    n_calls, whole = count_calls(folder)
    for n in range(1, n_calls + 1, max(1, n_calls // amount(4, 60))):
        process = CONTEXT.Process(target=label_killed, args=(folder, n))
        process.start()
        process.join()
        label(folder)
        survived = contents(folder) == whole and is_clean(folder)
        tried.count("killed in annotate, then done again", survived)
        shutil.rmtree(folder / "out")
    tried.check()


def test_it_goes_on_after_a_full_disk_at_any_call(folder, tried, amount):
    n_calls, whole = count_calls(folder)
    for n in range(1, n_calls + 1, max(1, n_calls // amount(6, 60))):
        survived = True
        try:
            with Nth(n, full_disk).watching():
                label(folder)
        except NotesmithError as error:
            survived = "disk full" in str(error) and "\n" not in str(error)
        except OSError:
            survived = False
        label(folder)
        survived = survived and contents(folder) == whole and is_clean(folder)
        tried.count("disk full at the nth call: annotate", survived)
        shutil.rmtree(folder / "out")
    tried.check()


def test_damaged_notes_are_labelled_or_a_line_without_their_text(folder, tried, amount):
    path = folder / "notes.jsonl"
    before = path.read_bytes()
    for i in range(amount(8, 20 * len(MUTATIONS))):
        rng, kind = random.Random(i), [*MUTATIONS][i % len(MUTATIONS)]
        path.write_bytes(MUTATIONS[kind](rng, before))
        try:
            result = label(folder)
            survived = result.summary.notes == len(list(result.documents())) > 0
        except NotesmithError as error:
            survived = SECRET not in str(error) and "\n" not in str(error)
            survived = survived and not any((folder / "out" / name).exists() for name in NAMES)
        tried.count(f"{kind}, in notes to annotate", survived)
        shutil.rmtree(folder / "out", ignore_errors=True)
    tried.check()
