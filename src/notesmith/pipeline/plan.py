"""The plan: a recipe expanded into cells, and the order in which they are worth having.

For each draw of gold documents: ``draw`` → ``names``, ``sft`` → ``sample`` → ``filter`` → ``ner``
→ ``score``, and the rivals that need no language model beside them. Test documents are inputs of
``score`` cells alone; ``held-out`` turns dev and test into hashes, which is all that filters see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from notesmith.config import ArmConfig, Config, NerConfig, RecipeConfig, Source
from notesmith.errors import ConfigError
from notesmith.pipeline.cells import Cell, seed_for
from notesmith.pipeline.recipes import Filters, student_of

# Bumped by hand when a stage's results change for the same inputs.
STAGE_VERSION: dict[str, int] = {
    "held-out": 1,
    "draw": 1,
    "names": 1,
    "sft": 2,
    "sample": 3,
    "filter": 1,
    "replaced": 1,
    "replaced-proposed": 1,
    "lwtr": 1,
    "shuffled": 1,
    "synthetic-shuffled-labels": 1,
    "ner": 1,
    "score": 1,
    "coverage": 1,
}
STAGES = tuple(STAGE_VERSION)
# Folders of weights: gone once their readers are finished, but for the first replicate's.
DISPOSABLE = frozenset({"sft", "ner"})
_COST: dict[Source, int] = {
    "replaced": 1,
    "lwtr": 1,
    "shuffled": 1,
    "replaced-proposed": 2,
    "synthetic": 3,
    "synthetic-shuffled-labels": 3,
}
GOLD = "gold"


@dataclass(frozen=True, slots=True)
class Sources:
    """Content hashes of what a run reads from outside: corpora, models, term lists."""

    train: str
    dev: str = ""
    test: str = ""
    lm: str = ""
    term_lists: str = ""
    encoders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """A score (or a coverage) that the run is after, for which arm, size and replicate."""

    cell: Cell
    arm: str
    size: int
    replicate: int
    split: str
    curve: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """All targets of a recipe, the most telling first."""

    targets: tuple[Target, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The target cells, each once, in order."""
        return tuple({target.cell.key: target.cell for target in self.targets}.values())

    def select(self, filters: Filters) -> tuple[Cell, ...]:
        """Cells of this plan that pass ``filters``; with stages named, cells of those stages.

        Raises:
            ConfigError: nothing passes.
        """
        chosen = [target for target in self.targets if _passes(target, filters)]
        cells = {target.cell.key: target.cell for target in chosen}
        if filters.stage:
            cells = {
                cell.key: cell
                for target in chosen
                for cell in target.cell.walk()
                if cell.stage in filters.stage
            }
        if not cells:
            raise ConfigError("no cell of the plan passes --only")
        return tuple(cells.values())


def make_plan(config: RecipeConfig, sources: Sources) -> Plan:
    """Expand ``config``.

    Replicate by replicate, so that whatever is finished compares all arms on the same draws; in a
    replicate the arms that cost least come first.

    Raises:
        ConfigError: no arm has the name 'gold', or the split to be scored has no documents.
    """
    arms = {arm.name: arm for arm in config.arm}
    if GOLD not in arms or arms[GOLD].made:
        raise ConfigError("a recipe needs an arm named 'gold' that trains on gold alone")
    splits = _splits(config, sources)
    main = config.draws.sizes[0]
    ranked: list[tuple[tuple[int, int, int], Target]] = []
    for size in dict.fromkeys((*config.draws.sizes, *config.draws.curve)):
        curve = size not in config.draws.sizes
        for replicate in range(n_replicates(config, size)):
            draw = _Draw(config, sources, size, replicate)
            made_by_lm = False
            for arm in (arms[GOLD],) if curve else config.arm:
                if arm.sizes and size not in arm.sizes and not curve:
                    continue
                cost = max((_COST[source] for source in arm.made), default=0)
                for split in splits:
                    cell = draw.score(arm, split)
                    order = (replicate, cost, 0 if size == main else 2 if curve else 1)
                    target = Target(cell, arm.name, size, replicate, split, curve)
                    ranked.append((order, target))
                made_by_lm |= cost == max(_COST.values())
            if made_by_lm:
                cell = draw.coverage(config.evaluate.split)
                target = Target(cell, "", size, replicate, config.evaluate.split)
                ranked.append(((replicate, max(_COST.values()) + 1, 0), target))
    ranked.sort(key=lambda pair: pair[0])
    return Plan(tuple(target for _, target in ranked))


def n_replicates(config: RecipeConfig, size: int) -> int:
    """Draws of ``size`` documents that the recipe asks for."""
    return config.draws.replicates_by_size.get(str(size), config.draws.replicates)


def may_discard(cell: Cell) -> bool:
    """Whether a cell's weights may go once nothing needs them any more."""
    return cell.stage in DISPOSABLE and cell.replicate != 0


def _splits(config: RecipeConfig, sources: Sources) -> tuple[str, ...]:
    wanted = config.evaluate.split
    if not getattr(sources, wanted):
        raise ConfigError(f"corpus.{wanted} is missing: give it with --set corpus.{wanted}=PATH")
    return ("dev", "test") if wanted == "test" and sources.dev else (wanted,)


def _passes(target: Target, filters: Filters) -> bool:
    return (
        (not filters.arm or target.arm in filters.arm)
        and (not filters.size or str(target.size) in filters.size)
        and (not filters.replicate or str(target.replicate + 1) in filters.replicate)
    )


def _values(config: Config, *names: str) -> dict[str, Any]:
    return config.model_dump(mode="json", include=set(names) or None, exclude_none=True)


class _Draw:
    """Builds the cells of one draw; a cell that two arms need is the same by its key."""

    def __init__(self, config: RecipeConfig, sources: Sources, size: int, replicate: int) -> None:
        self.config = config
        self.sources = sources
        self.size = size
        self.replicate = replicate
        self.gold = self._cell(
            "draw",
            config={**self._reading, "documents": size},
            sources={"train": sources.train},
            # The same for all sizes, so that a smaller draw is the start of a larger one.
            seed=seed_for(config.draws.seed, "draw", replicate),
        )

    @property
    def _reading(self) -> dict[str, Any]:
        return _values(self.config.corpus, "format", "label_map", "on_problem")

    def _cell(
        self,
        stage: str,
        *,
        config: Mapping[str, Any],
        inputs: Mapping[str, Cell] | None = None,
        sources: Mapping[str, str] | None = None,
        seed: int | None = None,
        arm: str = "",
    ) -> Cell:
        if seed is None:
            seed = seed_for(self.config.draws.seed, "generator", self.size, self.replicate)
        return Cell(
            stage=stage,
            version=STAGE_VERSION[stage],
            config=config,
            inputs=inputs or {},
            sources=sources or {},
            seed=seed,
            arm=arm,
            size=self.size,
            replicate=self.replicate,
        )

    def names(self) -> Cell:
        return self._cell(
            "names",
            config={
                "lm": _values(self.config.lm),
                "names": _values(self.config.synthesize.names),
                "kind": self.config.corpus.kind,
            },
            inputs={"gold": self.gold},
            sources={"lm": self.sources.lm, "term_lists": self.sources.term_lists},
        )

    def sft(self) -> Cell:
        synthesize = _values(self.config.synthesize)
        for name in ("units", "units_per_gold", "agreement", "names"):
            synthesize.pop(name, None)
        return self._cell(
            "sft",
            config={
                "lm": _values(self.config.lm),
                "sft": _values(self.config.sft),
                "synthesize": synthesize,
                "kind": self.config.corpus.kind,
            },
            inputs={"gold": self.gold},
            sources={"lm": self.sources.lm},
        )

    def synthetic(self) -> Cell:
        config = self.config
        sample = self._cell(
            "sample",
            config={
                "sft": _values(config.sft, "unit", "passage_sentences", "max_unit_tokens"),
                "synthesize": _values(config.synthesize),
                "sample": _values(config.sample),
                "kind": config.corpus.kind,
                # The committee's students are those of [ner].
                **({"ner": _values(config.ner)} if config.synthesize.agreement else {}),
            },
            inputs={"gold": self.gold, "names": self.names(), "model": self.sft()},
            sources=self._encoder(config.ner) if config.synthesize.agreement else {},
        )
        held_out = Cell(
            stage="held-out",
            version=STAGE_VERSION["held-out"],
            config=self._reading,
            sources={"dev": self.sources.dev, "test": self.sources.test},
        )
        return self._cell(
            "filter",
            config={"filter": _values(config.filter)},
            inputs={"gold": self.gold, "candidates": sample, "held-out": held_out},
        )

    def made(self, source: Source) -> Cell:
        """The cell whose documents join gold as ``source``."""
        augment = self.config.augment
        builders: dict[Source, Callable[[], Cell]] = {
            "synthetic": self.synthetic,
            "synthetic-shuffled-labels": lambda: self._cell(
                "synthetic-shuffled-labels", config={}, inputs={"made": self.synthetic()}
            ),
            "replaced": lambda: self._cell(
                "replaced",
                config=_values(augment, "copies", "replace_ratio"),
                inputs={"gold": self.gold},
            ),
            "replaced-proposed": lambda: self._cell(
                "replaced-proposed",
                config=_values(augment, "copies", "replace_ratio", "proposed_ratio"),
                inputs={"gold": self.gold, "names": self.names()},
            ),
            "lwtr": lambda: self._cell(
                "lwtr",
                config=_values(augment, "copies", "token_ratio"),
                inputs={"gold": self.gold},
            ),
            "shuffled": lambda: self._cell(
                "shuffled",
                config=_values(augment, "copies", "shuffle_ratio"),
                inputs={"gold": self.gold},
            ),
        }
        return builders[source]()

    def score(self, arm: ArmConfig, split: str) -> Cell:
        student = student_of(self.config, arm)
        # One seed for all arms of a draw: arms differ in what they train on, not in luck.
        seed = seed_for(self.config.draws.seed, "student", self.size, self.replicate)
        ner = self._cell(
            "ner",
            config={"ner": _values(student)},
            inputs={"gold": self.gold, **{source: self.made(source) for source in arm.made}},
            sources=self._encoder(student),
            seed=seed,
            arm=arm.name,
        )
        return self._cell(
            "score",
            config=self._documents(split),
            inputs={"gold": self.gold, "model": ner},
            sources={"documents": getattr(self.sources, split)},
            seed=seed,
            arm=arm.name,
        )

    def coverage(self, split: str) -> Cell:
        """How much of what gold lacks stands in the synthetic text of this draw."""
        return self._cell(
            "coverage",
            config=self._documents(split),
            inputs={"gold": self.gold, "made": self.synthetic(), "names": self.names()},
            sources={"documents": getattr(self.sources, split)},
            seed=0,
        )

    def _documents(self, split: str) -> dict[str, Any]:
        draws = self.config.draws
        n = draws.test_documents if split == "test" else draws.dev_documents
        return {**self._reading, "split": split, "documents": n}

    def _encoder(self, student: NerConfig) -> dict[str, str]:
        return {"encoder": self.sources.encoders.get(student.encoder, student.encoder)}


def encoders_of(config: RecipeConfig) -> Sequence[str]:
    """Encoders that the arms name, each once."""
    return tuple(dict.fromkeys(student_of(config, arm).encoder for arm in config.arm))
