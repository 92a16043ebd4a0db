"""Cells side by side: worker processes that compute what is ready, on GPUs or several cores.

One process leaves a GPU mostly waiting for the next small operation, and a second core for work
that has one thread. The engine keeps the order, the store's upkeep and the counting to itself: a
worker gets a cell, writes it as ever (all or nothing) and gets the next. Of several GPUs each
worker uses one; they are dealt out in turn. Workers are fresh processes, for CUDA does not survive
a fork, and end when the one that started them does.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.queues import SimpleQueue
from pathlib import Path

from notesmith.allocator import SIDE_BY_SIDE, tune_allocator
from notesmith.errors import StageError
from notesmith.experiment.engine import NONE, compute
from notesmith.experiment.graph import Cell, Context, StageFunction
from notesmith.experiment.store import CellStore
from notesmith.processors import thread_variables
from notesmith.progress import Progress

Instead = Mapping[str, StageFunction]
_Message = tuple[str, Progress]
_SECONDS_BETWEEN_LOOKS = 0.2
_GPUS = "CUDA_VISIBLE_DEVICES"


class Workers:
    """Worker processes and the cells that they are at."""

    def __init__(
        self, n: int, root: Path, context: Context, instead: Instead, gpus: Sequence[str]
    ) -> None:
        """Use ``working``, which ends what this starts."""
        fresh = multiprocessing.get_context("spawn")
        self._n = n
        self._messages: SimpleQueue[_Message] = fresh.SimpleQueue()
        numbered: SimpleQueue[str] = fresh.SimpleQueue()
        for i in range(n if gpus else 0):
            numbered.put(gpus[i % len(gpus)])
        self._pool = ProcessPoolExecutor(
            n,
            fresh,
            initializer=_prepare,
            initargs=(root, context, instead, self._messages, numbered if gpus else None),
        )
        self._cells: dict[Future[float], Cell] = {}

    @property
    def running(self) -> tuple[Cell, ...]:
        """Cells at work, the one begun first in front."""
        return tuple(self._cells.values())

    @property
    def has_room(self) -> bool:
        """Whether a worker is idle."""
        return len(self._cells) < self._n

    def begin(self, cell: Cell) -> None:
        """Let an idle worker compute ``cell``, whose inputs are finished."""
        try:
            self._cells[self._pool.submit(_compute, cell)] = cell
        except BrokenProcessPool:
            raise _killed((cell,)) from None

    def wait(
        self, on_progress: Callable[[str, Progress], None]
    ) -> list[tuple[Cell, float | BaseException]]:
        """Cells that ended since, at least one, with their seconds or what their stage raised.

        ``on_progress`` gets a cell's key and how it goes, in the caller's thread.

        Raises:
            StageError: a worker was killed.
        """
        done: set[Future[float]] = set()
        while not done:
            done, _ = wait(self._cells, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
            while not self._messages.empty():
                on_progress(*self._messages.get())
        if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
            raise _killed(self.running)
        return [(self._cells.pop(f), f.exception() or f.result()) for f in done]

    def end(self, *, at_once: bool) -> None:
        """Send the workers home; ``at_once`` stops what they are at."""
        workers = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            if at_once:
                worker.terminate()
            worker.join()


@contextmanager
def working(n: int, root: Path, context: Context, instead: Instead = NONE) -> Iterator[Workers]:
    """``n`` workers on the cells below ``root``, each with its share of the cores and of the GPUs.

    ``context`` and ``instead`` (see ``run_cells``) are sent to every worker, so they must pickle.
    """
    gpus = visible_gpus()
    n_to_a_gpu = -(-n // max(1, len(gpus)))
    ours = {SIDE_BY_SIDE: str(n_to_a_gpu), **thread_variables(os.environ, n_processes=n)}
    before = {name: os.environ[name] for name in ours if name in os.environ}
    os.environ |= ours
    found = Workers(n, root, context, instead, gpus)
    try:
        yield found
    except BaseException:
        found.end(at_once=True)
        raise
    else:
        found.end(at_once=False)
    finally:
        for name in ours:
            del os.environ[name]
        os.environ |= before


def visible_gpus() -> list[str]:
    """The GPUs that this run may use, by the names that ``CUDA_VISIBLE_DEVICES`` has for them."""
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    numbers = [str(i) for i in range(torch.cuda.device_count())]
    named = os.environ.get(_GPUS)
    return named.split(",")[: len(numbers)] if named else numbers


def _killed(cells: tuple[Cell, ...]) -> StageError:
    titles = "; ".join(cell.title for cell in cells)
    return StageError(
        f"a worker process was killed, most likely for want of memory, at one of: {titles}; "
        "the same command goes on, with fewer --jobs"
    )


# In a worker: what it computes cells with.
_store: CellStore
_context: Context
_instead: Instead
_tell: Callable[[_Message], None]


def _prepare(
    root: Path,
    context: Context,
    instead: Instead,
    messages: SimpleQueue[_Message],
    gpus: SimpleQueue[str] | None,
) -> None:
    global _store, _context, _instead, _tell
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C reaches all of a terminal's processes; the parent hears it and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # An end that is asked for unwinds, so that what was being written goes away.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    tune_allocator()
    if gpus is not None:
        os.environ[_GPUS] = gpus.get()  # before anything here turns to a GPU
    _store, _context, _instead, _tell = CellStore(root), context, instead, messages.put


def _end_with_parent() -> None:
    """A worker whose parent was killed would go on, and hold what the next run needs."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_any([parent.sentinel])
    os._exit(1)


def _compute(cell: Cell) -> float:
    return compute(cell, _store, _context, _instead, lambda p: _tell((cell.key, p)))
