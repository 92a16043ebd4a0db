"""The gold learning curve, and what a gain is worth in labelled notes.

The curve is ``a - b n^-c`` with c in [0, 1] (c = 0 stands for ``a + b log n``), fitted by least
squares; two sizes allow the logarithm only. It is never read outside the sizes that were trained:
what lies beyond is reported as "at least", not extrapolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from notesmith.errors import StageError
from notesmith.evaluate.bootstrap import Array
from notesmith.findings import CurveFit, Worth
from notesmith.findings import Trend as Kind
from notesmith.rules import CONFIDENCE

_EXPONENTS = np.linspace(0.0, 1.0, 21)
_GRID = 400
_RISES = 10_000


@dataclass(frozen=True, slots=True)
class Trend:
    """Whether the curve rises from its smallest to its largest size; the reason where not."""

    kind: Kind
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WorthResult:
    """A worth, or the reason why there is none."""

    worth: Worth | None
    reason: str = ""


def _basis(sizes: Array, c: float) -> Array:
    return np.log(sizes) if c == 0 else -(sizes**-c)


def _weights(sizes: Sequence[int]) -> list[tuple[float, Array, Array]]:
    """For each exponent: the matrix from F1 values to (a, b), and to residuals."""
    array = np.asarray(sizes, dtype=float)
    exponents = _EXPONENTS if len(sizes) > 2 else _EXPONENTS[:1]
    solved = []
    for c in exponents:
        design = np.stack([np.ones_like(array), _basis(array, float(c))], axis=1)
        solution = np.linalg.pinv(design)
        solved.append((float(c), solution, np.eye(len(sizes)) - design @ solution))
    return solved


def fit_curve(sizes: Sequence[int], scores: Sequence[float]) -> CurveFit:
    """Fit the learning curve to mean scores at two or more sizes.

    Raises:
        StageError: fewer than two different sizes.
    """
    _check_sizes(sizes, scores)
    values = np.asarray([scores], dtype=float)
    coefficients, exponents = _fit(sizes, values)
    a, b = coefficients[0]
    return CurveFit(a=float(a), b=float(b), c=float(exponents[0]), low=min(sizes), high=max(sizes))


def _fit(sizes: Sequence[int], values: Array) -> tuple[Array, Array]:
    """Best (a, b) and c of each row of ``values`` (draws, sizes)."""
    best = np.full(len(values), np.inf)
    coefficients = np.zeros((len(values), 2))
    exponents = np.zeros(len(values))
    for c, solution, residual in _weights(sizes):
        error = ((values @ residual.T) ** 2).sum(axis=1)
        better = error < best - 1e-12
        best = np.where(better, error, best)
        coefficients[better] = (values @ solution.T)[better]
        exponents[better] = c
    return coefficients, exponents


def _check_sizes(sizes: Sequence[int], scores: Sequence[object]) -> None:
    if len(set(sizes)) < 2 or len(set(sizes)) != len(sizes) or len(sizes) != len(scores):
        raise StageError(f"a learning curve needs two different sizes or more, got {list(sizes)}")
    if min(sizes) < 1:
        raise StageError(f"a learning curve needs sizes above 0, got {list(sizes)}")


def trend(
    scores: Mapping[int, Sequence[float]],
    *,
    worthwhile: float,
    confidence: float = CONFIDENCE,
    seed: int = 13,
) -> Trend:
    """Tell a rising curve from a flat one, and both from too few replicates to tell.

    Args:
        scores: gold scores of the replicates, by size; two sizes or more.
        worthwhile: smallest rise that would matter, same unit as ``scores``: the curve is called
            flat only where it is ruled out.
        confidence: of the interval of the rise.
        seed: of the resampling.
    """
    sizes = sorted(scores)
    if single := [n for n in sizes if len(scores[n]) == 1]:
        return Trend(
            "unknown",
            f"too few replicates: gold was trained once at {', '.join(map(str, single))} notes, "
            "which tells nothing of its spread",
        )
    means = np.asarray([np.mean(scores[n]) for n in sizes])
    rng = np.random.default_rng([seed, 2])
    drawn = _draw_means([scores[n] for n in sizes], means, _RISES, rng)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn[:, -1] - drawn[:, 0], (tail, 1 - tail))
    ends = f"from {sizes[0]} to {sizes[-1]} notes"
    if low > 0:
        return Trend("rising")
    if high < worthwhile:
        return Trend("flat", f"the gold curve is flat {ends}")
    return Trend("unknown", f"too few replicates to tell whether the gold curve rises {ends}")


def worth_in_notes(
    scores: Mapping[int, Sequence[float]],
    size: int,
    gain: float,
    gain_draws: Array,
    *,
    worthwhile: float,
    confidence: float = CONFIDENCE,
    seed: int = 13,
) -> WorthResult:
    """How many more labelled notes give the same as ``gain`` does at ``size`` notes.

    The interval covers both uncertainties: each resampled gain is read off a curve fitted to
    resampled means (Student's t about each size's mean, by its replicates). There is no worth where
    the curve does not clearly rise: it is called flat only where a rise of ``worthwhile`` is ruled
    out, else the replicates are too few to tell.

    Args:
        scores: gold scores of the replicates, by size.
        size: notes the gain was measured at.
        gain: score difference, same unit as ``scores``.
        gain_draws: resampled gains.
        worthwhile: smallest rise that would matter, same unit as ``scores``.
        confidence: of the interval.
        seed: of the resampling.
    """
    sizes = sorted(scores)
    if len(sizes) < 2:
        return WorthResult(None, "gold was trained at one size only")
    if size not in scores:
        return WorthResult(None, f"gold was not trained at {size} notes")
    found = trend(scores, worthwhile=worthwhile, confidence=confidence, seed=seed)
    if found.kind != "rising":
        return WorthResult(None, found.reason)
    if (gain > 0 and size == sizes[-1]) or (gain < 0 and size == sizes[0]):
        return WorthResult(
            None, f"the gold curve {'ends' if gain > 0 else 'begins'} at {size} notes"
        )
    grid = np.geomspace(sizes[0], sizes[-1], _GRID)
    means = np.asarray([np.mean(scores[n]) for n in sizes])
    rng = np.random.default_rng([seed, 2])
    drawn = _draw_means([scores[n] for n in sizes], means, len(gain_draws), rng)
    point = _invert(sizes, means[None], size, np.asarray([gain]), grid)[0]
    notes = _invert(sizes, drawn, size, np.asarray(gain_draws, dtype=float), grid)
    tail = (1 - confidence) / 2
    low, high = np.quantile(notes, (tail, 1 - tail))
    named = {"notes": float(point), "low": float(low), "high": float(high)}
    ends = (sizes[0] - size, sizes[-1] - size)
    beyond = [k for k, v in named.items() if v <= ends[0] + 1e-6 or v >= ends[1] - 1e-6]
    whole = {name: round(value) for name, value in named.items()}
    return WorthResult(Worth.model_validate({**whole, "beyond": beyond}))


def _draw_means(
    scores: Sequence[Sequence[float]], means: Array, n_draws: int, rng: np.random.Generator
) -> Array:
    drawn = np.tile(means, (n_draws, 1))
    for i, values in enumerate(scores):
        n = len(values)
        error = float(np.std(values, ddof=1)) / n**0.5
        even = stats.t.ppf((np.arange(n_draws) + 0.5) / n_draws, n - 1)
        drawn[:, i] += error * rng.permutation(even)
    return drawn


def _invert(sizes: Sequence[int], means: Array, size: int, gains: Array, grid: Array) -> Array:
    """Notes to add to ``size`` until the curve has risen by the gain, cut at the grid's ends."""
    coefficients, exponents = _fit(sizes, means)
    notes = np.zeros(len(gains))
    for c in np.unique(exponents):
        rows = exponents == c
        slope = coefficients[rows, 1]
        at_size = _basis(np.asarray([float(size)]), float(c))[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            # The basis at which the curve has risen by the gain: a cancels.
            wanted = at_size + gains[rows] / slope
        # A falling curve never gives the gain, however many notes are added.
        wanted = np.where(slope > 0, wanted, np.where(gains[rows] > 0, np.inf, -np.inf))
        wanted = np.where(gains[rows] == 0, at_size, wanted)
        notes[rows] = np.interp(wanted, _basis(grid, float(c)), grid) - size
    return notes
