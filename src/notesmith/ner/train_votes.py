"""Training of students that vote: one after another, each kept as soon as it is finished."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter

from notesmith.config.student import NerConfig
from notesmith.document import Document
from notesmith.errors import ModelError
from notesmith.files.leftovers import delete
from notesmith.models.manifest import check_manifest
from notesmith.ner.decode import WordScores
from notesmith.ner.student import copy_student
from notesmith.ner.train import train_ner
from notesmith.ner.votes import write_votes
from notesmith.progress import OnProgress, Progress, silent

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VotersTrained:
    """What the training of voters took; ``n_resumed`` were finished before and are not in the rest.

    ``losses`` are the last of each student, ``counts`` what was flattened in the documents.
    """

    n_resumed: int
    losses: tuple[float, ...]
    seconds: float
    counts: Counter[str]


def train_votes(
    gold: Sequence[Document],
    made: Sequence[Document] = (),
    *,
    config: NerConfig,
    labels: Sequence[str] | None = None,
    soft: Mapping[str, WordScores] = {},
    seeds: Sequence[int],
    work: Path,
    out: Path,
    on_progress: OnProgress = silent,
) -> VotersTrained:
    """Train a student for each of ``seeds`` and save them as one that votes.

    Args:
        gold: as in ``train_ner``, and so are ``made``, ``config`` and ``labels``.
        made: made documents that join gold.
        config: of every student.
        labels: to learn; those of gold if not given.
        soft: distributions by document id, as in ``train_ner``.
        seeds: one a student; they differ in nothing else.
        work: folder in which each finished student is kept, and from which a later call with the
            same arguments goes on.
        out: folder to make, to be loaded with ``load_student``.
        on_progress: told of the steps of all students together.

    Raises:
        StageError, ModelError, ConfigError: as ``train_ner``.
        FileError: a folder cannot be written.
    """
    folders = [work / f"student-{n + 1}" for n in range(len(seeds))]
    missing = [n for n, folder in enumerate(folders) if not _is_finished(folder)]
    began, tokens = perf_counter(), 0
    losses: list[float] = []
    counts: Counter[str] = Counter()
    for n_done, n in enumerate(missing):
        of_all = partial(
            _tell,
            on_progress,
            Progress(f"student {n + 1} of {len(seeds)}:", n_done, len(missing), "", tokens),
            began,
        )
        result = train_ner(
            gold,
            made,
            config=config,
            labels=labels,
            soft=soft,
            seed=seeds[n],
            on_progress=of_all,
        )
        result.model.save(folders[n])
        losses.append(result.history[-1]["loss"])
        counts, tokens = result.counts, tokens + result.tokens
    write_votes(out, [partial(copy_student, folder) for folder in folders])
    seconds = perf_counter() - began
    return VotersTrained(len(seeds) - len(missing), tuple(losses), seconds, counts)


def _tell(on_progress: OnProgress, before: Progress, began: float, progress: Progress) -> None:
    """Report the steps of one student as a part of those of all; ``before`` counts students."""
    on_progress(
        replace(
            progress,
            stage=before.stage,
            done=before.done * progress.total + progress.done,
            total=before.total * progress.total,
            tokens=before.tokens + progress.tokens,
            seconds=perf_counter() - began,
        )
    )


def _is_finished(folder: Path) -> bool:
    """Whether a whole student stands in ``folder``; a damaged one is deleted."""
    if not folder.exists():
        return False
    try:
        check_manifest(folder)
    except ModelError as error:
        _log.warning("%s; it is trained again", error)
        delete(folder)
        return False
    return True
