"""The engine: brings target cells about, computing only what is missing, one cell at a time.

It asks backwards, as ``make`` does: a target that is done costs nothing, whatever became of the
cells it was made from. What a cell does is its stage's business; the engine knows no stage.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from notesmith.errors import StageError
from notesmith.experiment.contents import check_scratch
from notesmith.experiment.graph import Cell, Context, StageFunction, Work
from notesmith.experiment.machine import PeakMemory, release_memory
from notesmith.experiment.store import CellStore
from notesmith.files.write import make_folder, no_room
from notesmith.progress import OnProgress, Progress, silent

log = logging.getLogger(__name__)

NONE: Mapping[str, StageFunction] = {}
# Seconds from which a cell's memory is given back before the next one begins.
_LONG = 1.0


@dataclass(frozen=True, slots=True)
class CellEvent:
    """A cell starts or is done; ``n_done`` of ``n_total`` cells of the plan are finished.

    ``eta`` leaves out ``n_untimed`` of the cells that are left. With several workers, progress may
    turn to another cell that runs: ``turn`` names it.
    """

    kind: Literal["start", "turn", "done"]
    cell: Cell
    n_done: int
    n_total: int
    eta: float
    seconds: float = 0.0
    n_untimed: int = 0


OnCell = Callable[[CellEvent], None]


class SideBySide(Protocol):
    """What computes cells side by side; see ``workers``."""

    @property
    def running(self) -> tuple[Cell, ...]: ...

    @property
    def has_room(self) -> bool: ...

    def begin(self, cell: Cell) -> None: ...

    def wait(
        self, on_progress: Callable[[str, Progress], None]
    ) -> list[tuple[Cell, float | BaseException]]: ...


def unheard(event: CellEvent) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass over the targets did; ``left`` are targets that are not finished."""

    computed: tuple[Cell, ...]
    left: tuple[Cell, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Census:
    """Cells of a plan that are finished and that are left to compute.

    ``seconds`` are those that finished cells took, by stage. Others of their stage are expected to
    take the mean of them.
    """

    done: tuple[Cell, ...]
    left: tuple[Cell, ...]
    seconds: Mapping[str, tuple[float, ...]]

    @property
    def eta(self) -> float:
        """Seconds that the cells left will take of whose stage one is finished."""
        known = (self.seconds.get(cell.stage.name, ()) for cell in self.left)
        return sum(sum(found) / len(found) for found in known if found)

    @property
    def n_untimed(self) -> int:
        """Cells left that ``eta`` leaves out."""
        return sum(not self.seconds.get(cell.stage.name) for cell in self.left)

    def after(self, cell: Cell, seconds: float) -> Census:
        """The census once ``cell`` is finished, which took ``seconds``."""
        name = cell.stage.name
        others = tuple(each for each in self.done if each.key != cell.key)
        return Census(
            (*others, cell),
            tuple(each for each in self.left if each.key != cell.key),
            {**self.seconds, name: (*self.seconds.get(name, ()), seconds)},
        )


def count(targets: Sequence[Cell], store: CellStore) -> Census:
    """Count the finished and missing cells of ``targets``, as they are on disk."""
    done: dict[str, Cell] = {}
    left: dict[str, Cell] = {}
    wanted = {target.key for target in targets}

    def visit(cell: Cell, needed: bool) -> None:
        if cell.key in left or (cell.key in done and not needed):
            return
        state = store.state(cell)
        gone = state == "discarded" or (state == "absent" and cell.key not in wanted)
        finished = state == "done" or (gone and not needed)
        done.pop(cell.key, None)
        (done if finished else left)[cell.key] = cell
        for before in cell.inputs.values():
            visit(before, needed=not finished)

    for target in targets:
        visit(target, needed=False)
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for cell in done.values():
        if found := store.metrics(cell):
            seconds[cell.stage.name].append(found.seconds)
    # A finished cell whose inputs were never made (or went) does not need them.
    present = tuple(cell for cell in done.values() if store.state(cell) != "absent")
    return Census(
        present, tuple(left.values()), {name: tuple(found) for name, found in seconds.items()}
    )


def run_cells(
    targets: Sequence[Cell],
    *,
    store: CellStore,
    context: Context,
    instead: Mapping[str, StageFunction] = NONE,
    on_progress: OnProgress = silent,
    on_cell: OnCell = unheard,
    should_stop: Callable[[], bool] = lambda: False,
    may_discard: Callable[[Cell], bool] = lambda cell: False,
    plan: Sequence[Cell] | None = None,
    workers: SideBySide | None = None,
) -> PassResult:
    """Finish ``targets`` in order.

    Args:
        targets: cells wanted; their inputs are computed when missing.
        store: where cells are.
        context: what stages need from outside.
        instead: functions in the place of stages' own, by name: for tests.
        on_progress: told about work inside a cell.
        on_cell: told when a cell starts and is done.
        should_stop: asked before each cell; the pass ends cleanly when it says yes.
        may_discard: whether a cell's artefacts may go once every cell of ``plan`` that reads
            them is finished.
        plan: all targets of the run where ``targets`` is a part of them.
        workers: compute cells side by side; without them, this process one after another.

    Raises:
        NotesmithError: whatever a stage raises, or a finished cell is damaged while the run goes
            on; finished cells stay.
    """
    started = time.monotonic()
    for path in store.clean().strangers:
        log.warning("%s: is not of notesmith; it is left alone", path)
    computed: list[Cell] = []
    readers = _readers(plan or targets)

    def discard(cells: Iterable[Cell]) -> None:
        for cell in cells:
            users = readers.get(cell.key, ())
            if users and may_discard(cell) and all(_is_finished(r, store) for r in users):
                store.discard(cell)

    # A kill may have come between the last reader of an artefact and its removal.
    discard({cell.key: cell for target in plan or targets for cell in target.walk()}.values())

    census = count(targets, store)

    def tell(kind: Literal["start", "turn", "done"], cell: Cell, seconds: float = 0.0) -> None:
        n_done, n_total = len(census.done), len(census.done) + len(census.left)
        on_cell(CellEvent(kind, cell, n_done, n_total, census.eta, seconds, census.n_untimed))

    def finish(cell: Cell, seconds: float) -> None:
        nonlocal census
        computed.append(cell)
        census = census.after(cell, seconds)
        tell("done", cell, seconds)
        # The cell itself too: a damaged one may have been computed again after its readers.
        discard([cell, *cell.inputs.values()])

    missing = _missing(targets, store)
    if workers is not None:
        _side_by_side(missing, workers, tell, finish, on_progress, should_stop)
    else:
        for cell in missing:
            if should_stop():
                break
            tell("start", cell)
            finish(cell, compute(cell, store, context, instead, on_progress))
    left = tuple(target for target in targets if not _is_finished(target, store))
    if left:
        log.info("stopped between cells")
    return PassResult(tuple(computed), left, time.monotonic() - started)


def _missing(targets: Sequence[Cell], store: CellStore) -> list[Cell]:
    """Cells to compute, inputs first; all that are in the list or whole need no others.

    A damaged cell is computed again though all that read it are finished: what reads it keeps what
    it has, for its key says that it was made from the same content.
    """
    missing: dict[str, Cell] = {}

    def need(cell: Cell) -> None:
        if cell.key in missing or store.verify(cell):
            return
        for before in cell.inputs.values():
            need(before)
        missing[cell.key] = cell

    for target in targets:
        if store.state(target) != "discarded":
            need(target)
        for cell in target.walk():
            if store.state(cell) == "broken":
                need(cell)
    return list(missing.values())


def _side_by_side(
    cells: Sequence[Cell],
    workers: SideBySide,
    tell: Callable[[Literal["start", "turn"], Cell], None],
    finish: Callable[[Cell, float], None],
    on_progress: OnProgress,
    should_stop: Callable[[], bool],
) -> None:
    """Keep the workers busy with what is ready; of several cells that run, show the oldest."""
    waiting = {cell.key: cell for cell in cells}
    shown = ""
    error: BaseException | None = None

    def show(key: str, progress: Progress) -> None:
        nonlocal shown
        oldest = workers.running[0]
        if key == oldest.key:
            if key != shown:
                tell("turn", oldest)
            shown = key
            on_progress(progress)

    while True:
        unfinished = {*waiting, *(cell.key for cell in workers.running)}
        for cell in list(waiting.values()):
            if error or not workers.has_room or should_stop():
                break
            if all(before.key not in unfinished for before in cell.inputs.values()):
                del waiting[cell.key]
                tell("start", cell)
                shown = cell.key
                workers.begin(cell)
        if not workers.running:
            break
        for cell, result in workers.wait(show):
            if isinstance(result, BaseException):
                error = error or result  # what else runs may end first: nothing is lost
            else:
                shown = ""
                finish(cell, result)
    if error:
        raise error


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


def compute(
    cell: Cell,
    store: CellStore,
    context: Context,
    instead: Mapping[str, StageFunction],
    on_progress: OnProgress,
) -> float:
    """Run a stage and write its cell; returns the seconds it took."""
    run: StageFunction = instead.get(cell.stage.name, cell.stage.run)
    memory = PeakMemory()
    for before in cell.inputs.values():
        if not store.verify(before):
            raise StageError(
                f"{cell.title}: what it reads, {before.title}, is damaged since it was finished; "
                "the same command computes it again"
            )
    scratch = store.scratch(cell)
    check_scratch(scratch)
    make_folder(scratch)
    started = time.monotonic()
    with store.write(cell) as out:
        inputs = {name: store.folder(before) for name, before in cell.inputs.items()}
        try:
            measured = run(Work(cell, inputs, out, scratch, context, on_progress))
        except Exception as error:
            if said := no_room(error):
                raise StageError(f"{cell.title}: {said}") from error
            raise
        seconds = time.monotonic() - started
        assert isinstance(measured, cell.stage.metrics), f"{cell.title} returned {type(measured)}"
        spent = {"seconds": round(seconds, 3), "peak_memory_bytes": memory.read()}
        of_cell = {"stage": cell.stage.name, "seed": cell.seed}
        measured.model_copy(update={**of_cell, **spent}).write(out)
    if seconds > _LONG:  # a quick one has little to give back, and asking takes a while
        release_memory()
    return seconds
