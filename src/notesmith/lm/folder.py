"""A model folder on disk: its card, weights, tokenizer and fingerprint. Safetensors only."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from notesmith.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

CARD_NAME = "notesmith.json"


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


def read_weights(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Load weights in ``dtype``; neither pickles nor a model's own code.

    Raises:
        ModelError: there are no safetensors.
    """
    from transformers import AutoModelForCausalLM

    quiet()
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"{folder}: no safetensors weights; other formats are not loaded")
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )


def quiet() -> None:
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
