"""Memory: glibc's allocator keeps what is freed, for speed, and gives it back where that is due.

Processes that work side by side (``experiment.workers``) also know here how many share the memory.
"""

from __future__ import annotations

import ctypes
import os
import sys

# How many processes work side by side; set for each of them by the one that starts them.
SIDE_BY_SIDE = "NOTESMITH_SIDE_BY_SIDE"

# glibc's mallopt parameters (malloc.h).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def tune_allocator() -> bool:
    """Keep freed memory in the process: large tensors come back without page faults.

    Without it glibc maps and unmaps every activation above 128 KiB. It gains 7 to 10% in
    fine-tuning and 1 to 5% in training the student (``docs/speed.md``). The few largest tensors
    (logits, embeddings) are still mapped: in the heap they leave gaps that nothing fits, and
    fine-tuning needs half as much memory again.
    Returns False where it cannot be done.
    """
    mib = 1 << 20
    settings = (
        (_M_MMAP_THRESHOLD, 32 * mib),
        (_M_TRIM_THRESHOLD, 2048 * mib - 1),
        (_M_TOP_PAD, 64 * mib),
    )
    mallopt = _glibc("mallopt")
    return mallopt is not None and all(
        mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings
    )


def n_side_by_side() -> int:
    """Processes of a run that share the memory of this one's GPU, or of the machine without one."""
    return int(os.environ.get(SIDE_BY_SIDE, "1"))


def give_back_memory() -> None:
    """Return freed pages to the system, those between used ones too; nothing where it cannot be."""
    if trim := _glibc("malloc_trim"):
        trim(ctypes.c_size_t(0))


def _glibc(name: str) -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: ctypes._NamedFuncPointer = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    return found
