"""One process a run folder: a lock file that names its owner and that a crash cannot leave shut.

The kernel's lock (``flock``) decides; the owner written into the file decides where a file system
ignores ``flock``. Nothing is corrupted if both fail: cells are atomic. It only saves double work.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from notesmith.errors import StageError
from notesmith.experiment.folder import LOCK
from notesmith.files.processes import Owner
from notesmith.files.write import FILE_MODE, explained, make_folder, refuse_odd

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# Seconds in which another process that began together with this one has written its name.
_SETTLED = 0.3


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process.

    Raises:
        StageError: another live process holds it.
        FileError: a link or another kind of file is in the lock's place.
    """
    make_folder(folder)
    path = folder / LOCK
    refuse_odd(path, folder=False)
    with explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, FILE_MODE)
    try:
        with explained(path):
            _take(folder, path, descriptor)
        try:
            yield
        finally:
            _forget(descriptor)
    finally:
        os.close(descriptor)


def holder_of(folder: Path) -> str:
    """Who runs in ``folder``, such as `` (process 7)``; empty where nobody does. Writes nothing."""
    path = folder / LOCK
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return ""
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    except OSError:
        return ""
    try:
        owner = _read(descriptor)
        if _flock(descriptor, fcntl.LOCK_SH) is False:
            return _named(owner) or " process"
        return _named(owner) if owner and owner.life == "alive" else ""
    finally:
        os.close(descriptor)


def _take(folder: Path, path: Path, descriptor: int) -> None:
    has_lock = _flock(descriptor, fcntl.LOCK_EX)
    owner, me = _read(descriptor), Owner.me()
    if has_lock is False or (owner and owner != me and owner.life == "alive"):
        raise _busy(folder, owner)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(me)).encode(), 0)
        os.fsync(descriptor)
    except OSError:
        _forget(descriptor)
        raise
    if not _excludes(path):
        # Of two that began together the later writer stays.
        time.sleep(_SETTLED)
        owner = _read(descriptor)
        if owner and owner != me:
            raise _busy(folder, owner)


def _forget(descriptor: int) -> None:
    """Take this process's name out: a program that goes on after its run holds nothing."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)


def _flock(descriptor: int, how: int) -> bool | None:
    """Whether the kernel gave the lock; None on a file system without."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _excludes(path: Path) -> bool:
    """Whether a lock that is held shuts others out here, seen from a second opening."""
    second = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        return _flock(second, fcntl.LOCK_EX) is False
    finally:
        os.close(second)


def _read(descriptor: int) -> Owner | None:
    """Who is written into the lock; None for anything but an owner."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        owner = Owner(found["pid"], found["started"], found["place"])
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    return owner if type(owner.pid) is int and owner.pid > 0 else None


def _busy(folder: Path, owner: Owner | None) -> StageError:
    return StageError(
        f"another notesmith{_named(owner)} is running in {folder}; wait for it or stop it"
    )


def _named(owner: Owner | None) -> str:
    return f" (process {owner.pid})" if owner else ""
