"""How much learning and text fits into the given hours, by the speeds of this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from notesmith.config.recipe import RecipeConfig
from notesmith.document import Document
from notesmith.errors import ConfigError, StageError
from notesmith.experiment.cost import CorpusStats
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.engine import CellEvent, OnCell
from notesmith.experiment.graph import Cell
from notesmith.experiment.stages import sft
from notesmith.experiment.store import CellStore
from notesmith.files.write import scratch_beside
from notesmith.forecast.corpus_stats import train_stats
from notesmith.forecast.probe import run_probe
from notesmith.forecast.resources import resources
from notesmith.forecast.speeds import (
    Origin,
    Speeds,
    keep_speeds,
    probe_key,
    reference_speeds,
    stored_speeds,
)
from notesmith.forecast.workload import seconds_of, total_seconds
from notesmith.home import home

Told = Callable[[str], None]
Target = Callable[[RecipeConfig], Cell]
# Learning takes this share of the time at most, so that something is written.
_LEARNING = 0.5
_LEAST_EPOCHS = 0.1
_TRIED = 1000
_SLACK = 1.05


@dataclass(frozen=True, slots=True)
class Fitted:
    """Numbers of texts and of passes of fine-tuning that together take ``seconds``."""

    units: int
    epochs: float
    seconds: float


def known_speeds(config: RecipeConfig, outside: Fingerprints) -> Speeds:
    """Speeds that a probe measured here before, or else the project's figures of another machine.

    On a GPU that was not measured no speed is known.
    """
    machine = resources()
    stored = stored_speeds(home() / "probes", probe_key(config, outside, machine))
    if stored is not None and stored.lm is not None:
        return stored
    return Speeds() if machine.gpu else reference_speeds(config)


def measured_speeds(
    config: RecipeConfig, docs: Sequence[Document], outside: Fingerprints, *, tell: Told
) -> Speeds:
    """Speeds that a probe measured here before, or measures now, in about a minute."""
    speeds, machine = known_speeds(config, outside), resources()
    if speeds.origin == "stored":
        return speeds
    probes, key = home() / "probes", probe_key(config, outside, machine)
    with scratch_beside(probes / key) as scratch:
        speeds = run_probe(
            config,
            docs,
            with_lm=True,
            cache=home() / "cache",
            scratch=scratch,
            machine=machine,
            tell=tell,
        )
    keep_speeds(speeds, probes, key)
    return speeds


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected seconds of each cell by key, None where a speed is unknown.

    ``origin`` says where the speeds come from.
    """

    seconds: Mapping[str, float | None]
    origin: Origin

    @classmethod
    def of(
        cls, config: RecipeConfig, docs: Sequence[Document], target: Cell, speeds: Speeds
    ) -> Expected:
        """The expected seconds of ``target`` and of all cells that it needs."""
        facts = CorpusStats(train_stats(docs, config), {})
        times = {c.key: seconds_of(c.amount(facts), speeds) for c in target.walk()}
        return cls(times, speeds.origin)

    @property
    def total(self) -> float | None:
        """Seconds of all cells together; None if one is unknown."""
        known = [seconds for seconds in self.seconds.values() if seconds is not None]
        return sum(known) if len(known) == len(self.seconds) else None

    def telling(self, on_cell: OnCell, target: Cell, store: CellStore) -> OnCell:
        """A function that calls ``on_cell`` with the expected time of the cells that are left."""

        def tell(event: CellEvent) -> None:
            left = [cell for cell in target.walk() if store.state(cell) != "done"]
            known = [s for cell in left if (s := self.seconds[cell.key]) is not None]
            on_cell(replace(event, eta=sum(known), n_untimed=len(left) - len(known)))

        return tell


def fit(
    config: RecipeConfig,
    docs: Sequence[Document],
    target: Target,
    speeds: Speeds,
    hours: float,
    *,
    units: int | None = None,
) -> Fitted:
    """Find how many texts fit into ``hours``; fine-tuning is cut if it would take most of the time.

    Args:
        config: the settings, with as much learning as is useful.
        docs: gold.
        target: builds the cell that is wanted.
        speeds: of this machine.
        hours: the time that is available.
        units: number of texts, if it is given; only the learning is then fitted.

    Raises:
        ConfigError: the time is too short for what comes before the text.
        StageError: a speed is unknown.
    """

    def seconds(n: int, epochs: float) -> tuple[float, float]:
        """Of all, and of fine-tuning alone."""
        changed = with_chosen(config, n, epochs)
        cell = target(changed)
        facts = CorpusStats(train_stats(docs, changed), {})
        whole = total_seconds([cell], facts, speeds)
        tuned = [c for c in cell.walk() if c.stage == sft.STAGE]
        parts = [seconds_of(c.amount(facts), speeds) for c in tuned]
        if whole is None or None in parts:
            raise StageError("speeds of these models are not known here; give --n, not --hours")
        return whole, sum(part for part in parts if part is not None)

    budget = 3600 * hours
    epochs = config.sft.epochs
    fixed, tuning = seconds(units or 1, epochs)
    allowed = budget if units else _LEARNING * budget
    if fixed > allowed and tuning:
        epochs *= max(0.0, allowed - (fixed - tuning)) / tuning
        epochs = round(epochs, 2)
    before, (fixed, _) = fixed, seconds(units or 1, epochs)
    if epochs < min(_LEAST_EPOCHS, config.sft.epochs) or fixed > budget * _SLACK:
        raise ConfigError(
            f"--hours {hours:g}: too little for what comes before the text; about "
            f"{before / 3600 / (1 if units else _LEARNING):.1f} hours are right"
        )
    if units is None:
        each = (seconds(1 + _TRIED, epochs)[0] - fixed) / _TRIED
        units = max(1, int((budget - fixed) / each)) if each > 0 else _TRIED
    return Fitted(units, epochs, seconds(units, epochs)[0])


def with_chosen(config: RecipeConfig, units: int, epochs: float) -> RecipeConfig:
    """``config`` with ``units`` texts and ``epochs`` passes of fine-tuning."""
    synthesize = config.synthesize.model_copy(update={"units": units, "units_per_gold": None})
    tuned = config.sft.model_copy(update={"epochs": epochs})
    return config.model_copy(update={"synthesize": synthesize, "sft": tuned})
