"""What a run will take and can show, and whether it can succeed: said before any of it runs.

Reads the corpora as the run does (of what is scored only labels and lengths are counted, and the
seal stays shut), expands the plan, and lays measured speeds on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notesmith.config.recipe import RecipeConfig
from notesmith.experiment.cost import CorpusStats, Peak, SplitStats
from notesmith.experiment.engine import count
from notesmith.experiment.folder import CELLS, KEEP
from notesmith.experiment.models import needs_lm, pin_models
from notesmith.experiment.recipes import Filters
from notesmith.experiment.store import CellStore
from notesmith.files.write import scratch_beside
from notesmith.forecast import checks
from notesmith.forecast.checks import Problem
from notesmith.forecast.corpus_stats import (
    USUAL_TOKENS_PER_WORD,
    train_stats,
)
from notesmith.forecast.footprint import (
    ToFetch,
    disk_of,
    hub_models,
    least_memory,
    peak_of,
)
from notesmith.forecast.inputs import open_recipe
from notesmith.forecast.power import Smallest, smallest_gain
from notesmith.forecast.probe import run_probe
from notesmith.forecast.resources import Resources, free_disk, resources
from notesmith.forecast.speeds import (
    BUSY,
    GIB,
    Speeds,
    keep_speeds,
    probe_key,
    reference_speeds,
    stored_speeds,
)
from notesmith.forecast.stages import StageForecast, stage_forecasts
from notesmith.home import home

# A run's process holds on to some of what earlier cells used.
_SPARE = 1.2
Measure = Callable[..., Speeds]
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What ``notesmith plan`` has to say; sizes in bytes, times in seconds, None for unknown.

    ``sends_to`` is the host of a server elsewhere that would be sent prompts. ``left_out`` are
    sentences on documents that stand in two parts.
    """

    recipe: str
    folder: Path
    machine: Resources
    corpus: Mapping[str, SplitStats]
    stages: tuple[StageForecast, ...]
    speeds: Speeds
    smallest: Smallest | None
    memory: int | None
    disk: int | None
    disk_free: int
    hub: tuple[ToFetch, ...]
    written: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]
    sends_to: str | None = None
    left_out: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """Of all that is left; None where a stage is unknown, or nothing was planned."""
        known = [stage.seconds for stage in self.stages if stage.seconds is not None]
        return sum(known) if known and len(known) == len(self.stages) else None

    @property
    def n_learnt(self) -> int:
        """Finished cells that told how long others of their stage take."""
        return sum(stage.n_learnt for stage in self.stages if stage.n_done < stage.n_cells)

    @property
    def seconds_range(self) -> tuple[float, float] | None:
        """Between which seconds all that is left will most probably take; None if unknown."""
        if self.seconds is None:
            return None
        ends = [stage.seconds_range(self.speeds.origin) for stage in self.stages]
        return sum(low for low, _ in ends), sum(high for _, high in ends)

    @property
    def can_succeed(self) -> bool:
        """Whether nothing was found that stops the run."""
        return not any(problem.fatal for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """JSON values, free of text."""
        return {
            "recipe": self.recipe,
            "folder": str(self.folder),
            "can_succeed": self.can_succeed,
            "problems": [problem.to_json() for problem in self.problems],
            "machine": self.machine.to_json(),
            "corpus": {
                name: {
                    "documents": facts.n_documents,
                    "patients": len(facts.patients),
                    "words": facts.n_words,
                    "mentions": facts.n_mentions,
                    "labels": dict(facts.labels),
                }
                for name, facts in self.corpus.items()
            },
            "left_out": list(self.left_out),
            "stages": [
                {
                    "stage": stage.stage,
                    "cells": stage.n_cells,
                    "done": stage.n_done,
                    "seconds": stage.seconds,
                    "peak_memory_bytes": stage.peak,
                }
                for stage in self.stages
            ],
            "seconds": self.seconds,
            "seconds_range": list(self.seconds_range) if self.seconds_range else None,
            "speeds": self.speeds.to_json(),
            "smallest_gain": self.smallest.to_json() if self.smallest else None,
            "memory_bytes": self.memory,
            "disk_bytes": self.disk,
            "disk_free_bytes": self.disk_free,
            "leaves_the_machine": [
                {"field": model.field, "hub_id": model.hub_id}
                for model in self.hub
                if not model.here
            ],
            "text_goes_to": self.sends_to,
            "written": dict(self.written),
        }


def forecast_run(
    config: RecipeConfig,
    out: Path | str,
    *,
    only: Sequence[str] = (),
    probe: bool = True,
    again: bool = False,
    measure: Measure = run_probe,
    machine: Resources | None = None,
    tell: Told = lambda what: None,
) -> Forecast:
    """Say what ``config`` takes in the folder ``out``; nothing is written there.

    Args:
        config: the recipe, resolved.
        out: the run folder.
        only: plan a part, as ``run_recipe`` runs one.
        probe: measure speeds for about a minute where none are stored.
        again: measure them though they are stored.
        measure: measures them.
        machine: what the run would have; this machine if not given.
        tell: told what is being measured.

    Raises:
        ConfigError: nothing of the plan passes ``only``.
        NotesmithError: the probe itself fails, which says why the run would.
    """
    filters = Filters.parse(only)
    folder, cache = Path(out), home() / "cache"
    machine = machine or resources()
    config = pin_models(config)
    opened = open_recipe(config)
    hub = hub_models(config) if config.hub else ()
    problems = [
        *checks.of_software(config),
        *checks.of_server(config),
        *checks.of_votes(config),
        *checks.of_adapted(config),
        *opened.problems,
        *checks.of_folder(folder, config, opened.paths),
        *_of_size(config, machine),
    ]
    speeds = reference_speeds(config)
    stages: tuple[StageForecast, ...] = ()
    memory = disk = None
    if opened.plan is not None and opened.outside is not None:
        probes, key = home() / "probes", probe_key(config, opened.outside, machine)
        with_lm = needs_lm(config)
        stored = None if again else stored_speeds(probes, key)
        if stored is not None and (stored.lm is not None or not with_lm):
            speeds = stored
        elif probe and not _stops(problems) and _may_measure(config, speeds, machine, hub, tell):
            with scratch_beside(probes / key) as scratch:
                speeds = measure(
                    config,
                    opened.docs["train"],
                    with_lm=with_lm,
                    cache=cache,
                    scratch=scratch,
                    machine=machine,
                    tell=tell,
                )
            keep_speeds(speeds, probes, key)
        tokens = speeds.lm.tokens_per_word if speeds.lm else USUAL_TOKENS_PER_WORD
        train_ = train_stats(
            opened.docs["train"],
            config,
            tokens_per_word=tokens,
            window=checks.lm_window(config.lm.model),
        )
        problems += checks.of_units(config, train_, tokens)
        held_out = {name: facts for name, facts in opened.facts.items() if name != "train"}
        store = CellStore(folder / CELLS)
        targets = opened.plan.select(filters)
        census = count(targets, store)
        facts = CorpusStats(train_, held_out)
        stages = stage_forecasts(targets, census, store, config, facts, speeds)
        peak = max((stage.peak for stage in stages if stage.peak), default=None)
        memory = None if peak is None else round(peak * _SPARE)
        keep = (folder / KEEP).exists()
        disk = disk_of(census.left, config, facts, speeds, keep=keep, cache=cache)
        problems += [*_of_memory(memory, machine, speeds), *_of_speeds(speeds, machine)]
    disk_free = free_disk(folder)
    problems += _of_disk(disk, disk_free)
    return Forecast(
        recipe=config.name,
        folder=folder,
        machine=machine,
        corpus=opened.facts,
        stages=stages,
        speeds=speeds,
        smallest=smallest_gain(config, opened.facts),
        memory=memory,
        disk=disk,
        disk_free=disk_free,
        hub=hub,
        written=_written(folder, config, hub),
        problems=tuple(problems),
        sends_to=checks.sends_to(config),
        left_out=opened.left_out,
    )


def _stops(problems: Iterable[Problem]) -> bool:
    return any(problem.fatal for problem in problems)


def _may_measure(
    config: RecipeConfig,
    speeds: Speeds,
    machine: Resources,
    hub: Sequence[ToFetch],
    tell: Told,
) -> bool:
    """Whether a probe fetches nothing and takes no memory that others use."""
    if absent := [model.hub_id for model in hub if not model.here]:
        tell(
            f"not measured: {', '.join(absent)} is not on this machine, and a plan fetches nothing"
        )
        return False
    measured: list[Peak] = ["training"]
    if needs_lm(config):
        measured += ["scoring", "tuning", "sampling"]
    needed = max(peak_of(kind, config, speeds) or 0 for kind in measured)
    if not machine.gpu and machine.free and needed > machine.free:
        have = f"{machine.free / GIB:.1f} are free now"
        tell(f"not measured: about {needed / GIB:.1f} GiB would be needed and {have}")
        return False
    return True


def _of_size(config: RecipeConfig, machine: Resources) -> Iterable[Problem]:
    """A model far too large: known before anything is loaded."""
    least = least_memory(config)
    if least is not None and machine.model_memory and least > machine.model_memory:
        yield Problem(
            f"fine-tuning {config.lm.model!r} takes {least / GIB:.0f} GiB at least and there are "
            f"{machine.model_memory / GIB:.0f}",
            "sft.lora_rank = 16, or a smaller lm.model",
        )


def _of_speeds(speeds: Speeds, machine: Resources) -> Iterable[Problem]:
    if speeds.busy >= BUSY:
        yield Problem(
            f"other work took {speeds.busy:g} of {machine.cores} cores while speeds were "
            "measured; that is taken out of the time, roughly",
            "stop the other work and measure again (--again)",
            fatal=False,
        )


def _of_memory(memory: int | None, machine: Resources, speeds: Speeds) -> Iterable[Problem]:
    if memory is None or not machine.model_memory:
        return
    # What was measured elsewhere says nothing certain about here.
    sure = speeds.origin in ("measured", "stored")
    remedy = "sft.lora_rank = 16, a lower sft.batch_size, or a smaller lm.model"
    if memory > machine.model_memory:
        what = f"about {memory / GIB:.1f} GiB are needed and there are"
        yield Problem(f"{what} {machine.model_memory / GIB:.1f}", remedy, fatal=sure)
    elif not machine.gpu and memory > machine.free:
        yield Problem(
            f"about {memory / GIB:.1f} GiB are needed and {machine.free / GIB:.1f} are free now",
            "stop other programs before the run",
            fatal=False,
        )


def _of_disk(disk: int | None, free: int) -> Iterable[Problem]:
    if disk is not None and disk > free:
        yield Problem(
            f"about {disk / GIB:.1f} GiB of disk are needed and {free / GIB:.1f} are free",
            "free some space, or name a folder elsewhere with --out",
        )


def _written(
    folder: Path, config: RecipeConfig, hub: Sequence[ToFetch]
) -> tuple[tuple[str, str], ...]:
    places = [
        (f"{folder}/cells", "drawn, made and dropped text, models: restricted as the notes are"),
        (
            f"{folder}",
            "report.html, results.json, tables, figures: no note text; examples.html: text",
        ),
        (f"{home()}/probes", "speeds of this machine: numbers"),
    ]
    if needs_lm(config):
        places.append((f"{home()}/cache", "the language model, converted: nothing of the notes"))
    if hub:
        places.append((f"{home()}/hub", "models of a hub, as fetched: nothing of the notes"))
    return tuple(places)
