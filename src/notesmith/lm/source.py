"""Find the folder of a model by name: preset, folder, a hub's model; convert and trim once.

No network is used: ``models.hub`` fetches, where a user asked for it. What is made here is cached,
atomically, with a list of its files; a copy that does not match its list is made again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from notesmith.errors import FileError, ModelError
from notesmith.files.write import atomic_folder, make_folder
from notesmith.lm import offline, vocabulary
from notesmith.lm.folder import Card, fingerprint_folder
from notesmith.lm.presets import HUB_NAMES, OFFLINE, PRESETS
from notesmith.models.door import CONFIG, check_folder, read_json
from notesmith.models.hub import hub_model, locate, pinned
from notesmith.models.load import quiet, read_causal, read_tokenizer
from notesmith.models.manifest import is_whole, write_manifest

log = logging.getLogger(__name__)

# Bumped when what a cached conversion holds changes.
_CACHE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Source:
    """A model folder on this machine and what it is called."""

    folder: Path
    card: Card


def find_source(name: str, cache: Path) -> Source:
    """Turn a preset, folder or hub's name into a folder on this machine.

    Raises:
        ModelError: there is none, or what is there is damaged or asks for code.
    """
    preset = PRESETS.get(name.partition("@")[0])
    if preset is not None and preset.hub_id is None:
        return Source(offline_folder(name, cache=cache), Card(name, preset.licence, preset.terms))
    folder = locate(name, HUB_NAMES, known=OFFLINE)
    check_folder(folder)
    if hub_model(name, HUB_NAMES) is None:
        return Source(folder, Card.read(folder))
    called = pinned(name, HUB_NAMES)
    if preset is not None:
        return Source(folder, Card(called, preset.licence, preset.terms))
    return Source(folder, replace(Card.read(folder), name=called))


def offline_folder(name: str, *, cache: Path) -> Path:
    """Folder of an offline model, converted from its GGUF package on first use (bfloat16)."""
    return _cached(cache / f"{name}-v{_CACHE_VERSION}", lambda temp: offline.convert(name, temp))


def _cached(folder: Path, make: Callable[[Path], None]) -> Path:
    """``folder`` as it is if it matches the list of its files, else made, or made again."""
    if is_whole(folder):
        return folder
    if folder.exists():
        log.warning("%s: not as it was written; it is made again", folder)
    make_folder(folder.parent)
    try:
        with atomic_folder(folder, replace=True) as temp:
            make(temp)
            write_manifest(temp)
    except (FileError, OSError):
        # Another process may have made it meanwhile.
        if not is_whole(folder):
            raise
    return folder


def trimmed_folder(source: Source, cache: Path, sample_texts: Sequence[str]) -> Path:
    """Folder of the model with its vocabulary cut, made and proved once; or the model as it is."""
    path = source.folder / "tokenizer.json"
    tokenizer_json = read_json(path) if path.exists() else None
    try:
        kept = vocabulary.shipped_tokens(tokenizer_json) if tokenizer_json is not None else None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(f"{path}: no tokenizer ({type(error).__name__}); copy it anew") from error
    if kept is None:
        log.info("vocabulary not trimmed: no list of tokens for this tokenizer")
        return source.folder
    key = hashlib.sha256(kept.to_bytes()).hexdigest()[:8]
    folder = cache / f"trimmed-{fingerprint_folder(source.folder)[:12]}-{key}-v{_CACHE_VERSION}"
    _cached(folder, lambda temp: _trim_into(temp, source, kept))
    if sample_texts:
        full, trimmed = (read_tokenizer(f, as_written=True) for f in (source.folder, folder))
        check = vocabulary.check_texts(full, trimmed, sample_texts)
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

    stored = read_json(source.folder / CONFIG).get("dtype")
    model = read_causal(source.folder, torch.float32)
    full_tokenizer = read_tokenizer(source.folder, as_written=True)
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
    with quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    source.card.write(folder)
