"""What a comparison could have found: detectable difference, replicates and documents needed.

A difference is found where the interval of ``bootstrap`` is clear of 0: its half-width is a
quantile of the sum of a normal part (documents) and of Student's t with R - 1 degrees of freedom
(replicates). Power is computed for this very rule, so that what is stated is what is found.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from notesmith.errors import StageError
from notesmith.evaluate.bootstrap import Array
from notesmith.findings import Needed
from notesmith.rules import ERROR_RATE, POWER

_MOST_REPLICATES = 10_000
_MOST_TIMES = 1000
# Nodes of means over distributions, each at the middle of an equal share of probability.
_NODES = 200
_SPREADS = 60
# Documents' error over replicates' error, where the half-width is tabulated.
_RATIOS = np.geomspace(1e-3, 1e3, 49)


def power(
    difference: float,
    sd: float,
    n_replicates: int,
    *,
    se_documents: float = 0.0,
    alpha: float,
    sd_from: int | None = None,
) -> float:
    """Chance that a true ``difference`` is found by the interval of ``bootstrap``.

    Args:
        difference: true mean difference, in the units of ``sd``.
        sd: standard deviation of the paired differences of the replicates.
        n_replicates: how many.
        se_documents: standard error from the documents that all replicates share.
        alpha: error rate.
        sd_from: number of replicates that ``sd`` was estimated from; the chance is then a mean
            over the spreads that may be behind it. None where it is known.
    """
    if n_replicates < 2:
        raise StageError("power needs two replicates at least")
    if sd_from is not None and sd_from < 2:
        raise StageError("a spread is known from two replicates at least")
    if sd == 0 and se_documents == 0:
        return 1.0 if difference else alpha
    return _found(difference, _spreads(sd, sd_from), n_replicates, se_documents, alpha)


def _spreads(sd: float, sd_from: int | None) -> Array:
    """The spreads that may be behind an estimated one: sd² df / chi², by its quantiles."""
    if sd_from is None:
        return np.asarray([sd])
    df = sd_from - 1
    return np.asarray(sd * np.sqrt(df / stats.chi2.ppf(_middles(_SPREADS), df)))


def _found(
    difference: float, sds: Array, n_replicates: int, se_documents: float, alpha: float
) -> float:
    df = n_replicates - 1
    error = (sds**2 / n_replicates + se_documents**2) ** 0.5
    # The next run estimates its spread anew.
    chi = np.sqrt(stats.chi2.ppf(_middles(_NODES), df) / df)
    bar = _half_width(sds[:, None] * chi / n_replicates**0.5, se_documents, df, alpha)
    shift = abs(difference)
    upper = stats.norm.sf((bar - shift) / error[:, None])
    return float((upper + stats.norm.cdf((-bar - shift) / error[:, None])).mean())


def _half_width(se_replicates: Array, se_documents: float, df: int, alpha: float) -> Array:
    """Half of the interval's width, by the two parts of the error."""
    if se_documents == 0:
        return np.asarray(se_replicates * stats.t.ppf(1 - alpha / 2, df))
    # Neither end of the table is left: beyond them one part is nothing beside the other.
    ratio = se_documents / np.maximum(se_replicates, se_documents / _RATIOS[-1])
    shape = np.interp(np.log(ratio), np.log(_RATIOS), _quantiles(df, alpha))
    return np.asarray(shape * (se_replicates + se_documents))


@lru_cache(maxsize=256)
def _quantiles(df: int, alpha: float) -> Array:
    """The 1 - alpha/2 quantile of (T + r Z) / (1 + r) for each tabulated ratio r.

    T is Student's with ``df`` degrees of freedom, Z normal.
    """
    wanted = 1 - alpha / 2
    z = stats.norm.ppf(_middles(_NODES))
    low = np.zeros(len(_RATIOS))
    high = stats.t.ppf(1 - alpha / 4, df) + stats.norm.ppf(1 - alpha / 4) * _RATIOS
    for _ in range(22):
        middle = (low + high) / 2
        below = stats.t.cdf(middle[:, None] - _RATIOS[:, None] * z, df).mean(axis=1) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2 / (1 + _RATIOS))


def _middles(n: int) -> Array:
    return (np.arange(n) + 0.5) / n


def detectable(
    sd: float,
    n_replicates: int,
    *,
    se_documents: float = 0.0,
    alpha: float = ERROR_RATE,
    sd_from: int | None = None,
) -> float | None:
    """The true difference that would be found with a chance of ``POWER``; None for one replicate.

    ``sd_from`` as in ``power``: with it, the difference that is stated from a run's own spread is
    found so often by further runs of this size, and not only by those whose spread was known.
    """
    if n_replicates < 2:
        return None
    if sd == 0 and se_documents == 0:
        return 0.0

    def lacking(difference: float) -> float:
        return POWER - power(
            difference,
            sd,
            n_replicates,
            se_documents=se_documents,
            alpha=alpha,
            sd_from=sd_from,
        )

    top = sd + se_documents
    while lacking(top) > 0:
        top *= 2
    return float(optimize.brentq(lacking, 0.0, top, xtol=1e-6 * top))


def replicates_needed(
    difference: float,
    sd: float,
    *,
    se_documents: float = 0.0,
    alpha: float = ERROR_RATE,
    sd_from: int | None = None,
) -> int | None:
    """Fewest replicates that find ``difference``; None if documents alone forbid it."""
    if difference <= 0:
        raise StageError(f"difference {difference} is not above 0")

    def enough(n: int) -> bool:
        found = power(difference, sd, n, se_documents=se_documents, alpha=alpha, sd_from=sd_from)
        return found >= POWER

    return _fewest(enough, 1, _MOST_REPLICATES)


def needed(
    difference: float,
    sd: float,
    *,
    n_replicates: int,
    n_documents: int,
    se_documents: float = 0.0,
    alpha: float = ERROR_RATE,
    sd_from: int | None = None,
) -> Needed:
    """How much larger an experiment would have to be to find ``difference``.

    An extrapolation: the spread of replicates stays as it is, and the error from documents falls
    with the square root of their number.

    Args:
        difference: true mean difference to be found, in the units of ``sd``.
        sd: standard deviation of the paired differences of the replicates.
        n_replicates: as many as there are, 2 at least.
        n_documents: test documents there are.
        se_documents: standard error from the documents that all replicates share.
        alpha: error rate.
        sd_from: replicates that ``sd`` was estimated from, as in ``power``.

    Raises:
        StageError: ``difference`` is not above 0, or there are fewer than two replicates.
    """

    def finds(replicates: int, documents: float) -> bool:
        error = se_documents * (n_documents / documents) ** 0.5
        found = power(difference, sd, replicates, se_documents=error, alpha=alpha, sd_from=sd_from)
        return found >= POWER

    return Needed(
        difference=difference,
        replicates=replicates_needed(
            difference,
            sd,
            se_documents=se_documents,
            alpha=alpha,
            sd_from=sd_from,
        ),
        documents=_fewest(
            lambda n: finds(n_replicates, n), n_documents - 1, _MOST_TIMES * n_documents
        ),
        times=_fewest(lambda k: finds(k * n_replicates, k * n_documents), 0, _MOST_TIMES),
    )


def _fewest(enough: Callable[[int], bool], too_few: int, most: int) -> int | None:
    """The least number above ``too_few`` that is enough, by bisection; None if ``most`` is not."""
    if not enough(most):
        return None
    low, high = too_few, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
