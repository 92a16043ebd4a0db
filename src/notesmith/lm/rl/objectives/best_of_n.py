"""Rejection sampling: what is kept of each group to fine-tune on.

"Best of N" of Stiennon et al. (2020), "RAFT" of Dong et al. (2023, arXiv:2304.06767).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def choose_best(totals: NDArray[np.float64]) -> list[int | None]:
    """Place of each group's best completion, the first of equals.

    None where nothing is to be learnt: the best earns nothing, or no more than the group's mean.
    """
    best = totals.argmax(axis=1)
    highest, mean = totals.max(axis=1), totals.mean(axis=1)
    # A mean of equal numbers may differ from them by rounding.
    spread = totals.max(axis=1) > totals.min(axis=1)
    kept = (highest > 0) & (highest > mean) & spread
    return [int(place) if keep else None for place, keep in zip(best, kept, strict=True)]
