"""Model folders that try to run code: each kind is one change to a good folder.

``SENTINEL`` appears beside the folder if any of it runs.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from notesmith.models.manifest import MANIFEST, write_manifest

SENTINEL = "ran"
# Says that it wrote; as a module, a pickle, a kernel or a template.
_CLASSES = (
    *("AutoConfig", "AutoModel", "AutoModelForTokenClassification", "AutoModelForCausalLM"),
    *("AutoTokenizer", "AutoProcessor"),
)


class _Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (self.path, "w")


def _edit(folder: Path, name: str, **values: Any) -> None:
    path = folder / name
    old = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**old, **values}))


def _module(folder: Path, name: str = "evil.py") -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"open({str(folder.parent / SENTINEL)!r}, 'w')\nclass Evil: pass\n")


def _pickle(folder: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps(_Bomb(str(folder.parent / SENTINEL))))


def _mapped(folder: Path, name: str, **more: Any) -> None:
    _module(folder)
    auto_map = {
        kind: ["evil.Evil", "evil.Evil"] if "Tok" in kind else "evil.Evil" for kind in _CLASSES
    }
    _edit(folder, name, auto_map=auto_map, **more)


def _custom_type(folder: Path) -> None:
    _mapped(folder, "config.json", model_type="evil")


def _other_file(folder: Path) -> None:
    """transformers reads the newest file of this list in the place of config.json."""
    _mapped(folder, "config.4.0.0.json", **json.loads((folder / "config.json").read_text()))
    _edit(folder, "config.json", configuration_files=["config.4.0.0.json"])


def _nested(folder: Path) -> None:
    _module(folder)
    _edit(folder, "config.json", text_config={"auto_map": {"AutoModelForCausalLM": "evil.Evil"}})


def _elsewhere(folder: Path) -> None:
    other = folder.parent / "other"
    other.mkdir(exist_ok=True)
    _module(other)
    _edit(folder, "config.json", auto_map={"AutoConfig": f"{other}--evil.Evil"}, model_type="evil")


def _custom_generate(folder: Path) -> None:
    _module(folder, "custom_generate/generate.py")
    _edit(
        folder, "generation_config.json", custom_generate="custom_generate", trust_remote_code=True
    )


def _pickle_alone(folder: Path) -> None:
    (folder / "model.safetensors").unlink(missing_ok=True)
    _pickle(folder, "pytorch_model.bin")


def _pickle_named(folder: Path) -> None:
    _pickle(folder, "adapter_model.bin")
    _edit(folder, "config.json", transformers_weights="adapter_model.bin")


def _pickle_as_safetensors(folder: Path) -> None:
    _pickle(folder, "model.safetensors")


def _pickle_in_index(folder: Path) -> None:
    (folder / "model.safetensors").unlink(missing_ok=True)
    _pickle(folder, "weights.bin")
    _edit(folder, "model.safetensors.index.json", metadata={}, weight_map={"a": "weights.bin"})


def _index_elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").unlink(missing_ok=True)
    _pickle(folder.parent, "outside.safetensors")
    where = {"a": "../outside.safetensors"}
    _edit(folder, "model.safetensors.index.json", metadata={}, weight_map=where)


def _pickles_beside(folder: Path) -> None:
    for name in ("pytorch_model.bin", "optimizer.pt", "training_args.bin", "state.pt", "vocab.pkl"):
        _pickle(folder, name)


def _adapter(folder: Path) -> None:
    _pickle(folder, "adapter_model.bin")
    _edit(
        folder,
        "adapter_config.json",
        peft_type="LORA",
        base_model_name_or_path=str(folder.parent / "other"),
        auto_mapping={"base_model_class": "Evil", "parent_library": "evil"},
    )
    _module(folder)


def _adapter_alone(folder: Path) -> None:
    _adapter(folder)
    (folder / "config.json").unlink()


def _sentence_transformers(folder: Path) -> None:
    _module(folder)
    modules = [{"idx": 0, "name": "0", "path": "", "type": "evil.Evil"}]
    (folder / "modules.json").write_text(json.dumps(modules))


def _template(folder: Path) -> None:
    path = str(folder.parent / SENTINEL)
    code = f"{{{{ cycler.__init__.__globals__.os.system('touch {path}') }}}}"
    _edit(folder, "tokenizer_config.json", chat_template=code)
    (folder / "chat_template.jinja").write_text(code)
    if (folder / "notesmith.json").exists():
        card = json.loads((folder / "notesmith.json").read_text())
        if "licence" in card:
            _edit(folder, "notesmith.json", chat=True)


def _walk_in(folder: Path) -> None:
    _module(folder)
    _edit(folder, "config.json", model_type=f"{folder}/evil", architectures=["evil.Evil"])


def _beside_tokenizer(folder: Path) -> None:
    _module(folder, "tokenization_evil.py")
    _edit(folder, "tokenizer_config.json", tokenizer_class="EvilTokenizer", trust_remote_code=True)


KINDS: dict[str, Callable[[Path], None]] = {
    "auto_map in config.json": lambda folder: _mapped(folder, "config.json"),
    "auto_map and a type that transformers does not know": _custom_type,
    "auto_map in a nested configuration": _nested,
    "auto_map in another file of configuration": _other_file,
    "auto_map that points to another folder": _elsewhere,
    "auto_map in tokenizer_config.json": lambda f: _mapped(f, "tokenizer_config.json"),
    "auto_map in processor_config.json": lambda f: _mapped(f, "processor_config.json"),
    "auto_map in special_tokens_map.json": lambda f: _mapped(f, "special_tokens_map.json"),
    "custom pipelines in config.json": lambda f: (
        _module(f),
        _edit(f, "config.json", custom_pipelines={"x": {"impl": "evil.Evil"}}),
    )[-1],
    "a generate function of its own": _custom_generate,
    "a tokenizer class of its own": _beside_tokenizer,
    "pickled weights alone": _pickle_alone,
    "a pickle that config.json names": _pickle_named,
    "a pickle called model.safetensors": _pickle_as_safetensors,
    "a pickle in the index of shards": _pickle_in_index,
    "an index that leaves the folder": _index_elsewhere,
    "pickles beside the weights": _pickles_beside,
    "an adapter beside the model": _adapter,
    "an adapter without a model": _adapter_alone,
    "a kernel of a hub as attention": lambda f: _edit(
        f, "config.json", attn_implementation="kernels-community/evil"
    ),
    "a kernel in a private field": lambda f: _edit(
        f,
        "config.json",
        _attn_implementation="evil/evil",
        _attn_implementation_internal="evil/evil",
    ),
    "quantised weights, whose kernels are fetched": lambda f: _edit(
        f, "config.json", quantization_config={"quant_method": "mxfp4"}
    ),
    "modules of sentence-transformers": _sentence_transformers,
    "a chat template that calls the system": _template,
    "a model type that is a path": _walk_in,
}
HARMLESS = frozenset(
    {
        *("pickles beside the weights", "modules of sentence-transformers"),
        "a chat template that calls the system",
    }
)
"""Kinds that load on some paths, because nothing there reads what is hostile."""


def make_hostile(folder: Path, kind: str) -> None:
    """Change ``folder`` to a kind; one of our own gets a new list of files, as its maker would."""
    KINDS[kind](folder)
    if (folder / MANIFEST).exists():
        write_manifest(folder)
