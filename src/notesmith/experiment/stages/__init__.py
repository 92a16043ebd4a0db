"""The stages, a module each: what every kind of cell does, by calling the libraries.

A module holds its configuration, what it measures, the function that builds its cell, the function
that does the work, its cost and its ``STAGE``; if arms may train on what it makes, its ``SOURCE``
too. A new stage or source is a new module and its line here.

Every function reads the folders of its inputs and writes its own. Train is read by ``gold`` (and
divided by ``fold`` in cross-fit) and, without labels, by ``notes``; dev and test are read by
``score`` and ``coverage``, through the seal, and by ``filtered``, ``notes`` and ``adapt``, which
ask whether other text repeats them and keep nothing of them. ``silver-quality`` reads labels of
train.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notesmith.config.recipe import ArmConfig
from notesmith.experiment.draw import Annotator, Source
from notesmith.experiment.graph import Stage
from notesmith.experiment.stages import (
    adapt,
    annotator,
    blind,
    committee,
    coverage,
    dictionary,
    filtered,
    fold,
    given,
    gold,
    lm_labels,
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
    taught,
    teachers,
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
    adapt.STAGE,
    teachers.STAGE,
    *silver.STAGES,
    annotator.STAGE,
    lm_labels.STAGE,
    dictionary.STAGE,
    tagger.STAGE,
    *mined.STAGES,
    taught.STAGE,
    blind.STAGE,
    blind.MIXED,
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
    source.name: source if source.by_annotators else taught.teaching(source)
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
    one.name: one
    for one in (
        teachers.ANNOTATOR,
        *lm_labels.ANNOTATORS,
        dictionary.ANNOTATOR,
        tagger.ANNOTATOR,
    )
}
"""What ``by`` of [annotate] may name."""


def annotators_of(arm: ArmConfig) -> tuple[str, ...]:
    """The annotators that label notes or made text for ``arm``; none where it learns from none."""
    labelled = (SOURCES[name] for name in arm.made)
    asks = any(s.by_annotators or "made" in arm.annotate.teaches for s in labelled)
    return arm.annotate.by if asks else ()
