"""Stages that need no language model: rivals, the placebo, and text of several folds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from notesmith.augmentation.replace import gold_names, replace_mentions
from notesmith.augmentation.shuffle import shuffle_labels
from notesmith.config import AugmentConfig
from notesmith.document import Document
from notesmith.experiment import artefacts as files
from notesmith.experiment.engine import Work
from notesmith.experiment.stages.common import gold_in, keep_made


def union(work: Work) -> Mapping[str, Any]:
    """The text of all folds, one of each in turn; ids say which fold made them."""
    folds = [
        [replace(doc, id=f"{name}/{doc.id}") for doc in files.load_docs(folder)]
        for name, folder in work.inputs.items()
    ]
    rows = itertools.zip_longest(*folds)
    return keep_made(work, [doc for row in rows for doc in row if doc is not None])


def thin(work: Work) -> Mapping[str, Any]:
    """As much of the union a gold document as each fold's students had.

    ``n`` folds made what ``n - 1`` times all gold would have asked for: each saw all but one fold.
    """
    docs = files.load_docs(work.inputs["made"])
    return keep_made(work, docs[: round(len(docs) / (int(work.config["folds"]) - 1))])


def replaced(work: Work) -> Mapping[str, Any]:
    """Mention replacement with gold names."""
    gold = gold_in(work)
    config = AugmentConfig.model_validate(work.config)
    return keep_made(
        work, replace_mentions(gold, gold_names(gold), config=config, seed=work.cell.seed)
    )


def replaced_proposed(work: Work) -> Mapping[str, Any]:
    """Mention replacement in which a share of the names are proposed ones.

    The copies that use proposed names and those that use gold names are apart, so that the share
    holds whatever the sizes of the two lists.
    """
    gold = gold_in(work)
    config = AugmentConfig.model_validate(work.config)
    known = gold_names(gold)
    proposed = files.load_names(work.inputs["names"]).names
    names = {
        label: _mixed(known.get(label, ()), proposed.get(label, ()), config.proposed_ratio)
        for label in {*known, *proposed}
    }
    return keep_made(work, replace_mentions(gold, names, config=config, seed=work.cell.seed))


def _mixed(known: Sequence[str], proposed: Sequence[str], ratio: float) -> tuple[str, ...]:
    """A list in which ``ratio`` of the places are proposed names, the rest gold ones.

    Names are repeated so that a uniform draw from the list has the ratio; one list stands alone
    where the other is empty.
    """
    if not proposed or not known:
        return (*known, *proposed)
    total = 10 * max(len(known), len(proposed))
    n_new = round(ratio * total)
    new = [proposed[i % len(proposed)] for i in range(n_new)]
    old = [known[i % len(known)] for i in range(total - n_new)]
    return (*old, *new)


def changed(work: Work, change: Callable[..., list[Document]]) -> Mapping[str, Any]:
    """Gold changed by ``change``: token replacement or shuffling."""
    config = AugmentConfig.model_validate(work.config)
    return keep_made(work, change(gold_in(work), config=config, seed=work.cell.seed))


def placebo(work: Work) -> Mapping[str, Any]:
    """Synthetic text with its labels shuffled."""
    made = files.load_docs(work.inputs["made"])
    return keep_made(work, shuffle_labels(made, seed=work.cell.seed))
