"""What a reader does with a bad record: stop with one line, or drop it and count it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from notesmith.errors import CorpusError
from notesmith.files.read import raw_lines, read_bytes

OnProblem = Literal["raise", "count"]


@dataclass(slots=True)
class Tally:
    """Counts of what reading collapsed, folded or dropped.

    ``counts`` is part of the result. ``note`` is for what is harmless and worth knowing,
    ``drop`` for a record that is wrong: it raises unless ``on_problem`` is ``count``. ``mask`` does
    the same for a mention that cannot be read in a document that can: the caller then masks its
    stretch, for the mention is unknown, not absent. ``encoding`` is that of text files.
    """

    on_problem: OnProblem = "raise"
    encoding: str = "utf-8"
    counts: Counter[str] = field(default_factory=Counter)
    raised: CorpusError | None = None

    def note(self, what: str, n: int = 1) -> None:
        """Count something that needs no decision."""
        if n:
            self.counts[what] += n

    def drop(self, what: str, error: CorpusError) -> None:
        """Raise ``error``, or count ``what`` as dropped."""
        if self.on_problem == "raise":
            self.raised = error
            raise error
        self.counts[f"dropped: {what}"] += 1

    def mask(self, what: str, error: CorpusError) -> None:
        """Raise ``error``, or count ``what`` as masked: the caller masks the stretch."""
        if self.on_problem == "raise":
            self.raised = error
            raise error
        self.counts[f"masked: {what}"] += 1

    @contextmanager
    def dropping(self, what: str, where: str) -> Iterator[None]:
        """Treat a ``CorpusError`` of the block as ``drop`` does, with ``where`` before it."""
        try:
            yield
        except CorpusError as error:
            if error is self.raised:  # An inner block has said where already.
                raise
            self.drop(what, type(error)(f"{where}: {error}"))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file without its line end; ``text`` is None where it is not UTF-8.

    ``ended`` is False for a last line without a line end.
    """

    number: int
    text: str | None
    ended: bool = True


def read_text(path: Path, tally: Tally) -> str | None:
    """Read a whole UTF-8 file, line ends as they are; None if it was dropped."""
    data = read_bytes(path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        tally.drop("file that is not UTF-8", _not_utf8(path, line, error))
        return None


def read_lines(path: Path, tally: Tally) -> list[Line]:
    """All lines of a UTF-8 file; see ``iter_lines``."""
    return list(iter_lines(path, tally))


def iter_lines(path: Path, tally: Tally, *, whole: bool = True) -> Iterator[Line]:
    r"""Lines of a UTF-8 file, one after another; only ``\n`` and ``\r\n`` end one.

    A first BOM is skipped; a name that ends in ``.gz`` or ``.xz`` is a compressed file. A line that
    is not UTF-8 raises, or stands as None for the caller to drop with its record. ``whole`` is
    False for a caller that keeps none of them: the file may then be of any size.
    """
    for number, data in enumerate(raw_lines(path, whole=whole), 1):
        ended = data.endswith(b"\n")
        data = data.removesuffix(b"\n").removesuffix(b"\r")
        try:
            text: str | None = data.decode("utf-8")
        except UnicodeDecodeError as error:
            tally.drop("line that is not UTF-8", _not_utf8(path, number, error))
            text = None
        yield Line(number, text, ended)


def _not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> CorpusError:
    return CorpusError(
        f"{path}:{line}: byte {error.start} is not UTF-8; convert the file to UTF-8 first"
    )
