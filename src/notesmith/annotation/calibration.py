"""Calibration of the scores of a language model: one temperature, fitted on held-out gold.

A score p becomes sigmoid(logit(p) / T), so T above 1 makes a model that is too sure less sure. The
order of mentions stays, and so does the side of one half on which each of them is.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

LEAST_MENTIONS = 50
"""With fewer mentions found in held-out gold the scores are left as they are."""
_MOST = 10.0  # T is from 1 / _MOST to _MOST
_EDGE = 1e-4  # scores are rounded to it, and 0 and 1 have no logit
_STEPS = 60  # of a bisection: far below what a score shows


def at_temperature(score: float, temperature: float) -> float:
    """sigmoid(logit(``score``) / ``temperature``); scores at 0 and 1 count as almost that."""
    inside = min(max(score, _EDGE), 1 - _EDGE)
    return 1 / (1 + math.exp(-math.log(inside / (1 - inside)) / temperature))


def fit_temperature(scores: ArrayLike, right: ArrayLike) -> float:
    """The temperature with the least log-loss of ``scores`` against ``right``, from 0.1 to 10.

    Guo and others 2017, "On Calibration of Modern Neural Networks". What is right counts as
    (n + 1) / (n + 2) and what is wrong as 1 / (m + 2), for n right and m wrong ones (Platt 1999),
    so that no score is driven to 1 where all of a few mentions are right.

    Args:
        scores: from 0 to 1, one a mention.
        right: whether each mention is right.
    """
    inside = np.clip(np.asarray(scores, np.float64), _EDGE, 1 - _EDGE)
    logits = np.log(inside / (1 - inside))
    is_right = np.asarray(right, bool)
    n_right = int(is_right.sum())
    n_wrong = len(is_right) - n_right
    target = np.where(is_right, (n_right + 1) / (n_right + 2), 1 / (n_wrong + 2))
    # The loss is convex in 1/T, and this is its slope.
    low, high = 1 / _MOST, _MOST
    for _ in range(_STEPS):
        middle = (low + high) / 2
        slope = float((logits * (1 / (1 + np.exp(-middle * logits)) - target)).sum())
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 2 / (low + high)
