"""Numbers as a reader meets them: F1 points, signed changes, intervals, counts, durations.

Scores are points of F1 (0 to 100); minus signs are real ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TypeGuard

NONE = "–"
_MINUS = "−"
_HYPHEN = re.compile(r"(?<![\w)\]-])-(?=\d)")


def points(value: float | None, *, digits: int = 1) -> str:
    """Return ``65.432`` as ``65.4``; a dash where there is no number."""
    return NONE if not is_number(value) else _minus(f"{value:.{digits}f}")


def signed(value: float | None, *, digits: int = 1) -> str:
    """Return ``3.12`` as ``+3.1`` and ``-3.12`` as ``−3.1``."""
    if not is_number(value):
        return NONE
    text = f"{value:+.{digits}f}"
    return _minus(text) if float(text) else f"{0:.{digits}f}"


def exact(value: float | None) -> str:
    """Return a number with three decimals."""
    return points(value, digits=3)


def interval(low: float, high: float, *, sign: bool = False) -> str:
    """Return ``[62.1, 68.0]``."""
    write = signed if sign else points
    return f"[{write(low)}, {write(high)}]"


def count(number: float | None) -> str:
    """Return ``12345`` as ``12,345``, rounded to a whole number."""
    return NONE if not is_number(number) else _minus(f"{round(number):,}")


def percent(ratio: float | None) -> str:
    """Return ``0.093`` as ``9.3%``, from 10% on without decimals."""
    if not is_number(ratio):
        return NONE
    value = 100 * ratio
    return _minus(f"{value:.0f}%" if abs(value) >= 9.95 or value == 0 else f"{value:.1f}%")


def probability(p: float) -> str:
    """Return a p value with two or three decimals, ``< 0.001`` below that."""
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def duration(seconds: float) -> str:
    """Return seconds as ``48 s``, ``12 min`` or ``2 h 05 min``."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def hours(value: float) -> str:
    """Return hours with one decimal, from 10 on without."""
    return points(value, digits=1 if abs(value) < 9.95 else 0)


def memory(n_bytes: float | None) -> str:
    """Return bytes as ``1.5 GiB``, or MiB below one."""
    if not is_number(n_bytes) or n_bytes <= 0:
        return NONE
    gib = n_bytes / 2**30
    return f"{gib:.1f} GiB" if gib >= 1 else f"{gib * 1024:.0f} MiB"


_ADVICE = {
    "underpowered": "Underpowered: this run cannot tell",
    "demonstration": "No recommendation: a demonstration",
    "no claim": "No recommendation",
    "unfinished": "No recommendation yet",
}


def advice(recommendation: str) -> str:
    """The recommendation as a heading: ``Recommendation: use``, or why there is none."""
    return _ADVICE.get(recommendation, f"Recommendation: {recommendation}")


_SPLITS = {
    "out-of-draw": "train documents out of the draw",
    "out-of-fold": "documents out of fold",
}


def scored_on(split: str) -> str:
    """The documents of a split in words: ``train documents out of the draw``, ``test``."""
    return _SPLITS.get(split, split)


def plural(n: float, noun: str) -> str:
    """Return ``1 note`` or ``3 notes``."""
    return f"{count(n)} {noun}" if round(n) == 1 else f"{count(n)} {noun}s"


def listed(words: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def is_number(value: object) -> TypeGuard[float]:
    """True for a finite number; absent, infinite and undefined values are shown as a dash."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def minus(sentence: str) -> str:
    """Return a sentence with real minus signs before its numbers."""
    return _HYPHEN.sub(_MINUS, sentence)


def _minus(text: str) -> str:
    return text.replace("-", _MINUS)
