"""The part of ``notesmith train`` that trains students that vote, and goes on after a kill."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import typer

from notesmith import __version__
from notesmith.cli.screen import say
from notesmith.cli.train import Lesson, Taken, moving_line
from notesmith.corpus.formats import jsonl
from notesmith.errors import FileError
from notesmith.experiment.folder import LOCK
from notesmith.experiment.graph import seed_for
from notesmith.experiment.lock import run_lock
from notesmith.files.checksums import canonical, dumps_checked, loads_checked
from notesmith.files.leftovers import is_temporary
from notesmith.files.write import atomic_write_text, read_regular, refuse_odd
from notesmith.models.fingerprint import fingerprint_model
from notesmith.ner.train_votes import train_votes

_BEGUN = "notesmith-students.json"


def train_voters(lesson: Lesson, students: int, out: Path) -> Taken:
    """Train students that vote; what is finished stands in ``OUT.work`` until all are."""
    # The first is the student that there is without the others.
    others = [seed_for(lesson.seed, f"student {n}") for n in range(2, students + 1)]
    work = out.with_name(f"{out.name}.work")
    refuse_odd(work, folder=True)
    with run_lock(work):
        _begin(work, _key(lesson))
        found = None
        try:
            with moving_line() as on_progress:
                found = train_votes(
                    lesson.gold,
                    lesson.made,
                    config=lesson.config,
                    labels=lesson.labels or None,
                    seeds=[lesson.seed, *others],
                    work=work,
                    out=out,
                    on_progress=on_progress,
                )
        except KeyboardInterrupt:
            say(f"notesmith: interrupted; {_kept(work)}", err=True)
            raise typer.Exit(130) from None
        finally:
            if found or not _n_finished(work):
                shutil.rmtree(work)
    least, most = (f"{pick(found.losses, default=0):.3g}" for pick in (min, max))
    losses = f", loss {least}{f' to {most}' if most != least else ''}" if found.losses else ""
    before = f", {found.n_resumed} of them trained before" if found.n_resumed else ""
    words = f"{students} students that vote{before}, {lesson.config.steps} steps each{losses}"
    return Taken(words, found.seconds, found.counts)


def _n_finished(work: Path) -> int:
    return len(list(work.glob("student-*")))


def _kept(work: Path) -> str:
    n = _n_finished(work)
    if not n:
        return "no student was finished"
    students = "1 student is" if n == 1 else f"{n} students are"
    return f"{students} finished, in {work}, and the same command goes on"


def _begin(work: Path, key: str) -> None:
    """Mark ``work`` as that of ``key``.

    Raises:
        FileError: it holds students of other documents or settings, or is not of notesmith.
    """
    marker = work / _BEGUN
    if refuse_odd(marker, folder=False):
        found = loads_checked(read_regular(marker))
        if found is None or found.get("key") != key:
            raise FileError(
                f"{work}: holds students of other documents or settings, unfinished; delete it to "
                "begin anew, or name another folder with --out"
            )
    elif strangers := [n for n in os.listdir(work) if n != LOCK and not is_temporary(n)]:
        raise FileError(
            f"{work}: holds {strangers[0]!r}, which is not of notesmith; name another folder with "
            "--out"
        )
    else:
        atomic_write_text(marker, dumps_checked({"key": key}))


def _key(lesson: Lesson) -> str:
    """A hash of what makes the students but for how many they are."""
    digest = hashlib.sha256()
    for docs in (lesson.gold, lesson.made):
        for doc in docs:
            digest.update(f"{jsonl.dumps(doc)}\n".encode())
        digest.update(b"\n")
    config = lesson.config.model_dump(mode="json")
    model = fingerprint_model(lesson.config.encoder)
    return canonical([__version__, digest.hexdigest(), config, model, lesson.labels, lesson.seed])
