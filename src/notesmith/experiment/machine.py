"""What ran the work: peak memory, package versions and the kind of machine, never its name."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from notesmith.allocator import give_back_memory
from notesmith.processors import n_cores

_PACKAGES = (
    "notesmith",
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "tokenizers",
    "numpy",
    "scipy",
)


def release_memory() -> None:
    """Give freed memory back to the system, so that a cell's peak is its own.

    The allocator settings of the command line keep freed memory for the next step's tensors.
    """
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()  # what else runs on the GPU needs it
    give_back_memory()


class PeakMemory:
    """Resident memory at its highest since this object was made (since start where not known)."""

    def __init__(self) -> None:
        """Start measuring; asks Linux to forget the earlier peak."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def read(self) -> int:
        """The peak in bytes."""
        try:
            status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
            line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
        except (OSError, StopIteration, ValueError, IndexError):
            unit = 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide results; absent ones are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory and system."""
    facts: dict[str, Any] = {"cores": n_cores(), "system": platform.system(), "cpu": _cpu()}
    with contextlib.suppress(ValueError, OSError):
        n_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        facts["memory_gib"] = round(n_bytes / 2**30, 1)
    return facts


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
