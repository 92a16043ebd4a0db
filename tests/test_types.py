"""Type checkers and Python find the same public names; what checkers see of them: typed_program."""

from __future__ import annotations

import ast
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

import notesmith

ROOT = Path(notesmith.__file__).parent


def in_the_stub() -> dict[str, str]:
    """The module of each name, as type checkers are told."""
    tree = ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name, "not exported without 'as'"
                found[alias.name] = str(node.module)
    return found


def test_checkers_and_python_find_the_same_names_in_the_same_places() -> None:
    assert in_the_stub() == notesmith._WHERE


def test_the_wheel_says_that_it_is_typed() -> None:
    files = WheelBuilder(str(ROOT.parents[1])).recurse_included_files()
    assert {file.distribution_path for file in files} >= {
        "notesmith/__init__.pyi",
        "notesmith/py.typed",
    }
