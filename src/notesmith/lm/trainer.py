"""TRL's SFT trainer with the loss of the completion alone, the best weights kept in memory.

Imported by ``sft`` alone, inside a function, because it needs TRL. What differs from TRL: on a CPU
its head projects every position and in float32, three times slower; here only positions that
bear the loss are projected. The dev loss is a mean over tokens, not over batches.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Sampler
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig as TrlConfig
from trl import SFTTrainer

from notesmith.config import SftConfig
from notesmith.lm.score import part_tokens, project
from notesmith.lm.sft import Row
from notesmith.progress import OnProgress, Progress

LOG_STEPS = 10
# Above this many parameters activations are recomputed instead of kept.
_CHECKPOINT_ABOVE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Trained:
    """Weights of ``best_step`` by their names in the model's folder, and how it went."""

    weights: dict[str, Tensor]
    n_steps: int
    best_step: int
    history: tuple[dict[str, float], ...]
    tokens: int
    seconds: float


def collate(features: Sequence[dict[str, Any]], pad_id: int) -> dict[str, Tensor]:
    """Pad ids on the right; labels outside the completion are -100."""
    width = max(len(feature["input_ids"]) for feature in features)
    ids = torch.full((len(features), width), pad_id)
    labels = torch.full((len(features), width), -100)
    mask = torch.zeros((len(features), width), dtype=torch.long)
    for row, feature in enumerate(features):
        n = len(feature["input_ids"])
        ids[row, :n] = torch.tensor(feature["input_ids"])
        first = n - int(feature["n_completion"])
        labels[row, first:n] = ids[row, first:n]
        mask[row, :n] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def parts_of(
    inputs: dict[str, Tensor], max_tokens: int, *, together: int = 1
) -> list[dict[str, Tensor]]:
    """Cut a batch into parts of at most ``max_tokens``, longest rows first, trimmed to their rows.

    A row that is longer stands alone. ``together`` neighbouring rows are never parted.
    """
    lengths = inputs["attention_mask"].sum(1)
    return [
        {name: value[rows, : int(lengths[rows].max())] for name, value in inputs.items()}
        for rows in row_parts(lengths, max_tokens, together=together)
    ]


def row_parts(lengths: Tensor, max_tokens: int, *, together: int = 1) -> list[Tensor]:
    """Numbers of the rows of each part of a batch whose rows are so long; see ``parts_of``."""
    longest = lengths.view(-1, together).amax(1)
    order = torch.argsort(longest, descending=True, stable=True)
    places = torch.arange(together, device=lengths.device)
    parts: list[Tensor] = []
    while len(order):
        n = max(1, max_tokens // (int(longest[order[0]]) * together))
        parts.append((order[:n, None] * together + places).flatten())
        order = order[n:]
    return parts


def completion_losses(model: PreTrainedModel, inputs: dict[str, Tensor]) -> Tensor:
    """Negative log-likelihood of every completion token, in float32."""
    hidden, targets = completion_states(model, inputs)
    return functional.cross_entropy(project(model, hidden), targets, reduction="none")


def completion_states(model: PreTrainedModel, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Hidden states that predict completion tokens, row by row, and these tokens."""
    hidden = model.base_model(
        input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
    ).last_hidden_state[:, :-1]
    labels = inputs["labels"][:, 1:]
    bearing = labels != -100
    return hidden[bearing], labels[bearing]


class LengthSampler(Sampler[int]):
    """Order of the examples in which those of a batch are nearly equally long.

    Lengths are blurred by a tenth, so that batches differ between epochs; what does not fill a
    batch comes last and is drawn from all lengths.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = np.array(lengths, dtype=float)
        self._batch_size, self._seed, self._epoch = batch_size, seed, 0

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self._seed, self._epoch])
        self._epoch += 1
        n_batches, n_rest = divmod(len(self), self._batch_size)
        order = rng.permutation(len(self))
        rest, chosen = order[:n_rest], order[n_rest:]
        blurred = self._lengths[chosen] * rng.uniform(0.9, 1.1, len(chosen))
        batches = chosen[np.argsort(blurred)].reshape(n_batches, self._batch_size)
        yield from map(int, rng.permutation(batches).reshape(-1))
        yield from map(int, rest)


class CompletionTrainer(SFTTrainer):
    """SFTTrainer whose loss and evaluation are those of ``completion_losses``."""

    n_tokens = 0
    rows_together = 1

    def _send_telemetry(self) -> None:
        """Nothing leaves the machine, whatever the environment says."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        args = self.args
        return LengthSampler(
            self.train_dataset["length"], args.per_device_train_batch_size, args.seed
        )

    def training_step(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Forward and backward, part by part; the loss of the whole batch."""
        n = num_items_in_batch
        if n is None:
            n = int((inputs["labels"][:, 1:] != -100).sum())
        # So that memory does not grow with the batch; the gradient is that of the whole.
        parts = parts_of(inputs, part_tokens(plain_model(self.model)), together=self.rows_together)
        return torch.stack(
            [super(CompletionTrainer, self).training_step(model, part, n) for part in parts]
        ).sum()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Mean over the completion tokens of the whole (accumulated) batch."""
        self.n_tokens += int(inputs["attention_mask"].sum())
        # Accelerate gives autocast to the outer forward alone, which is not the one called here.
        with self.accelerator.autocast():
            losses = completion_losses(plain_model(model), inputs)
        return losses.sum() / (losses.numel() if num_items_in_batch is None else num_items_in_batch)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Dev loss in nats a completion token."""
        self.model.eval()
        model = plain_model(self.model)
        total, n = 0.0, 0
        with torch.no_grad(), self.accelerator.autocast():
            for inputs in self.get_eval_dataloader():
                for part in parts_of(self._prepare_inputs(inputs), part_tokens(model)):
                    losses = completion_losses(model, part)
                    total, n = total + float(losses.sum()), n + losses.numel()
        self.model.train()
        metrics = {"eval_loss": total / max(n, 1)}
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def plain_model(model: Any) -> PreTrainedModel:
    """The transformers model inside PEFT's and accelerate's wrappers; its layers stay adapted."""
    inner = getattr(model, "module", model)
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


def folder_weights(model: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    """Copy of the weights on the CPU as they would be saved, LoRA's merged, in ``dtype``."""
    from peft.tuners.lora import LoraLayer

    base = plain_model(model)
    merged = {
        f"{name}.weight": module.get_base_layer().weight.float()
        + module.get_delta_weight(module.active_adapters[0]).float()
        for name, module in base.named_modules()
        if isinstance(module, LoraLayer)
    }
    tied = set(getattr(base, "_tied_weights_keys", None) or ())
    tie = base.config.get_text_config().tie_word_embeddings
    weights: dict[str, Tensor] = {}
    for name, value in base.state_dict().items():
        if ".lora_" in name or (tie and name in tied):
            continue
        name = name.replace(".base_layer.", ".")
        value = merged.get(name, value).detach()
        kind = dtype if value.is_floating_point() else value.dtype
        weights[name] = value.to("cpu", kind, copy=True)
    return weights


@dataclass
class _Watch(TrainerCallback):
    """Keeps history and best weights, stops early, reports progress."""

    config: SftConfig
    dtype: torch.dtype
    has_dev: bool
    evaluate_every: int
    on_progress: OnProgress
    trainer: CompletionTrainer | None = None
    started: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_loss: float = float("inf")
    best_step: int = 0
    best_weights: dict[str, Tensor] | None = None
    n_worse: int = 0

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask for an evaluation where one is due, at the end in any case."""
        step, last = state.global_step, state.global_step >= state.max_steps
        control.should_evaluate = self.has_dev and (step % self.evaluate_every == 0 or last)
        assert self.trainer is not None
        values = {k: v for row in self.history[-2:] for k, v in row.items() if k != "step"}
        seconds = time.monotonic() - self.started
        self.on_progress(
            Progress("sft", step, state.max_steps, "steps", self.trainer.n_tokens, seconds, values)
        )

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the mean training loss."""
        if logs and "loss" in logs:
            self.history.append({"step": state.global_step, "loss": float(logs["loss"])})

    def on_evaluate(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Keep the weights if they are the best so far, else count towards stopping."""
        loss = metrics["eval_loss"]
        self.history.append({"step": state.global_step, "dev_loss": loss})
        if loss < self.best_loss:
            self.best_loss, self.best_step, self.n_worse = loss, state.global_step, 0
            assert self.trainer is not None
            self.best_weights = folder_weights(self.trainer.model, self.dtype)
        else:
            self.n_worse += 1
            control.should_training_stop = self.n_worse >= self.config.patience


# TRL's own preparation of examples is left out: they come as ids.
SFT_ARGUMENTS: dict[str, Any] = {
    "max_length": None,
    "dataset_kwargs": {"skip_prepare_dataset": True},
}


def quiet_arguments(
    model: PreTrainedModel, *, bf16: bool, folder: Path, seed: int
) -> dict[str, Any]:
    """What all trainers share: AdamW, and neither checkpoints, logs, uploads nor output.

    ``bf16`` multiplies matrices in bfloat16. ``folder`` must be there; nothing is written to it.
    """
    n_parameters = sum(p.numel() for p in model.parameters())
    return {
        "output_dir": str(folder),
        "optim": "adamw_torch_fused",
        "max_grad_norm": 1.0,
        "gradient_checkpointing": n_parameters > _CHECKPOINT_ABOVE,
        "use_cpu": model.device.type == "cpu",
        "bf16": bf16,
        "seed": seed,
        "data_seed": seed,
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": [],
        "push_to_hub": False,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": model.device.type == "cuda",
    }


def fit(
    model: PreTrainedModel,
    tokenizer: Any,
    train: Sequence[Row],
    dev: Sequence[Row],
    config: SftConfig,
    *,
    pad_id: int,
    dtype: torch.dtype,
    bf16: bool,
    folder: Path,
    seed: int,
    on_progress: OnProgress,
) -> Trained:
    """Train ``model`` in place and return its best weights in ``dtype``.

    ``bf16`` multiplies matrices in bfloat16. ``folder`` must be there; nothing is written to it.
    """
    steps_per_epoch = -(-len(train) // config.batch_size)
    n_steps = max(1, round(steps_per_epoch * config.epochs))
    every = max(1, round(steps_per_epoch / config.evaluations_per_epoch))
    watch = _Watch(config, dtype, bool(dev), every, on_progress)
    with warnings.catch_warnings():
        # TRL 1.16 names options by what transformers 5 calls their old names.
        warnings.simplefilter("ignore", FutureWarning)
        trainer = CompletionTrainer(
            model=model,
            args=TrlConfig(
                **quiet_arguments(model, bf16=bf16, folder=folder, seed=seed),
                **SFT_ARGUMENTS,
                max_steps=n_steps,
                per_device_train_batch_size=config.batch_size,
                per_device_eval_batch_size=2 * config.batch_size,
                learning_rate=config.learning_rate,
                lr_scheduler_type="linear",
                warmup_steps=round(n_steps * config.warmup_ratio),
                logging_steps=LOG_STEPS,
            ),
            train_dataset=_dataset(train),
            eval_dataset=_dataset(dev) if dev else None,
            data_collator=lambda features: collate(features, pad_id),
            processing_class=tokenizer,
            peft_config=lora_config(config.lora_rank) if config.lora_rank else None,
            callbacks=[watch],
        )
    # It prints every log line, which library code must not.
    trainer.remove_callback(PrinterCallback)
    watch.trainer, watch.started = trainer, time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        trainer.train()
    seconds = time.monotonic() - watch.started
    weights, best = watch.best_weights, watch.best_step
    if weights is None:
        weights, best = folder_weights(trainer.model, dtype), trainer.state.global_step
    return Trained(
        weights, trainer.state.global_step, best, tuple(watch.history), trainer.n_tokens, seconds
    )


def _dataset(rows: Sequence[Row]) -> Dataset:
    return Dataset.from_dict(
        {
            "input_ids": [list(row.ids) for row in rows],
            "n_completion": [row.n_completion for row in rows],
            "length": [len(row.ids) for row in rows],
        }
    )


def lora_config(rank: int) -> Any:
    """LoRA layers of ``rank`` on all linear layers, as all training here uses them."""
    from peft import LoraConfig

    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
