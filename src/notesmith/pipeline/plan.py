"""The plan: a recipe expanded into cells, and the order in which they are worth having.

The cells of one draw are made in ``draws``. Test documents are inputs of ``score`` and ``coverage``
cells alone; ``held-out`` turns dev and test into hashes, which is all that filters see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from notesmith.config import ArmConfig, RecipeConfig, Source
from notesmith.errors import ConfigError
from notesmith.pipeline.cells import Cell
from notesmith.pipeline.draws import GOLD, STAGE_VERSION, Draw, Sources
from notesmith.pipeline.recipes import Filters, student_of

STAGES = tuple(STAGE_VERSION)
# Folders of weights: gone once their readers are finished, but for the first replicate's.
DISPOSABLE = frozenset({"sft", "rl", "committee", "ner"})
_COST: dict[Source, int] = {
    "replaced": 1,
    "lwtr": 1,
    "shuffled": 1,
    "replaced-proposed": 2,
    "synthetic": 3,
    "synthetic-unfiltered": 3,
    "synthetic-relabelled": 3,
    "synthetic-shuffled-labels": 3,
}
_BY_LM = 3
_REWARDED = 4


@dataclass(frozen=True, slots=True)
class Target:
    """A score (or a coverage) that the run is after, for which arm, size and replicate.

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
            draw = Draw(config, sources, size, replicate)
            covered: dict[str, Target] = {}
            nameless: dict[str, Target] = {}
            for arm in (arms[GOLD],) if curve else config.arm:
                if arm.sizes and size not in arm.sizes and not curve:
                    continue
                cost = _cost(arm)
                for split in splits:
                    cell = draw.score(arm, split)
                    order = (replicate, cost, 0 if size == main else 2 if curve else 1)
                    target = Target(cell, arm.name, size, replicate, split, curve)
                    ranked.append((order, target))
                if cost >= _BY_LM:
                    cell = draw.coverage(arm, config.evaluate.split)
                    target = Target(cell, arm.name, size, replicate, config.evaluate.split)
                    # An arm that trains on the text as it is names the generator best.
                    named = covered if "synthetic" in arm.made else nameless
                    named.setdefault(cell.key, target)
            covered = nameless | covered
            ranked += [((replicate, _REWARDED + 1, 0), target) for target in covered.values()]
    ranked.sort(key=lambda pair: pair[0])
    return Plan(tuple(target for _, target in ranked))


def _cost(arm: ArmConfig) -> int:
    cost = max((_COST[source] for source in arm.made), default=0)
    rewarded = arm.rl is not None or arm.best_of > 1
    return _REWARDED if cost == _BY_LM and rewarded else cost


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


def encoders_of(config: RecipeConfig) -> Sequence[str]:
    """Encoders that the arms name, each once."""
    return tuple(dict.fromkeys(student_of(config, arm).encoder for arm in config.arm))
