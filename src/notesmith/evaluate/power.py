"""What a comparison could have found: detectable difference, replicates and documents needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from notesmith.errors import StageError

_MOST_REPLICATES = 10_000
_MOST_TIMES = 1000
_NODES = 4000


def power(
    difference: float, sd: float, n_replicates: int, *, se_documents: float = 0.0, alpha: float
) -> float:
    """Chance that a true ``difference`` is found by the two-sided t interval.

    Args:
        difference: true mean difference, in the units of ``sd``.
        sd: standard deviation of the paired differences of the replicates.
        n_replicates: how many.
        se_documents: standard error from the documents that all replicates share.
        alpha: error rate.
    """
    error, df = _error(sd, n_replicates, se_documents)
    if error == 0:
        return 1.0 if difference else alpha
    critical = float(stats.t.ppf(1 - alpha / 2, df))
    shift = abs(difference) / error
    # The noncentral t, as a mean over the distribution of the estimated error: scipy's own has no
    # value far out.
    chi = stats.chi2.ppf((np.arange(_NODES) + 0.5) / _NODES, df)
    bar = critical * np.sqrt(chi / df)
    return float((stats.norm.sf(bar - shift) + stats.norm.cdf(-bar - shift)).mean())


def detectable(
    sd: float,
    n_replicates: int,
    *,
    se_documents: float = 0.0,
    power_wanted: float = 0.8,
    alpha: float = 0.05,
) -> float | None:
    """The true difference that would be found with ``power_wanted``; None for one replicate."""
    if n_replicates < 2:
        return None
    error, df = _error(sd, n_replicates, se_documents)
    if error == 0:
        return 0.0
    top = error * 4 * (float(stats.t.ppf(1 - alpha / 2, df)) + 2)
    found = optimize.brentq(
        lambda d: power(d, sd, n_replicates, se_documents=se_documents, alpha=alpha) - power_wanted,
        0.0,
        top,
        xtol=1e-6 * error,
    )
    return float(found)


def replicates_needed(
    difference: float,
    sd: float,
    *,
    se_documents: float = 0.0,
    power_wanted: float = 0.8,
    alpha: float = 0.05,
) -> int | None:
    """Fewest replicates that find ``difference``; None if documents alone forbid it."""
    if difference <= 0:
        raise StageError(f"difference {difference} is not above 0")

    def enough(n: int) -> bool:
        return power(difference, sd, n, se_documents=se_documents, alpha=alpha) >= power_wanted

    return _fewest(enough, 1, _MOST_REPLICATES)


@dataclass(frozen=True, slots=True)
class Needed:
    """What would find ``difference``, each of three ways; None where that way cannot.

    ``replicates``: on the same documents. ``documents``: with the same replicates. ``times``: both
    multiplied by this, up to a thousand.
    """

    difference: float
    replicates: int | None
    documents: int | None
    times: int | None


def needed(
    difference: float,
    sd: float,
    *,
    n_replicates: int,
    n_documents: int,
    se_documents: float = 0.0,
    power_wanted: float = 0.8,
    alpha: float = 0.05,
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
        power_wanted: chance of finding it.
        alpha: error rate.

    Raises:
        StageError: ``difference`` is not above 0, or there are fewer than two replicates.
    """

    def finds(replicates: int, documents: float) -> bool:
        error = se_documents * (n_documents / documents) ** 0.5
        found = power(difference, sd, replicates, se_documents=error, alpha=alpha)
        return found >= power_wanted

    return Needed(
        difference,
        replicates_needed(
            difference, sd, se_documents=se_documents, power_wanted=power_wanted, alpha=alpha
        ),
        _fewest(lambda n: finds(n_replicates, n), n_documents - 1, _MOST_TIMES * n_documents),
        _fewest(lambda k: finds(k * n_replicates, k * n_documents), 0, _MOST_TIMES),
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


def _error(sd: float, n_replicates: int, se_documents: float) -> tuple[float, float]:
    """Standard error of the mean difference and its degrees of freedom (Satterthwaite)."""
    if n_replicates < 2:
        raise StageError("power needs two replicates at least")
    from_replicates = sd**2 / n_replicates
    total = from_replicates + se_documents**2
    if from_replicates == 0:
        return total**0.5, 1e6
    # The documents' part is taken as known: they are many beside the replicates.
    return total**0.5, min(1e6, (n_replicates - 1) * (total / from_replicates) ** 2)
