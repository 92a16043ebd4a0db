"""Reinforcement learning of a fine-tuned generator: one interface, three methods.

What a run draws, records and keeps is in ``run``, the steps in ``steps``, the arithmetic of each
method in ``objectives``. No text is logged or written: history and progress hold numbers, a state
to resume from holds token ids until the run ends.

Completions are drawn from the whole softmax at ``temperature``, less what the constraint forbids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from notesmith.config.rewards import RlConfig
from notesmith.errors import StageError
from notesmith.lm.load import LanguageModel, write_model_folder
from notesmith.lm.rl.policy import policy_of
from notesmith.lm.rl.run import DriftFunction, RewardState, Run
from notesmith.lm.rl.steps import learn
from notesmith.lm.rollout import RewardFunction
from notesmith.lm.samples import Constraints
from notesmith.lm.training.checkpoints import clear_states
from notesmith.lm.training.processes import Processes
from notesmith.lm.training.sft import global_random_state
from notesmith.progress import OnProgress, silent


@dataclass(frozen=True, slots=True)
class RlResult:
    """A trained generator's folder and how it came about.

    ``history`` holds, in order, rows of numbers with a ``step``: means of the completions drawn
    there (``reward``, ``part_…``, ``pass_ratio``, ``length`` in tokens, ``drift_…``), what the step
    did (``loss``, ``grad_norm``, ``kl`` to the fine-tuned model in nats a token), and looks at
    held-out prompts, where all names begin with ``held_out_``. The folder has the weights of
    ``best_step``; 0 is the model that came in. ``tokens`` were trained on, prompts included,
    ``sampled_tokens`` drawn, in ``seconds``, interrupted parts included.
    ``stopped`` names what collapsed, if anything.
    """

    folder: Path
    n_steps: int
    best_step: int
    history: tuple[dict[str, float], ...]
    tokens: int
    sampled_tokens: int
    seconds: float
    stopped: str | None


def train_rl(
    lm: LanguageModel,
    prompts: Sequence[str],
    reward: RewardFunction,
    config: RlConfig,
    *,
    out: Path,
    seed: int,
    held_out: Sequence[str] = (),
    constraint: Constraints = None,
    on_progress: OnProgress = silent,
    work: Path | None = None,
    drift: DriftFunction | None = None,
    reward_state: RewardState | None = None,
) -> RlResult:
    """Train ``lm`` on what ``reward`` says of its completions; save the best model in ``out``.

    ``lm`` itself is left as it was; it is the reference that KL and preferences are measured from.

    Several processes of one machine (see ``notesmith.lm.training.processes``) are given the same
    arguments and return the same result. Each draws a share of the completions. The main one alone
    calls ``reward``, ``drift`` and ``on_progress``, keeps the reward's memory, and writes.

    Args:
        lm: the fine-tuned model.
        prompts: what completions are drawn for.
        reward: see ``RewardFunction``; its exceptions are raised here.
        config: method and settings.
        out: folder of the trained model; appears whole or not at all.
        seed: completions are a function of it, the step and the weights.
        held_out: prompts for choosing the checkpoint, numbered on from ``prompts`` in rollouts;
            without them the last weights are saved.
        constraint: one for all prompts, or one for each of ``[*prompts, *held_out]``.
        on_progress: called after each step.
        work: folder of the states that a run with the same arguments resumes from; they are
            deleted at the end. Threads of rows race, so that an unbroken run has bitwise the same
            result on one thread only.
        drift: statistics of some completions; those in ``WATCHED`` stop a collapse.
        reward_state: the memory of ``reward``, kept with each state. Each look at held-out prompts
            begins from the memory that the run began with, and leaves none behind.

    Raises:
        StageError: no prompts, a reward that is not a number or not one a completion, a state of
            another run in ``work``, a loss that is not a number, vLLM with several processes.
        MissingExtraError: accelerate or PEFT is absent.
    """
    if not prompts:
        raise StageError("no prompts to draw completions for")
    processes = Processes.at(lm.device)
    run = Run(
        lm, (*prompts, *held_out), len(prompts), reward, config, seed, constraint,
        on_progress if processes.is_main else silent, drift, reward_state, processes,
    )  # fmt: skip
    with processes.folder(out) as temp, global_random_state(lm.device):
        with policy_of(run) as policy:
            learn(run, policy, work)
        if temp is not None:
            write_model_folder(lm, temp, weights=run.best_weights)
    if work is not None and processes.is_main:
        clear_states(work)
    result = RlResult(
        out,
        run.n_steps,
        run.best_step,
        tuple(run.history),
        run.tokens,
        run.sampled_tokens,
        run.seconds,
        run.stopped,
    )
    return processes.from_main(lambda: result)
