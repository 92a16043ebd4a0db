"""Every call that loads a model says so: read in the source, file by file."""

from __future__ import annotations

import ast
from pathlib import Path

import notesmith

SOURCE = Path(notesmith.__file__).parent
TREES = {
    path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(SOURCE.rglob("*.py"))
}


def calls(name: str) -> list[tuple[str, ast.Call]]:
    """Calls of anything called ``name``, as a function or a method, with the file they are in."""
    found = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else None
                called = node.func.id if isinstance(node.func, ast.Name) else called
                if called == name:
                    found.append((path, node))
    return found


def options(call: ast.Call) -> dict[str | None, object]:
    return {
        k.arg: k.value.value if isinstance(k.value, ast.Constant) else ... for k in call.keywords
    }


def test_one_place_calls_from_pretrained():
    found = [
        (path, call)
        for path, call in calls("from_pretrained")
        # A table of numbers, no folder.
        if not (isinstance(call.func, ast.Attribute) and "Embedding" in ast.dump(call.func.value))
    ]
    # GLiNER loads its own models, from folders of safetensors (see ``load_gliner``).
    found = [each for each in found if each[0] != "annotation/gliner_models.py"]
    assert [path for path, _ in found] == ["models/load.py"]
    said = options(found[0][1])
    assert said["trust_remote_code"] is False and said["local_files_only"] is True


def test_weights_are_asked_for_as_safetensors():
    weights = [
        call
        for path, call in calls("pretrained")
        if path == "models/load.py" and "AutoModel" in ast.dump(call.args[0])
    ]
    assert len(weights) == 3
    for call in weights:
        assert options(call)["use_safetensors"] is True
        assert options(call)["output_loading_info"] is True


def test_nothing_unpickles_and_nothing_trusts():
    for path, call in calls("load"):
        if isinstance(call.func, ast.Attribute) and ast.dump(call.func.value).find("'torch'") >= 0:
            assert path == "lm/training/checkpoints.py" and options(call)["weights_only"] is True
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"pickle", "joblib", "dill", "cloudpickle"} & set(names), path
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, path


def test_one_place_asks_a_hub():
    assert [path for path, _ in calls("snapshot_download")] == ["models/hub.py"]
    users = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "huggingface_hub" in path.read_text(encoding="utf-8")
    }
    assert users == {"models/hub.py", "models/load.py"}
    # Where a user gave --hub or hub = true, and nowhere else.
    assert {path for path, _ in calls("fetch")} <= {
        *("ner/encoder.py", "experiment/models.py", "experiment/bundle.py"),
        "models/hub.py",
    }
