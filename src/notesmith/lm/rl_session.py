"""What the trainers of ``rl`` share: where they work, what they are told, what follows a step."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback, TrainerControl, TrainerState

from notesmith.errors import StageError
from notesmith.lm.rl_policy import TrainedPolicy, save_state
from notesmith.lm.rl_run import STEPS, Run, seed_at
from notesmith.lm.trainer import plain_model, quiet_arguments


@dataclass(frozen=True, slots=True)
class Session:
    """A run, its policy and where it works."""

    run: Run
    policy: TrainedPolicy
    folder: Path
    work: Path | None

    def save(self, **more: Any) -> None:
        """Write a state, if there is a place for it."""
        if self.work is not None:
            own = {"key": self.run.key, "run": self.run.state(), "policy": self.policy.trained()}
            save_state(self.work, {**own, **more})

    def arguments(self, n_steps: int, batch_size: int) -> dict[str, Any]:
        """Arguments of a trainer for ``n_steps``."""
        run = self.run
        model = plain_model(self.policy.model)
        return {
            **quiet_arguments(model, bf16=self.policy.bf16, folder=self.folder, seed=run.seed),
            "max_steps": n_steps,
            "per_device_train_batch_size": batch_size,
            "learning_rate": run.config.learning_rate,
            "logging_steps": 1,
        }

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """TRL warns of its own past, and binds a forward of its own to the model."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                warnings.filterwarnings("ignore", ".*rollout_func.*", UserWarning)
                yield
        finally:
            vars(plain_model(self.policy.model)).pop("forward", None)


class Watch(TrainerCallback):
    """Restores the optimizer, seeds each step, and calls ``after`` it when all is in place."""

    def __init__(
        self,
        seed: int,
        first: int,
        optimizer: Mapping[str, Any] | None,
        after: Callable[[int, Mapping[str, float], TrainerControl], None],
    ) -> None:
        self._seed, self._first = seed, first
        self._optimizer, self._after = optimizer, after

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take over the moments of an earlier optimizer."""
        if self._optimizer is not None:
            kwargs["optimizer"].load_state_dict(self._optimizer)

    def on_step_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make what torch draws a function of the seed and the step."""
        torch.manual_seed(seed_at(self._seed, STEPS, self._first + state.global_step))

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """A step is over; the log at the end of training has no loss."""
        if logs and "loss" in logs:
            self._after(state.global_step, logs, control)


class Steps:
    """What both trainers share; a mixin. ``first`` steps were done before this trainer began."""

    first = 0
    warm_up = 1

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Warm-up, then a constant rate."""
        self.lr_scheduler = LambdaLR(
            optimizer or getattr(self, "optimizer"),  # noqa: B009 - of the class mixed with
            lambda step: min(1.0, (self.first + step + 1) / self.warm_up),
        )
        return self.lr_scheduler

    def _send_telemetry(self) -> None:
        """Nothing leaves the machine, whatever the environment says."""


def checked(loss: Tensor, step: int) -> Tensor:
    """The loss, unless it is infinite or not a number: a step on it would ruin the weights."""
    if not math.isfinite(float(loss)):
        raise StageError(f"the loss is no number at step {step}: lower rl.learning_rate")
    return loss
