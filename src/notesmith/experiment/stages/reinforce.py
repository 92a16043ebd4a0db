"""Stages of rewards: the committee, learning from rewards, and choosing the best of several."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notesmith.augmentation import gold_names, replace_mentions
from notesmith.config import AugmentConfig, NerConfig, RecipeConfig
from notesmith.document import Document
from notesmith.experiment import artefacts as files
from notesmith.experiment.engine import Work
from notesmith.experiment.stages.common import (
    Surroundings,
    gold_in,
    labels_in,
    load_base,
    load_tuned,
)
from notesmith.files.write import atomic_write_text
from notesmith.lm.rollout import Rollout
from notesmith.synthesis import best_of, reward_of, run_rl
from notesmith.synthesis.plan import Brief
from notesmith.synthesis.reward import Judges, fluency_of

if TYPE_CHECKING:
    from notesmith.lm import Sample
    from notesmith.ner import Committee

_FOLDS = "folds.json"


def committee(work: Work) -> Mapping[str, Any]:
    """Train the judges: students on gold and mention replacement, each blind to its own fold."""
    from notesmith.ner import train_committee

    config = AugmentConfig.model_validate(work.config["augment"])

    def replaced(gold: Sequence[Document]) -> list[Document]:
        return replace_mentions(gold, gold_names(gold), config=config, seed=work.cell.seed)

    trained = train_committee(
        gold_in(work),
        replaced,
        config=NerConfig.model_validate(work.config["ner"]),
        n_members=int(work.config["members"]),
        labels=labels_in(work),
        seed=work.cell.seed,
        on_progress=work.on_progress,
    )
    for i, member in enumerate(trained.members):
        member.save(_member(work.out, i))
    atomic_write_text(work.out / _FOLDS, json.dumps([sorted(ids) for ids in trained.held_out]))
    return {"members": len(trained.members)}


def rl(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """Let the fine-tuned generator learn from rewards; an interrupted run goes on."""
    gold = gold_in(work)
    config = recipe_of(work)
    judges = judges_of(work, around, config, gold)
    result = run_rl(
        load_tuned(work, around),
        gold,
        files.load_names(work.inputs["names"]),
        config,
        judges=judges,
        labels=labels_in(work),
        out=work.out / files.MODEL,
        seed=work.cell.seed,
        work=work.scratch / "states",
        on_progress=work.on_progress,
    )
    return {
        "tokens": result.tokens,
        "sampled_tokens": result.sampled_tokens,
        "training_seconds": round(result.seconds, 3),
        "method": config.rl.method,
        "placebo": config.rl.placebo,
        "steps": result.n_steps,
        "best_step": result.best_step,
        "stopped": result.stopped,
        "history": list(result.history),
    }


def chooser(
    work: Work, around: Surroundings, gold: Sequence[Document], config: RecipeConfig, n_each: int
) -> Callable[[Brief, Sequence[Sample]], list[int]]:
    """Choose, of each request's texts, the one of the highest reward."""
    judges = judges_of(work, around, config, gold)

    def choose(brief: Brief, samples: Sequence[Sample]) -> list[int]:
        rollouts = [
            Rollout(k // n_each, s.text, s.token_ids, s.ended) for k, s in enumerate(samples)
        ]
        return best_of(reward_of(brief, config, judges=judges)(rollouts), n_each)

    return choose


def recipe_of(work: Work) -> RecipeConfig:
    """The tables of the recipe that a generator's cell holds."""
    tables = ("rl", "reward", "filter", "sft", "synthesize", "sample", "lm")
    values = {name: work.config[name] for name in tables if name in work.config}
    if "constrain" in work.config:
        values["sample"] = {"constrain": work.config["constrain"]}
    return RecipeConfig.model_validate(
        {
            "name": "cell",
            "corpus": {
                "train": "-",
                "kind": work.config["kind"],
                "label_descriptions": work.config.get("label_descriptions"),
            },
            "arm": [{"name": "gold"}],
            **values,
        }
    )


def judges_of(
    work: Work, around: Surroundings, config: RecipeConfig, gold: Sequence[Document]
) -> Judges:
    """What the reward asks, of those parts that have a weight."""
    members = _load_committee(work.inputs["committee"])
    # The base model: one that was tuned on gold knows it by heart.
    fluency = fluency_of(load_base(work, around, gold)) if config.reward.fluency else None
    return Judges(members.predict_each, fluency)


def _load_committee(folder: Path) -> Committee:
    from notesmith.ner import Committee, load_ner

    held_out = json.loads((folder / _FOLDS).read_text(encoding="utf-8"))
    members = tuple(load_ner(_member(folder, i)) for i in range(len(held_out)))
    return Committee(members, tuple(frozenset(ids) for ids in held_out))


def _member(folder: Path, i: int) -> Path:
    return folder / f"member-{i + 1}"
