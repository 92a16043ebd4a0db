"""One process a run folder: a lock file that names its owner and that a crash cannot leave shut.

The kernel's lock (``flock``) decides; the owner written into the file decides where a file system
ignores ``flock``. Nothing is corrupted if both fail: cells are atomic. It only saves double work.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from notesmith.corpus.files import make_folder
from notesmith.errors import StageError

LOCK = "run.lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process.

    Raises:
        StageError: another live process holds it.
    """
    make_folder(folder)
    path = folder / LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(folder, _read(descriptor)) from None
        except OSError:  # a file system without flock: the owner below decides
            pass
        owner = _read(descriptor)
        if owner and _is_alive(owner):
            raise _busy(folder, owner)
        me = {"pid": os.getpid(), "started": _started(os.getpid())}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(me).encode(), 0)
        os.fsync(descriptor)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder_of(folder: Path) -> str:
    """Who runs in ``folder``, such as `` (process 7)``; empty where nobody does. Writes nothing."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        owner = _read(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return f" (process {owner['pid']})" if "pid" in owner else " process"
        except OSError:
            pass
        return f" (process {owner['pid']})" if owner and _is_alive(owner) else ""
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> dict[str, Any]:
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _busy(folder: Path, owner: dict[str, Any]) -> StageError:
    who = f" (process {owner['pid']})" if "pid" in owner else ""
    return StageError(f"another notesmith{who} is running in {folder}; wait for it or stop it")


def _is_alive(owner: dict[str, Any]) -> bool:
    """Whether the very process that wrote ``owner`` lives, not one that got its number since."""
    pid = owner.get("pid")
    if not isinstance(pid, int) or pid <= 0 or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    started = _started(pid)
    return not started or started == owner.get("started")


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty where there is no ``/proc``."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    # A zombie holds nothing any more.
    return "" if len(fields) < 20 else ("dead" if fields[0] in "ZX" else fields[19])
