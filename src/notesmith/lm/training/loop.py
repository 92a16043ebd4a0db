"""The training loop: one optimizer step a batch, whatever is learnt.

The caller decides what a batch holds and what its loss is. Between two steps it evaluates, saves
a checkpoint, reports, or leaves.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from notesmith.errors import StageError
from notesmith.lm.load import LanguageModel, has_bf16
from notesmith.lm.training.batches import Batch, Loss
from notesmith.lm.training.lora import plain_model
from notesmith.models.load import require

# The norm that gradients are scaled down to.
_CLIP_NORM = 1.0
# Above this many parameters activations are recomputed instead of kept.
_RECOMPUTE_ABOVE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was taken: its number, counted from 1, and what the batch gave.

    ``grad_norm`` is that before clipping; ``means`` are those of ``Loss``.
    """

    number: int
    loss: float
    grad_norm: float
    n_tokens: int
    means: Mapping[str, float]


def train(
    model: Any,
    batches: Iterable[Batch],
    *,
    optimizer: torch.optim.Optimizer,
    rate: Callable[[int], float],
    bf16: bool,
    first: int = 0,
) -> Iterator[Step]:
    """Take a step for each batch, and yield it once the weights have changed.

    A batch is asked for when the step before it is over, so it may be drawn from ``model`` itself.
    Under ``accelerate launch`` the parts of a batch are dealt out to the processes, which must all
    be given the same batches; the gradients are summed, so each process takes the same step.

    Args:
        model: a transformers model, perhaps with LoRA layers. It is trained in place.
        batches: one a step.
        optimizer: of the parameters that are trained, see ``adamw``.
        rate: the learning rate of step ``number``, counted from 0.
        bf16: multiply matrices in bfloat16; the weights keep their own type.
        first: steps that were taken earlier.

    Raises:
        StageError: a loss is infinite or not a number.
        MissingExtraError: accelerate is absent.
    """
    plain = plain_model(model)
    on_cpu = plain.device.type == "cpu"
    processes = require("accelerate", "models").Accelerator(cpu=on_cpu, mixed_precision="no")
    mine = slice(processes.process_index, None, processes.num_processes)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.zero_grad()
    with _recomputing(model):
        for number, batch in enumerate(batches, start=first):
            model.train()
            losses: list[Loss] = []
            # One context for all parts, so that weights are turned into bfloat16 once a step.
            with autocast(plain.device, bf16):
                for part in batch.parts[mine]:
                    loss = batch.loss(plain, part)
                    loss.value.backward()
                    losses.append(Loss(loss.value.detach(), loss.means))
            found = _summed(losses, plain.device)
            if processes.num_processes > 1:
                found = processes.reduce(found)
                for parameter in trained:
                    own = parameter.grad
                    own = torch.zeros_like(parameter) if own is None else own
                    parameter.grad = processes.reduce(own)
            if not math.isfinite(found["loss"]):
                # A step on it would ruin the weights.
                raise StageError(
                    f"the loss is no number at step {number + 1}: lower the learning rate"
                )
            norm = torch.nn.utils.clip_grad_norm_(trained, _CLIP_NORM)
            for group in optimizer.param_groups:
                group["lr"] = rate(number)
            optimizer.step()
            optimizer.zero_grad()
            means = {name: float(value) for name, value in found.items()}
            yield Step(number + 1, means.pop("loss"), float(norm), batch.n_tokens, means)


def _summed(losses: Sequence[Loss], device: torch.device) -> dict[str, Tensor]:
    zero = torch.zeros((), device=device)
    names = {name for loss in losses for name in loss.means}
    return {
        "loss": sum((loss.value for loss in losses), zero),
        **{name: sum((loss.means[name] for loss in losses), zero) for name in sorted(names)},
    }


def adamw(model: Any, state: Mapping[str, Any] | None = None) -> torch.optim.Optimizer:
    """AdamW without weight decay on the parameters that require gradients.

    ``state`` is the ``state_dict`` of an earlier one to go on from.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, weight_decay=0.0, fused=True)
    if state is not None:
        optimizer.load_state_dict(dict(state))
    return optimizer


def rising_then_falling(peak: float, *, n_warm: int, n_steps: int) -> Callable[[int], float]:
    """Learning rate from 0 to ``peak`` in ``n_warm`` steps, then to 0 at ``n_steps``; linear."""

    def rate(number: int) -> float:
        if number < n_warm:
            return peak * (number / n_warm)
        return peak * max(0.0, (n_steps - number) / max(1, n_steps - n_warm))

    return rate


def rising_then_level(peak: float, *, n_warm: int) -> Callable[[int], float]:
    """Learning rate that rises linearly to ``peak`` in ``n_warm`` steps and stays there."""
    return lambda number: peak * min(1.0, (number + 1) / n_warm)


def multiplies_bf16(lm: LanguageModel) -> bool:
    """Train in bfloat16 where the machine does; the trained weights are float32 all the same."""
    return has_bf16(lm.device) and (lm.device.type == "cuda" or lm.model.dtype == torch.bfloat16)


def autocast(device: torch.device, bf16: bool) -> contextlib.AbstractContextManager[Any]:
    """Matrix products in bfloat16 where ``bf16``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


@contextlib.contextmanager
def _recomputing(model: Any) -> Iterator[None]:
    """Recompute the activations of a large model in the backward pass, to save memory."""
    plain = plain_model(model)
    if sum(p.numel() for p in plain.parameters()) <= _RECOMPUTE_ABOVE:
        yield
        return
    with warnings.catch_warnings():
        # The name that every release allowed knows; the latest ones deprecate it.
        warnings.simplefilter("ignore", FutureWarning)
        plain.gradient_checkpointing_enable()
    if plain is not model:
        plain.enable_input_require_grads()
    try:
        yield
    finally:
        if plain is not model:
            plain.disable_input_require_grads()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            plain.gradient_checkpointing_disable()
