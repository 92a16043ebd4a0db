"""The options of every command that reads documents, added by one decorator."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints

from notesmith.cli.corpus import (
    Annotator,
    Feature,
    Format,
    LabelMap,
    Layer,
    Predictions,
    Problems,
    Scheme,
    TagColumn,
    Tasks,
    TextKey,
    TokenColumn,
    parse_label_map,
)
from notesmith.corpus.formats import ReadOptions
from notesmith.corpus.formats.conll import Columns

READING: dict[str, tuple[Any, Any]] = {
    "format": (Format, None),
    "label_map": (LabelMap, None),
    "on_problem": (Problems, "raise"),
    "tags": (Scheme, None),
    "token_column": (TokenColumn, 0),
    "tag_column": (TagColumn, -1),
    "layer": (Layer, None),
    "feature": (Feature, None),
    "annotator": (Annotator, None),
    "predictions": (Predictions, False),
    "tasks": (Tasks, None),
    "text_key": (TextKey, None),
}
"""The annotation and the default of each option by the name of its parameter."""


def reads_documents(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``options`` of a command by the options that make a ``ReadOptions``.

    Typer builds options from a signature, so the command gets a signature that has one parameter
    for each of ``READING`` where ``options`` stood.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[Parameter] = []
    for name, old in signature(command).parameters.items():
        new = READING if name == "options" else {name: (hints[name], old.default)}
        parameters += (
            Parameter(each, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for each, (annotation, default) in new.items()
        )

    @wraps(command)
    def with_options(**values: Any) -> None:
        asked = {name: values.pop(name) for name in READING}
        columns = Columns(asked.pop("token_column"), asked.pop("tag_column"), asked.pop("tags"))
        asked["label_map"] = parse_label_map(asked["label_map"])
        command(**values, options=ReadOptions(columns=columns, **asked))

    with_options.__annotations__ = {each.name: each.annotation for each in parameters}
    with_options.__annotations__["return"] = None
    with_options.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return with_options
