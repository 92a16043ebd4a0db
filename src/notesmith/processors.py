"""Cores this process may use, and how the libraries' threads use them and wait for each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_THREADS, _SPINS = "OMP_NUM_THREADS", "GOMP_SPINCOUNT"


def n_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: those it may run on, or its quota, rounded down, if less.

    A thread on a part of a core holds up those on whole ones: on one core and a half, two threads
    did no more than one and took a third more time of the processor.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    allowed = quota(root)
    return cores if allowed is None else max(1, min(cores, int(allowed)))


def quota(root: Path = Path("/")) -> float | None:
    """Processor seconds a second that Linux control groups allow this process; None if unbounded.

    Groups lie in one another, and the least of their quotas holds.
    """
    found = [n for folder in _groups(root) if (n := _quota_of(folder)) is not None]
    return min(found, default=None)


def thread_variables(environment: Mapping[str, str], *, n_processes: int = 1) -> dict[str, str]:
    """Variables for libraries not loaded yet, in each of ``n_processes`` that share the cores.

    OpenMP, MKL, OpenBLAS and Arrow start ``OMP_NUM_THREADS`` threads; by themselves they count the
    cores and do not know a quota. OpenMP's threads wait for each other after every operation, by
    default for milliseconds in a loop. Beside other work the loop holds the core that the thread
    waited for needs, so GNU's OpenMP is told to sleep sooner (``docs/speed-shares.md``).

    Variables that the user has set are left out: those in ``environment`` with another value than
    one process alone would get.
    """
    alone, ours = _variables(1), _variables(n_processes)
    if "OMP_WAIT_POLICY" in environment:
        del ours[_SPINS]  # it would overrule what the user has said
    return {n: value for n, value in ours.items() if environment.get(n, alone[n]) == alone[n]}


def heed_quota() -> None:
    """Take PyTorch's threads down to the quota, in a process started without the variables."""
    torch = sys.modules.get("torch")
    if torch is None or _THREADS in os.environ or quota() is None:
        return
    if torch.get_num_threads() > n_cores():
        torch.set_num_threads(n_cores())


def _variables(n_processes: int) -> dict[str, str]:
    return {_THREADS: str(max(1, n_cores() // n_processes)), _SPINS: "10000"}


def _groups(root: Path) -> Iterator[Path]:
    """Folders of the control groups that bound this process's time, the innermost first.

    Where a container sees its own group as the root, and yet its path on the host, the folders of
    that path are not there; the root is.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers  # version 2 names none: one tree is for all
        folder = top / path.strip("/")
        yield folder
        while folder != top:
            folder = folder.parent
            yield folder


def _quota_of(folder: Path) -> float | None:
    """Of one group; None where it sets none."""
    try:
        if (folder / "cpu.max").exists():
            time, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            time = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        return int(time) / int(period) if time != "max" and int(time) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
