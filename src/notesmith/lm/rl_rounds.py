"""Learning round by round: draw, reward, make lessons of the completions, fine-tune on them.

What a lesson is differs between best-of-n, weighted and dpo; the arithmetic is in ``objectives``.
A round is one pass over its lessons, cut at ``steps``, with an optimizer of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import Sampler, SequentialSampler
from transformers import TrainerControl
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig as TrlConfig

from notesmith.config import RlConfig
from notesmith.lm.constrain import Forbidden, joined
from notesmith.lm.objectives.best_of_n import choose_best
from notesmith.lm.objectives.dpo import best_and_worst, preference_loss
from notesmith.lm.objectives.weighted import group_weights
from notesmith.lm.rl_parts import Padded
from notesmith.lm.rl_policy import TrainedPolicy
from notesmith.lm.rl_run import LESSONS, Batch, seed_at
from notesmith.lm.rl_session import Session, Steps, Watch, checked
from notesmith.lm.sft import Row
from notesmith.lm.trainer import (
    SFT_ARGUMENTS,
    CompletionTrainer,
    collate,
    completion_losses,
    plain_model,
)

_WARM_UP = 0.05


@dataclass(frozen=True, slots=True)
class Lesson:
    """A completion to learn from.

    ``weight`` multiplies its loss. In dpo lessons come in pairs, the preferred one first, and
    ``reference`` is the log-probability that the reference gives the completion, in nats.
    ``prompt`` is the number of its prompt.
    """

    row: Row
    weight: float = 1.0
    reference: float = 0.0
    prompt: int = 0


def rounds(session: Session, state: Mapping[str, Any]) -> None:
    """Do the rounds that are left; ``state`` may be in the middle of one."""
    run, policy, config = session.run, session.policy, session.run.config
    resumed = state.get("lessons")
    for number in range(state.get("round", 0), config.rounds):
        if resumed is None:
            n = min(config.prompts_per_round, run.n_prompts)
            batch = run.draw(policy, number, run.prompts_at(number * n, n))
            lessons = lessons_of(batch, policy, config, seed_at(run.seed, LESSONS, number))
            run.record(run.n_steps, batch, {"round": float(number), "lessons": float(len(lessons))})
            _fit(session, number, lessons, {})
        else:
            _fit(session, number, _unpacked(resumed), state)
            resumed = None
        run.look(run.n_steps, policy)
        if run.stopped:
            return
        if number + 1 < config.rounds:
            session.save(round=number + 1)


def lessons_of(batch: Batch, policy: TrainedPolicy, config: RlConfig, seed: int) -> list[Lesson]:
    """What a round learns, in the order it learns it, no more than its steps can use."""
    rows, n = policy.rows(batch.rollouts), batch.n
    order = np.random.default_rng(seed)
    room = config.steps * config.batch_size
    if config.method == "dpo":
        pairs = [
            tuple(
                Lesson(rows[i], prompt=batch.rollouts[i].prompt)
                for i in (group * n + pair.chosen, group * n + pair.rejected)
            )
            for group, pair in enumerate(best_and_worst(batch.totals, batch.failed))
            if pair is not None
        ]
        chosen = order.permutation(len(pairs))[: config.steps * _pairs_a_step(config)]
        lessons = [lesson for i in chosen for lesson in pairs[i]]
        if not lessons:
            return []
        found = policy.log_probs(
            policy.reference,
            [lesson.row for lesson in lessons],
            1.0,
            _forbidden(lessons, policy),
        )
        return [
            replace(lesson, reference=float(log_probs.double().sum()))
            for lesson, log_probs in zip(lessons, found, strict=True)
        ]
    if config.method == "best-of-n":
        best = choose_best(batch.totals)
        lessons = [Lesson(rows[g * n + i]) for g, i in enumerate(best) if i is not None]
    else:
        weights = group_weights(batch.totals, batch.failed, config.weight_temperature).reshape(-1)
        lessons = [
            Lesson(row, float(weight))
            for row, weight in zip(rows, weights, strict=True)
            if weight > 0
        ]
    return [lessons[i] for i in order.permutation(len(lessons))[:room]]


def _forbidden(lessons: Sequence[Lesson], policy: TrainedPolicy) -> list[Forbidden] | None:
    return policy.forbidden(
        [lesson.prompt for lesson in lessons], [lesson.row for lesson in lessons]
    )


def _pairs_a_step(config: RlConfig) -> int:
    return max(1, config.batch_size // 2)


class LessonTrainer(Steps, CompletionTrainer):
    """CompletionTrainer that takes lessons in their order and weighs them."""

    method = ""
    beta = nll = 0.0
    # What the tokens of a completion could not have been.
    forbidden: Mapping[Row, Forbidden] | None = None
    # What the sum over a batch is divided by: the same for all batches of a round, so that a
    # batch of light lessons moves the policy less.
    scale = 1.0

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return SequentialSampler(self.train_dataset)

    def training_step(
        self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: Any = None
    ) -> Tensor:
        """Forward and backward, part by part; the loss of the whole batch."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        return checked(loss, self.first + self.state.global_step)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Tensor:
        """The part's share of the batch's loss."""
        self.n_tokens += int(inputs["attention_mask"].sum())
        lengths = (inputs["labels"][:, 1:] != -100).sum(1)
        with self.accelerator.autocast():
            losses = self._losses(plain_model(model), inputs)
        rows = torch.arange(len(lengths), device=losses.device).repeat_interleave(lengths)
        sums = losses.new_zeros(len(lengths)).index_add(0, rows, losses)
        if self.method != "dpo":
            return (sums * inputs["weight"][:, 0]).sum() / self.scale
        reference = inputs["reference"][:, 0]
        preference = preference_loss(
            -sums[::2], -sums[1::2], reference[::2], reference[1::2], beta=self.beta
        )
        own = self.nll * sums[::2] / lengths[::2]
        return (preference + own).sum() / self.scale

    def _losses(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        """Negative log-likelihood of every completion token.

        What dpo lowers must not go to tokens that are never drawn, so there only those count that
        could be; what fine-tuning raises comes from the forbidden ones, too.
        """
        if self.forbidden is None:
            return completion_losses(model, inputs)
        rows = rows_of(inputs)
        rules = joined([self.forbidden[row] for row in rows])
        part = Padded(tuple(range(len(rows))), tuple(rows), 0, rules)
        return -part.log_probs(model, 1.0)


def rows_of(inputs: Mapping[str, Tensor]) -> list[Row]:
    """The rows of a batch that ``collate`` made."""
    lengths = inputs["attention_mask"].sum(1).tolist()
    n_completions = (inputs["labels"] != -100).sum(1).tolist()
    return [
        Row(tuple(ids[:length].tolist()), n)
        for ids, length, n in zip(inputs["input_ids"], lengths, n_completions, strict=True)
    ]


def _fit(
    session: Session, number: int, lessons: Sequence[Lesson], state: Mapping[str, Any]
) -> None:
    """Learn the lessons, from where ``state`` stopped."""
    run, policy, config = session.run, session.policy, session.run.config
    dpo = config.method == "dpo"
    size = 2 * _pairs_a_step(config) if dpo else config.batch_size
    n_steps, done_before = -(-len(lessons) // size), int(state.get("done", 0))
    if not state:
        # Drawing takes longer than learning: it is not to be done twice.
        session.save(round=number, done=0, optimizer=None, lessons=_packed(lessons))
    if done_before >= n_steps:
        return
    steps_before, tokens = run.n_steps - done_before, run.tokens
    total = steps_before + n_steps * (config.rounds - number)

    def after(done: int, logs: Mapping[str, float], control: TrainerControl) -> None:
        done += done_before
        run.n_steps, run.tokens = steps_before + done, tokens + trainer.n_tokens
        more = {name: float(logs[name]) for name in ("loss", "grad_norm")}
        run.history.append({"step": float(run.n_steps), "round": float(number), **more})
        if done % config.save_every == 0 and done < n_steps:
            optimizer = trainer.optimizer.state_dict()
            session.save(round=number, done=done, optimizer=optimizer, lessons=_packed(lessons))
        run.report(run.n_steps, total, draws_left=config.rounds - number - 1)

    with session.quiet():
        trainer = LessonTrainer(
            model=policy.model,
            args=TrlConfig(**session.arguments(n_steps - done_before, size), **SFT_ARGUMENTS),
            train_dataset=_dataset(lessons[done_before * size :]),
            data_collator=lambda features: _collate(features, run.lm.pad_id),
            processing_class=run.lm.tokenizer,
            callbacks=[Watch(run.seed, run.n_steps, state.get("optimizer"), after)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.method, trainer.beta, trainer.nll = config.method, config.dpo_beta, config.dpo_nll
        trainer.rows_together = 2 if dpo else 1
        found = _forbidden(lessons, policy) if dpo else None
        if found is not None:
            trainer.forbidden = {
                lesson.row: rule for lesson, rule in zip(lessons, found, strict=True)
            }
        whole = min(size, len(lessons))
        trainer.scale = whole / 2 if dpo else whole * _mean_weight(lessons)
        trainer.first, trainer.warm_up = done_before, max(1, round(_WARM_UP * n_steps))
        trainer.train()


def _mean_weight(lessons: Sequence[Lesson]) -> float:
    """Weighted completion tokens a lesson."""
    return float(np.mean([lesson.weight * lesson.row.n_completion for lesson in lessons]))


def _collate(features: Sequence[dict[str, Any]], pad_id: int) -> dict[str, Tensor]:
    batch = collate(features, pad_id)
    for name in ("weight", "reference"):
        batch[name] = torch.tensor([[float(feature[name])] for feature in features])
    return batch


def _dataset(lessons: Sequence[Lesson]) -> Dataset:
    columns = _packed(lessons)
    return Dataset.from_dict({**columns, "length": [len(ids) for ids in columns["input_ids"]]})


def _packed(lessons: Sequence[Lesson]) -> dict[str, list[Any]]:
    """Lessons as plain columns, for a data set or a state."""
    return {
        "input_ids": [list(lesson.row.ids) for lesson in lessons],
        "n_completion": [lesson.row.n_completion for lesson in lessons],
        "weight": [lesson.weight for lesson in lessons],
        "reference": [lesson.reference for lesson in lessons],
        "prompt": [lesson.prompt for lesson in lessons],
    }


def _unpacked(columns: Mapping[str, list[Any]]) -> list[Lesson]:
    names = ("input_ids", "n_completion", "weight", "reference", "prompt")
    rows = zip(*(columns[name] for name in names), strict=True)
    return [Lesson(Row(tuple(ids), n), *more) for ids, n, *more in rows]
