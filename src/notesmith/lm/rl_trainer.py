"""TRL's GRPO trainer, and the entry to all training of ``rl``.

Imported by ``rl`` alone, inside a function, because it needs TRL. What differs from TRL: our
sampler writes the completions and TRL sees no prompt; log-probabilities are of completion positions
only, among the tokens that could be drawn there; a batch goes through the model in parts; the
advantages are those of ``objectives.grpo``. All randomness and the learning rate are functions of
the seed and the step, so a run that goes on from a state equals one that was never interrupted.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor
from transformers import TrainerControl
from transformers.trainer_callback import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from notesmith.lm.constrain import Forbidden
from notesmith.lm.objectives import grpo
from notesmith.lm.rl_parts import parts_for
from notesmith.lm.rl_policy import clear_states, load_state, policy_of
from notesmith.lm.rl_rounds import rounds
from notesmith.lm.rl_run import Batch, Run
from notesmith.lm.rl_session import Session, Steps, Watch, checked
from notesmith.lm.score import part_tokens
from notesmith.lm.sft import Row
from notesmith.lm.trainer import plain_model

__all__ = ["clear_states", "train"]

_WARM_UP = 0.05


def train(run: Run, *, folder: Path, work: Path | None) -> None:
    """Do what is left of ``run``; its best weights and history are in it after.

    ``folder`` must be there; nothing is written to it. States go to ``work``.
    """
    state = load_state(work, run.key) if work is not None else None
    with policy_of(run) as policy:
        session = Session(run, policy, folder, work)
        if state is None:
            run.look(0, policy)
        else:
            run.restore(state["run"])
            policy.load(state["policy"])
        if not run.stopped:
            (_grpo if run.config.method == "grpo" else rounds)(session, state or {})


class _Groups:
    """Draws the completions of a step for TRL, which sees prompts by number only."""

    def __init__(self, session: Session, first: int) -> None:
        self._session, self._first = session, first
        self.batch: Batch
        self._forbidden: dict[Row, Forbidden] | None = None

    def draw(self, prompts: list[str], trainer: Any) -> dict[str, Any]:
        """TRL's rollout function: ids of prompts and completions."""
        session = self._session
        step = self._first + trainer.state.global_step
        numbers = [int(prompt) for prompt in prompts[:: session.run.config.completions]]
        self.batch = session.run.draw(session.policy, step, numbers)
        rows = session.policy.rows(self.batch.rollouts)
        found = session.policy.forbidden([r.prompt for r in self.batch.rollouts], rows)
        self._forbidden = None if found is None else dict(zip(rows, found, strict=True))
        return {
            "prompt_ids": [list(row.ids[: -row.n_completion]) for row in rows],
            "completion_ids": [list(row.ids[-row.n_completion :]) for row in rows],
            "logprobs": None,
        }

    def totals(self, completions: list[str], **kwargs: Any) -> list[float]:
        """TRL's reward function. It strips marks from ``completions``, so ours are looked at."""
        return [reward.total for reward in self.batch.rewards]

    def forbidden(self, rows: Sequence[Row]) -> list[Forbidden] | None:
        """What the tokens of each completion could not have been; TRL knows rows by ids only."""
        found = self._forbidden
        return None if found is None else [found[row] for row in rows]

    def advantages(self) -> NDArray[np.float64]:
        """One a completion, as configured."""
        how = self._session.run.config.normalise
        if how == "parts":
            return grpo.advantages_by_part(self.batch.parts).reshape(-1)
        return grpo.advantages(self.batch.totals, over_deviation=how == "std").reshape(-1)


class GroupTrainer(Steps, GRPOTrainer):
    """GRPOTrainer that works in parts; one generation a step, one step a generation."""

    groups: _Groups
    n_tokens = 0

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        found = torch.tensor(self.groups.advantages(), dtype=torch.float32)
        output["advantages"] = found.to(output["advantages"].device)
        return output

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Draw, reward, then forward and backward part by part; the loss of the whole batch."""
        step = self.first + self.state.global_step
        model.train()
        whole = self._prepare_inputs(inputs)
        ids, mask = (
            torch.cat([whole[f"prompt_{name}"], whole[f"completion_{name}"]], dim=1)
            for name in ("ids", "mask")
        )
        own = plain_model(model)
        rows = _rows(ids, mask, whole["completion_ids"].shape[1])
        losses, sizes = [], []
        # One context for all parts, so that weights are turned into bfloat16 once a step.
        with self.accelerator.autocast():
            for chosen in parts_for(own, rows, part_tokens(own), pad_id=0):
                part = {k: v[list(chosen.rows)] if v.ndim else v for k, v in whole.items()}
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, part)
                self.accelerator.backward(loss)
                losses.append(loss.detach())
                sizes.append(int(part["completion_mask"].sum()))
        self.n_tokens += int(mask.sum())
        self._step += 1
        for name in ("kl", "entropy"):
            # TRL averages over parts; the mean is over tokens.
            values = self._metrics["train"][name]
            values[:] = [float(np.average(values[-len(sizes) :], weights=sizes))]
        return checked(torch.stack(losses).sum(), step)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, None]:
        """Log-probabilities and entropies ``(rows, logits_to_keep)``, 0 where padded.

        What a token drawn from the policy was unlikely by is an unbiased estimate of the entropy,
        and costs nothing; the sum over the vocabulary takes a tenth of a step.
        """
        own = plain_model(model)
        rows = _rows(input_ids, attention_mask, logits_to_keep)
        log_probs = torch.zeros(len(rows), logits_to_keep, device=input_ids.device)
        # Accelerate gives autocast to the outer forward alone, which is not the one called here.
        with self.accelerator.autocast():
            for part in parts_for(
                own, rows, part_tokens(own), pad_id=0, forbidden=self.groups.forbidden(rows)
            ):
                values = part.log_probs(own, self.temperature)
                places = torch.tensor(
                    [(i, k) for i in part.rows for k in range(rows[i].n_completion)],
                    device=input_ids.device,
                ).unbind(1)
                log_probs = log_probs.index_put(places, values)
        return log_probs, -log_probs.detach() if compute_entropy else None, None


def _rows(input_ids: Tensor, attention_mask: Tensor, n_columns: int) -> list[Row]:
    """TRL's padded batch, prompts on the left and ``n_columns`` of completions, as rows of ids."""
    n_completion = attention_mask[:, input_ids.shape[1] - n_columns :].sum(1).tolist()
    kept = attention_mask.bool()
    return [
        Row(tuple(ids[keep].tolist()), n)
        for ids, keep, n in zip(input_ids, kept, n_completion, strict=True)
    ]


def _grpo(session: Session, state: Mapping[str, Any]) -> None:
    run, policy, config = session.run, session.policy, session.run.config
    first, left = run.n_steps, run.config.steps - run.n_steps
    if left <= 0:
        return
    numbers = run.prompts_at(first * config.prompts, left * config.prompts)
    groups = _Groups(session, first)
    tokens = run.tokens

    def after(done: int, logs: Mapping[str, float], control: TrainerControl) -> None:
        step = run.n_steps = first + done
        run.tokens = tokens + trainer.n_tokens
        more = {name: float(logs[name]) for name in ("kl", "entropy", "grad_norm")}
        run.record(step, groups.batch, more)
        if step % config.evaluate_every == 0 or step == config.steps:
            run.look(step, policy)
        if step % config.save_every == 0 and step < config.steps:
            session.save(optimizer=trainer.optimizer.state_dict())
        control.should_training_stop = bool(run.stopped)
        run.report(step, config.steps)

    size = config.prompts * config.completions
    with session.quiet():
        trainer = GroupTrainer(
            model=policy.model,
            reward_funcs=[groups.totals],
            args=GRPOConfig(
                **session.arguments(left, size),
                num_generations=config.completions,
                steps_per_generation=1,
                num_iterations=1,
                max_completion_length=config.max_new_tokens,
                temperature=config.temperature,
                top_k=0,
                top_p=1.0,
                # TRL would load the reference from the model's path; it is given below.
                beta=0.0,
                loss_type="dapo",
                scale_rewards="none",
                shuffle_dataset=False,
                disable_dropout=True,
                log_completions=False,
            ),
            train_dataset=Dataset.from_dict({"prompt": [str(number) for number in numbers]}),
            # A copy, because TRL sets the padding.
            processing_class=copy.deepcopy(run.lm.tokenizer),
            rollout_func=groups.draw,
            callbacks=[Watch(run.seed, first, state.get("optimizer"), after)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.beta, trainer.ref_model = config.kl, policy.reference
        trainer.groups = groups
        trainer.first, trainer.warm_up = first, max(1, round(_WARM_UP * config.steps))
        trainer.train()
