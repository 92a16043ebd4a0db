"""Where a mention that cannot be read may stand: what to mask, for it is unknown and not absent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from notesmith.document import Entity, Span


@dataclass(frozen=True, slots=True)
class Unread:
    """A mention that could not be read: its offsets and its text, as far as they are known."""

    spans: tuple[Span, ...] = ()
    written: str = ""


def masks(
    text: str, unread: Iterable[Unread], entities: Sequence[Entity], *, any_case: bool = False
) -> tuple[Span, ...] | None:
    """Ranges of ``text`` where the mentions ``unread`` may stand, sorted and disjoint.

    They are the offsets of each, and every place where its text stands and none of the
    ``entities`` that could be read; white space may differ, and ``any_case`` too. None if one of
    them may stand anywhere.
    """
    known = [span for ent in entities for span in ent.spans]
    found: list[Span] = []
    for mention in unread:
        spans = [(start, min(end, len(text))) for start, end in mention.spans]
        places = [(start, end) for start, end in spans if 0 <= start < end]
        places += [
            (start, end)
            for start, end in _places(text, mention.written, re.IGNORECASE if any_case else 0)
            if not any(start < e and s < end for s, e in known)
        ]
        if not places:
            return None
        found += places
    return joined(found)


def _places(text: str, written: str, flags: int) -> list[Span]:
    words = written.split()
    if not words:
        return []
    pattern = r"\s+".join(map(re.escape, words))
    # Latin words stand alone; scripts without spaces have no such borders.
    before = r"(?<![A-Za-z0-9])" if re.match(r"[A-Za-z0-9]", words[0]) else ""
    after = r"(?![A-Za-z0-9])" if re.search(r"[A-Za-z0-9]\Z", words[-1]) else ""
    return [match.span() for match in re.finditer(before + pattern + after, text, flags)]


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """``spans`` sorted, those that overlap or touch as one."""
    runs: list[Span] = []
    for start, end in sorted(spans):
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return tuple(runs)
