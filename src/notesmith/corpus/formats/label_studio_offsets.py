r"""How a Label Studio export counts its offsets, told by what fits.

The frontend counts code points since 1.4 (2022) and UTF-16 units before; it shows ``\r\n`` as two
line ends, other programs that make annotations count it as one. A region with its text
(``value.text``) tells the way of counting by where that text stands; where it stands at both
places and no other region tells, code points are meant. One without its text tells it where only
one way ends inside the text and outside of a surrogate pair. ``value.text`` is the text as
displayed: a line end is a backslash and an ``n``, runs of spaces may be one.
Sources: HumanSignal/label-studio, ``web/libs/editor/src/utils/selection-tools.js``
(``charsToCodePoints``) and ``web/libs/editor/src/tags/object/Text.js`` (``\r\n`` is two symbols).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from notesmith.corpus.formats.json_values import offsets
from notesmith.document import Span

_DISPLAYED = re.compile(r"\\n|\s+")
_UNEVEN = re.compile("[\U00010000-\U0010ffff]|\r(?=\n)")


@dataclass(frozen=True, slots=True)
class Count:
    r"""A way to count: UTF-16 units or code points, ``\r\n`` as one character or as two."""

    utf16: bool = False
    crlf_is_one: bool = False


COUNTS = tuple(Count(utf16, one) for utf16 in (False, True) for one in (False, True))

Readings = Mapping[Count, Span]
"""The stretch of a text that a region means in each way of counting that fits."""


def readings(text: str, value: Mapping[str, Any]) -> Readings:
    """The stretches of ``text`` that a region's ``value`` may mean; none if it fits nowhere.

    Raises:
        CorpusError: an offset is absent or no whole number.
    """
    start, end = offsets(value)
    expected = written(value)
    found: dict[Count, Span] = {}
    for count in COUNTS:
        first, last = _point(text, start, count), _point(text, end, count)
        if first is not None and last is not None and 0 <= first < last <= len(text):
            found[count] = first, last
    if expected is None or not found:
        return found
    texts = {span: text[slice(*span)] for span in set(found.values())}
    exact = {span for span, each in texts.items() if expected in (each, as_exported(each))}
    near = exact or {span for span, each in texts.items() if _bare(each) == _bare(expected)}
    return {count: span for count, span in found.items() if span in near}


def agreed(all_readings: Iterable[Readings]) -> frozenset[Count]:
    """The ways of counting that every region which tells them apart allows; all if none tells."""
    left = set(COUNTS)
    for each in all_readings:
        if each:
            left &= each.keys()
    return frozenset(left)


def meant(found: Readings, ways: frozenset[Count], *, has_text: bool) -> Span | None:
    r"""The one stretch that a region means, by itself or as its file counts (``ways``).

    Where nothing tells how ``\r\n`` is counted, it is two characters, as in Label Studio's editor.
    A region with its text (``has_text``) counts code points where nothing tells, as today's
    editor does; one without is left undecided, since it may come from any program.
    """
    if len(set(found.values())) > 1:
        found = {count: span for count, span in found.items() if count in ways}
        found = {c: span for c, span in found.items() if not c.crlf_is_one} or found
        if has_text:
            found = {c: span for c, span in found.items() if not c.utf16} or found
    spans = set(found.values())
    return spans.pop() if len(spans) == 1 else None


def written(value: Mapping[str, Any]) -> str | None:
    """The text that a region holds, if it does."""
    text = value.get("text")
    return text if isinstance(text, str) else None


def as_exported(found: str) -> str:
    """A stretch of text as Label Studio writes it into a region."""
    return re.sub(r"[\r\n]", r"\\n", found)


def _bare(text: str) -> str:
    return _DISPLAYED.sub("", text)


def _point(text: str, offset: int, count: Count) -> int | None:
    """The offset in code points of one in ``count``; None inside of a surrogate pair."""
    steps, before, splits = _steps(text, count)
    return None if offset in splits else offset + before[bisect_right(steps, offset)]


@lru_cache(maxsize=16)
def _steps(text: str, count: Count) -> tuple[list[int], list[int], frozenset[int]]:
    """The counted offsets from which on another difference holds, the differences, and the splits.

    The difference is what to add to a counted offset; the first holds before the first step.
    """
    steps, before, splits = [], [0], set()
    for match in _UNEVEN.finditer(text):
        at = match.start() - before[-1]
        if match[0] != "\r" and count.utf16:
            steps.append(at + 2)
            before.append(before[-1] - 1)
            splits.add(at + 1)
        elif match[0] == "\r" and count.crlf_is_one:
            # The offset of the line end is that of its carriage return.
            steps.append(at + 1)
            before.append(before[-1] + 1)
    return steps, before, frozenset(splits)
