r"""What the offsets of a brat file count.

notesmith counts code points, ``\r\n`` as two of them, without a byte order mark. Files that came
through other systems count ``\r\n`` as one, bytes, UTF-16 units, or the byte order mark. The texts
of the mentions in the ``.ann`` file show which.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from notesmith.corpus.problems import Tally, read_text
from notesmith.document import Span
from notesmith.files.read import read_head

_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class NoteText:
    """The text of a ``.txt`` file without its byte order mark, and how the file held it."""

    text: str
    encoding: str
    marked: bool


@dataclass(frozen=True, slots=True)
class Written:
    """A mention as its line gives it: offsets in the order of the line, and its text."""

    spans: tuple[Span, ...]
    text: str

    def placed(self, text: str, spans: Sequence[Span]) -> tuple[Span, ...] | None:
        """``spans`` as they stand or sorted, where they give this mention's text; None if neither.

        White space may differ.
        """
        if any(not start <= end <= len(text) for start, end in spans):
            return None
        said = "".join(self.text.split())
        for order in (tuple(spans), tuple(sorted(spans))):
            if said == "".join("".join(text[start:end] for start, end in order).split()):
                return order
        return None


@dataclass(frozen=True, slots=True)
class Counting:
    """What offsets count; ``positions`` gives the index in the text by offset (None: the same)."""

    name: str = ""
    positions: Mapping[int, int] | None = None

    def spans(self, spans: Sequence[Span]) -> tuple[Span, ...] | None:
        """``spans`` as indices of the text; None where an offset falls inside a character."""
        if self.positions is None:
            return tuple(spans)
        at = self.positions.get
        found = [(at(start), at(end)) for start, end in spans]
        known = tuple((s, e) for s, e in found if s is not None and e is not None)
        return known if len(known) == len(found) else None


def read_note(path: Path, tally: Tally) -> NoteText | None:
    """The text of a note; None if it was dropped."""
    head = read_head(path, 3)
    text = read_text(path, tally)
    if text is None:
        return None
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return NoteText(text.removeprefix(_BOM), "utf-16-le", marked=True)
    if head.startswith(codecs.BOM_UTF8):
        return NoteText(text.removeprefix(_BOM), "utf-8", marked=True)
    return NoteText(text, tally.encoding, marked=False)


def counting(note: NoteText, mentions: Sequence[Written]) -> Counting:
    """What the offsets of ``mentions`` count.

    It is the plain way unless another one fits more mentions, more than half of all, and is the
    only one that does.
    """
    plain = Counting()
    n_plain = _n_fitting(note, mentions, plain)
    if n_plain == len(mentions):
        return plain
    fits = [(_n_fitting(note, mentions, way), way) for way in _ways(note)]
    best = max((n for n, _ in fits), default=0)
    if best <= n_plain or 2 * best <= len(mentions):
        return plain
    found = {tuple(way.spans(m.spans) for m in mentions): way for n, way in fits if n == best}
    return next(iter(found.values())) if len(found) == 1 else plain


def _n_fitting(note: NoteText, mentions: Sequence[Written], way: Counting) -> int:
    n = 0
    for mention in mentions:
        spans = way.spans(mention.spans)
        n += spans is not None and mention.placed(note.text, spans) is not None
    return n


def has_other_ways(note: NoteText) -> bool:
    """Whether offsets of this text could count something else."""
    return note.marked or not note.text.isascii() or "\r\n" in note.text


def _ways(note: NoteText) -> Iterator[Counting]:
    """The other ways of counting that differ from the plain one in this text."""

    def n_bytes(unit: str) -> int:
        return len(unit.encode(note.encoding, errors="replace"))

    one, each = r"\r\n|[\s\S]", r"[\s\S]"
    units: list[tuple[str, str, Callable[[str], int]]] = [("", each, len)]
    if "\r\n" in note.text:
        units.append((r"\r\n as one character", one, lambda unit: 1))
    if not note.text.isascii():
        units.append(("bytes", each, n_bytes))
        units.append(("UTF-16 units", each, lambda unit: len(unit.encode("utf-16-le")) // 2))
    for name, pattern, width in units:
        if name:
            yield Counting(name, _positions(note.text, pattern, width, 0))
        if note.marked:
            names = f"{name} and the byte order mark" if name else "the byte order mark"
            yield Counting(names, _positions(note.text, pattern, width, width(_BOM)))


def _positions(text: str, pattern: str, width: Callable[[str], int], first: int) -> dict[int, int]:
    found: dict[int, int] = {}
    at = first
    for match in re.finditer(pattern, text):
        found[at] = match.start()
        at += width(match.group())
    found[at] = len(text)
    return found
