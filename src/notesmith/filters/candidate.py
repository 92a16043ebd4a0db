"""The values that filters take and give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from notesmith.document import Document
from notesmith.markup import Fault
from notesmith.overlap import Match


@dataclass(frozen=True, slots=True)
class Candidate:
    """One made text before it is judged.

    ``marked`` is what the model wrote, marks included; ``result`` what the parser made of it;
    ``requested`` the (label, mention) pairs that were asked for, ``missing`` how many of them the
    text lacks; ``ended`` is False where the token budget ran out. ``requested_attributes`` are
    those asked for of each requested mention, or empty; ``missing_attributes`` counts the ones that
    no such mention in the text carries.
    """

    id: str
    marked: str
    result: Document | Fault
    ended: bool = True
    requested: tuple[tuple[str, str], ...] = ()
    missing: int = 0
    requested_attributes: tuple[tuple[str, ...], ...] = ()
    missing_attributes: int = 0


@dataclass(frozen=True, slots=True)
class Dropped:
    """A candidate and why it was dropped.

    Where it repeats another text, ``match`` is that text's id (of gold, of made text; no id of a
    held-out document is known) and ``likeness``, 0 to 1, their Jaccard similarity or the share of
    this one that stands there. Both are None for other reasons.
    """

    candidate: Candidate
    reason: str
    match: str | None = None
    likeness: float | None = None

    @classmethod
    def of(cls, candidate: Candidate, reason: str, match: Match | None) -> Dropped:
        """With what it repeats, if anything."""
        return cls(candidate, reason, *((match.key, match.likeness) if match else ()))


@dataclass(frozen=True, slots=True)
class FilterResult:
    """Both halves of a filter's work."""

    kept: tuple[Document, ...]
    dropped: tuple[Dropped, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, kept: list[Document], dropped: list[Dropped]) -> FilterResult:
        """Count reasons, most frequent first; ``kept`` is counted too."""
        reasons = Counter(d.reason for d in dropped)
        return cls(tuple(kept), tuple(dropped), {"kept": len(kept), **dict(reasons.most_common())})
