"""Write files and folders so that a reader sees the old state or the new one, never a third.

Everything is private to its owner (files 0600, folders 0700). A temporary file or folder lies
beside its target under a hidden name and goes away when writing fails.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from notesmith.errors import CorpusError, FileError, NotesmithError, shown_doc
from notesmith.files.leftovers import hidden_beside, sweep

_UNSAFE = re.compile(r"[\x00-\x1f\\]")
FILE_MODE = 0o600
FOLDER_MODE = 0o700
_NO_ROOM = {
    errno.ENOSPC: "disk full, not written; free some space and run again",
    errno.EDQUOT: "disk full, not written; free some space and run again",
    errno.EFBIG: "larger than a file may be here, not written; raise the limit (ulimit -f) "
    "and run again",
}
_WHAT_STANDS = (
    "a link or another kind of file stands in the place of one of notesmith's; move it away, or "
    "name another folder"
)
_FORBIDDEN = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EEXIST),
        *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT),
    }
)


def make_folder(path: Path) -> Path:
    """Make ``path`` and its missing parents, each with mode 0700; an existing one is left alone.

    Raises:
        FileError: a part of the path is a file, or may not be written.
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
    raise FileError(f"{path}: is a file, a folder is needed; name another path")


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write that becomes ``path`` when the block ends without an error.

    Raises:
        FileError: the disk is full, or the file may not be written.
    """
    make_folder(path.parent)
    sweep(path.parent, path.name)
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
        FileError: the disk is full, or the file may not be written.
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
        raise FileError(
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
        FileError: ``path`` is taken, the disk is full, or the place may not be written.
    """
    sweep(path.parent, path.name)
    with explained(path):
        if os.path.lexists(path) and (
            path.is_symlink() or not path.is_dir() or (not replace and any(path.iterdir()))
        ):
            raise FileError(f"{path}: exists already; name another folder, or remove it first")
    make_folder(path.parent)
    temp = hidden_beside(path)
    with explained(path), _by_name(temp, path):
        try:
            temp.mkdir(mode=FOLDER_MODE)
            yield temp
            _make_private(temp)
            _swap(temp, path)
        except BaseException:
            shutil.rmtree(temp, ignore_errors=True)
            raise
        sync_folder(path.parent)


@contextmanager
def _by_name(temp: Path, path: Path) -> Iterator[None]:
    """Let an error name a place as the caller knows it."""
    try:
        yield
    except (FileError, CorpusError) as error:
        if str(temp) not in str(error):
            raise
        raise type(error)(str(error).replace(str(temp), str(path))) from error


def _swap(temp: Path, path: Path) -> None:
    if not path.exists():
        os.replace(temp, path)
        return
    old = hidden_beside(path, "old")
    os.replace(path, old)
    try:
        os.replace(temp, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _make_private(folder: Path) -> None:
    """Set modes and flush to disk what other libraries wrote under ``folder``; links stay."""
    for root, folders, names in os.walk(folder):
        for name in folders:
            if not os.path.islink(os.path.join(root, name)):
                os.chmod(os.path.join(root, name), FOLDER_MODE)
        for name in names:
            file = os.path.join(root, name)
            if not stat.S_ISREG(os.lstat(file).st_mode):
                continue
            os.chmod(file, FILE_MODE)
            fd = os.open(file, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


@contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """Give a hidden folder beside ``path`` that is deleted when the block ends.

    Raises:
        FileError: the disk is full, or the place may not be written.
    """
    make_folder(path.parent)
    sweep(path.parent, path.name)
    temp = hidden_beside(path)
    with explained(path), _by_name(temp, path):
        try:
            temp.mkdir(mode=FOLDER_MODE)
            yield temp
        finally:
            shutil.rmtree(temp, ignore_errors=True)


def must_be_new(path: Path) -> None:
    """Refuse a target that the user names and that is there: it may be anything of theirs.

    Raises:
        FileError: something is there.
    """
    if os.path.lexists(path):
        raise FileError(f"{path}: exists already; name another file, or remove it first")


def open_regular(path: Path) -> IO[bytes]:
    """Open a file of ours to read; a link is not followed, and a pipe is not waited for.

    Raises:
        FileNotFoundError: nothing is there.
        FileError: it is no regular file.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise FileError(f"{path}: {_WHAT_STANDS}")
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.fdopen(fd, "rb")


def read_regular(path: Path) -> bytes:
    """The content of a file of ours; see ``open_regular``."""
    with open_regular(path) as file:
        return file.read()


def refuse_odd(path: Path, *, folder: bool) -> bool:
    """Whether ``path`` is there, as a file of ours or a folder; a link or anything else is refused.

    Raises:
        FileError: it is a link, or of another kind.
    """
    with explained(path):
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return False
    if not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
        raise FileError(f"{path}: {_WHAT_STANDS}")
    return True


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
        if said := no_room(error):
            raise FileError(f"{path}: {said}") from error
        code = error.errno if isinstance(error, OSError) else None
        if code is not None and code in _FORBIDDEN:
            raise FileError(f"{path}: cannot be written ({os.strerror(code)})") from error
        raise


def no_room(error: BaseException) -> str:
    """What to say of an error that means a full disk or a file-size limit; empty for any other.

    Libraries that are not written in Python have errors of their own, with the system's words.
    """
    if isinstance(error, NotesmithError):
        return ""
    if isinstance(error, OSError) and error.errno is not None:
        return _NO_ROOM.get(error.errno, "")
    said = str(error)
    return next((what for code, what in _NO_ROOM.items() if os.strerror(code) in said), "")


def file_name(doc_id: str) -> str:
    """The document's id as a path below a folder.

    Raises:
        CorpusError: it cannot be one, or would leave the folder.
    """
    parts = doc_id.split("/")
    if any(not p or p.startswith(".") or len(p.encode()) > 200 for p in parts) or _UNSAFE.search(
        doc_id
    ):
        raise CorpusError(f"{shown_doc(doc_id)}: the id cannot be a file name; use jsonl")
    return doc_id
