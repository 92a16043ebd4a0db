"""How long each stage of a plan takes: by speeds, and by the cells that are finished already."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from notesmith.config.recipe import RecipeConfig
from notesmith.experiment.cost import CorpusStats
from notesmith.experiment.engine import Census
from notesmith.experiment.graph import Cell
from notesmith.experiment.stages import STAGES
from notesmith.experiment.store import CellStore
from notesmith.forecast.footprint import peak_of
from notesmith.forecast.speeds import Origin, Speeds
from notesmith.forecast.workload import seconds_of

# Shares of the expected time between which a stage ends, by what the expectation rests on. They
# are chosen, not fitted: two runs took 4 and 24% longer than planned by speeds of their machine
# (docs/how-to/plan-a-run.md), and those of another machine say little.
_RANGE: Mapping[str, tuple[float, float]] = {
    "learnt": (0.9, 1.15),
    "measured": (0.8, 1.3),
    "stored": (0.8, 1.3),
    "reference": (0.4, 2.5),
    "unknown": (0.4, 2.5),
}


@dataclass(frozen=True, slots=True)
class StageForecast:
    """Cells of a stage, how many are finished, seconds that the others take, peak in bytes.

    ``n_learnt`` finished cells told how long the others take.
    """

    stage: str
    n_cells: int
    n_done: int
    seconds: float | None
    n_learnt: int
    peak: int | None

    def seconds_range(self, origin: Origin) -> tuple[float, float]:
        """Seconds between which the stage most probably ends, by speeds of ``origin``."""
        less, more = _RANGE["learnt" if self.n_learnt else origin]
        return less * (self.seconds or 0), more * (self.seconds or 0)


def stage_forecasts(
    targets: Sequence[Cell],
    census: Census,
    store: CellStore,
    config: RecipeConfig,
    facts: CorpusStats,
    speeds: Speeds,
) -> tuple[StageForecast, ...]:
    """What each stage of ``targets`` takes, in the order of the stages.

    Finished cells tell how much longer than expected the others of their stage take.
    """
    everything = {cell.key: cell for target in targets for cell in target.walk()}
    left: dict[str, list[Cell]] = defaultdict(list)
    for cell in census.left:
        left[cell.stage.name].append(cell)
    found = _corrections(census, store, facts, speeds)
    n_learnt = Counter(cell.stage.name for cell in census.done if cell.stage.name in found)
    rows = []
    for stage in STAGES:
        n_cells = sum(cell.stage == stage for cell in everything.values())
        if not n_cells:
            continue
        times = [seconds_of(cell.amount(facts), speeds) for cell in left[stage.name]]
        known = [seconds * found.get(stage.name, 1.0) for seconds in times if seconds is not None]
        rows.append(
            StageForecast(
                stage.name,
                n_cells,
                n_cells - len(times),
                sum(known) if len(known) == len(times) else None,
                n_learnt[stage.name],
                peak_of(stage.peak, config, speeds) if stage.peak else None,
            )
        )
    return tuple(rows)


def _corrections(
    census: Census, store: CellStore, facts: CorpusStats, speeds: Speeds
) -> dict[str, float]:
    """By stage, how much longer its finished cells took than they would have been expected to."""
    took: dict[str, float] = defaultdict(float)
    expected: dict[str, float] = defaultdict(float)
    for cell in census.done:
        found = store.metrics(cell)
        foreseen = seconds_of(cell.amount(facts), speeds)
        if found is not None and foreseen is not None:
            took[cell.stage.name] += found.seconds
            expected[cell.stage.name] += foreseen
    return {stage: took[stage] / expected[stage] for stage in took if expected[stage] > 0}
