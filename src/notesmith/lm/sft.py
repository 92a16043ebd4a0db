"""Supervised fine-tuning on prompt and completion pairs; all use of TRL's trainer is here.

The loss is of the completion alone and only its positions meet the vocabulary. The dev loss is
measured as it goes, training stops when it no longer falls, and the best weights are what is saved.
Nothing but the result is written: neither checkpoints nor logs, and no text reaches the trainer.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from notesmith.config import SftConfig
from notesmith.errors import MissingExtraError, StageError
from notesmith.files.write import atomic_folder
from notesmith.lm.load import LanguageModel, has_bf16, write_model_folder
from notesmith.progress import OnProgress, silent

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Row:
    """An example in token ids; the last ``n_completion`` of them bear the loss."""

    ids: tuple[int, ...]
    n_completion: int


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
    train: Sequence[Example],
    dev: Sequence[Example],
    config: SftConfig,
    *,
    out: Path,
    seed: int,
    begin_as: Mapping[str, str] | None = None,
    on_progress: OnProgress = silent,
) -> SftResult:
    """Fine-tune ``lm`` on ``train`` and save the best model by the loss of ``dev`` in ``out``.

    ``lm`` itself is left as it was. ``out`` appears whole or not at all and loads with
    ``load_lm`` (LoRA weights are merged). Where the tokenizer has a chat template, prompts are
    put in a user turn, and the saved model does so by itself.

    ``begin_as`` maps tokens that the model has never seen to text: their embeddings begin as the
    mean of the text's. Forty spare tokens are nearly the same vector, and a few hundred steps do
    not part them.

    Raises:
        StageError: nothing to train on, or an example is longer than the model's context.
        MissingExtraError: TRL, PEFT or datasets is absent.
    """
    if not train:
        raise StageError("no examples to fine-tune on")
    lm = replace(lm, chat=bool(lm.tokenizer.chat_template))
    train_rows, dev_rows = encode_examples(lm, train), encode_examples(lm, dev)
    with atomic_folder(out) as temp, global_random_state(), _trainable(lm, config) as model:
        _begin(model, lm, begin_as or {})
        trained = _trainer().fit(
            model,
            lm.tokenizer,
            train_rows,
            dev_rows,
            config,
            pad_id=lm.pad_id,
            dtype=lm.model.dtype,
            bf16=multiplies_bf16(lm),
            folder=temp,
            seed=seed,
            on_progress=on_progress,
        )
        write_model_folder(lm, temp, weights=trained.weights)
    return SftResult(
        out, trained.n_steps, trained.best_step, trained.history, trained.tokens, trained.seconds
    )


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
        rows.append(Row(ids, len(completion) + 1))
    return rows


def _trainer() -> Any:
    try:
        return import_module("notesmith.lm.trainer")
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "models") from error


def multiplies_bf16(lm: LanguageModel) -> bool:
    """Train in bfloat16 where the machine does; the master weights are float32 all the same."""
    import torch

    return has_bf16(lm.device) and (lm.device.type == "cuda" or lm.model.dtype == torch.bfloat16)


@contextmanager
def _trainable(lm: LanguageModel, config: SftConfig) -> Iterator[PreTrainedModel]:
    """The model to train, so that ``lm`` is the same after.

    Full fine-tuning works on a float32 copy: in bfloat16 a step of 5e-5 would round to nothing.
    LoRA adds its layers to ``lm``'s own model, to hold it once, and they are taken out again.
    """
    import torch

    if not config.lora_rank:
        yield copy.deepcopy(lm.model).to(torch.float32)
        return
    from peft.tuners.lora import LoraLayer

    spare = _spare_rows(lm.model, lm)
    try:
        yield lm.model
    finally:
        for name, module in list(lm.model.named_modules()):
            if isinstance(module, LoraLayer):
                lm.model.set_submodule(name, module.get_base_layer())
        with torch.no_grad():
            for table, ids, rows in spare:
                table[ids] = rows
        # TRL binds a forward of its own to the model.
        vars(lm.model).pop("forward", None)
        lm.model.requires_grad_(True)
        lm.model.eval()


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
    import torch

    with torch.no_grad():
        for token, text in begin_as.items():
            row, words = lm.tokenizer.convert_tokens_to_ids(token), lm.encode(text)
            for table in _tables(model) if words else ():
                table[row] = table[words].mean(dim=0)


@contextmanager
def global_random_state() -> Iterator[None]:
    """Put back the global random state, which the trainer sets."""
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
