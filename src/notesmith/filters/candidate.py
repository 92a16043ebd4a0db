"""The values that filters take and give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from notesmith.document import Document
from notesmith.markup import Fault


@dataclass(frozen=True, slots=True)
class Candidate:
    """One made text before it is judged.

    ``marked`` is what the model wrote, marks included; ``result`` what the parser made of it;
    ``requested`` the (label, mention) pairs that were asked for, ``missing`` how many of them the
    text lacks; ``ended`` is False where the token budget ran out.
    """

    id: str
    marked: str
    result: Document | Fault
    ended: bool = True
    requested: tuple[tuple[str, str], ...] = ()
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Dropped:
    """A candidate and why it was dropped."""

    candidate: Candidate
    reason: str


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
