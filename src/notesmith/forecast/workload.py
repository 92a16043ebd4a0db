"""How long an amount of work takes at given speeds: arithmetic, no measuring.

The amounts come from the stages and are those of an average draw. Early stopping, cells of equal
work and what the filters drop make a run a little quicker than what stands here.
"""

from __future__ import annotations

from collections.abc import Iterable

from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.graph import Cell
from notesmith.forecast.speeds import Speeds


def seconds_of(amount: Amount, speeds: Speeds) -> float | None:
    """Seconds that ``amount`` takes; None where a speed it needs is unknown."""
    total = amount.seconds
    if amount.lms:
        if (lm := speeds.lm) is None:
            return None
        words = amount.sampled / lm.sampled + amount.trained / lm.trained
        total += words * lm.tokens_per_word + amount.scored / lm.scored + amount.lms * lm.load
    if amount.students:
        if (student := speeds.student) is None:
            return None
        words = amount.learnt / student.trained + amount.read / student.read
        total += words * student.pieces_per_word + amount.students * student.load
    return total


def total_seconds(cells: Iterable[Cell], facts: CorpusStats, speeds: Speeds) -> float | None:
    """Seconds that ``cells`` and all below them take; None where a speed is unknown."""
    unique = {cell.key: cell for target in cells for cell in target.walk()}
    times = [seconds_of(cell.amount(facts), speeds) for cell in unique.values()]
    return None if None in times else sum(t for t in times if t is not None)
