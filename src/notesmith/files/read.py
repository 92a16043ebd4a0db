"""The one place where a file of a corpus is opened, and where its size is bounded.

Only regular files are read: a pipe would block and a device never ends. No header is believed:
bytes are counted while they come, unpacked ones too. The environment variable
``NOTESMITH_READ_MIB`` sets another limit for files that are read whole and for what a packed file
may hold.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from notesmith.errors import ConfigError, CorpusError

MIB = 1 << 20
VARIABLE = "NOTESMITH_READ_MIB"
READ_MIB = 1024
"""MiB of a file that is read whole, or of what it unpacks to."""
UNPACKED_FLOOR = 4 * MIB
UNPACKED_RATIO = 100
"""A packed file may hold ``UNPACKED_FLOOR`` bytes and this many times its own; text packs 3 to 30
times."""
LINE_BYTES = 16 * MIB
"""Bytes of a line, which is a whole document in JSON lines."""

_PIECE = MIB
_FIRST = 64 * MIB
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
# What gzip, lzma and zlib raise for data that is not theirs.
UNPACKING_ERRORS = (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error, MemoryError)


def open_file(path: Path) -> IO[bytes]:
    """Open a regular file for reading; everything else is refused without waiting for it.

    Raises:
        CorpusError: it is absent, may not be read, or is no regular file.
    """
    if "\0" in str(path):
        raise CorpusError(f"{str(path)!r}: is no path; name another")
    try:
        # Before it is opened, for opening alone can move a device.
        _check_kind(path, os.stat(path).st_mode)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        file = os.fdopen(descriptor, "rb")
        _check_kind(path, os.fstat(descriptor).st_mode)
    except OSError as error:
        raise unreadable(path, error) from error
    return file


def open_arrow(path: Path) -> Any:
    """A ``pyarrow.NativeFile``, for pyarrow's threads may outlive a file of Python's.

    Raises:
        CorpusError: see ``open_file``.
    """
    import pyarrow as pa

    with open_file(path):
        try:
            return pa.OSFile(str(path))
        except OSError as error:
            raise unreadable(path, error) from error


def _check_kind(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no file")
        raise CorpusError(f"{path}: is {kind}, a file is needed; write its content to a file first")


def unreadable(path: Path, error: OSError) -> CorpusError:
    """What to say of a file that the operating system does not give."""
    return CorpusError(f"{path}: cannot be read ({error.strerror})")


def read_head(path: Path, n: int) -> bytes:
    """The first ``n`` bytes of a file, unpacked if its name ends in .gz or .xz.

    Raises:
        CorpusError: see ``open_file``, or it cannot be unpacked.
    """
    with open_file(path) as packed:
        try:
            return _unpacked(path, packed).read(n) or b""
        except UNPACKING_ERRORS as error:
            raise _broken(str(path), error) from error
        except OSError as error:
            raise unreadable(path, error) from error


def _broken(where: str, error: BaseException) -> CorpusError:
    return CorpusError(
        f"{where}: cannot be unpacked ({type(error).__name__}); is the file cut off?"
    )


def read_bytes(path: Path) -> bytes:
    """Read a file whole.

    Raises:
        CorpusError: see ``open_file``, or it is larger than the limit.
    """
    limit = limit_bytes()
    with open_file(path) as file:
        n = os.fstat(file.fileno()).st_size
        # A size is a word too: what is longer than it says is read on, up to the limit.
        data = _read(path, file, min(n, limit) + 1)
        if n < len(data) <= limit:
            data += _read(path, file, limit + 1 - len(data))
    if len(data) > limit:
        raise CorpusError(
            f"{path}: larger than {limit // MIB:,} MiB; divide it, or set {VARIABLE}=NUMBER"
        )
    return data


def _read(path: Path, file: IO[bytes], n: int) -> bytes:
    try:
        return file.read(n) or b""
    except OSError as error:
        raise unreadable(path, error) from error


def raw_lines(path: Path, *, whole: bool = True) -> Iterator[bytes]:
    r"""Lines of a file with their line ends (``\n``), unpacked if its name ends in .gz or .xz.

    Args:
        path: the file.
        whole: all lines are kept by the caller, so that the limit of a file holds; else one line is
            in memory at a time, and a plain file may be of any size.

    Raises:
        CorpusError: see ``open_file``; a line or the file is beyond its limit, or cannot be
            unpacked.
    """
    number = 0
    with open_file(path) as packed:
        budget = _budget(path, os.fstat(packed.fileno()).st_size, whole)
        try:
            file = _unpacked(path, packed)
            if file is not packed and budget is not None and budget.limit < _FIRST:
                # Cheap for a small file, and its lines may be a reader's work of minutes.
                while piece := file.read(_PIECE):
                    budget.spend(len(piece))
                budget.spent = packed.seek(0)
                file = _unpacked(path, packed)
            while data := file.readline(LINE_BYTES + 1):
                number += 1
                if len(data) > LINE_BYTES:
                    raise CorpusError(
                        f"{path}:{number}: a line of more than {LINE_BYTES // MIB} MiB; divide it"
                    )
                if budget is not None:
                    budget.spend(len(data))
                yield data
        except UNPACKING_ERRORS as error:
            raise _broken(f"{path}:{number + 1}", error) from error
        except OSError as error:
            raise unreadable(path, error) from error


def _unpacked(path: Path, packed: IO[bytes]) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return _buffered(gzip.GzipFile(fileobj=packed, mode="rb"))
    if suffix == ".xz":
        return _buffered(lzma.LZMAFile(packed))
    return packed


def _buffered(file: gzip.GzipFile | lzma.LZMAFile) -> IO[bytes]:
    # Their own way to find lines is slow.
    return io.BufferedReader(cast(io.RawIOBase, file), _PIECE)


def _budget(path: Path, n_packed: int, whole: bool) -> Budget | None:
    if path.suffix.lower() in (".gz", ".xz"):
        return Budget.unpacking(str(path), n_packed, whole=whole)
    return Budget(str(path), limit_bytes()) if whole else None


@dataclass(slots=True)
class Budget:
    """Bytes that may still come out of the file ``name``; without a name the caller says which."""

    name: str
    limit: int
    spent: int = 0

    @classmethod
    def unpacking(cls, name: str, n_packed: int, *, whole: bool = True) -> Budget:
        """For what a file of ``n_packed`` bytes unpacks to."""
        fair = UNPACKED_FLOOR + UNPACKED_RATIO * n_packed
        if VARIABLE in os.environ:
            return cls(name, limit_bytes() if whole else max(limit_bytes(), fair))
        return cls(name, min(limit_bytes(), fair) if whole else fair)

    def spend(self, n: int) -> None:
        """Count ``n`` more bytes.

        Raises:
            CorpusError: they are too many.
        """
        self.spent += n
        if self.spent > self.limit:
            where = f"{self.name}: " if self.name else ""
            raise CorpusError(
                f"{where}holds more than {max(self.limit // MIB, 1):,} MiB, too much for a file of "
                f"its size; if you trust it, set {VARIABLE}=NUMBER"
            )


def unzlib(data: bytes, budget: Budget) -> bytes:
    """What ``data`` unpacks to by zlib, counted while it comes."""
    unpacker = zlib.decompressobj()
    pieces = []
    while data and not unpacker.eof:
        pieces.append(unpacker.decompress(data, _PIECE))
        budget.spend(len(pieces[-1]))
        data = unpacker.unconsumed_tail
    return b"".join(pieces)


def limit_bytes() -> int:
    """The limit of a file that is read whole.

    Raises:
        ConfigError: the environment variable is no number.
    """
    value = os.environ.get(VARIABLE, str(READ_MIB))
    if not (value.isascii() and value.isdigit() and 0 < len(value) < 10 and int(value)):
        raise ConfigError(f"{VARIABLE} must be a whole number of MiB, from 1")
    return int(value) * MIB
