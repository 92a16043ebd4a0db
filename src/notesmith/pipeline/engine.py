"""The engine: brings target cells about, computing only what is missing, one cell at a time.

It asks backwards, as ``make`` does: a target that is done costs nothing, whatever became of the
cells it was made from. Stages are plain functions that it is given; it knows none of them.
"""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from notesmith.corpus.files import atomic_write_text, make_folder
from notesmith.errors import StageError
from notesmith.pipeline.cells import METRICS, Cell, CellStore
from notesmith.pipeline.machine import PeakMemory, release_memory
from notesmith.progress import OnProgress, silent

log = logging.getLogger(__name__)

# Seconds from which a cell's memory is given back before the next one begins.
_LONG = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """What a stage function gets: its cell, folders to read and to write, one that outlives kills.

    ``inputs`` maps the cell's input names to folders of finished cells. ``scratch`` may hold what
    an earlier, killed attempt left; it is deleted when the cell finishes.
    """

    cell: Cell
    inputs: Mapping[str, Path]
    out: Path
    scratch: Path
    on_progress: OnProgress = silent

    @property
    def config(self) -> Mapping[str, Any]:
        """The cell's configuration."""
        return self.cell.config


_FULL = "No space left on device"

StageFunction = Callable[[Work], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class CellEvent:
    """A cell starts or is done; ``n_done`` of ``n_total`` cells of the plan are finished."""

    kind: Literal["start", "done"]
    cell: Cell
    n_done: int
    n_total: int
    eta: float
    seconds: float = 0.0


OnCell = Callable[[CellEvent], None]


def unheard(event: CellEvent) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass over the targets did; ``left`` are targets that are not finished."""

    computed: tuple[Cell, ...]
    left: tuple[Cell, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Census:
    """Cells of a plan that are finished and that are left to compute, with an estimate."""

    done: tuple[Cell, ...]
    left: tuple[Cell, ...]
    eta: float


class _Stop(Exception):
    """Raised between cells when the caller's time is up."""


def count(targets: Sequence[Cell], store: CellStore) -> Census:
    """Count the finished and missing cells of ``targets``, and estimate the seconds left.

    A stage's cells are expected to take as long as the mean of its finished ones; a stage of
    which none is finished counts as nothing.
    """
    done: dict[str, Cell] = {}
    left: dict[str, Cell] = {}

    def visit(cell: Cell, needed: bool) -> None:
        if cell.key in left or (cell.key in done and not needed):
            return
        state = store.state(cell)
        finished = state == "done" or (state == "discarded" and not needed)
        done.pop(cell.key, None)
        (done if finished else left)[cell.key] = cell
        for before in cell.inputs.values():
            visit(before, needed=not finished)

    for target in targets:
        visit(target, needed=False)
    seconds = defaultdict(list)
    for cell in done.values():
        if (spent := store.metrics(cell).get("seconds")) is not None:
            seconds[cell.stage].append(float(spent))
    eta = sum(
        sum(seconds[cell.stage]) / len(seconds[cell.stage])
        for cell in left.values()
        if seconds[cell.stage]
    )
    # A finished cell whose inputs were never made (or went) does not need them.
    present = tuple(cell for cell in done.values() if store.state(cell) != "absent")
    return Census(present, tuple(left.values()), eta)


def run_cells(
    targets: Sequence[Cell],
    *,
    store: CellStore,
    stages: Mapping[str, StageFunction],
    on_progress: OnProgress = silent,
    on_cell: OnCell = unheard,
    should_stop: Callable[[], bool] = lambda: False,
    may_discard: Callable[[Cell], bool] = lambda cell: False,
    plan: Sequence[Cell] | None = None,
) -> Outcome:
    """Finish ``targets`` in order.

    Args:
        targets: cells wanted; their inputs are computed when missing.
        store: where cells are.
        stages: function of each stage name.
        on_progress: told about work inside a cell.
        on_cell: told when a cell starts and is done.
        should_stop: asked before each cell; the pass ends cleanly when it says yes.
        may_discard: whether a cell's artefacts may go once every cell of ``plan`` that reads
            them is finished.
        plan: all targets of the run where ``targets`` is a part of them.

    Raises:
        NotesmithError: whatever a stage raises; finished cells stay.
    """
    started = time.monotonic()
    store.clean()
    computed: list[Cell] = []
    readers = _readers(plan or targets)

    def discard(cells: Iterable[Cell]) -> None:
        for cell in cells:
            users = readers.get(cell.key, ())
            if users and may_discard(cell) and all(_is_finished(r, store) for r in users):
                store.discard(cell)

    # A kill may have come between the last reader of an artefact and its removal.
    discard({cell.key: cell for target in plan or targets for cell in target.walk()}.values())

    def ensure(cell: Cell) -> None:
        if store.verify(cell):
            return
        for before in cell.inputs.values():
            ensure(before)
        if should_stop():
            raise _Stop
        census = count(targets, store)
        n_total = len(census.done) + len(census.left)
        on_cell(CellEvent("start", cell, len(census.done), n_total, census.eta))
        seconds = _compute(cell, store, stages[cell.stage], on_progress)
        computed.append(cell)
        on_cell(CellEvent("done", cell, len(census.done) + 1, n_total, census.eta, seconds))
        discard(cell.inputs.values())

    try:
        for target in targets:
            if not _is_finished(target, store) or not (
                store.state(target) == "discarded" or store.verify(target)
            ):
                ensure(target)
    except _Stop:
        log.info("stopped between cells")
    left = tuple(target for target in targets if not _is_finished(target, store))
    return Outcome(tuple(computed), left, time.monotonic() - started)


def _is_finished(cell: Cell, store: CellStore) -> bool:
    return store.state(cell) in ("done", "discarded")


def _readers(targets: Sequence[Cell]) -> Mapping[str, list[Cell]]:
    readers: defaultdict[str, list[Cell]] = defaultdict(list)
    seen: set[str] = set()
    for target in targets:
        for cell in target.walk():
            if cell.key not in seen:
                seen.add(cell.key)
                for before in cell.inputs.values():
                    readers[before.key].append(cell)
    return readers


def _compute(
    cell: Cell, store: CellStore, function: StageFunction, on_progress: OnProgress
) -> float:
    memory = PeakMemory()
    scratch = store.scratch(cell)
    make_folder(scratch)
    started = time.monotonic()
    with store.write(cell) as out:
        inputs = {name: store.folder(before) for name, before in cell.inputs.items()}
        try:
            measured = function(Work(cell, inputs, out, scratch, on_progress))
        except Exception as error:
            if _FULL in str(error):  # safetensors says so in an error of its own
                raise StageError(f"{cell.title}: disk full; free some space, run again") from error
            raise
        seconds = time.monotonic() - started
        metrics = {
            "stage": cell.stage,
            "seed": cell.seed,
            "seconds": round(seconds, 3),
            "peak_memory_bytes": memory.read(),
            **measured,
        }
        atomic_write_text(out / METRICS, json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    if seconds > _LONG:  # a quick one has little to give back, and asking takes a while
        release_memory()
    return seconds
