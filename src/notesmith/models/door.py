"""What a model folder must hold, and what it may not say, before any library reads it.

transformers and its companions run code for a model in several ways: classes of the folder
(``auto_map``), kernels fetched by name (``attn_implementation``), pickles named in a configuration
(``transformers_weights``), a base model named by an adapter. Each is refused here on one line, so
that no option of those libraries has to be trusted to refuse it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notesmith.errors import ModelError
from notesmith.models.manifest import check_manifest, is_ours

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
SETTINGS = (
    *(CONFIG, "tokenizer_config.json", "generation_config.json", "special_tokens_map.json"),
    *("processor_config.json", "preprocessor_config.json"),
)
"""The files of settings that transformers reads."""

# Fields that name code, or files and models outside the folder.
_CODE = frozenset(
    {
        *("auto_map", "custom_pipelines", "custom_generate", "trust_remote_code"),
        *("transformers_weights", "kernel_config", "use_kernels", "fusion_config"),
        *("base_model_name_or_path", "use_pretrained_backbone", "distributed_config"),
        # Other files in the place of those that are looked at here.
        *("configuration_files", "fast_tokenizer_files"),
    }
)
_TYPE = re.compile(r"[A-Za-z0-9_.-]+")
# Fields by which transformers chooses an implementation: a plain name is built in, a path is not.
_IMPLEMENTATION = re.compile(r"_?(attn|experts)_implementation(_internal)?")
_BUILT_IN = frozenset({"eager", "sdpa", "flex_attention", "grouped_mm", "batched_mm"})
_LAYERS = frozenset(
    {
        *("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers"),
        *("decoder_layers", "num_encoder_layers", "num_decoder_layers", "depth"),
    }
)
_SIZES = frozenset(
    {"hidden_size", "intermediate_size", "vocab_size", "d_model", "d_ff", "dim", "n_embd"}
)
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
# Constants that old checkpoints hold beside weights.
CONSTANTS = (
    *("position_ids", "token_type_ids", "inv_freq", "masked_bias"),
    *(".attn.bias", ".attention.bias"),
)
# Largest file of settings or vocabulary; the largest known vocabulary takes 34 MB.
_MOST_JSON = 256 << 20
_READ_WHOLE = frozenset({".json", ".jinja", ".txt", ".model"})
_MOST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class Tensors:
    """What the headers of a folder's weights say: how many tensors, the longest side of any."""

    n: int
    longest: int


def check_folder(folder: Path) -> None:
    """Refuse a model folder that asks for code, is damaged, or is no model of transformers.

    Raises:
        ModelError: it names the folder, what is wrong and what would help.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such model folder")
    if is_ours(folder):
        check_manifest(folder)
    _only_files(folder)
    if (folder / ADAPTER).exists():
        raise ModelError(
            f"{folder}: holds an adapter ({ADAPTER}); merge it into its base model and name that"
        )
    if not (folder / CONFIG).exists():
        raise ModelError(f"{folder}: not a model folder (no {CONFIG})")
    _refuse_code(folder)
    config = read_json(folder / CONFIG)
    kind = config.get("model_type")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise ModelError(f"{folder}: {CONFIG} names no type of model that transformers knows")
    if config.get("quantization_config"):
        raise ModelError(f"{folder}: quantised weights are not supported; name the plain model")
    _check_sizes(config, read_headers(folder), folder)


def check_foreign_folder(folder: Path, settings: Sequence[str]) -> None:
    """Refuse the folder of a model that another library loads, where it asks for code or pickles.

    Args:
        folder: the folder.
        settings: files that the library reads besides those of transformers, by name in ``folder``.

    Raises:
        ModelError: as ``check_folder``, but that the model is of a known type.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such model folder")
    _only_files(folder)
    _refuse_code(folder, (*SETTINGS, *settings))
    read_headers(folder)


def check_tokenizer_folder(folder: Path) -> None:
    """As ``check_folder``, of what a tokenizer reads.

    Raises:
        ModelError: a file of settings asks for code or cannot be read.
    """
    _only_files(folder)
    _refuse_code(folder)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model folder.

    Raises:
        ModelError: it is absent, no JSON, or another value.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: holds no JSON object")
    return value


def _refuse_code(folder: Path, names: Sequence[str] = SETTINGS) -> None:
    """Raise ModelError where a file of settings asks for code, at any depth."""
    for name in names:
        if (folder / name).exists():
            _refuse_code_in(name, read_json(folder / name), folder)


def _refuse_code_in(name: str, settings: Mapping[str, Any], folder: Path) -> None:
    for key, found in _fields(settings):
        if key in _CODE and found:
            raise ModelError(
                f"{folder}: {name} has {key!r}, which makes libraries load code or files from "
                "elsewhere; code that comes with a model is never run. Name a model that "
                "transformers knows by itself, or remove the field"
            )
        if _IMPLEMENTATION.fullmatch(key) and found:
            chosen = found.values() if isinstance(found, Mapping) else (found,)
            if any(x is not None and x not in _BUILT_IN for x in map(_plain, chosen)):
                raise ModelError(
                    f"{folder}: {name} has {key!r}, which may fetch and run code; remove the field"
                )


def _plain(value: object) -> str | None:
    return value if isinstance(value, str) else None if value is None else repr(value)


def _fields(value: object) -> Iterator[tuple[str, object]]:
    """Keys with their values at every depth; without recursion, which depth could exhaust."""
    stack = [value]
    while stack:
        at = stack.pop()
        if isinstance(at, dict):
            yield from at.items()
            stack.extend(at.values())
        elif isinstance(at, list):
            stack.extend(at)


def _only_files(folder: Path) -> None:
    """A pipe in the place of a file would be waited for without end, and some files read whole."""
    for path in folder.iterdir():
        if not path.is_file() and not path.is_dir():
            raise ModelError(f"{folder}: {path.name} is no file (or a broken link); remove it")
        if path.suffix in _READ_WHOLE and path.stat().st_size > _MOST_JSON:
            raise ModelError(f"{path}: larger than {_MOST_JSON >> 20} MiB, no file of a model")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold the weights, whole or in shards.

    Raises:
        ModelError: there are none, or a shard is absent or outside the folder.
    """
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if not (folder / INDEX).exists():
        raise ModelError(
            f"{folder}: no safetensors weights ({WEIGHTS}); other formats are not loaded"
        )
    shards = read_json(folder / INDEX).get("weight_map")
    listed = list(shards.values()) if isinstance(shards, dict) else []
    if not listed or any(not isinstance(n, str) or Path(n).name != n for n in listed):
        raise ModelError(f"{folder / INDEX}: names no files of its folder")
    names = set(listed)
    absent = sorted(n for n in names if not (folder / n).exists())
    if absent:
        raise ModelError(
            f"{folder}: {len(absent)} of {len(names)} files of weights are absent, the first "
            f"{absent[0]!r}; fetch or copy the model anew"
        )
    if odd := sorted(n for n in names if not n.endswith(".safetensors")):
        raise ModelError(f"{folder}: {odd[0]!r} is no safetensors file; others are not loaded")
    return [folder / name for name in sorted(names)]


def read_headers(folder: Path) -> Tensors:
    """Read the headers of the weights alone.

    Raises:
        ModelError: a file is cut off, damaged, or holds other than floating-point weights.
    """
    n = longest = 0
    for path in weight_files(folder):
        for name, entry in _header(path).items():
            dtype, shape = entry.get("dtype"), entry.get("shape")
            if not isinstance(shape, list) or not all(isinstance(s, int) for s in shape):
                raise ModelError(f"{path}: damaged (a tensor without a shape)")
            if dtype not in _FLOATS and not name.endswith(CONSTANTS):
                raise ModelError(
                    f"{path}: {name!r} is of type {dtype!r}; weights must be F32, F16, BF16 or F64"
                )
            n += 1
            longest = max([longest, *shape])
    if not n:
        raise ModelError(f"{folder}: its files of weights are empty")
    return Tensors(n, longest)


def _header(path: Path) -> dict[str, dict[str, Any]]:
    """Tensors by name as the file's header has them (format: safetensors 0.3)."""
    damaged = ModelError(f"{path}: damaged or cut off; fetch or copy the model anew")
    try:
        n_bytes = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if n_bytes < 8 or not 0 < length <= min(n_bytes - 8, _MOST_HEADER):
                raise damaged
            header = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged from error
    if not isinstance(header, dict):
        raise damaged
    header.pop("__metadata__", None)
    ends = [0]
    for entry in header.values():
        at = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not (isinstance(at, list) and len(at) == 2 and all(isinstance(x, int) for x in at)):
            raise damaged
        ends.append(at[1])
    if max(ends) + 8 + length != n_bytes:
        raise damaged
    return header


def _check_sizes(config: Mapping[str, Any], tensors: Tensors, folder: Path) -> None:
    """Refuse a configuration that would make transformers build what the weights cannot fill."""
    for key, value in _fields(config):
        if not isinstance(value, int) or isinstance(value, bool):
            continue
        if key in _LAYERS and value > tensors.n:
            raise ModelError(
                f"{folder}: {CONFIG} asks for {value} ({key}) and the files hold {tensors.n} "
                "weights; they are not of one model"
            )
        if key in _SIZES and value > 4 * tensors.longest:
            raise ModelError(
                f"{folder}: {CONFIG} asks for {key} = {value} and no weight is longer than "
                f"{tensors.longest}; they are not of one model"
            )
