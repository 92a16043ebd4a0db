"""Load a causal language model from a folder or by a preset's or hub's name, ready for use.

Where its folder comes from is left to ``source``, what is in it to ``folder``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from notesmith.config.generator import LmConfig
from notesmith.errors import ModelError
from notesmith.files.write import atomic_folder
from notesmith.lm import vocabulary
from notesmith.lm.chat import Turns, chat_turns, plain_turns
from notesmith.lm.folder import Card, fingerprint_folder
from notesmith.lm.source import find_source, trimmed_folder
from notesmith.models.load import quiet, read_causal, read_tokenizer, require
from notesmith.models.manifest import write_manifest
from notesmith.processors import heed_quota

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A causal language model and its tokenizer; strings in, token ids out, and back.

    ``reserved`` are spare tokens of the vocabulary, usable as marks. ``fingerprint`` is a hash of
    weights, configuration and tokenizer. ``terms`` links conditions on what the model writes.
    With ``chat`` a prompt is put in a user turn of the tokenizer's chat template.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    name: str
    licence: str
    terms: str | None
    reserved: tuple[str, ...]
    fingerprint: str
    chat: bool = False
    turns: Turns = field(init=False, repr=False, compare=False)
    _codec: Tokenizer = field(init=False, repr=False, compare=False)
    _dropped: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        turns = chat_turns if self.chat else plain_turns
        object.__setattr__(self, "turns", turns(self.tokenizer))
        object.__setattr__(self, "_codec", _text_codec(self.tokenizer, self.reserved))
        kept = set(self.tokenizer.convert_tokens_to_ids(list(self.reserved)))
        object.__setattr__(self, "_dropped", self.special_ids - kept)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that are no text: begin, end, padding, turns of a chat, and the reserved tokens."""
        tokenizer = self.tokenizer
        # A tokenizer names a part of its special tokens alone.
        added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        reserved = tokenizer.convert_tokens_to_ids(list(self.reserved))
        return frozenset({*tokenizer.all_special_ids, *added, *reserved})

    @property
    def bos_ids(self) -> list[int]:
        """What a sequence begins with: one id, or none for models without such a token."""
        bos = self.tokenizer.bos_token_id
        return [] if bos is None else [int(bos)]

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Ids that end a text, the one that fine-tuning teaches first."""
        found = [self.turns.after[0], self.tokenizer.eos_token_id]
        generation = getattr(self.model, "generation_config", None)
        more = getattr(generation, "eos_token_id", None)
        found += more if isinstance(more, list) else [more]
        return tuple(dict.fromkeys(int(i) for i in found if i is not None))

    @property
    def pad_id(self) -> int:
        """An id for padding; the end of text where there is no token for it."""
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None else self.eos_ids[0]

    @property
    def window(self) -> int | None:
        """Tokens that the model can read at most; None where it does not say."""
        found = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return None if found is None else int(found)

    def encode(self, text: str) -> list[int]:
        """Ids of ``text`` alone, without begin and end.

        Reserved tokens become their ids; other special tokens that stand in the text are read as
        plain characters, so no text can end itself.
        """
        return list(self._codec.encode(text, add_special_tokens=False).ids)

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """``encode`` for many texts."""
        batch = self._codec.encode_batch_fast(list(texts), add_special_tokens=False)
        return [list(encoding.ids) for encoding in batch]

    def encode_prompts(self, prompts: Sequence[str]) -> list[list[int]]:
        """Ids of prompts, ready to be continued: begin of text or user turn included."""
        turns = self.turns
        return [[*turns.before, *ids, *turns.between] for ids in self.encode_all(prompts)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ``ids``: reserved marks stay, begin, end and padding go."""
        kept = [int(i) for i in ids if int(i) not in self._dropped]
        return self._codec.decode(kept, skip_special_tokens=False)

    def save(self, folder: Path) -> None:
        """Write a folder that ``load_lm`` and plain transformers can read."""
        with atomic_folder(folder) as temp:
            write_model_folder(self, temp)


def write_model_folder(
    lm: LanguageModel, folder: Path, *, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """Write weights (safetensors), configuration, tokenizer, our card and the list of all files.

    ``weights``, by their names in the model, stand in for the model's own.
    """
    with quiet():
        lm.model.save_pretrained(folder, state_dict=weights)
    lm.tokenizer.save_pretrained(folder)
    card = Card(lm.name, lm.licence, lm.terms, chat=lm.chat)
    card.write(folder)
    write_manifest(folder)


def load_lm(
    config: LmConfig, *, cache: Path, sample_texts: Sequence[str] = (), device: str | None = None
) -> LanguageModel:
    """Load the model that ``config`` names.

    Args:
        config: a preset, folder or hub's name; whether to trim the vocabulary; the type of weights.
        cache: folder for conversions, shared between runs.
        sample_texts: some of the user's text. Trimming is left out if it raises their tokens a
            word by more than a tenth; nothing of them is stored.
        device: 'cpu', 'cuda', …; the first GPU if there is one, else the CPU. Of several processes
            that a launcher started on a machine each takes a GPU of its own.

    Raises:
        ModelError: there is no such model, or its files do not hold what they should.
        MissingExtraError: a package that this model needs is absent.
    """
    require("transformers", "models")
    source = find_source(config.model, cache)
    folder, card = source.folder, source.card
    if config.trim:
        folder = trimmed_folder(source, cache, sample_texts)
    return open_folder(folder, card, dtype=config.dtype, device=device)


def open_folder(
    folder: Path,
    card: Card | None = None,
    *,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    device: str | None = None,
) -> LanguageModel:
    """Load a model folder as it is.

    Raises:
        ModelError: it is damaged, asks for code, or its weights are not those of its model.
    """
    import torch

    heed_quota()
    where = torch.device(device or own_device())
    weights = torch.bfloat16 if _use_bf16(dtype, where) else torch.float32
    model = read_causal(folder, weights).to(where)
    model.eval()
    tokenizer = read_tokenizer(folder, as_written=True)
    card = card or Card.read(folder)
    try:
        return _made(model, tokenizer, card, folder)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"{folder}: its tokenizer or generation settings are not those of a language model "
            f"({type(error).__name__}); copy it anew"
        ) from error


def own_device() -> str:
    """The GPU with this process's number, which a launcher puts into the environment."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    number = os.environ.get("LOCAL_RANK")
    return "cuda" if number is None else f"cuda:{int(number) % torch.cuda.device_count()}"


def _made(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, card: Card, folder: Path
) -> LanguageModel:
    lm = LanguageModel(
        model,
        tokenizer,
        name=card.name,
        licence=card.licence,
        terms=card.terms,
        reserved=find_reserved(tokenizer, model.get_input_embeddings().weight.shape[0]),
        fingerprint=fingerprint_folder(folder),
        chat=card.chat,
    )
    lm.pad_id, lm.eos_ids  # noqa: B018 - whether they are numbers is seen here
    return lm


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware."""
    import torch

    found = torch.cpu.get_capabilities()
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "bf16"))


def has_bf16(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 matrices in hardware."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and cpu_has_bf16()


def _use_bf16(dtype: str, device: torch.device) -> bool:
    return has_bf16(device) if dtype == "auto" else dtype == "bfloat16"


def find_reserved(tokenizer: PreTrainedTokenizerFast, n_rows: int) -> tuple[str, ...]:
    """Spare tokens of a vocabulary that have an embedding row, in the order of their ids."""
    found = [
        token.content
        for token_id, token in sorted(tokenizer.added_tokens_decoder.items())
        if token_id < n_rows and vocabulary.is_spare(token.content)
    ]
    return tuple(found[: vocabulary.N_RESERVED])


def _text_codec(tokenizer: PreTrainedTokenizerFast, reserved: Sequence[str]) -> Tokenizer:
    """Copy of a tokenizer in which the reserved tokens alone are special."""
    from tokenizers import Tokenizer

    parts: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    spare = set(reserved)
    parts["added_tokens"] = [
        token
        for token in parts["added_tokens"]
        if token["content"] in spare or not token["special"]
    ]
    parts["post_processor"] = _without_template(parts.get("post_processor"))
    parts["truncation"] = parts["padding"] = None
    return Tokenizer.from_str(json.dumps(parts))


def _without_template(part: dict[str, Any] | None) -> dict[str, Any] | None:
    """Drop what adds special tokens from a post-processor."""
    if part is None or part["type"] == "TemplateProcessing":
        return None
    if part["type"] == "Sequence":
        kept = [p for p in map(_without_template, part["processors"]) if p is not None]
        return {**part, "processors": kept} if kept else None
    return part
