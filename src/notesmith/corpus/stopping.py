"""When to stop labelling: what the rounds so far say another one would bring.

Control notes are drawn at random and labelled from scratch, so the F1 of a model's labels on them
is an honest score of the model that had learnt from all labels before that round. A line through
these scores over the logarithm of the words of gold (a learning curve is close to one over a few
doublings) tells what as many further words would bring. Its interval comes from resampling the
control notes of each round; that a model trained again would differ a little is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from notesmith.rules import CONFIDENCE, WORTHWHILE

FEWEST_CONTROLS = 5
"""Control notes with a mention that a round needs before its score counts."""

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Share:
    """A ratio of two sums over notes, 0 to 1, and its interval from resampling the notes.

    ``value`` is None where there is nothing to divide by, ``interval`` also of a single note.
    """

    value: float | None
    interval: tuple[float, float] | None = None
    n_notes: int = 0

    @classmethod
    def of(cls, rows: Sequence[tuple[float, float]], *, seed: int = 13) -> Share:
        """The share of ``rows``, each the part and the whole of one note."""
        counts = np.array([row for row in rows if row[1]], dtype=float).reshape(-1, 2)
        if not len(counts):
            return cls(None)
        part, whole = counts.sum(axis=0)
        interval = None
        if len(counts) > 1:
            low, high = np.quantile(_resampled(counts, seed), _tails())
            interval = float(low), float(high)
        return cls(float(part / whole), interval, len(counts))

    def __str__(self) -> str:
        """In percent."""
        if self.value is None:
            return "none"
        found = f"{100 * self.value:.1f}%"
        if self.interval is not None:
            found += " [{:.1f}, {:.1f}]".format(*(100 * x for x in self.interval))
        return found


@dataclass(frozen=True, slots=True)
class Round:
    """One round of labelling in numbers.

    ``gold_words`` had been labelled before it, ``words`` of ``notes`` notes were in it. ``control``
    and ``prelabels`` hold two numbers for each reading of a note: 2 tp and 2 tp + fp + fn of the
    model's labels on control notes (the part and the whole of F1), and labels that annotators
    changed or removed of all that they were shown.
    """

    number: int
    gold_words: int
    notes: int
    words: int
    control: tuple[tuple[float, float], ...]
    prelabels: tuple[tuple[float, float], ...]

    def to_record(self) -> dict[str, Any]:
        """JSON values, without text."""
        return {
            **{"round": self.number, "gold_words": self.gold_words},
            **{"notes": self.notes, "words": self.words},
            "control": [list(row) for row in self.control],
            "prelabels": [list(row) for row in self.prelabels],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Round:
        """What ``to_record`` gave; KeyError, TypeError or ValueError if it is none."""
        control, prelabels = (
            tuple((float(part), float(whole)) for part, whole in record[name])
            for name in ("control", "prelabels")
        )
        return cls(
            number=int(record["round"]),
            gold_words=int(record["gold_words"]),
            notes=int(record["notes"]),
            words=int(record["words"]),
            control=control,
            prelabels=prelabels,
        )


@dataclass(frozen=True, slots=True)
class Outlook:
    """What another round is expected to bring, in points of F1; None where it cannot be told."""

    sentence: str
    gain: float | None = None
    interval: tuple[float, float] | None = None


def outlook(rounds: Sequence[Round], *, seed: int = 13) -> Outlook:
    """What another round of the size of the last would bring, by the control notes of all rounds.

    It can be told from two rounds on that have ``FEWEST_CONTROLS`` control notes each, and unless
    the interval holds both no gain at all and one worth having (``rules.WORTHWHILE``).
    """
    rounds = sorted(rounds, key=lambda each: each.number)
    scored = [each for each in rounds if _n_scored(each) >= FEWEST_CONTROLS and each.gold_words]
    if len({each.gold_words for each in scored}) < 2:
        n = len(scored)
        return Outlook(
            "What another round would bring cannot be told yet: it takes two rounds with "
            f"{FEWEST_CONTROLS} control notes or more that hold a mention, and there "
            f"{'is' if n == 1 else 'are'} {n}."
        )
    last = rounds[-1]
    now = last.gold_words + last.words
    ahead = math.log((now + last.words) / now)
    x = np.log([each.gold_words for each in scored])
    tables = [np.array([row for row in each.control if row[1]]) for each in scored]
    weights = np.array([table[:, 1].sum() for table in tables])
    f1 = np.array([table[:, 0].sum() / table[:, 1].sum() for table in tables])
    gain = 100 * ahead * float(_slope(x, f1[:, None], weights)[0])
    again = np.array([_resampled(table, seed + i) for i, table in enumerate(tables)])
    found = 100 * ahead * np.quantile(_slope(x, again, weights), _tails())
    low, high = (float(value) for value in found)
    said = f"{gain:+.1f} points of F1 [{low:+.1f}, {high:+.1f}]"
    size = f"Another round of {last.notes:,} notes ({last.words:,} words)"
    if high < WORTHWHILE:
        what = f"{size} is expected to bring {said}, less than a gain worth having: stop."
    elif low > 0:
        what = f"{size} is expected to bring about {said}."
    else:
        return Outlook(
            f"What another round would bring cannot be told yet: {said}; more control notes would "
            "narrow it.",
            gain,
            (low, high),
        )
    return Outlook(what, gain, (low, high))


def _n_scored(each: Round) -> int:
    return sum(bool(whole) for _, whole in each.control)


def _slope(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Slopes of the weighted least squares lines through the columns of ``y`` over ``x``."""
    share = weights / weights.sum()
    centred = x - share @ x
    slope: NDArray[np.float64] = (share * centred) @ (y - share @ y) / (share @ centred**2)
    return slope


def _resampled(counts: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Ratios of the two columns' sums over notes drawn with replacement."""
    n = len(counts)
    drawn = np.random.default_rng(seed).multinomial(n, [1 / n] * n, size=_RESAMPLES)
    part, whole = (drawn @ counts).T
    ratios: NDArray[np.float64] = part / whole
    return ratios


def _tails() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
