"""Group-relative policy optimisation: advantages, and the distance to the reference.

GRPO: Shao et al. (2024, arXiv:2402.03300). Without the division by the deviation: Liu et al.
(2025, arXiv:2503.20783). Each part apart: GDPO, Liu et al. (2026, arXiv:2601.05242). The numbers
are those of TRL 1.16, which a test compares.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Keeps a division by a deviation of 0 finite.
_EPSILON = 1e-4


def advantages(totals: NDArray[np.float64], *, over_deviation: bool) -> NDArray[np.float64]:
    """Rewards ``(groups, n)`` less their group's mean; ``over_deviation`` divides by its own."""
    centred = totals - totals.mean(axis=1, keepdims=True)
    if not over_deviation:
        return centred
    deviation: NDArray[np.float64] = totals.std(axis=1, ddof=1, keepdims=True)
    return centred / (deviation + _EPSILON)


def advantages_by_part(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each part standardised within its group, their sum standardised over the batch.

    Parts ``(groups, n, n_parts)``, NaN where one does not apply; advantages ``(groups, n)``. Parts
    count alike, so one that varies little moves the policy as much as one that varies much.
    """
    known = ~np.isnan(parts)
    count = known.sum(axis=1, keepdims=True)
    values = np.where(known, parts, 0.0)
    mean = values.sum(axis=1, keepdims=True) / np.maximum(count, 1)
    centred = np.where(known, parts - mean, 0.0)
    squares = (centred**2).sum(axis=1, keepdims=True)
    # One value of a part in a group has no deviation: it tells nothing.
    deviation = np.sqrt(squares / np.maximum(count - 1, 1))
    summed = (centred / (deviation + _EPSILON)).sum(axis=2)
    spread = summed.std(ddof=1) if summed.size > 1 else 0.0
    standard: NDArray[np.float64] = (summed - summed.mean()) / (spread + _EPSILON)
    return standard


def kl_terms(log_probs: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Terms whose mean over the policy's own tokens estimates KL(policy, reference), in nats.

    Never negative and unbiased: "k3" of Schulman (2020), http://joschu.net/blog/kl-approx.html.
    """
    ratio = reference - log_probs
    return np.exp(ratio) - ratio - 1.0
