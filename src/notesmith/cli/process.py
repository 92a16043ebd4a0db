"""Prepare the process before heavy libraries load: caches, telemetry off, threads, allocator."""

from __future__ import annotations

import io
import os
import signal
import sys
from types import FrameType

from notesmith.allocator import tune_allocator
from notesmith.home import home
from notesmith.processors import thread_variables


def prepare() -> None:
    """Set the libraries' variables (cache, telemetry, threads) and the allocator, at start-up."""
    cache = home() / "huggingface"
    for name, value in {
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "WANDB_DISABLED": "true",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        # Our own display shows progress; other bars would write over it.
        "TQDM_DISABLE": "1",
    }.items():
        os.environ.setdefault(name, value)
    os.environ |= thread_variables(os.environ)
    os.umask(0o077)
    # A polite kill unwinds, so that what was being written goes away.
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Notes hold characters that a terminal's encoding may lack.
            stream.reconfigure(errors="replace")
    tune_allocator()


def keep_few_kernels() -> None:
    """Limit the memory of long predictions. Call this before PyTorch is loaded.

    Almost every batch has a size of its own. By default oneDNN keeps kernels for a thousand sizes,
    and PyTorch's layer above it as many again: 1.8 GiB in 100,000 notes. This keeps 64. Training
    would take 4% longer with so few, so only predictions call this.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, "64")


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
