"""Training of students that vote, from labelled documents to one folder; it can be resumed.

Finished students stand in ``OUT.work`` beside the output until all are there. The folder's marker
says of which documents and settings they are; others are refused there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from notesmith import __version__
from notesmith.config.student import NerConfig
from notesmith.corpus.formats import jsonl
from notesmith.document import Document
from notesmith.errors import FileError
from notesmith.experiment.folder import LOCK
from notesmith.experiment.graph import seed_for
from notesmith.experiment.lock import run_lock
from notesmith.files.checksums import canonical, dumps_checked, loads_checked
from notesmith.files.leftovers import is_temporary
from notesmith.files.write import atomic_write_text, read_regular, refuse_odd
from notesmith.models.fingerprint import fingerprint_model
from notesmith.ner.decode import WordScores
from notesmith.ner.train_votes import VotersTrained, train_votes
from notesmith.progress import OnProgress, silent

_MARKER = "notesmith-students.json"


def train_voters(
    gold: Sequence[Document],
    made: Sequence[Document] = (),
    *,
    config: NerConfig,
    labels: Sequence[str] | None = None,
    soft: Mapping[str, WordScores] = {},
    students: int,
    seed: int,
    out: Path,
    on_progress: OnProgress = silent,
) -> VotersTrained:
    """Train students that differ in their seed alone, and save them in ``out`` as one that votes.

    The first has the seed of ``train_ner(…, seed=seed)``; those of the others follow from it. A
    call that was interrupted goes on with the students that it finished, and so does one for more
    of them.

    Raises:
        StageError, ModelError, ConfigError: as ``train_ner``.
        StageError: another process trains for this output.
        FileError: a folder cannot be written, or the work folder holds something else.
    """
    seeds = [seed, *(seed_for(seed, f"student {n}") for n in range(2, students + 1))]
    work = work_of(out)
    refuse_odd(work, folder=True)
    with run_lock(work):
        _begin(work, _key(gold, made, config, labels, soft, seed))
        found = None
        try:
            found = train_votes(
                gold,
                made,
                config=config,
                labels=labels,
                soft=soft,
                seeds=seeds,
                work=work,
                out=out,
                on_progress=on_progress,
            )
        finally:
            if found or not n_finished(work):
                shutil.rmtree(work)
    return found


def work_of(out: Path) -> Path:
    """The folder in which finished students stand until all are there."""
    return out.with_name(f"{out.name}.work")


def n_finished(work: Path) -> int:
    """How many students are finished in a work folder."""
    return len(list(work.glob("student-*")))


def _begin(work: Path, key: str) -> None:
    """Mark ``work`` as that of ``key``.

    Raises:
        FileError: it holds students of other documents or settings, or is not of notesmith.
    """
    marker = work / _MARKER
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


def _key(
    gold: Sequence[Document],
    made: Sequence[Document],
    config: NerConfig,
    labels: Sequence[str] | None,
    soft: Mapping[str, WordScores],
    seed: int,
) -> str:
    """A hash of what makes the students but for how many they are."""
    digest = hashlib.sha256()
    for docs in (gold, made):
        for doc in docs:
            digest.update(f"{jsonl.dumps(doc)}\n".encode())
        digest.update(b"\n")
    for name, scores in sorted(soft.items()):
        digest.update(f"{name}\n".encode())
        digest.update(scores.probabilities.tobytes())
    settings = config.model_dump(mode="json")
    model = fingerprint_model(config.encoder)
    return canonical([__version__, digest.hexdigest(), settings, model, list(labels or ()), seed])
