"""The stage of the committee: students that judge what the generator writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notesmith.augmentation.replace import gold_names, replace_mentions
from notesmith.config.fields import Config
from notesmith.config.filters import AugmentConfig, FilterConfig
from notesmith.config.generator import LmConfig
from notesmith.config.recipe import RecipeConfig
from notesmith.config.rewards import RewardConfig
from notesmith.config.student import NerConfig
from notesmith.document import Document
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages.common import gold_in, labels_in, load_base, words_learnt
from notesmith.files.write import atomic_write_text
from notesmith.synthesis.reward.judges import Judges, fluency_of

if TYPE_CHECKING:
    from notesmith.ner.crossfit import Committee

# Bumped by hand when what a text is worth changes, to all stages that ask for rewards.
REWARD_VERSION = 2
_FOLDS = "folds.json"


class Settings(Config):
    """How its students are trained, on gold and on how much mention replacement."""

    ner: NerConfig
    members: int
    augment: AugmentConfig


class Measured(Metrics):
    """How many students judge."""

    members: int


class Rewarding(Config):
    """What a stage that asks for rewards holds of them; ``version`` stands in every key."""

    reward: RewardConfig
    filters: FilterConfig
    version: int

    @classmethod
    def from_recipe(cls, recipe: RecipeConfig) -> Rewarding:
        """What ``recipe`` rewards."""
        return cls(reward=recipe.reward, filters=recipe.filter, version=REWARD_VERSION)


def cell(draw: Draw) -> Cell:
    """Students that judge what the generator writes, each blind to its own fold of gold."""
    config = draw.config
    copying = {"copies", "replace_ratio"}
    return draw.cell(
        STAGE,
        Settings(
            ner=config.ner.mentions_only(),
            members=config.reward.members,
            augment=AugmentConfig(**config.augment.model_dump(include=copying)),
        ),
        inputs={"gold": draw.gold},
        fingerprints=draw.encoder(config.ner),
    )


def run(work: Work[Settings]) -> Measured:
    """Train the judges: students on gold and mention replacement, each blind to its own fold."""
    from notesmith.ner.crossfit import train_committee

    config = work.config

    def replaced(gold: Sequence[Document]) -> list[Document]:
        return replace_mentions(gold, gold_names(gold), config=config.augment, seed=work.seed)

    trained = train_committee(
        gold_in(work),
        replaced,
        config=config.ner,
        n_members=config.members,
        labels=labels_in(work),
        seed=work.seed,
        on_progress=work.on_progress,
    )
    for i, member in enumerate(trained.members):
        member.save(_member(work.out, i))
    atomic_write_text(work.out / _FOLDS, json.dumps([sorted(ids) for ids in trained.held_out]))
    return Measured(members=len(trained.members))


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """As many students as it has members."""
    n = config.members
    return Amount(learnt=n * words_learnt(config.ner, facts), students=n, saved_students=n)


STAGE = Stage(
    "committee",
    version=2,
    config=Settings,
    metrics=Measured,
    run=run,
    cost=cost,
    keeps="first",
    peak="training",
)


def judges_of(
    work: Work[Any], reward: RewardConfig, lm: LmConfig, gold: Sequence[Document]
) -> Judges:
    """What ``reward`` asks, of those parts that have a weight."""
    members = _load(work.inputs["committee"])
    # The base model: one that was tuned on gold knows it by heart.
    fluency = fluency_of(load_base(work, lm, gold)) if reward.fluency else None
    return Judges(members.predict_each, fluency)


def _load(folder: Path) -> Committee:
    from notesmith.ner.crossfit import Committee
    from notesmith.ner.model import load_ner

    held_out = json.loads((folder / _FOLDS).read_text(encoding="utf-8"))
    members = tuple(load_ner(_member(folder, i)) for i in range(len(held_out)))
    return Committee(members, tuple(frozenset(ids) for ids in held_out))


def _member(folder: Path, i: int) -> Path:
    return folder / f"member-{i + 1}"
