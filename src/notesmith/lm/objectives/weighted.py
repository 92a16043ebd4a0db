"""Reward-weighted fine-tuning: how much each completion counts.

Reward-weighted regression (Peters and Schaal, 2007; advantage-weighted: Peng et al., 2019,
arXiv:1910.00177), with the group in place of a value function.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def group_weights(
    totals: NDArray[np.float64], failed: NDArray[np.bool_], temperature: float
) -> NDArray[np.float64]:
    """Weights ``(groups, n)``: exp((r - best) / temperature), each group's sum 1.

    ``failed`` completions (gates) weigh 0 and count for no best; a group in which all failed
    weighs 0 altogether.
    """
    passed = np.where(failed, -np.inf, totals)
    best = passed.max(axis=1, keepdims=True)
    best[np.isneginf(best)] = 0.0
    raw = np.exp((passed - best) / temperature)
    sums = raw.sum(axis=1, keepdims=True)
    return np.divide(raw, sums, out=np.zeros_like(raw), where=sums > 0)
