"""The steps of each method: GRPO after every draw, best-of-n and DPO in rounds.

All randomness and the learning rate are functions of the seed and the step, so a run that goes on
from a state equals one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from notesmith.config.rewards import BestOfNConfig, DpoConfig, GrpoConfig
from notesmith.lm.constrain import Forbidden
from notesmith.lm.rl.objectives import dpo, grpo
from notesmith.lm.rl.objectives.best_of_n import choose_best
from notesmith.lm.rl.policy import TrainedPolicy
from notesmith.lm.rl.run import LESSONS, STEPS, Drawn, Run, seed_at
from notesmith.lm.training.batches import Batch, Loss, Part, Row, padded_parts, parts_for
from notesmith.lm.training.checkpoints import load_state, save_state
from notesmith.lm.training.loop import adamw, rising_then_level, train
from notesmith.lm.training.lora import plain_model
from notesmith.lm.training.sft import completion_loss

# Share of the steps in which the learning rate rises.
_WARM_UP = 0.05


def learn(run: Run, policy: TrainedPolicy, work: Path | None) -> None:
    """Do what is left of ``run``; its best weights and history are in it after.

    States to resume from go to ``work``.
    """
    state = None
    if work is not None:
        # A damaged state is deleted by the first that meets it.
        with run.processes.main_first():
            state = load_state(work, run.key)
    if state is None:
        run.look(0, policy)
    else:
        run.restore(state["run"])
        policy.load(state["policy"])
    if run.stopped:
        return
    session = Session(run, policy, work)
    if isinstance(run.config, GrpoConfig):
        _on_policy(session, run.config, state or {})
    else:
        _in_rounds(session, run.config, state or {})


@dataclass(frozen=True, slots=True)
class Session:
    """A run, its policy and where its states go."""

    run: Run
    policy: TrainedPolicy
    work: Path | None

    def save(self, **more: Any) -> None:
        """Write a state, if there is a place for it."""
        if self.work is not None and self.run.processes.is_main:
            own = {"key": self.run.key, "run": self.run.state(), "policy": self.policy.trained()}
            save_state(self.work, {**own, **more})


def _on_policy(session: Session, config: GrpoConfig, state: Mapping[str, Any]) -> None:
    """GRPO: each step draws, is rewarded, and learns from what it drew once."""
    run, policy = session.run, session.policy
    optimizer = adamw(policy.model, state.get("optimizer"))
    drawn: Drawn | None = None

    def batches() -> Iterator[Batch]:
        nonlocal drawn
        for number in range(run.n_steps, config.steps):
            torch.manual_seed(seed_at(run.seed, STEPS, number))
            prompts = run.prompts_at(number * config.prompts, config.prompts)
            drawn = run.draw(policy, number, prompts)
            yield grpo_batch(policy, drawn, config)

    for step in train(
        policy.model,
        batches(),
        optimizer=optimizer,
        rate=rising_then_level(config.learning_rate, n_warm=max(1, round(_WARM_UP * config.steps))),
        bf16=policy.bf16,
        first=run.n_steps,
    ):
        run.n_steps = step.number
        run.tokens += step.n_tokens
        assert drawn is not None
        run.record(step.number, drawn, {**step.means, "grad_norm": step.grad_norm})
        if step.number % config.evaluate_every == 0 or step.number == config.steps:
            run.look(step.number, policy)
        if step.number % config.save_every == 0 and step.number < config.steps:
            session.save(optimizer=optimizer.state_dict())
        run.report(step.number, config.steps)
        if run.stopped:
            return


def grpo_batch(policy: TrainedPolicy, drawn: Drawn, config: GrpoConfig) -> Batch:
    """What GRPO learns from completions that ``policy`` drew."""
    rows = policy.rows(drawn.rollouts)
    rules = policy.forbidden([r.prompt for r in drawn.rollouts], rows)
    reference = policy.log_probs(policy.reference, rows, config.temperature, rules)
    if config.normalise == "parts":
        found = grpo.advantages_by_part(drawn.parts)
    else:
        found = grpo.advantages(drawn.totals, over_deviation=config.normalise == "std")
    advantages = torch.tensor(found.reshape(-1), dtype=torch.float32)
    n_tokens = sum(row.n_completion for row in rows)

    def loss(model: Any, part: Part) -> Loss:
        log_probs = part.log_probs(model, config.temperature)
        own = advantages[list(part.rows)].repeat_interleave(torch.tensor(part.lengths))
        return grpo.loss(
            log_probs,
            torch.cat([reference[i] for i in part.rows]).to(log_probs.device),
            own.to(log_probs.device),
            kl=config.kl,
            n_tokens=n_tokens,
        )

    model = plain_model(policy.model)
    parts = parts_for(model, rows, pad_id=policy.pad_id, forbidden=rules)
    return Batch(parts, loss, sum(len(row.ids) for row in rows))


@dataclass(frozen=True, slots=True)
class Lesson:
    """A completion of prompt number ``prompt`` to learn from.

    In DPO lessons come in pairs, the preferred one first, and ``reference`` is the log-probability
    that the reference gives the completion, in nats.
    """

    row: Row
    prompt: int
    reference: float = 0.0


def _in_rounds(
    session: Session, config: BestOfNConfig | DpoConfig, state: Mapping[str, Any]
) -> None:
    """Draw, choose lessons among the completions, learn them; as often as there are rounds.

    A round is one pass over its lessons, cut at ``steps``, with an optimizer of its own.
    ``state`` may be in the middle of one.
    """
    run, policy = session.run, session.policy
    for number in range(state.get("round", 0), config.rounds):
        if "lessons" in state:
            _learn_lessons(session, config, number, _unpacked(state["lessons"]), state)
            state = {}
        else:
            n = min(config.prompts_per_round, run.n_prompts)
            drawn = run.draw(policy, number, run.prompts_at(number * n, n))
            lessons = _lessons(drawn, policy, config, seed_at(run.seed, LESSONS, number))
            run.record(run.n_steps, drawn, {"round": float(number), "lessons": float(len(lessons))})
            # Drawing takes longer than learning: it is not to be done twice.
            session.save(round=number, done=0, optimizer=None, lessons=_packed(lessons))
            _learn_lessons(session, config, number, lessons, {})
        run.look(run.n_steps, policy)
        if run.stopped:
            return
        if number + 1 < config.rounds:
            session.save(round=number + 1)


def _lessons(
    drawn: Drawn, policy: TrainedPolicy, config: BestOfNConfig | DpoConfig, seed: int
) -> list[Lesson]:
    """What a round learns, in the order it learns it, no more than its steps can use."""
    n = drawn.n
    rows = policy.rows(drawn.rollouts)
    found = [Lesson(row, r.prompt) for row, r in zip(rows, drawn.rollouts, strict=True)]
    if isinstance(config, DpoConfig):
        pairs = dpo.best_and_worst(drawn.totals, drawn.failed)
        chosen = [
            [found[k * n + pair.chosen], found[k * n + pair.rejected]]
            for k, pair in enumerate(pairs)
            if pair is not None
        ]
    else:
        best = choose_best(drawn.totals)
        chosen = [[found[k * n + place]] for k, place in enumerate(best) if place is not None]
    order = np.random.default_rng(seed).permutation(len(chosen))
    room = config.steps * _size(config) // _together(config)
    lessons = [lesson for i in order[:room] for lesson in chosen[i]]
    if not lessons or not isinstance(config, DpoConfig):
        return lessons
    rows = [lesson.row for lesson in lessons]
    reference = policy.log_probs(policy.reference, rows, 1.0, _forbidden(lessons, policy))
    return [
        Lesson(lesson.row, lesson.prompt, float(log_probs.double().sum()))
        for lesson, log_probs in zip(lessons, reference, strict=True)
    ]


def _together(config: BestOfNConfig | DpoConfig) -> int:
    """Lessons that belong together: a pair in DPO."""
    return 2 if isinstance(config, DpoConfig) else 1


def _size(config: BestOfNConfig | DpoConfig) -> int:
    """Lessons a step, never half a pair."""
    n = _together(config)
    return max(1, config.batch_size // n) * n


def _forbidden(lessons: Sequence[Lesson], policy: TrainedPolicy) -> list[Forbidden] | None:
    return policy.forbidden(
        [lesson.prompt for lesson in lessons], [lesson.row for lesson in lessons]
    )


def _learn_lessons(
    session: Session,
    config: BestOfNConfig | DpoConfig,
    number: int,
    lessons: Sequence[Lesson],
    state: Mapping[str, Any],
) -> None:
    """Learn the lessons of round ``number``, from where ``state`` stopped."""
    run, policy, size = session.run, session.policy, _size(config)
    n_steps, done = -(-len(lessons) // size), int(state.get("done", 0))
    steps_before = run.n_steps - done
    total = steps_before + n_steps * (config.rounds - number)
    optimizer = adamw(policy.model, state.get("optimizer"))

    def batches() -> Iterator[Batch]:
        for k in range(done, n_steps):
            torch.manual_seed(seed_at(run.seed, STEPS, steps_before + k))
            yield lesson_batch(policy, lessons[k * size :][:size], lessons, config)

    for step in train(
        policy.model,
        batches(),
        optimizer=optimizer,
        rate=rising_then_level(config.learning_rate, n_warm=max(1, round(_WARM_UP * n_steps))),
        bf16=policy.bf16,
        first=done,
    ):
        run.n_steps = steps_before + step.number
        run.tokens += step.n_tokens
        more = {"loss": step.loss, "grad_norm": step.grad_norm}
        run.history.append({"step": float(run.n_steps), "round": float(number), **more})
        if step.number % config.save_every == 0 and step.number < n_steps:
            session.save(
                round=number,
                done=step.number,
                optimizer=optimizer.state_dict(),
                lessons=_packed(lessons),
            )
        run.report(run.n_steps, total, draws_left=config.rounds - number - 1)


def lesson_batch(
    policy: TrainedPolicy,
    own: Sequence[Lesson],
    lessons: Sequence[Lesson],
    config: BestOfNConfig | DpoConfig,
) -> Batch:
    """What a step learns from some of a round's ``lessons``.

    All steps of a round divide by the same number, so that a last, smaller batch moves the policy
    less.
    """
    model, rows = plain_model(policy.model), [lesson.row for lesson in own]
    n_whole = min(_size(config), len(lessons))
    n_tokens = sum(len(row.ids) for row in rows)
    if not isinstance(config, DpoConfig):
        mean_length = float(np.mean([lesson.row.n_completion for lesson in lessons]))
        parts = padded_parts(model, rows, pad_id=policy.pad_id)
        return Batch(parts, completion_loss(n_whole * mean_length), n_tokens)
    reference = torch.tensor([lesson.reference for lesson in own])
    # What DPO lowers must not go to tokens that are never drawn, so only those count that could be.
    parts = padded_parts(
        model, rows, pad_id=policy.pad_id, forbidden=_forbidden(own, policy), together=2
    )

    def loss(model: Any, part: Part) -> Loss:
        log_probs = part.log_probs(model, 1.0)
        return dpo.loss(
            log_probs,
            torch.tensor(part.lengths, device=log_probs.device),
            reference[list(part.rows)].to(log_probs.device),
            beta=config.dpo_beta,
            nll=config.dpo_nll,
            n_pairs=n_whole // 2,
        )

    return Batch(parts, loss, n_tokens)


def _packed(lessons: Sequence[Lesson]) -> dict[str, list[Any]]:
    """Lessons as plain columns, for a state."""
    return {
        "input_ids": [list(lesson.row.ids) for lesson in lessons],
        "n_completion": [lesson.row.n_completion for lesson in lessons],
        "prompt": [lesson.prompt for lesson in lessons],
        "reference": [lesson.reference for lesson in lessons],
    }


def _unpacked(columns: Mapping[str, list[Any]]) -> list[Lesson]:
    names = ("input_ids", "n_completion", "prompt", "reference")
    rows = zip(*(columns[name] for name in names), strict=True)
    return [Lesson(Row(tuple(ids), n), *more) for ids, n, *more in rows]
