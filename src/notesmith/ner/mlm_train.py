"""Masked language modelling, step by step: each step is a function of its number alone.

So a training that goes on from a state takes the steps that it would have taken.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from notesmith.config.student import AdaptConfig
from notesmith.errors import StageError
from notesmith.lm.training.checkpoints import load_state, save_state
from notesmith.ner.blocks import Masking, Order, Special, Streams, blocks_at
from notesmith.ner.encoder import autocast
from notesmith.ner.mlm_head import Parameters, masked_loss
from notesmith.ner.packing import enable_packing, position_offset
from notesmith.progress import OnProgress, Progress

N_MEASURED = 10
"""Times that the held-out loss is measured while the encoder learns."""
_REPORT_EVERY = 10
_SAVE_EVERY = 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Mean loss in nats on held-out notes, after ``tokens`` word pieces were learnt from."""

    tokens: int
    loss: float

    @property
    def perplexity(self) -> float:
        """The exponential of the loss."""
        return math.exp(min(self.loss, 700.0))


@dataclass(slots=True)
class _State:
    """How far the training is; ``before`` is the index of the loss to compare the last with."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    before: int = 0
    losses: list[Measured] = field(default_factory=list)


class Training:
    """The model with all that its steps need. State: weights, optimizer and how far they are."""

    def __init__(
        self,
        model: Any,
        streams: Streams,
        special: Special,
        masking: Masking,
        config: AdaptConfig,
        *,
        row_of: torch.Tensor,
        is_new_head: bool,
        seed: int,
    ) -> None:
        # Without dropout, for the questions differ from pass to pass; and no other random numbers
        # are drawn than those of a step's own.
        model.eval()
        self.device = next(model.parameters()).device.type
        packed = self.device == "cpu" and enable_packing(model)
        self.packed_from = position_offset(model) if packed else None
        self.model, self.streams, self.special, self.masking = model, streams, special, masking
        self.config, self.row_of, self.seed = config, row_of, seed
        self.is_new_head = is_new_head
        self.head_first = config.head_first if is_new_head else 0.0
        self.batch = max(1, round(config.batch_tokens / config.block_tokens))
        width, n = config.block_tokens - 2, len(streams.learnt)
        self.order = Order(n, width=width, batch=self.batch, seed=seed)
        self.step_tokens = self.batch * width
        wanted = config.tokens or config.epochs * self.order.n_blocks * width
        self.n_steps = max(1, math.ceil(wanted / self.step_tokens))
        self.parameters = Parameters.of(model)
        self.optimizer = self._optimizer()
        self.state = _State()

    @property
    def share(self) -> float:
        """How much of the training is done, 1 at its end."""
        if self.config.hours is not None:
            return self.state.seconds / (3600 * self.config.hours)
        return self.state.step / self.n_steps

    @property
    def is_head_alone(self) -> bool:
        """Whether the head learns while the encoder stays as it was."""
        return self.share < self.head_first

    def step(self) -> torch.Tensor:
        """Take a step; returns its loss, on the device."""
        state, config = self.state, self.config
        self.parameters.freeze_encoder(self.is_head_alone)
        self._set_rates()
        starts = self.order.starts(state.step)
        blocks = blocks_at(self.streams.learnt, starts, self.special, config.block_tokens)
        rng = np.random.default_rng([self.seed, 2, state.step])
        loss, _ = self._loss(blocks, rng)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.tokens += self.step_tokens
        return loss.detach()

    def measure(self) -> None:
        """Add the mean loss on held-out notes, whose questions are the same each time."""
        stream = self.streams.held_out
        block_tokens = min(self.config.block_tokens, len(stream) + 2)
        width = block_tokens - 2
        starts = range(0, len(stream) - width + 1, width)
        total, n = 0.0, 0
        with torch.inference_mode():
            for first in range(0, len(starts), self.batch):
                chosen = starts[first : first + self.batch]
                blocks = blocks_at(stream, chosen, self.special, block_tokens)
                loss, n_asked = self._loss(blocks, np.random.default_rng([self.seed, 3, first]))
                total += float(loss) * n_asked
                n += n_asked
        self.state.losses.append(Measured(self.state.tokens, total / n))

    def _loss(
        self, blocks: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[torch.Tensor, int]:
        seen, places = self.masking.draw(blocks, rng)
        targets = self.row_of[torch.from_numpy(blocks.ravel()[places])].to(self.device)
        inputs = self.row_of[torch.from_numpy(seen)].to(self.device)
        at = torch.from_numpy(places).to(self.device)
        with autocast(self.device, self.config.bf16):
            loss = masked_loss(self.model, inputs, at, targets, packed_from=self.packed_from)
        return loss, len(places)

    def _set_rates(self) -> None:
        config, share = self.config, self.share
        rest = (share - self.head_first) / (1 - self.head_first)
        for group in self.optimizer.param_groups:
            if self.is_head_alone:
                group["lr"] = config.head_learning_rate
            else:
                peak = config.head_learning_rate if group["is_new"] else config.learning_rate
                group["lr"] = peak * rate_factor(rest, config.warmup_ratio)

    def _optimizer(self) -> torch.optim.AdamW:
        """AdamW with no decay on biases and norms; a new head has a rate of its own."""
        groups = [
            {
                "params": chosen,
                "is_new": is_head and self.is_new_head,
                "weight_decay": self.config.weight_decay if decays else 0.0,
            }
            for is_head, part in ((False, self.parameters.encoder), (True, self.parameters.head))
            for decays in (True, False)
            if (chosen := [p for p in part if (p.ndim > 1) == decays])
        ]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate, fused=True)

    def save(self, work: Path, key: str) -> None:
        """Write the state to go on from."""
        state = asdict(self.state)
        model, optimizer = self.model.state_dict(), self.optimizer.state_dict()
        save_state(work, {"key": key, "state": state, "model": model, "optimizer": optimizer})

    def resume(self, work: Path, key: str) -> None:
        """Go on from the newest state, if there is one.

        Raises:
            StageError: it is of other work.
        """
        found = load_state(work, key)
        if found is None:
            return
        self.model.load_state_dict(found["model"])
        self.optimizer.load_state_dict(found["optimizer"])
        losses = [Measured(**each) for each in found["state"].pop("losses")]
        self.state = _State(**found["state"], losses=losses)


def train_masked(training: Training, work: Path, key: str, on_progress: OnProgress) -> None:
    """Train to the end; the state is saved every few minutes, to go on from after a kill."""
    training.resume(work, key)
    state = training.state
    before = state.seconds
    began = saved = perf_counter()
    if not state.losses:
        training.measure()
    total, n_steps = torch.zeros((), device=training.device), 0
    while training.share < 1:
        old = training.share
        total += training.step()
        n_steps += 1
        state.seconds = before + perf_counter() - began
        new = training.share
        if old < training.head_first <= new:
            training.measure()
            state.before = len(state.losses) - 1
        elif int(new * N_MEASURED) > int(old * N_MEASURED) or new >= 1:
            training.measure()
        if state.step % _REPORT_EVERY == 0 or new >= 1:
            mean = float(total) / n_steps
            if not math.isfinite(mean):
                raise StageError(
                    f"the loss is no number at step {state.step}: lower the learning rate"
                )
            on_progress(_progress(training, mean))
            total.zero_()
            n_steps = 0
            if perf_counter() - saved > _SAVE_EVERY:
                training.save(work, key)
                saved = perf_counter()


def rate_factor(share: float, warmup_ratio: float) -> float:
    """Factor of the learning rate at ``share`` of the training: up linearly, down to 0."""
    if share < warmup_ratio:
        # Not 0 at the beginning: the first step counts.
        return min(1.0, max(share, 0.01) / warmup_ratio)
    return (1 - share) / (1 - warmup_ratio)


def _progress(training: Training, loss: float) -> Progress:
    state, hours = training.state, training.config.hours
    values = {"loss": loss, "held-out loss": state.losses[-1].loss}
    done, total, unit = state.step, training.n_steps, "steps"
    if hours is not None:
        done, total, unit = int(state.seconds), int(3600 * hours), "seconds"
    return Progress("adapt", done, total, unit, state.tokens, state.seconds, values)
