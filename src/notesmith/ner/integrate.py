"""Which units each optimizer step sees: how made documents join gold, and batches of like length.

Pure functions from lengths to lists of indices, the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from notesmith.config.student import IntegrationConfig
from notesmith.document import Document, parents_in
from notesmith.errors import StageError

POOL_BATCHES = 24
"""Batches that are drawn together and arranged by length; more saves padding, mixes less."""


def count_made_elsewhere(made: Sequence[Document], gold: Sequence[Document]) -> int:
    """How many made documents name parents and none that is in ``gold``.

    The parent of a silver document is the note itself, of which nobody has labels.
    """
    ids = {doc.id for doc in gold}
    written = [doc for doc in made if doc.provenance.kind != "silver"]
    return sum(any(doc.provenance.parents) and not parents_in(doc, ids) for doc in written)


def plan_batches(
    gold: Sequence[int],
    made: Sequence[int],
    *,
    steps: int,
    batch_size: int,
    integration: IntegrationConfig,
    seed: int,
    by_length: bool,
) -> list[list[int]]:
    """Return one list of unit indices a step, ``steps`` in all.

    Args:
        gold: lengths of the gold units; unit i has index i.
        made: lengths of the made units; unit j has index ``len(gold) + j``.
        steps: optimizer steps, all parts together.
        batch_size: units a step.
        integration: how the two join; where one of them is empty the other fills all steps.
        seed: root of all shuffling.
        by_length: batch units of like length, for an encoder that pads.

    Raises:
        StageError: there is no unit at all.
    """
    if not gold and not made:
        raise StageError("there is nothing to train on: no document has a word")
    lengths = np.array([*gold, *made], dtype=np.int64)
    gold_units = np.arange(len(gold))
    made_units = np.arange(len(gold), len(lengths))
    everything = np.arange(len(lengths))

    def stream(units: np.ndarray, n_steps: int, size: int, part: int) -> list[list[int]]:
        keys = lengths if by_length else np.zeros_like(lengths)
        return _batches(units, keys, n_steps, size, np.random.default_rng([seed, part]))

    if not len(gold_units) or not len(made_units) or integration.how == "mix":
        return stream(everything, steps, batch_size, 0)
    if integration.how == "ratio":
        n_made = min(max(round(integration.made_ratio * batch_size), 0), batch_size)
        return _paired(
            stream(gold_units, steps, batch_size - n_made, 0),
            stream(made_units, steps, n_made, 1),
            lengths if by_length else np.zeros_like(lengths),
            np.random.default_rng([seed, 2]),
        )
    n_last = round(integration.gold_last * steps)
    first = made_units if integration.how == "pretrain-then-gold" else everything
    return stream(first, steps - n_last, batch_size, 0) + stream(gold_units, n_last, batch_size, 1)


def completion_step(
    plan: Sequence[Sequence[int]], n_gold: int, integration: IntegrationConfig
) -> int | None:
    """The step before which made documents are completed midway; None where they are not.

    It lies at ``complete_at`` of the steps up to the last one that sees made units, those whose
    index in ``plan`` is at least ``n_gold``.
    """
    if integration.complete != "midway":
        return None
    with_made = [step for step, batch in enumerate(plan) if any(i >= n_gold for i in batch)]
    return max(round(integration.complete_at * (with_made[-1] + 1)), 1) if with_made else None


def _endless(units: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(units).tolist()


def _batches(
    units: np.ndarray, lengths: np.ndarray, steps: int, size: int, rng: np.random.Generator
) -> list[list[int]]:
    """Draw whole epochs in random order, arrange pools of batches by length, shuffle the batches.

    Epochs join without a gap, so each batch is full. Within a pool the sort is stable on a random
    order, so units of one length meet different neighbours each time (and with equal lengths
    throughout the order stays random).
    """
    if size == 0:
        return [[] for _ in range(steps)]
    source = _endless(units, rng)
    batches: list[list[int]] = []
    while len(batches) < steps:
        n = min(POOL_BATCHES, steps - len(batches))
        pool = np.array([next(source) for _ in range(n * size)], dtype=np.int64)
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i * size : (i + 1) * size].tolist() for i in rng.permutation(n)]
    return batches


def _paired(
    gold: list[list[int]], made: list[list[int]], lengths: np.ndarray, rng: np.random.Generator
) -> list[list[int]]:
    """Join gold and made batches pool by pool, short with short."""
    joined: list[list[int]] = []
    for start in range(0, len(gold), POOL_BATCHES):
        pools = [
            sorted(part[start : start + POOL_BATCHES], key=lambda b: int(lengths[b].sum()))
            for part in (gold, made)
        ]
        both = [a + b for a, b in zip(*pools, strict=True)]
        joined += [both[i] for i in rng.permutation(len(both))]
    return joined
