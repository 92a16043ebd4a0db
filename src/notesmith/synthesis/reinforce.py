"""Let the fine-tuned generator learn from rewards, and choose the best of several texts by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from notesmith.config import RecipeConfig, RlConfig
from notesmith.document import Document
from notesmith.lm.rollout import Reward, Rollout
from notesmith.progress import OnProgress, silent
from notesmith.synthesis.names import NameSet
from notesmith.synthesis.plan import Brief, brief_of, units_of
from notesmith.synthesis.reward import Judges, RewardModel, Task

if TYPE_CHECKING:
    from notesmith.lm import LanguageModel, RlResult

_RECORDED = (
    *("distinct_names", "words", "density", "new_name_ratio", "self_similarity"),
    *("asked_distinct_names", "asked_words", "asked_density"),
)


def run_rl(
    lm: LanguageModel,
    gold: Sequence[Document],
    names: NameSet,
    config: RecipeConfig,
    *,
    judges: Judges,
    labels: Sequence[str],
    out: Path,
    seed: int,
    work: Path | None = None,
    on_progress: OnProgress = silent,
) -> RlResult:
    """Train the fine-tuned ``lm`` on what its texts are worth; save the best model in ``out``.

    Args:
        lm: the fine-tuned model.
        gold: the gold documents that it was tuned on.
        names: approved new names.
        config: the recipe; ``rl``, ``reward``, ``filter`` and what ``brief_of`` reads.
        judges: what the reward asks; see ``RewardConfig``.
        labels: all labels.
        out: folder that the trained model is written to.
        seed: of requests and completions.
        work: folder of states that an interrupted run resumes from.
        on_progress: told of rewards, KL, length, density and names as it trains.

    Raises:
        StageError: a reward cannot be computed.
        ConfigError: a part of the reward has a weight and lacks what it needs.
    """
    from notesmith.lm import train_rl

    units = units_of(gold, config.sft, lm)
    n = n_prompts(config.rl)
    brief = brief_of(
        lm, units, names, config, n=n + config.rl.held_out, labels=labels, seed=seed + 1
    )
    reward = reward_of(brief, config, judges=judges)

    def drift(rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        found = reward.drift(rollouts).to_json()
        return {name: found[name] for name in _RECORDED}

    return train_rl(
        lm,
        brief.prompts[:n],
        reward,
        config.rl,
        out=out,
        seed=seed,
        held_out=brief.prompts[n:],
        constraint=brief.constraint,
        on_progress=on_progress,
        work=work,
        drift=drift,
        reward_state=reward,
    )


def n_prompts(config: RlConfig) -> int:
    """Prompts that a whole run looks at, each once."""
    if config.method == "grpo":
        return config.steps * config.prompts
    return config.rounds * config.prompts_per_round


def reward_of(brief: Brief, config: RecipeConfig, *, judges: Judges) -> RewardModel:
    """The reward of texts written for ``brief``."""
    task = Task(brief.requests, brief.marks, brief.lexicon, brief.reserved)
    return RewardModel(brief.units, config.reward, config.filter, judges=judges, task=task)


def best_of(rewards: Sequence[Reward], n_each: int) -> list[int]:
    """Number of the best text of each group of ``n_each``, in order; the first of equals."""
    totals = np.array([reward.total for reward in rewards]).reshape(-1, n_each)
    return [int(i) + k * n_each for k, i in enumerate(totals.argmax(axis=1))]
