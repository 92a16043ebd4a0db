"""Write files and folders so that a reader sees the old state or the new one, never a third.

Everything is private to its owner (files 0600, folders 0700). A temporary file or folder lies
beside its target under a hidden name and goes away when writing fails.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from notesmith.errors import CorpusError

_UNSAFE = re.compile(r"[\x00-\x1f\\]")
FILE_MODE = 0o600
FOLDER_MODE = 0o700
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO),
        *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
    }
)


def make_folder(path: Path) -> Path:
    """Make ``path`` and its missing parents, each with mode 0700; an existing one is left alone.

    Raises:
        CorpusError: a part of the path is a file, or may not be written.
    """
    missing: list[Path] = []
    at = path
    with explained(path):
        while not at.exists():
            missing.append(at)
            if at.parent == at:
                break
            at = at.parent
        for folder in reversed(missing):
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        if path.is_dir():
            return path
    raise CorpusError(f"{path}: is a file, a folder is needed; name another path")


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write that becomes ``path`` when the block ends without an error.

    Raises:
        CorpusError: the disk is full, or the file may not be written.
    """
    make_folder(path.parent)
    temp = hidden_beside(path)
    with explained(path):
        try:
            fd = os.open(temp, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
            with os.fdopen(fd, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temp, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temp.unlink()
            raise
        sync_folder(path.parent)


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``: on any failure the old content, if any, is still there.

    Raises:
        CorpusError: the disk is full, or the file may not be written.
    """
    with atomic_file(path) as file:
        file.write(data)


def atomic_write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, line ends as they are; see ``atomic_write_bytes``."""
    atomic_write_bytes(path, _encoded(path, text))


def write_part(path: Path, text: str) -> None:
    """Write ``text`` to a file of a folder from ``atomic_folder``, which flushes all its files."""
    data = _encoded(path, text)
    make_folder(path.parent)
    path.write_bytes(data)


def _encoded(path: Path, text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CorpusError(
            f"{path}: text holds a lone surrogate at offset {error.start}, which UTF-8 cannot hold"
        ) from None


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a temporary folder that becomes ``path`` when the block ends without an error.

    Args:
        path: where the folder will stand.
        replace: put it in the place of an existing folder; without this an existing folder that
            is not empty is an error.

    Raises:
        CorpusError: ``path`` is taken, the disk is full, or the place may not be written.
    """
    with explained(path):
        if path.exists() and (not path.is_dir() or (not replace and any(path.iterdir()))):
            raise CorpusError(f"{path}: exists already; name another folder, or remove it first")
    make_folder(path.parent)
    temp = hidden_beside(path)
    with explained(path):
        try:
            temp.mkdir(mode=FOLDER_MODE)
            yield temp
            _make_private(temp)
            _swap(temp, path)
        except BaseException as error:
            shutil.rmtree(temp, ignore_errors=True)
            if isinstance(error, CorpusError) and str(temp) in str(error):
                # The caller knows the place by its own name.
                raise type(error)(str(error).replace(str(temp), str(path))) from error
            raise
        sync_folder(path.parent)


def _swap(temp: Path, path: Path) -> None:
    if not path.exists():
        os.replace(temp, path)
        return
    old = hidden_beside(path)
    os.replace(path, old)
    try:
        os.replace(temp, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _make_private(folder: Path) -> None:
    """Set modes and flush to disk what other libraries wrote under ``folder``."""
    for root, folders, names in os.walk(folder):
        for name in folders:
            os.chmod(os.path.join(root, name), FOLDER_MODE)
        for name in names:
            file = os.path.join(root, name)
            os.chmod(file, FILE_MODE)
            fd = os.open(file, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def hidden_beside(path: Path) -> Path:
    """A new hidden name beside ``path``, for a temporary file or folder."""
    return path.parent / f".{path.name[:80]}.{secrets.token_hex(6)}.tmp"


def sync_folder(folder: Path) -> None:
    """Flush the names in ``folder`` to disk."""
    # Some file systems do not sync folders; the rename itself stands all the same.
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the operating system says into one line that names ``path``."""
    try:
        yield
    except Exception as error:
        code = error.errno if isinstance(error, OSError) else None
        # Libraries that are not written in Python have errors of their own for a full disk.
        if code in _FULL or (code is None and os.strerror(errno.ENOSPC) in str(error)):
            raise CorpusError(
                f"{path}: disk full, not written; free some space and run again"
            ) from error
        if code is not None and code in _FORBIDDEN:
            raise CorpusError(f"{path}: cannot be written ({os.strerror(code)})") from error
        raise


def file_name(doc_id: str) -> str:
    """The document's id as a path below a folder.

    Raises:
        CorpusError: it cannot be one, or would leave the folder.
    """
    parts = doc_id.split("/")
    if any(not p or p.startswith(".") or len(p.encode()) > 200 for p in parts) or _UNSAFE.search(
        doc_id
    ):
        raise CorpusError(f"doc {doc_id!r}: the id cannot be a file name; use jsonl")
    return doc_id
