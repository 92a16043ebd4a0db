"""The stages, a module each: what every kind of cell does, by calling the libraries.

A module holds its configuration, what it measures, the function that builds its cell, the function
that does the work, its cost and its ``STAGE``; if arms may train on what it makes, its ``SOURCE``
too. A new stage or source is a new module and its line here.

Every function reads the folders of its inputs and writes its own. Train is read by ``gold`` (and
divided by ``fold`` in cross-fit) and, without labels, by ``notes``; dev and test are read by
``score`` and ``coverage``, through the seal, and by ``filtered`` and ``notes``, which ask whether
other text repeats them and keep nothing of them. ``silver-quality`` reads labels of train.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notesmith.config import ArmConfig
from notesmith.experiment.draw import Annotator, Source
from notesmith.experiment.graph import Stage
from notesmith.experiment.stages import (
    committee,
    coverage,
    dictionary,
    filtered,
    fold,
    given,
    gold,
    mined,
    names,
    ner,
    notes,
    placebo,
    relabelled,
    rivals,
    rl,
    sample,
    score,
    sft,
    silver,
    tagger,
    unfiltered,
    union,
    votes,
)

STAGES: tuple[Stage[Any, Any], ...] = (
    gold.STAGE,
    fold.STAGE,
    fold.OUT,
    names.STAGE,
    sft.STAGE,
    given.STAGE,
    committee.STAGE,
    rl.STAGE,
    sample.STAGE,
    filtered.STAGE,
    unfiltered.STAGE,
    relabelled.STAGE,
    *rivals.STAGES,
    notes.STAGE,
    *silver.STAGES,
    dictionary.STAGE,
    tagger.STAGE,
    *mined.STAGES,
    placebo.STAGE,
    union.STAGE,
    union.THIN,
    ner.STAGE,
    votes.STAGE,
    score.STAGE,
    score.POOL,
    score.GATHER,
    coverage.STAGE,
)
"""In the order in which tables show them."""

SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        *rivals.SOURCES,
        filtered.SOURCE,
        unfiltered.SOURCE,
        relabelled.SOURCE,
        silver.SOURCE,
        placebo.SOURCE,
    )
}
"""What an arm's ``made`` may name."""

ANNOTATORS: Mapping[str, Annotator] = {
    annotator.name: annotator
    for annotator in (silver.STUDENTS, dictionary.ANNOTATOR, tagger.ANNOTATOR)
}
"""What ``by`` of [annotate] may name."""


def annotators_of(arm: ArmConfig) -> tuple[str, ...]:
    """The annotators that label notes for ``arm``; none where it learns from no such notes."""
    return arm.annotate.by if any(SOURCES[name].by_annotators for name in arm.made) else ()
