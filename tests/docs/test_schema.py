"""The recipe's JSON schema accepts what notesmith accepts, and marks what it refuses."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import notesmith
from tests.docs.pages import ROOT

SCHEMA = json.loads((ROOT / "docs/reference/recipe.schema.json").read_text(encoding="utf-8"))
RECIPES = sorted(
    [
        *(Path(notesmith.__file__).parent / "experiment" / "recipes").glob("*.toml"),
        *(ROOT / "recipes").glob("*.toml"),
    ]
)
TYPES = {
    **{"object": dict, "array": list, "string": str, "boolean": bool},
    **{"integer": int, "number": (int, float), "null": type(None)},
}
BOUNDS = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
    "minItems": lambda value, bound: len(value) >= bound,
    "maxItems": lambda value, bound: len(value) <= bound,
    "minLength": lambda value, bound: len(value) >= bound,
    "enum": lambda value, known: value in known,
    "const": lambda value, known: value == known,
}
FOR_READERS = {"$schema", "$defs", "title", "description", "default"}


def faults(value: Any, schema: dict[str, Any], at: str = "") -> Iterator[str]:
    """Where ``value`` does not fit: as much of JSON Schema as ours uses, and no more."""
    schema = dict(schema)
    for name in FOR_READERS & schema.keys():
        del schema[name]
    if "$ref" in schema:
        yield from faults(value, SCHEMA["$defs"][schema.pop("$ref").rpartition("/")[2]], at)
    if "anyOf" in schema:
        each = [list(faults(value, option, at)) for option in schema.pop("anyOf")]
        yield from [] if [] in each else min(each, key=len)
    if "type" in schema:
        kind = TYPES[schema.pop("type")]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            yield f"{at}: type"
            return
    required, fields = schema.pop("required", ()), schema.pop("properties", {})
    yield from (f"{at}: lacks {name}" for name in required if name not in value)
    others = schema.pop("additionalProperties", True)
    first, items = schema.pop("prefixItems", []), schema.pop("items", {})
    for i, part in enumerate(value if isinstance(value, list) else []):
        yield from faults(part, first[i] if i < len(first) else items, f"{at}[{i}]")
    for name, part in value.items() if isinstance(value, dict) else ():
        if name in fields or isinstance(others, dict):
            yield from faults(part, fields.get(name, others), f"{at}.{name}")
        elif not others:
            yield f"{at}.{name}: unknown"
    for name, limit in schema.items():
        if not BOUNDS[name](value, limit):
            yield f"{at}: {name}"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_fit(path: Path) -> None:
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    # The packaged ones leave the corpus to --set.
    values["corpus"].setdefault("train", "train")
    assert list(faults(values, SCHEMA)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("steps = 5", ".steps: unknown"),
        ("ner.steps = 0", ".ner.steps: exclusiveMinimum"),
        ("ner.steps = 'many'", ".ner.steps: type"),
        ("ner.integration.how = 'blend'", ".ner.integration.how: enum"),
        ("evaluate.folds = 1", ".evaluate.folds: minimum"),
        ("arm = [{ made = [] }]", ".arm[0]: lacks name"),
        ("rl.stepz = 5", ".rl.stepz: unknown"),
    ],
)
def test_what_does_not_fit_is_marked_where_it_stands(change: str, fault: str) -> None:
    values = {"name": "x", "corpus": {"train": "train"}, "arm": [{"name": "gold"}]}
    assert list(faults(values, SCHEMA)) == []
    assert list(faults(values | tomllib.loads(change), SCHEMA)) == [fault]


@pytest.mark.parametrize("method", ["", "method = 'dpo'\ndpo_beta = 0.2", "dpo_beta = 0.2"])
def test_options_of_each_method_fit_without_the_method_too(method: str) -> None:
    values = {"name": "x", "corpus": {"train": "train"}, "arm": [{"name": "gold"}]}
    assert list(faults(values | {"rl": tomllib.loads(f"steps = 60\n{method}")}, SCHEMA)) == []
