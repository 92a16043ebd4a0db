"""Put the text of a BioC document together, and find where offsets point in it.

Each passage or sentence has an offset of its own, and those of annotations count from the same
place. The format counts bytes, most programs count characters, some UTF-16 units; some begin anew
in each passage. Between two passages as many characters are filled in as the offsets leave out: a
space for one, line ends for more.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from notesmith.document import Span

Unit = Literal["code points", "bytes of UTF-8", "units of UTF-16"]
UNITS: tuple[Unit, ...] = ("code points", "bytes of UTF-8", "units of UTF-16")
_LONGEST_GAP = 1000
_ELLIPSIS = re.compile(r"\s*\[?(?:\.\.\.|…)\]?\s*")


@dataclass(frozen=True, slots=True)
class Piece:
    """A text of the file and its offset there."""

    offset: int
    text: str


@dataclass(frozen=True, slots=True)
class Way:
    """How a file counts: in which unit, and from the document's beginning or the passage's."""

    unit: Unit = UNITS[0]
    is_relative: bool = False


WAYS = tuple(Way(unit, is_relative) for is_relative in (False, True) for unit in UNITS)


@dataclass(slots=True)
class Layout:
    """The text of one document in one unit, and where its pieces begin in it."""

    pieces: Sequence[Piece]
    unit: Unit
    text: str = ""
    starts: list[int] = field(default_factory=list)
    n_overlaps: int = 0
    n_shortened: int = 0
    borders: list[Sequence[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts: list[str] = []
        length, end = 0, self.pieces[0].offset if self.pieces else 0
        for piece in self.pieces:
            gap = piece.offset - end
            self.n_overlaps += gap < 0
            self.n_shortened += gap > _LONGEST_GAP
            filler = " " if gap == 1 else "\n" * min(abs(gap), _LONGEST_GAP if gap > 0 else 1)
            self.borders.append(_borders(piece.text, self.unit))
            self.starts.append(length + len(filler))
            parts += [filler, piece.text]
            length += len(filler) + len(piece.text)
            end = piece.offset + self.borders[-1][-1]
        self.text = "".join(parts)

    def span(self, start: int, end: int, own: Sequence[int]) -> Span | None:
        """The half-open range from ``start`` to ``end`` of the file, in code points of the text.

        The pieces ``own`` are looked in first. None: one of the two is in no piece, or inside a
        character.
        """
        for among in (own, range(len(self.pieces))):
            first = self._find(start, among, is_end=False)
            last = self._find(end, among, is_end=True)
            if first is not None and last is not None and first < last:
                return first, last
        return None

    def _find(self, offset: int, among: Iterable[int], *, is_end: bool) -> int | None:
        for i in among:
            at = offset - self.pieces[i].offset
            borders = self.borders[i]
            if is_end <= at <= borders[-1] - (not is_end):
                inner = bisect_left(borders, at)
                return self.starts[i] + inner if borders[inner] == at else None
        return None


def _borders(text: str, unit: Unit) -> Sequence[int]:
    """Where each character begins in ``unit``, and where the last one ends."""
    if unit == "code points" or text.isascii():
        return range(len(text) + 1)
    if unit == "bytes of UTF-8":
        widths = [len(char.encode("utf-8", "surrogatepass")) for char in text]
    else:
        widths = [1 + (ord(char) > 0xFFFF) for char in text]
    return list(accumulate(widths, initial=0))


def agree(found: Sequence[str], whole: str, written: str) -> bool:
    """Whether an annotation's text is that at its locations; runs of white space are as one space.

    Args:
        found: the text at each location.
        whole: the text from the first location to the last.
        written: the text in the file, which may be either, or have ``...`` between locations.
    """
    joined = spaced(" ".join(found))
    if spaced(written) in (joined, spaced("".join(found)), spaced(whole)):
        return True
    return len(found) > 1 and spaced(_ELLIPSIS.sub(" ", written)) == joined


def differs_in_space(found: Sequence[str], written: str) -> bool:
    """Whether an annotation's text is that at its locations, but for any white space."""
    return "".join("".join(found).split()) == "".join(written.split())


def is_spelt_in_ascii(found: str, written: str) -> bool:
    """Whether ``written`` is ``found`` but for letters beyond ASCII, as PubTator spells TNF-α."""
    pairs = list(zip(found, written, strict=False))
    return (
        len(found) == len(written)
        and all(a == b or not a.isascii() for a, b in pairs)
        and any(a == b for a, b in pairs)
    )


def spaced(string: str) -> str:
    """``string`` with one space for each run of white space."""
    return re.sub(r"\s+", " ", string)
