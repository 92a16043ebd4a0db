"""The recipe of a run in rows of names and values, and what an arm changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notesmith.config.recipe import ArmConfig, RecipeConfig, changes_to
from notesmith.config.rewards import RlConfig
from notesmith.report import words

Rows = list[tuple[str, str]]


def arm_of(config: RecipeConfig, name: str) -> ArmConfig | None:
    """The arm of that name."""
    return next((arm for arm in config.arm if arm.name == name), None)


def rl_of(config: RecipeConfig, name: str) -> RlConfig | None:
    """How the generator of an arm learns from rewards; None where it does not."""
    arm = arm_of(config, name)
    return None if arm is None else arm.rl


def ner_changes(config: RecipeConfig, arm: ArmConfig) -> Rows:
    """What an arm changes in the training of its student."""
    changes = changes_to(config.ner.model_dump(mode="json"), arm.ner.model_dump(mode="json"))
    return [(name, str(value)) for name, value in changes.items()]


def tables_of(config: RecipeConfig) -> list[tuple[str, Rows]]:
    """The recipe's tables with their names; what is not set is left out."""
    values = config.model_dump(mode="json", exclude_none=True)
    tables = [("recipe", [(k, _value(v)) for k, v in values.items() if _is_loose(v)])]
    for name, value in values.items():
        if isinstance(value, Mapping):
            tables.append((name, _flat(value)))
        elif name == "arm":
            tables += [(f"arm {arm['name']}", _flat(arm)) for arm in value]
    return tables


def _is_loose(value: Any) -> bool:
    return not isinstance(value, (Mapping, list))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Rows:
    rows: Rows = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", _value(value)))
    return rows


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(v) for v in value) or words.NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return words.NONE if value == "" else str(value)
