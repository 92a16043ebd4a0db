"""The plan: a recipe expanded into cells, and the order in which they are worth having.

The cells of one draw are built by the modules of their stages. Test documents are inputs of
``score`` and ``coverage`` cells alone, and of ``filter``, ``notes`` and ``adapt`` cells, which
learn nothing but whether other text repeats them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from notesmith.config.recipe import ArmConfig, RecipeConfig
from notesmith.errors import ConfigError
from notesmith.experiment.draw import GOLD, Draw, Fingerprints
from notesmith.experiment.folds import CrossFit
from notesmith.experiment.graph import Cell
from notesmith.experiment.recipes import Filters, candidate_of, check_arms
from notesmith.experiment.stages import (
    ANNOTATORS,
    SOURCES,
    coverage,
    gold,
    mined,
    score,
    silver,
    votes,
)
from notesmith.findings import OUT_OF_DRAW, OUT_OF_FOLD

# The split of a model that is scored on nothing: it goes to those who use it.
SHIPPED = "shipped"
# Beside the ranks of sources: arms with rewards, and last what is asked of made text.
_ADAPTED, _REWARDED, _COVERAGE = 2, 4, 5


@dataclass(frozen=True, slots=True)
class Target:
    """A score (a coverage, a quality) that the run is after, for which arm, size and replicate.

    A coverage stands under the first arm that trains on the text.
    """

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
                if cell.stage.name in filters.stage
            }
        if not cells:
            raise ConfigError("no cell of the plan passes --only")
        return tuple(cells.values())


def make_plan(config: RecipeConfig, outside: Fingerprints) -> Plan:
    """Expand ``config``.

    Replicate by replicate, so that whatever is finished compares all arms on the same draws; in a
    replicate the arms that cost least come first.

    Raises:
        ConfigError: no arm has the name 'gold', or one names a source that there is not, or the
            split to be scored has no documents.
    """
    check_arms(config)
    arms = {arm.name: arm for arm in config.arm}
    if GOLD not in arms or arms[GOLD].made:
        raise ConfigError("a recipe needs an arm named 'gold' that trains on gold alone")
    build = _cross_fit if config.evaluate.protocol == "cross-fit" else _held_out
    main = config.draws.sizes[0]
    ranked: list[tuple[tuple[int, int, int], Target]] = []
    for size in dict.fromkeys((*config.draws.sizes, *config.draws.curve)):
        curve = size not in config.draws.sizes
        for replicate in range(n_replicates(config, size)):
            makers = build(config, outside, size, replicate)
            covered: dict[str, list[Target]] = {}
            nameless: dict[str, list[Target]] = {}
            for arm in (arms[GOLD],) if curve else config.arm:
                if arm.sizes and size not in arm.sizes and not curve:
                    continue
                made = [SOURCES[name] for name in arm.made]
                order = (replicate, _rank(arm), 0 if size == main else 2 if curve else 1)
                labels = (arm.name, size, replicate)
                ranked += [
                    (order, Target(cell, *labels, split, curve))
                    for split, cell in makers.scores(arm)
                ]
                if any(source.by_generator for source in made):
                    cells = makers.coverages(arm)
                    # An arm that trains on the text as it is names the generator best.
                    named = covered if any(source.facts.is_main for source in made) else nameless
                    found = [Target(cell, *labels, makers.split) for cell in cells]
                    named.setdefault(cells[0].key, found)
                if any(source.by_annotators for source in made):
                    last = (replicate, _COVERAGE, 0)
                    ranked += [
                        (last, Target(cell, *labels, makers.split))
                        for cell in makers.qualities(arm)
                    ]
            covered = nameless | covered
            ranked += [
                ((replicate, _COVERAGE, 0), target)
                for targets in covered.values()
                for target in targets
            ]
    ranked.sort(key=lambda pair: pair[0])
    finals = _finals(config, outside) if config.evaluate.protocol == "cross-fit" else []
    return Plan((*(target for _, target in ranked), *finals))


@dataclass(frozen=True, slots=True)
class _Makers:
    """What makes the cells that a run is after, in one draw; ``split`` is the one reported."""

    split: str
    scores: Callable[[ArmConfig], list[tuple[str, Cell]]]
    coverages: Callable[[ArmConfig], list[Cell]]
    qualities: Callable[[ArmConfig], list[Cell]] = lambda arm: []


def _qualities(draw: Draw, arm: ArmConfig) -> list[Cell]:
    return [silver.quality_cell(draw, arm), *mined.quality_cells(draw, arm)]


def _held_out(config: RecipeConfig, outside: Fingerprints, size: int, replicate: int) -> _Makers:
    splits = _splits(config, outside)
    drawn = gold.cell(config, outside, size=size, replicate=replicate)
    draw = Draw(
        config, outside, size, replicate, gold=drawn, sources=SOURCES, annotators=ANNOTATORS
    )

    def scores(arm: ArmConfig) -> list[tuple[str, Cell]]:
        found = [(split, score.cell(draw, arm, split)) for split in splits]
        # Of the first draw the models are kept: those that vote in one folder.
        kept = arm.votes > 1 and replicate == 0
        return [*found, (SHIPPED, votes.cell(draw, arm))] if kept else found

    return _Makers(
        config.evaluate.split,
        scores,
        lambda arm: [coverage.cell(draw, arm, config.evaluate.split)],
        # Of other notes the labels are not known.
        lambda arm: _qualities(draw, arm) if config.draws.unlabelled_documents else [],
    )


def _cross_fit(config: RecipeConfig, outside: Fingerprints, size: int, replicate: int) -> _Makers:
    # A point of the learning curve is a part of the main draw, scored on all of it.
    documents = size if size in config.draws.sizes else config.draws.sizes[0]
    if size > documents:
        raise ConfigError(
            f"draws.curve has {size}: more than the {documents} documents that are divided"
        )
    fits = CrossFit(config, outside, documents=documents, size=size, replicate=replicate)
    return _Makers(OUT_OF_FOLD, lambda arm: [(OUT_OF_FOLD, fits.score(arm))], fits.coverages)


def _finals(config: RecipeConfig, outside: Fingerprints) -> list[Target]:
    """The models that ship: of the comparator and of the arm that the verdict is about."""
    size = config.draws.sizes[0]
    fits = CrossFit(config, outside, documents=size, size=size, replicate=0)
    wanted = {config.evaluate.comparator, candidate_of(config)}
    return [
        Target(fits.final(arm), arm.name, size, 0, SHIPPED)
        for arm in config.arm
        if arm.name in wanted and (not arm.sizes or size in arm.sizes)
    ]


def _rank(arm: ArmConfig) -> int:
    """What the arm costs beside the others."""
    if arm.is_rewarded:
        return _REWARDED
    ranks = [SOURCES[name].rank for name in arm.made]
    return max([*ranks, _ADAPTED * arm.adapted])


def scored_split(config: RecipeConfig) -> str:
    """What the verdict's scores are of: test, dev, or the folds of train."""
    cross_fit = config.evaluate.protocol == "cross-fit"
    return OUT_OF_FOLD if cross_fit else config.evaluate.split


def n_replicates(config: RecipeConfig, size: int) -> int:
    """Draws of ``size`` documents that the recipe asks for."""
    return config.draws.replicates_by_size.get(str(size), config.draws.replicates)


def _splits(config: RecipeConfig, outside: Fingerprints) -> tuple[str, ...]:
    wanted = config.evaluate.split
    if not getattr(outside, wanted):
        raise ConfigError(f"corpus.{wanted} is missing: give it with --set corpus.{wanted}=PATH")
    if wanted != "test":
        return (wanted,)
    beyond = (OUT_OF_DRAW,) if config.draws.out_of_draw_documents else ()
    return (*(("dev",) if outside.dev else ()), "test", *beyond)


def _passes(target: Target, filters: Filters) -> bool:
    return (
        (not filters.arm or target.arm in filters.arm)
        and (not filters.size or str(target.size) in filters.size)
        and (not filters.replicate or str(target.replicate + 1) in filters.replicate)
    )


def encoders_of(config: RecipeConfig) -> Sequence[str]:
    """Encoders that the arms name, each once."""
    return tuple(dict.fromkeys(arm.ner.encoder for arm in config.arm))
