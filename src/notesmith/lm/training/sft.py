"""Supervised fine-tuning on prompt and completion pairs.

The loss is of the completion alone. The dev loss is measured as it goes, training stops when it no
longer falls, and the best weights are what is saved. Nothing but the result is written.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from notesmith.config.generator import SftConfig
from notesmith.errors import StageError
from notesmith.lm.load import LanguageModel, write_model_folder
from notesmith.lm.training.batches import Batch, Loss, Part, Row, order_by_length, padded_parts
from notesmith.lm.training.loop import (
    adamw,
    autocast,
    multiplies_bf16,
    rising_then_falling,
    train,
)
from notesmith.lm.training.lora import add_lora, folder_weights, plain_model, remove_lora
from notesmith.lm.training.processes import Processes
from notesmith.progress import OnProgress, Progress, silent

# Steps whose mean loss makes one entry of the history.
LOG_STEPS = 10


@dataclass(frozen=True, slots=True)
class Example:
    """What the model is given and what it shall write after it."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class SftResult:
    """A fine-tuned model's folder and how it came about.

    ``history`` holds, in order, ``{"step", "loss"}`` (mean of the steps since the last) and
    ``{"step", "dev_loss"}``, in nats a completion token. The folder has the weights of
    ``best_step``, the last step where there is no dev part. ``tokens`` were trained on, prompts
    included, padding not, in ``seconds`` of training and evaluation.
    """

    folder: Path
    n_steps: int
    best_step: int
    history: tuple[dict[str, float], ...]
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Training tokens per second, evaluations included in the time."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


def train_sft(
    lm: LanguageModel,
    examples: Sequence[Example],
    dev: Sequence[Example],
    config: SftConfig,
    *,
    out: Path,
    seed: int,
    begin_as: Mapping[str, str] | None = None,
    on_progress: OnProgress = silent,
) -> SftResult:
    """Fine-tune ``lm`` on ``examples`` and save the best model by the loss of ``dev`` in ``out``.

    ``lm`` itself is left as it was. ``out`` appears whole or not at all and loads with
    ``load_lm`` (LoRA weights are merged). Where the tokenizer has a chat template, prompts are
    put in a user turn, and the saved model does so by itself.

    ``begin_as`` maps tokens that the model has never seen to text: their embeddings begin as the
    mean of the text's. Forty spare tokens are nearly the same vector, and a few hundred steps do
    not part them.

    Several processes of one machine (see ``notesmith.lm.training.processes``) are given the same
    arguments and return the same result. The main one measures dev, reports progress and writes.

    Raises:
        StageError: nothing to train on, an example is longer than the model's context, or the
            loss is not a number.
        MissingExtraError: accelerate or PEFT is absent.
    """
    if not examples:
        raise StageError("no examples to fine-tune on")
    lm = replace(lm, chat=bool(lm.tokenizer.chat_template))
    rows, dev_rows = encode_examples(lm, examples), encode_examples(lm, dev)
    processes, random_state = Processes.at(lm.device), global_random_state(lm.device)
    with processes.folder(out) as temp, random_state, _trainable(lm, config) as model:
        _begin(model, lm, begin_as or {})
        if config.lora_rank:
            model = add_lora(model, config.lora_rank, seed=seed)
        run = _Run(lm, model, dev_rows, config.patience, processes)
        tell = on_progress if processes.is_main else silent
        _fit(run, rows, config, seed=seed, on_progress=tell)
        if run.best_weights is None:
            run.best_step, run.best_weights = run.n_steps, folder_weights(model, lm.model.dtype)
        if temp is not None:
            write_model_folder(lm, temp, weights=run.best_weights)
    history = tuple(run.history)
    result = SftResult(out, run.n_steps, run.best_step, history, run.tokens, run.seconds)
    return processes.from_main(lambda: result)


@dataclass(eq=False)
class _Run:
    """What one fine-tuning has done, and the best weights so far."""

    lm: LanguageModel
    model: Any
    dev: Sequence[Row]
    patience: int
    processes: Processes
    n_steps: int = 0
    tokens: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_loss: float = float("inf")
    best_step: int = 0
    best_weights: dict[str, Tensor] | None = None
    n_worse: int = 0
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def evaluate(self, batch_size: int) -> bool:
        """Measure the loss of dev and keep the best weights; False where it is time to stop."""
        loss = self.processes.from_main(lambda: self._dev_loss(batch_size))
        self.history.append({"step": self.n_steps, "dev_loss": loss})
        if loss < self.best_loss:
            self.best_loss, self.best_step, self.n_worse = loss, self.n_steps, 0
            self.best_weights = folder_weights(self.model, self.lm.model.dtype)
        else:
            self.n_worse += 1
        return self.n_worse < self.patience

    def _dev_loss(self, batch_size: int) -> float:
        """Negative log-likelihood of a completion token of dev, in nats."""
        model = plain_model(self.model)
        model.eval()
        total, n = 0.0, max(1, sum(row.n_completion for row in self.dev))
        with torch.no_grad(), autocast(model.device, multiplies_bf16(self.lm)):
            for first in range(0, len(self.dev), batch_size):
                rows = self.dev[first : first + batch_size]
                for part in padded_parts(model, rows, pad_id=self.lm.pad_id):
                    total -= float(part.log_probs(model, 1.0).sum())
        return total / n


def _fit(
    run: _Run, rows: Sequence[Row], config: SftConfig, *, seed: int, on_progress: OnProgress
) -> None:
    """Train until the steps are done or dev says stop."""
    steps_per_epoch = -(-len(rows) // config.batch_size)
    n_steps = max(1, round(steps_per_epoch * config.epochs))
    every = max(1, round(steps_per_epoch / config.evaluations_per_epoch))
    n_warm = round(n_steps * config.warmup_ratio)
    torch.manual_seed(seed)
    losses: list[float] = []
    for step in train(
        run.model,
        _batches(run, rows, config.batch_size, n_steps, seed),
        optimizer=adamw(run.model),
        rate=rising_then_falling(config.learning_rate, n_warm=n_warm, n_steps=n_steps),
        bf16=multiplies_bf16(run.lm),
    ):
        run.n_steps = step.number
        run.tokens += step.n_tokens
        run.seconds = time.monotonic() - run.started
        losses.append(step.loss)
        values = {k: v for row in run.history[-2:] for k, v in row.items() if k != "step"}
        on_progress(Progress("sft", step.number, n_steps, "steps", run.tokens, run.seconds, values))
        if step.number % LOG_STEPS == 0:
            run.history.append({"step": step.number, "loss": float(np.mean(losses))})
            losses.clear()
        due = step.number % every == 0 or step.number == n_steps
        if run.dev and due and not run.evaluate(2 * config.batch_size):
            break
    run.seconds = time.monotonic() - run.started


def _batches(
    run: _Run, rows: Sequence[Row], batch_size: int, n_steps: int, seed: int
) -> Iterator[Batch]:
    """``n_steps`` batches, epoch after epoch."""
    model, pad_id = plain_model(run.model), run.lm.pad_id
    lengths, per_epoch = [len(row.ids) for row in rows], -(-len(rows) // batch_size)
    order: list[int] = []
    for number in range(n_steps):
        epoch, place = divmod(number, per_epoch)
        if place == 0:
            order = order_by_length(lengths, batch_size, seed=seed, epoch=epoch)
        batch = [rows[i] for i in order[place * batch_size :][:batch_size]]
        yield Batch(
            padded_parts(model, batch, pad_id=pad_id),
            completion_loss(sum(row.n_completion for row in batch)),
            sum(len(row.ids) for row in batch),
        )


def completion_loss(n_tokens: float) -> Callable[[Any, Part], Loss]:
    """Negative log-likelihood of the completions, in nats, over ``n_tokens`` of the whole batch."""
    return lambda model, part: Loss(-part.log_probs(model, 1.0).sum() / n_tokens)


def encode_examples(lm: LanguageModel, examples: Sequence[Example]) -> list[Row]:
    """Begin, prompt, completion, end of text, in ids.

    Raises:
        StageError: an example exceeds the model's context.
    """
    prompts = lm.encode_prompts([example.prompt for example in examples])
    completions = lm.encode_all([example.completion for example in examples])
    limit = getattr(lm.model.config.get_text_config(), "max_position_embeddings", None)
    rows = []
    for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        ids = (*prompt, *completion, lm.turns.after[0])
        if limit is not None and len(ids) > limit:
            raise StageError(f"example {i} has {len(ids)} tokens, the model's context {limit}")
        # Where a sequence begins with no token of its own, nothing predicts its first one.
        rows.append(Row(ids, min(len(completion) + 1, len(ids) - 1)))
    return rows


@contextmanager
def _trainable(lm: LanguageModel, config: SftConfig) -> Iterator[PreTrainedModel]:
    """The model to train, so that ``lm`` is the same after.

    Full fine-tuning works on a float32 copy: in bfloat16 a step of 5e-5 would round to nothing.
    LoRA adds its layers to ``lm``'s own model, to hold it once, and they are taken out again.
    """
    if not config.lora_rank:
        yield copy.deepcopy(lm.model).to(torch.float32)
        return
    spare = _spare_rows(lm.model, lm)
    try:
        yield lm.model
    finally:
        remove_lora(lm.model)
        with torch.no_grad():
            for table, ids, rows in spare:
                table[ids] = rows


def _tables(model: PreTrainedModel) -> list[Tensor]:
    """Embeddings, and those of the output where they are not the same."""
    both = (model.get_input_embeddings(), model.get_output_embeddings())
    return list({id(m.weight): m.weight for m in both if m is not None}.values())


def _spare_rows(model: PreTrainedModel, lm: LanguageModel) -> list[tuple[Tensor, Any, Tensor]]:
    """Each table, the ids of the spare tokens, and a copy of their rows."""
    ids = lm.tokenizer.convert_tokens_to_ids(list(lm.reserved))
    return [(table, ids, table[ids].detach().clone()) for table in _tables(model)]


def _begin(model: PreTrainedModel, lm: LanguageModel, begin_as: Mapping[str, str]) -> None:
    """Give tokens the mean embedding of a text's tokens."""
    with torch.no_grad():
        for token, text in begin_as.items():
            row, words = lm.tokenizer.convert_tokens_to_ids(token), lm.encode(text)
            for table in _tables(model) if words else ():
                table[row] = table[words].mean(dim=0)


@contextmanager
def global_random_state(device: torch.device) -> Iterator[None]:
    """Put back the global random state, which training on ``device`` sets."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
