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
    "errors home allocator processors rules findings files marked document words segments markup "
    "markup_json metrics ceiling progress config overlap results corpus models lm ner filters "
    "augmentation annotation synthesis evaluate privacy pages report review experiment forecast "
    "init workflows integrations cli __main__"
).split()
# None of a group imports another of it, at any distance.
APART = (("augmentation", "annotation", "synthesis"), ("report", "review"))
# Half as many again as there were in November 2026.
MOST_MODULES = {"import": 45, "help": 925}
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "scipy", "pyarrow"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def package(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@cache
def imported_names(module: str) -> frozenset[tuple[str, str]]:
    """What ``module`` imports of the project, in functions and for type checkers too.

    Pairs of a module and a name in it; the name is empty where the module itself is imported.
    """
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{module} has a relative import")
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add((whole, "") if whole in MODULES else (node.module, alias.name))
    return frozenset((name, part) for name, part in found if name in MODULES)


@cache
def imports(module: str) -> frozenset[str]:
    """The files that ``module`` imports: each module, and the packages it lies in."""
    found = {name for name, _ in imported_names(module)}
    for name in list(found):
        found |= {parent for parent in parents(name) if parent not in (module, *parents(module))}
    return frozenset(found - {"notesmith"})


def parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


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


def test_no_file_imports_itself_by_way_of_others():
    circles = [module for module in MODULES if module in reachable(module)]
    assert not circles, f"in a circle: {circles}"


def test_names_come_from_the_file_that_defines_them():
    """A package's shop window is for users; behind it, a name has one address."""
    for module in MODULES:
        for name, part in imported_names(module):
            if part and MODULES[name].name == "__init__.py":
                assert part in defined(name), f"{module} imports {part} from {name}"


@cache
def defined(module: str) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.parse(MODULES[module].read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(found)


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


def loaded_by(code: str) -> set[str]:
    """Modules loaded by ``code`` in a fresh interpreter, beside those of the interpreter itself."""
    script = (
        f"import sys\nbefore = set(sys.modules)\n{code}\nprint('@', *set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.rpartition("@")[2].split())


# Counted and not timed, for a busy machine takes several times as long.
def test_import_is_light():
    modules = loaded_by("import notesmith")
    assert not {name.split(".")[0] for name in modules} & HEAVY
    assert len(modules) <= MOST_MODULES["import"]


def test_help_is_light():
    modules = loaded_by(
        "sys.argv = ['notesmith', '--help']\n"
        "from notesmith.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code"
    )
    assert not {name.split(".")[0] for name in modules} & HEAVY
    assert len(modules) <= MOST_MODULES["help"]


def test_completing_the_name_of_a_recipe_is_light():
    modules = loaded_by(
        "import os\n"
        "sys.argv = ['notesmith']\n"
        "os.environ |= {'COMP_WORDS': 'notesmith run q', 'COMP_CWORD': '2'}\n"
        "os.environ['_NOTESMITH_COMPLETE'] = 'complete_bash'\n"
        "from notesmith.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code"
    )
    assert not {name.split(".")[0] for name in modules} & HEAVY
    assert "notesmith.experiment.stages" not in modules


def test_public_names_resolve():
    import notesmith

    for name in notesmith.__all__:
        assert getattr(notesmith, name) is not None
