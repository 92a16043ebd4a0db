"""Hidden temporary names, and the removal of what writers that were killed left under them.

A temporary file or folder stands beside its target as ``.NAME.PID-START-PLACE-RANDOM.tmp``: the
name says which process writes it. ``sweep`` deletes it only if it belongs to this user and its
writer is dead; where that cannot be known (another machine of a shared disk), after a week.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import time
from pathlib import Path

from notesmith.files.processes import Owner

_NAME = re.compile(
    r"\.(?P<target>.+)\.(?P<pid>\d{1,10})-(?P<started>\d+)-(?P<place>[0-9a-f]{8})-[0-9a-f]{8}"
    r"\.(?P<kind>tmp|old)",
    re.DOTALL,
)
_LONGEST = 120
_WEEK = 7 * 24 * 3600.0


def hidden_beside(path: Path, kind: str = "tmp") -> Path:
    """A new hidden name beside ``path``, for a temporary file or folder of this process.

    ``kind`` "old" is for what a new folder replaces: it comes back if its writer dies in between.
    """
    me = Owner.me()
    token = f"{me.pid}-{me.started}-{me.place}-{secrets.token_hex(4)}"
    return path.parent / f".{_short(path.name)}.{token}.{kind}"


def is_temporary(name: str) -> bool:
    """Whether a name is one that ``hidden_beside`` gives."""
    return _NAME.fullmatch(name) is not None


def sweep(folder: Path, target: str = "") -> int:
    """Delete what dead writers left in ``folder``, of all targets or one; returns how many.

    What a replaced folder was goes back to its place if the new one never came.
    """
    n_removed = 0
    try:
        names = os.listdir(folder)
    except OSError:
        return 0
    for name in names:
        match = _NAME.fullmatch(name) if name.startswith(".") else None
        if match is None or (target and match["target"] != _short(target)):
            continue
        if match["kind"] == "old" and not target:
            continue  # whoever writes that target next puts it back, or deletes it
        path = folder / name
        with contextlib.suppress(OSError):
            if not _is_abandoned(path, match):
                continue
            if match["kind"] == "old" and not os.path.lexists(folder / target):
                os.rename(path, folder / target)
                continue
            delete(path)
            n_removed += 1
    return n_removed


def delete(path: Path) -> None:
    """Delete a file, a link (not what it points to) or a folder; errors are left for later."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_abandoned(path: Path, match: re.Match[str]) -> bool:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.getuid():
        return False
    life = Owner(int(match["pid"]), match["started"], match["place"]).life
    return life == "dead" or (life == "unknown" and time.time() - found.st_mtime > _WEEK)


def _short(name: str) -> str:
    """``name`` cut so that a token still fits into a file name."""
    return name.encode("utf-8", "surrogateescape")[:_LONGEST].decode("utf-8", "ignore")
