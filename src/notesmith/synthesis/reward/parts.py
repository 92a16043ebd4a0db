"""The arithmetic of each part: pure functions on plain values, each with a result from 0 to 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from notesmith.document import Document, Entity, Span
from notesmith.filters.rules import asked_and_marked
from notesmith.metrics import PRFScore

# What is asked for is told to the generator in steps, and short units vary: corners as multiples
# of the request, the part being 1 between the inner two and 0 outside the outer two.
DENSITY_CORNERS = (0.0, 0.75, 1.25, 2.5)
LENGTH_CORNERS = (0.3, 0.7, 1.5, 3.0)
# Narrowest slope of the fluency band, in natural-log units a token.
MIN_SLOPE = 0.25


@dataclass(frozen=True, slots=True)
class Mark:
    """A mention as a comparable value: its ranges and its label."""

    spans: tuple[Span, ...]
    label: str

    @classmethod
    def of(cls, ent: Entity) -> Mark:
        """The ranges and label of ``ent``."""
        return cls(ent.spans, ent.label)

    def touches(self, other: Mark) -> bool:
        """Whether the two share a code point."""
        return any(s < e2 and s2 < e for s, e in self.spans for s2, e2 in other.spans)


def trapezoid(value: float, corners: tuple[float, float, float, float]) -> float:
    """0 at the outer ``corners`` and beyond, 1 between the inner two, straight between."""
    zero_below, low, high, zero_above = corners
    if low <= value <= high:
        return 1.0
    if value <= zero_below or value >= zero_above:
        return 0.0
    if value < low:
        return (value - zero_below) / (low - zero_below)
    return (zero_above - value) / (zero_above - high)


def votes_of(members: Sequence[Document]) -> dict[Mark, float]:
    """Share of the committee's members that find each mark exactly; ``members`` label one text."""
    counts = Counter(mark for doc in members for mark in {Mark.of(e) for e in doc.entities})
    return {mark: n / len(members) for mark, n in counts.items()}


def agreement_counts(
    unasked: Collection[Mark],
    settled: Collection[Mark],
    votes: Mapping[Mark, float],
    n_repeated: int = 0,
) -> PRFScore:
    """Compare the marks that nobody asked for with what a committee finds.

    Args:
        unasked: marks that neither a request nor an approved name explains.
        settled: marks that one of them does explain, or ranges whose label is unknown. The
            committee has no say there: what it finds that touches one of these is not counted.
        votes: share of members that find each mark exactly.
        n_repeated: mentions of requested names beyond those asked for. The committee would find
            each of them: to name the disease thrice is the cheapest text that obeys.

    Returns:
        tp: unasked marks that more than half of the members find; fp: the other unasked marks, and
        the repeated ones;
        fn: marks that all members find, that touch nothing settled, and that the text leaves out.
    """
    marks = set(unasked)
    tp = sum(votes.get(mark, 0.0) > 0.5 for mark in marks)
    missed = sum(
        share == 1.0 and mark not in marks and not any(mark.touches(s) for s in settled)
        for mark, share in votes.items()
    )
    return PRFScore(tp, len(marks) - tp + n_repeated, missed)


def agreement(counts: PRFScore, cap: float) -> float:
    """F1 of ``counts`` with half a span agreed on beforehand, up to ``cap``, over ``cap``.

    (2 tp + 1) / (2 tp + 1 + fp + fn). A sentence has no, one or two such spans, where plain F1 is
    all or nothing and one slip costs as much as ten. Above ``cap`` more agreement is worth no
    more. Where neither side has anything, nothing is disputed and the value is 1: less would pay
    for marks that nobody asked for.
    """
    agreed = 2 * counts.tp + 1
    f1 = agreed / (agreed + counts.fp + counts.fn)
    return min(f1, cap) / cap if cap else 1.0


def n_unmarked(doc: Document, wanted: Sequence[tuple[str, str]]) -> int:
    """How many of the (label, mention) pairs ``wanted`` stand unmarked in ``doc``, or nowhere.

    A mention that is wanted twice must be marked twice. ``doc`` has the marks as written.
    """
    asked, marked = asked_and_marked(doc, wanted)
    return (asked - marked).total()


def coverage(n_missing: int, n_wanted: int) -> float:
    """Share of the requested mentions that are marked; 1 where none was requested."""
    return 1 - n_missing / n_wanted if n_wanted else 1.0


def density(
    n_mentions: int,
    n_words: int,
    *,
    wanted_mentions: int,
    wanted_words: int,
    usual: float,
) -> float:
    """Mentions a word against what was asked, times the same for the length.

    Args:
        n_mentions: mentions in the text, those that nobody asked for included.
        n_words: white-space words of the text.
        wanted_mentions: mentions that were asked for.
        wanted_words: words that were asked for, at least 1.
        usual: gold's mentions a word, over units that have any: what a text earns nothing at
            where no mention was asked for.
    """
    if not n_words:
        return 0.0
    # Without the length, a text of one easy clause would do as well as one of the length asked.
    length = trapezoid(n_words / wanted_words, LENGTH_CORNERS)
    have = n_mentions / n_words
    if wanted_mentions:
        return length * trapezoid(have * wanted_words / wanted_mentions, DENSITY_CORNERS)
    if not n_mentions:
        return length
    return length * max(0.0, 1 - have / usual) if usual else 0.0


def fluency_corners(
    of_gold: Sequence[float], quantiles: tuple[float, float]
) -> tuple[float, float, float, float]:
    """The band of gold's mean log-probabilities a token, with a slope of half its width.

    The upper end of the band's slope is no higher than 0, the log-probability of certainty.
    """
    low, high = (float(q) for q in np.quantile(of_gold, sorted(quantiles)))
    slope = max(MIN_SLOPE, (high - low) / 2)
    return (low - slope, low, high, max(high, min(0.0, high + slope)))


def scaled(value: float, weight: float) -> float:
    """A factor from ``1 - weight`` (at value 0) to 1 (at value 1)."""
    return (1 - weight) + weight * value


def weighted_mean(parts: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Σ w·part / Σ w over the names in ``weights``, whose sum must not be 0."""
    return sum(w * parts[name] for name, w in weights.items()) / sum(weights.values())
