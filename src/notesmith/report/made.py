"""Made text by size and generator: means over replicates of what was asked, dropped and kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from notesmith.results import MadeText, Results


@dataclass(frozen=True, slots=True)
class MadeMeans:
    """What one generator made at one size, as means over replicates; None where nobody counted."""

    size: int
    source: str
    n_replicates: int
    asked: float
    kept: float
    dropped: Mapping[str, float]
    tokens: float
    seconds: float
    new_names: float | None
    unseen_covered: float | None
    unseen_proposed: float | None


def made_means(results: Results) -> list[MadeMeans]:
    """The made text of a run, by size and source."""
    groups: dict[tuple[int, str], list[MadeText]] = {}
    for made in results.made:
        groups.setdefault((made.size, made.source), []).append(made)
    return [_means(members) for _, members in sorted(groups.items())]


def _means(members: list[MadeText]) -> MadeMeans:
    dropped: Counter[str] = Counter()
    for made in members:
        dropped.update(made.dropped)
    n = len(members)
    return MadeMeans(
        size=members[0].size,
        source=members[0].source,
        n_replicates=n,
        asked=sum(made.asked for made in members) / n,
        kept=sum(made.kept for made in members) / n,
        dropped={reason: found / n for reason, found in dropped.most_common()},
        tokens=sum(made.tokens for made in members) / n,
        seconds=sum(made.seconds for made in members) / n,
        new_names=mean(made.new_names for made in members),
        unseen_covered=mean(made.unseen_test_mentions_covered for made in members),
        unseen_proposed=mean(made.unseen_test_mentions_proposed for made in members),
    )


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
