"""Which process wrote a lock or a temporary file, and whether it still lives."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Life = Literal["alive", "dead", "unknown"]
_LARGEST_PID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: its number, its start in clock ticks since boot, and where the number counts.

    The start tells it from one that got its number since; it is "0" where there is no ``/proc``.
    ``place`` is a hash of the machine and its space of process numbers.
    """

    pid: int
    started: str
    place: str

    @classmethod
    def me(cls) -> Owner:
        """This process."""
        return cls(os.getpid(), _started(os.getpid()), _place())

    @property
    def life(self) -> Life:
        """Whether it lives; unknown of another machine or container. A zombie holds nothing."""
        if self.place != _place():
            return "unknown"
        if not 0 < self.pid <= _LARGEST_PID:
            return "dead"
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return "dead"
        except PermissionError:  # somebody else's, and alive
            pass
        # Unreadable where a system hides other people's processes.
        return "alive" if _started(self.pid) in (self.started, "0") else "dead"


@cache
def _place() -> str:
    parts = [platform.node()]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        parts.append(Path("/etc/machine-id").read_text(encoding="utf-8"))
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:8]


def _started(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "0"
    fields = stat.rpartition(")")[2].split()
    return "0" if len(fields) < 20 else ("dead" if fields[0] in "ZX" else fields[19])
