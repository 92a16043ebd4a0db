"""Let the fine-tuned generator learn from rewards, and choose the best of several texts by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from notesmith.config.filters import FilterConfig
from notesmith.config.rewards import GrpoConfig, RewardConfig, RlConfig
from notesmith.document import Document
from notesmith.lm.rollout import Reward, Rollout
from notesmith.progress import OnProgress, silent
from notesmith.synthesis.config import GenerationConfig
from notesmith.synthesis.names import NameSet
from notesmith.synthesis.plan import GenerationPlan, plan_generation, units_of
from notesmith.synthesis.reward.cases import Task
from notesmith.synthesis.reward.function import RewardModel
from notesmith.synthesis.reward.judges import Judges

if TYPE_CHECKING:
    from notesmith.lm.load import LanguageModel
    from notesmith.lm.rl.train import RlResult

_RECORDED = (
    *("distinct_names", "words", "density", "new_name_ratio", "self_similarity"),
    *("asked_distinct_names", "asked_words", "asked_density"),
)


def run_rl(
    lm: LanguageModel,
    gold: Sequence[Document],
    names: NameSet,
    config: RlConfig,
    *,
    generation: GenerationConfig,
    reward: RewardConfig,
    filters: FilterConfig,
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
        config: how it learns.
        generation: how text is asked for; of its sampling, where marks may stand.
        reward: what it is rewarded for.
        filters: their limits are gates of the reward.
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
    from notesmith.lm.rl.train import train_rl

    units = units_of(gold, generation.units, lm)
    n = n_prompts(config)
    plan = plan_generation(
        lm, units, names, generation, n=n + config.held_out, labels=labels, seed=seed + 1
    )
    model = reward_of(plan, reward, filters, judges=judges)

    def drift(rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        found = model.drift(rollouts).to_json()
        return {name: found[name] for name in _RECORDED}

    return train_rl(
        lm,
        plan.prompts[:n],
        model,
        config,
        out=out,
        seed=seed,
        held_out=plan.prompts[n:],
        constraint=plan.constraint,
        on_progress=on_progress,
        work=work,
        drift=drift,
        reward_state=model,
    )


def n_prompts(config: RlConfig) -> int:
    """Prompts that a whole run looks at, each once."""
    if isinstance(config, GrpoConfig):
        return config.steps * config.prompts
    return config.rounds * config.prompts_per_round


def reward_of(
    plan: GenerationPlan, config: RewardConfig, filters: FilterConfig, *, judges: Judges
) -> RewardModel:
    """The reward of texts written for ``plan``."""
    task = Task(plan.requests, plan.marks, plan.lexicon, plan.reserved)
    return RewardModel(plan.units, config, filters, judges=judges, task=task)


def best_of(rewards: Sequence[Reward], n_each: int) -> list[int]:
    """Number of the best text of each group of ``n_each``, in order; the first of equals."""
    totals = np.array([reward.total for reward in rewards]).reshape(-1, n_each)
    return [int(i) + k * n_each for k, i in enumerate(totals.argmax(axis=1))]
