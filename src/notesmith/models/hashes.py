"""SHA-256 of whole files, remembered for files that have surely not changed since.

A file is known by device, inode, size, and the times of its last change of content (mtime) and of
anything (ctime, which no program can set), in nanoseconds. That is what git's index does, and it is
fooled in ways that are closed here:

- a write within the clock's grain of the time that was noted (git's racy entries): a hash is kept
  only if the file was left alone for ``SETTLED`` seconds before and while it was read;
- a clock that is set back: a file from the future is not remembered;
- a write through a memory map that was opened before: the file is flushed first, which makes the
  kernel note the next such write. File systems without that are not in ``_LOCAL``;
- another machine's write to a shared folder, which this one may see late: not in ``_LOCAL``.

What still fools it is damage beneath the file system, such as a failing disk. What a finished model
holds is therefore checked against its list of files on every load, with nothing remembered.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from notesmith.errors import NotesmithError
from notesmith.files.checksums import hash_file
from notesmith.files.write import atomic_write_text

SETTLED = 3.0
"""Seconds; the coarsest clock of a file system in ``_LOCAL`` ticks every 0.01."""
_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs"})
_MOST = 4096
# Below this a look-up costs as much as the hash.
_SMALL = 1 << 20


class FileHashes:
    """Hashes of files by what the file system says of them; kept in one JSON file.

    Two processes may lose each other's entries, which costs time and nothing else. A damaged file
    is as good as an empty one.
    """

    def __init__(self, path: Path) -> None:
        """Read ``path``, if it is there and whole."""
        self.path = path
        self._known = _read(path)
        self._new: dict[str, str] = {}

    def sha256(self, path: Path) -> str:
        """SHA-256 of the file's bytes, in hex."""
        before = path.stat()
        if before.st_size < _SMALL or not _is_local(path, before.st_dev):
            return hash_file(path)
        _flush(path)
        before = path.stat()
        key = _key(before)
        if known := self._known.get(key):
            return known
        started = time.time()
        found = hash_file(path)
        after = path.stat()
        settled = started - max(before.st_mtime, before.st_ctime) > SETTLED
        if settled and _key(after) == key:
            self._known[key] = self._new[key] = found
        return found

    def save(self) -> None:
        """Write what is new; a folder that cannot be written costs time and is no error."""
        if not self._new:
            return
        entries = {**_read(self.path), **self._new}
        kept = dict(list(entries.items())[-_MOST:])
        try:
            atomic_write_text(self.path, _to_json(kept))
        except (NotesmithError, OSError):
            return
        self._new.clear()


def _key(stat: os.stat_result) -> str:
    parts = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return ":".join(map(str, parts))


def _flush(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError:
        pass  # a read-only file system has nothing to flush
    finally:
        os.close(fd)


def _is_local(path: Path, device: int) -> bool:
    """Whether the file lies on a file system whose times can be relied on (Linux)."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    for line in lines.splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[2:3] == [wanted]:
            return right.split()[:1] != [] and right.split()[0] in _LOCAL
    return False


def _read(path: Path) -> dict[str, str]:
    try:
        value: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        entries = {str(key): str(found) for key, found in value["files"].items()}
        whole = value["sha256"] == _sum(entries)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return entries if whole else {}


def _to_json(entries: Mapping[str, str]) -> str:
    return json.dumps({"files": dict(entries), "sha256": _sum(entries)}, indent=1) + "\n"


def _sum(entries: Mapping[str, str]) -> str:
    text = "".join(f"{key} {found}\n" for key, found in entries.items())
    return hashlib.sha256(text.encode()).hexdigest()
