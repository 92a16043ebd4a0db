"""Imports point one way, and the light entry points stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "notesmith"
ORDER = (
    "errors home allocator processors rules findings files document segments markup metrics progress "
    "config results corpus models lm ner filters augmentation annotation synthesis evaluate privacy "
    "report review experiment forecast init integrations cli"
).split()
# None of a group imports another of it, at any distance.
APART = (("augmentation", "annotation", "synthesis"), ("report", "review"))
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "scipy", "pyarrow", "datasketch"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def package(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of the project that ``module`` imports anywhere, in functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            if not all(name in MODULES for name in names):
                names.append(node.module)
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{module} has a relative import")
        found |= {name for name in names if name in MODULES and name != "notesmith"}
    return frozenset(found)


@cache
def reachable(module: str) -> frozenset[str]:
    seen: set[str] = set()
    stack = [module]
    while stack:
        for name in imports(stack.pop()):
            if name not in seen:
                seen.add(name)
                stack.append(name)
    return frozenset(seen)


def test_every_package_has_its_place_in_the_order():
    assert {package(m) for m in MODULES} - {""} <= set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_point_one_way(name):
    below = set(ORDER[: ORDER.index(name) + 1])
    for module in MODULES:
        if package(module) == name:
            wrong = {m for m in reachable(module) if package(m) not in below}
            assert not wrong, f"{module} imports {sorted(wrong)}"


@pytest.mark.parametrize("group", APART)
def test_siblings_stay_apart(group):
    for module in MODULES:
        if (mine := package(module)) in group:
            wrong = {m for m in reachable(module) if package(m) in set(group) - {mine}}
            assert not wrong, f"{module} imports {sorted(wrong)}"


def test_language_models_know_no_documents():
    allowed = {"errors", "processors", "files", "progress", "config", "models", "lm"}
    for module in MODULES:
        if package(module) == "lm":
            wrong = {m for m in imports(module) if package(m) not in allowed}
            assert wrong <= {"notesmith.allocator"}, f"{module} imports {sorted(wrong)}"


def test_students_read_no_corpora():
    for module in MODULES:
        if package(module) == "ner":
            corpus = {m for m in imports(module) if package(m) == "corpus"}
            assert not corpus, f"{module} imports {sorted(corpus)}"


def test_integrations_wrap_the_student_alone():
    """They load with the program they serve, so what they import at their top is little."""
    allowed = {"errors", "document", "ner", "integrations"}
    for module in MODULES:
        if package(module) == "integrations":
            wrong = {m for m in imports(module) if package(m) not in allowed}
            assert not wrong, f"{module} imports {sorted(wrong)}"
            top = ast.parse(MODULES[module].read_text(encoding="utf-8")).body
            early = {n.module for n in top if isinstance(n, ast.ImportFrom) and n.module}
            assert not {m for m in early if m.startswith("notesmith.ner")}, module


def seconds_and_modules(code: str) -> tuple[float, set[str]]:
    """Processor seconds and top-level modules loaded by ``code`` in a fresh interpreter."""
    script = (
        f"import sys, time\n{code}\n"
        "print('@', time.process_time(), *{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    seconds, *modules = done.stdout.rpartition("@")[2].split()
    return float(seconds), set(modules)


def test_import_is_light():
    seconds, modules = seconds_and_modules("import notesmith")
    assert seconds < 1 and not modules & HEAVY


def test_help_is_light():
    code = (
        "sys.argv = ['notesmith', '--help']\n"
        "from notesmith.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code"
    )
    seconds, modules = seconds_and_modules(code)
    assert seconds < 1 and not modules & HEAVY


def test_public_names_resolve():
    import notesmith

    for name in notesmith.__all__:
        assert getattr(notesmith, name) is not None
