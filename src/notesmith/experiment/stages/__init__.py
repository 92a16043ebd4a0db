"""The stages: what each kind of cell does, by calling the libraries; no method of its own.

Every function reads the folders of its inputs and writes its own. Train is read by ``draw`` (and
divided by ``fold`` and ``fold-out`` in cross-fit); dev and test are read by ``score`` and
``coverage``, through the seal, and by ``filter``, which asks whether made text repeats them and
keeps nothing of them.
"""

from __future__ import annotations

from notesmith.augmentation.shuffle import shuffle_segments
from notesmith.augmentation.tokens import replace_tokens
from notesmith.experiment.engine import StageFunction
from notesmith.experiment.stages import corpus, generator, reinforce, rivals, student
from notesmith.experiment.stages.common import (
    INFO,
    PREDICTIONS,
    SCORES,
    OpenSplit,
    Surroundings,
)

__all__ = [
    "INFO",
    "PREDICTIONS",
    "SCORES",
    "OpenSplit",
    "Surroundings",
    "stage_functions",
]


def stage_functions(around: Surroundings) -> dict[str, StageFunction]:
    """The function of every stage."""
    return {
        "draw": lambda work: corpus.draw(work, around),
        "fold": corpus.fold,
        "fold-out": corpus.fold_out,
        "names": lambda work: generator.names(work, around),
        "sft": lambda work: generator.sft(work, around),
        "committee": reinforce.committee,
        "rl": lambda work: reinforce.rl(work, around),
        "sample": lambda work: generator.sample(work, around),
        "filter": lambda work: generator.filter_made(work, around),
        "unfiltered": generator.unfiltered,
        "relabelled": generator.relabelled,
        "replaced": rivals.replaced,
        "replaced-proposed": rivals.replaced_proposed,
        "lwtr": lambda work: rivals.changed(work, replace_tokens),
        "shuffled": lambda work: rivals.changed(work, shuffle_segments),
        "synthetic-shuffled-labels": rivals.placebo,
        "union": rivals.union,
        "thin": rivals.thin,
        "ner": student.ner,
        "score": lambda work: student.score(work, around),
        "pool": student.pool,
        "gather": student.gather,
        "coverage": lambda work: student.coverage(work, around),
    }
