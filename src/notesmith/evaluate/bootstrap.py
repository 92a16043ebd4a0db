"""Intervals and p values for micro scores, resampling documents and accounting for replicates.

Documents and replicates are crossed: every replicate is scored on the same test documents. The
plain crossed bootstrap resamples both; with three to five replicates it is too narrow where draws
differ much (so few values understate their variance by (R - 1) / R and know no tails), and too wide
where documents do (what a document does to one replicate alone is counted more than once). The
default, ``calibrated``, resamples the documents and draws the replicate part from Student's t;
``benchmarks/coverage.py`` measures both, ``docs/evaluation.md`` has the numbers.

A replicate may have several students: their counts are added up before it is scored. Where it is
the only replicate, its students stand in for the replicates that are missing: the interval then
covers their luck, and still not that of the draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from notesmith.errors import StageError
from notesmith.findings import Spread
from notesmith.rules import CONFIDENCE

Array = NDArray[np.float64]
Metric = Callable[[Array], Array]
Method = Literal["calibrated", "crossed"]


def precision(counts: Array) -> Array:
    """tp / (tp + fp) of ``counts[..., (tp, fp, fn)]``; 0 where undefined."""
    return _ratio(counts[..., 0], counts[..., 0] + counts[..., 1])


def recall(counts: Array) -> Array:
    """tp / (tp + fn) of ``counts[..., (tp, fp, fn)]``; 0 where undefined."""
    return _ratio(counts[..., 0], counts[..., 0] + counts[..., 2])


def f1(counts: Array) -> Array:
    """2 tp / (2 tp + fp + fn) of ``counts[..., (tp, fp, fn)]``; 0 where undefined."""
    return _ratio(2 * counts[..., 0], 2 * counts[..., 0] + counts[..., 1] + counts[..., 2])


def _ratio(part: Array, whole: Array) -> Array:
    ratio: Array = np.divide(part, whole, out=np.zeros_like(whole, dtype=float), where=whole > 0)
    return ratio


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over replicates, or a mean difference, with its interval.

    ``values`` are the replicates' own; ``sd`` is their standard deviation (0 for one). ``p`` is
    two-sided against 0. ``se_replicates`` and ``se_documents`` are the two parts of the standard
    error; of one replicate with several students the first is theirs. ``spread_of`` says what the
    first was taken from: nothing, where only documents could be resampled. ``draws`` are the
    resampled estimates; ``n_left_out`` resamples held no gold mention and are not among them.
    """

    mean: float
    low: float
    high: float
    p: float
    sd: float
    values: tuple[float, ...]
    n_documents: int
    se_replicates: float
    se_documents: float
    draws: Array = field(repr=False, compare=False)
    spread_of: Spread = "nothing"
    n_left_out: int = 0

    @property
    def n_replicates(self) -> int:
        """How many replicates the mean is over."""
        return len(self.values)


def document_weights(n_documents: int, resamples: int, *, seed: int) -> Array:
    """How often each document stands in each resample, shape (resamples, documents).

    Every row sums to ``n_documents``. Sharing one such matrix between comparisons makes them
    consistent with each other and saves the drawing.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, n_documents, size=(resamples, n_documents))
    drawn += np.arange(resamples)[:, None] * n_documents
    counts = np.bincount(drawn.ravel(), minlength=resamples * n_documents)
    return counts.reshape(resamples, n_documents).astype(np.float64)


def pool_groups(counts: ArrayLike, groups: Sequence[int]) -> Array:
    """Add up the documents of each group (a patient), so that patients are resampled whole.

    Args:
        counts: (…, documents, 3).
        groups: one number a document; equal numbers belong together.
    """
    array = np.asarray(counts, dtype=float)
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    pooled = np.zeros((*array.shape[:-2], int(index.max()) + 1, 3))
    np.add.at(np.moveaxis(pooled, -2, 0), index, np.moveaxis(array, -2, 0))
    return pooled


def bootstrap(
    counts: ArrayLike,
    other: ArrayLike | None = None,
    *,
    metric: Metric = f1,
    resamples: int = 10_000,
    confidence: float = CONFIDENCE,
    seed: int = 13,
    method: Method = "calibrated",
    weights: Array | None = None,
) -> Estimate:
    """Estimate one arm's score, or its difference to ``other``'s, with an interval.

    A resample in which a replicate has no gold mention at all (of a rare label) has no score and is
    left out, counted.

    Args:
        counts: tp, fp, fn of each replicate and document, shape (replicates, documents, 3); where
            replicates have several students, (replicates, students, documents, 3).
        other: the same for the arm it is compared with, paired by replicate and document.
        metric: takes counts summed over documents, (..., 3), to scores (...).
        resamples: bootstrap resamples.
        confidence: of the interval.
        seed: of the resampling.
        method: ``calibrated`` (documents resampled, replicate part from Student's t with R - 1
            degrees of freedom, what both share counted once) or ``crossed`` (both resampled, plain
            percentiles: kept for comparison).
        weights: from ``document_weights``, to share between calls.

    Raises:
        StageError: the shapes are not those above, or differ.
    """
    ours = _checked(counts)
    theirs = None if other is None else _checked(other)
    if theirs is not None and theirs.shape != ours.shape:
        raise StageError(f"arms are not paired: counts {ours.shape} against {theirs.shape}")
    n_replicates, n_students, n_documents, _ = ours.shape
    if weights is None:
        weights = document_weights(n_documents, resamples, seed=seed)
    values = _difference(ours.sum(axis=1), theirs, np.ones((1, n_documents)), metric).scores[0]
    # What varies between the units: replicates, or the students of a single one.
    alone = n_replicates == 1 and n_students > 1
    units = ours[0] if alone else ours.sum(axis=1)
    rivals = theirs[0][:, None] if theirs is not None and alone else theirs
    own = _difference(units, rivals, np.ones((1, n_documents)), metric).scores[0]
    found = _difference(units, rivals, weights, metric)
    # A label that no resample holds keeps its (only) score and an interval without width.
    resampled = found.scores[found.defined] if found.defined.any() else found.scores
    rng = np.random.default_rng([seed, 1])
    n_units = len(own)
    sd = float(own.std(ddof=1)) if n_units > 1 else 0.0
    mean = float(values.mean())
    se_documents = _shared_error(resampled)
    if method == "crossed":
        picked = rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=len(resampled))
        draws = (resampled * picked).sum(axis=1) / n_units
    else:
        draws = _calibrated(resampled, float(own.mean()), mean, sd, se_documents, rng)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    return Estimate(
        mean=mean,
        low=float(low),
        high=float(high),
        p=two_sided_p(draws),
        sd=0.0 if alone else sd,
        values=tuple(float(v) for v in values),
        n_documents=n_documents,
        se_replicates=sd / n_units**0.5,
        se_documents=se_documents,
        draws=draws,
        spread_of="students" if alone else "replicates" if n_replicates > 1 else "nothing",
        n_left_out=int(len(weights) - found.defined.sum()),
    )


def two_sided_p(draws: Array) -> float:
    """Twice the smaller share of ``draws`` on either side of 0 (0 itself on both), at most 1.

    One is added to the counts, so that p is never 0 (Davison and Hinkley 1997, section 4.2).
    """
    below = (1 + np.count_nonzero(draws <= 0)) / (1 + len(draws))
    above = (1 + np.count_nonzero(draws >= 0)) / (1 + len(draws))
    return float(min(1.0, 2 * min(below, above)))


def _checked(counts: ArrayLike) -> Array:
    """Counts as (replicates, students, documents, 3)."""
    array = np.asarray(counts, dtype=float)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape:
        raise StageError(
            f"counts have shape {array.shape}, not (replicates, documents, 3) or "
            "(replicates, students, documents, 3)"
        )
    return array


@dataclass(frozen=True, slots=True)
class _Resampled:
    """Scores or differences, (resamples, units), and which resamples hold gold mentions."""

    scores: Array
    defined: NDArray[np.bool_]


def _difference(units: Array, rivals: Array | None, weights: Array, metric: Metric) -> _Resampled:
    """Score each unit's counts, (units, documents, 3), less those of its rival.

    ``rivals`` are (units, students, documents, 3).
    """
    ours = _totals(units, weights)
    scores = metric(ours)
    gold = ours[..., 0] + ours[..., 2]
    if rivals is not None:
        theirs = _totals(rivals.sum(axis=1), weights)
        scores = scores - metric(theirs)
        gold = np.minimum(gold, theirs[..., 0] + theirs[..., 2])
    return _Resampled(scores, np.asarray((gold > 0).all(axis=1)))


def _totals(counts: Array, weights: Array) -> Array:
    """Counts per resample and unit, (resamples, units, 3)."""
    n_units, n_documents, _ = counts.shape
    flat = counts.transpose(1, 0, 2).reshape(n_documents, n_units * 3)
    return (weights @ flat).reshape(len(weights), n_units, 3)


def _shared_error(resampled: Array) -> float:
    """Standard error from documents that the replicates share.

    A document that is hard for all replicates moves them together: the covariance between
    replicates. What a document does to one replicate alone is already in their spread, so it is
    not counted here again. With one replicate there is no spread: all of it is counted.
    """
    n = resampled.shape[1]
    covariance = np.atleast_2d(np.cov(resampled, rowvar=False))
    if n == 1:
        return float(covariance[0, 0] ** 0.5)
    between = (covariance.sum() - np.trace(covariance)) / (n * (n - 1))
    return float(max(between, 0.0) ** 0.5)


def _calibrated(
    resampled: Array,
    centre: float,
    mean: float,
    sd: float,
    se_documents: float,
    rng: np.random.Generator,
) -> Array:
    """Draws about ``mean``; ``centre`` is the mean of the units' own scores."""
    n_resamples, n_replicates = resampled.shape
    moved: Array = resampled.mean(axis=1) - centre
    spread = float(moved.std())
    if spread > 0:
        moved = moved * min(1.0, se_documents / spread)
    if n_replicates == 1 or sd == 0:
        return mean + moved
    # Even quantiles in random order: t with 2 degrees of freedom would need many more plain draws.
    even = stats.t.ppf((np.arange(n_resamples) + 0.5) / n_resamples, n_replicates - 1)
    drawn: Array = mean + moved + sd / n_replicates**0.5 * rng.permutation(even)
    return drawn
