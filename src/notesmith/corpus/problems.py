"""What a reader does with a bad record: stop with one line, or drop it and count it."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from notesmith.config.corpus import ReadingConfig
from notesmith.errors import ConfigError, CorpusError
from notesmith.files.read import raw_lines, read_bytes

OnProblem = Literal["raise", "count"]

# UTF-32 first: its mark begins with that of UTF-16.
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BOM = "\ufeff"


@dataclass(slots=True)
class Tally:
    """Counts of what reading collapsed, folded or dropped.

    ``counts`` is part of the result. ``note`` is for what is harmless and worth knowing,
    ``drop`` for a record that is wrong: it raises unless ``on_problem`` is ``count``. ``mask`` does
    the same for a mention that cannot be read in a document that can: the caller then masks its
    stretch, for the mention is unknown, not absent. ``encoding`` is that of text files without a
    byte order mark; ``has_option`` says that the user can name another.
    """

    on_problem: OnProblem = "raise"
    encoding: str = "utf-8"
    has_option: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    raised: CorpusError | None = None

    @classmethod
    def of(cls, options: ReadingConfig) -> Tally:
        """A tally that treats problems and decodes text files as ``options`` say.

        Raises:
            ConfigError: Python knows no such encoding of text.
        """
        try:
            "\n".encode(options.encoding)
        except (LookupError, ValueError) as error:
            raise ConfigError(
                f"encoding {options.encoding!r} is not known; name one such as cp1252 or utf-16-le"
            ) from error
        return cls(options.on_problem, options.encoding, has_option=True)

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
    """A line of a file without its line end; ``text`` is None where it cannot be decoded.

    ``ended`` is False for a last line without a line end.
    """

    number: int
    text: str | None
    ended: bool = True


def encoding_of(data: bytes, named: str) -> str:
    """The encoding that the byte order mark of ``data`` tells; ``named`` where there is none."""
    return next((encoding for bom, encoding in _BOMS if data.startswith(bom)), named)


def read_text(path: Path, tally: Tally) -> str | None:
    """Read a whole text file, line ends as they are; None if it was dropped.

    The encoding is that of its byte order mark, else that of the tally. The mark of UTF-8 stays as
    the first character, because tools differ in whether their offsets count it.
    """
    data = read_bytes(path)
    encoding = encoding_of(data, tally.encoding)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        tally.drop(f"file that is not {_name(encoding)}", _undecodable(path, line, error, tally))
        return None
    if _name(encoding) != "UTF-8" and encoding == tally.encoding and not data.isascii():
        tally.note(f"files read as {encoding} that could also be UTF-8", _is_utf8(data))
    return text


def read_lines(path: Path, tally: Tally) -> list[Line]:
    """All lines of a text file; see ``iter_lines``."""
    return list(iter_lines(path, tally))


def iter_lines(path: Path, tally: Tally, *, whole: bool = True) -> Iterator[Line]:
    r"""Lines of a text file, one after another; only ``\n`` and ``\r\n`` end one.

    The encoding is that of the file's byte order mark, else that of the tally; the mark is skipped.
    A name that ends in ``.gz`` or ``.xz`` is a compressed file. A line that cannot be decoded
    raises, or stands as None for the caller to drop with its record. ``whole`` is False for a
    caller that keeps none of them: the file may then be of any size.
    """
    encoding, is_wide = tally.encoding, False
    pieces: list[bytes] = []
    for number, data in enumerate(raw_lines(path, whole=whole), 1):
        if number == 1:
            encoding = encoding_of(data, tally.encoding)
            data = data.removeprefix(codecs.BOM_UTF8)
            is_wide = "\n".encode(encoding) != b"\n"
            if not data:
                continue
        if is_wide:
            pieces.append(data)
            continue
        ended = data.endswith(b"\n")
        data = data.removesuffix(b"\n").removesuffix(b"\r")
        try:
            text: str | None = data.decode(encoding)
        except UnicodeDecodeError as error:
            what = f"line that is not {_name(encoding)}"
            tally.drop(what, _undecodable(path, number, error, tally))
            text = None
        yield Line(number, text, ended)
    if is_wide:
        yield from _wide_lines(path, b"".join(pieces), encoding, tally)


def _wide_lines(path: Path, data: bytes, encoding: str, tally: Tally) -> Iterator[Line]:
    """Lines of an encoding whose line end is not the one byte that ends a line elsewhere."""
    try:
        lines = data.decode(encoding).removeprefix(_BOM).split("\n")
    except UnicodeDecodeError as error:
        tally.drop(f"file that is not {_name(encoding)}", _undecodable(path, 1, error, tally))
        return
    last = lines.pop()
    for number, text in enumerate(lines, 1):
        yield Line(number, text.removesuffix("\r"))
    if last:
        yield Line(len(lines) + 1, last.removesuffix("\r"), ended=False)


def _name(encoding: str) -> str:
    """``UTF-8`` however it is written, other encodings as they are named."""
    return "UTF-8" if codecs.lookup(encoding).name == "utf-8" else encoding


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _undecodable(path: Path, line: int, error: UnicodeDecodeError, tally: Tally) -> CorpusError:
    remedy = "convert the file to UTF-8 first"
    if tally.has_option:
        remedy = "name its encoding, such as --encoding cp1252 (corpus.encoding in a recipe)"
    return CorpusError(
        f"{path}:{line}: byte {error.start} is not {_name(error.encoding)}; {remedy}"
    )
