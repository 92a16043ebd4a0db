"""What the tables of a recipe share: bounds, and a table that refuses unknown keys."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Ratio = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]


class Config(BaseModel):
    """A table of a recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


C = TypeVar("C", bound=Config)


def part_of(table: Config, kind: type[C]) -> C:
    """Those fields of ``table`` that ``kind`` has, as a ``kind``."""
    return kind.model_validate({name: getattr(table, name) for name in kind.model_fields})


def _names_alone(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not name.strip() or "=" in name:
            raise ValueError(f"{name!r} is no name: give a flag, or NAME without =VALUE")
        if name == "score":
            raise ValueError("'score' is what predictions carry; it cannot be learnt")
    if len(set(value)) < len(value):
        raise ValueError("one name stands twice")
    return value


AttributeNames = Annotated[tuple[str, ...], AfterValidator(_names_alone)]
