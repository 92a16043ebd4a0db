"""Holm's correction: several comparisons, one error rate."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values so that comparing each with alpha keeps the family's error at alpha.

    The i-th smallest of m is multiplied by m - i + 1, made monotone and cut at 1 (Holm 1979).
    """
    m = len(p_values)
    adjusted = [1.0] * m
    largest = 0.0
    for rank, i in enumerate(sorted(range(m), key=lambda k: p_values[k])):
        largest = max(largest, min(1.0, (m - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
