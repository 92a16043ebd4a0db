"""What breaks on purpose: one call of the system that fails or kills, and damage to a file."""

from __future__ import annotations

import errno
import io
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Where a writer may meet a full disk, or its end.
CALLS = ((os, "fsync"), (os, "replace"), (os, "rename"), (os, "mkdir"), (os, "open"), (io, "open"))


class Nth:
    """Counts calls of the system and does something at the nth."""

    def __init__(self, n: int, act) -> None:
        self.n, self.act, self.seen = n, act, 0

    def call(self, function):
        def counted(*args, **options):
            if not _writes(function, args, options):
                return function(*args, **options)
            self.seen += 1
            if self.seen == self.n:
                self.act()
            return function(*args, **options)

        return counted

    @contextmanager
    def watching(self) -> Iterator[Nth]:
        """Watch the calls while the block runs."""
        before = [(module, name, getattr(module, name)) for module, name in CALLS]
        try:
            for module, name, function in before:
                setattr(module, name, self.call(function))
            yield self
        finally:
            for module, name, function in before:
                setattr(module, name, function)


def _writes(function, args, options) -> bool:
    """Whether an opening is one for writing; the other calls all are."""
    if function.__name__ != "open":
        return True
    how = options.get("mode", options.get("flags", args[1] if len(args) > 1 else "r"))
    if isinstance(how, int):
        return bool(how & (os.O_WRONLY | os.O_RDWR))
    return bool(set(how) & set("wax+"))


def full_disk() -> None:
    """What a system says when the disk is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def kill() -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def damage(path: Path, kind: str, rng: random.Random) -> None:
    """Flip a bit, cut the file, delete it, or change a byte and put the times back."""
    data = bytearray(path.read_bytes())
    before = path.stat()
    if kind == "gone" or not data:
        path.unlink()
        return
    if kind == "cut":
        data = data[: rng.randrange(len(data))]
    elif kind == "bit flipped":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    else:
        i = rng.randrange(len(data))
        data[i] = data[i] % 127 + 1 if data[i] % 127 + 1 != data[i] else 33
    path.write_bytes(bytes(data))
    if kind == "equal size and time":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
