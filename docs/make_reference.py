"""Write what follows from code: pages of the commands and of the recipe, its schema for editors.

    python docs/make_reference.py

``tests/test_docs.py`` fails while a file differs from what this script would write.
"""

from __future__ import annotations

import json
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from notesmith.cli.app import app
from notesmith.config import ArmConfig, Config, RecipeConfig
from notesmith.corpus.formats import NAMES
from notesmith.experiment.packaged import packaged_recipes
from notesmith.lm.presets import PRESETS

FOLDER = Path(__file__).parent / "reference"
SCHEMA = "recipe.schema.json"
_WRITTEN = "Written by `python docs/make_reference.py`; change the code, not this page."
_BOUNDS = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
_NAMES = {str: "text", int: "whole number", float: "number", bool: "yes or no", Path: "path"}


def pages() -> dict[str, str]:
    """The text of every written file by its name."""
    return {"cli.md": cli_page(), "recipe.md": recipe_page(), SCHEMA: recipe_schema()}


def cli_page() -> str:
    """The commands, as typer knows them."""
    lines = [
        "# Commands",
        "",
        _WRITTEN,
        "",
        "An expected error is one line on stderr and exit code 1; wrong usage is exit code 2; an",
        "interrupt is 130. Everything outside the run folder goes below `$NOTESMITH_HOME`",
        "(`~/.notesmith` if not set). No command sends text off this machine but `notesmith run`",
        "with `--send-text-to HOST`. A model that is named is fetched from the Hugging Face hub",
        "only with `--hub`, or with `hub = true` in the recipe.",
        "",
        "`notesmith --install-completion` teaches your shell (bash, zsh, fish, PowerShell) to",
        "complete commands, options and names of packaged recipes; it adds a line to the shell's",
        "own start-up file. `notesmith --show-completion` prints that script instead.",
        "",
    ]
    for path, command in _commands(typer.main.get_command(app), ()):
        lines += _command_lines(path, command)
    return "\n".join(lines).rstrip() + "\n"


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _commands(child, (*path, name))


def _command_lines(path: tuple[str, ...], command: Any) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = ["notesmith", *path, *(_argument(p) for p in arguments), *(["…"] if options else [])]
    help_text = " ".join((command.help or "").split("\f")[0].split())
    lines = [f"## notesmith {' '.join(path)}", "", f"    {' '.join(usage)}", "", help_text, ""]
    if command.params:
        lines += ["| argument or option | value | default | what |", "| --- | --- | --- | --- |"]
    for param in [*arguments, *options]:
        is_option = param in options
        name = ", ".join(param.opts) if is_option else _argument(param)
        what = " ".join((param.help or "").split())
        if is_option and param.multiple and "repeat" not in what:
            what += " Repeatable."
        row = (f"`{name}`", _value(param), _default(param), what)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return [*lines, ""]


def _argument(param: Any) -> str:
    name = str(param.name).upper() + ("…" if param.nargs == -1 else "")
    return name if param.required else f"[{name}]"


def _value(param: Any) -> str:
    if getattr(param, "is_flag", False):
        return ""
    if param.metavar:
        return f"`{param.metavar}`"
    annotation = param.type_descriptor.annotation
    if get_origin(annotation) is list:
        annotation = get_args(annotation)[0]
    bounds = [f"≥ {param.min}"] if param.min is not None else []
    bounds += [f"≤ {param.max}"] if param.max is not None else []
    return ", ".join([_type(annotation), *bounds])


def _default(param: Any) -> str:
    if param.required:
        return "needed"
    if param.default in (None, "", False, [], ()):
        return ""
    return f"`{param.default}`"


def recipe_page() -> str:
    """The tables of a recipe with every field, from the configuration classes."""
    lines = [
        "# Recipes",
        "",
        _WRITTEN,
        "",
        "A recipe is a TOML file: one table a stage, and one `[[arm]]` a way to train. A field",
        "that is left out has the default below; an unknown field is an error. `--set a.b=VALUE`",
        "changes one from the command line, `--set arm.NAME.FIELD=VALUE` one of an arm. The run",
        "folder keeps the resolved recipe, every default spelled out, as `recipe.toml`.",
        "",
        f"[`{SCHEMA}`]({SCHEMA}) is the same for editors: with it an editor that knows TOML",
        "schemas (Even Better TOML, taplo) completes fields, shows what they mean, and marks what",
        "is wrong. Copy it beside your recipes and write `#:schema ./recipe.schema.json` as the",
        "first line of each. It is found on the disk, so it works without internet.",
        "",
        "## Packaged recipes",
        "",
        "| name | what |",
        "| --- | --- |",
        *(f"| `{name}` | {what} |" for name, what in packaged_recipes().items()),
        "",
    ]
    lines += _table_lines("", RecipeConfig, "Top of the file")
    for name, field in RecipeConfig.model_fields.items():
        if len(kinds := _models(field.annotation)) > 1:
            lines += _kinds_lines(name, kinds)
        elif kinds and name != "arm":
            lines += _table_lines(name, kinds[0], f"[{name}]")
    lines += _table_lines("arm", ArmConfig, "[[arm]]")
    lines += [
        "## Names that stand for models",
        "",
        "`lm.model` is one of these, a folder, or a hub's `ORG/NAME`. Memory is arithmetic",
        "(weights, gradients and optimizer, without activations), not a measurement.",
        "",
        "| preset | hub id | parameters, millions | licence | sample, train, LoRA: GiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for preset in PRESETS.values():
        licence = f"[{preset.licence}]({preset.terms})" if preset.terms else preset.licence
        gated = " (gated)" if preset.gated else ""
        needs = (preset.gib_to_sample, preset.gib_to_train, preset.gib_to_train_lora)
        memory = ", ".join(f"{gib:.1f}" for gib in needs)
        where = preset.hub_id or "a Python package, no network"
        lines.append(
            f"| `{preset.name}` | {where} | {preset.n_parameters:,} | {licence}{gated} | {memory} |"
        )
    formats = [f"`{name}`" for name in NAMES]
    lines += [
        "",
        "`ner.encoder` is `minilm` (a Python package, no network), `biomedbert`, `biobert`,",
        "`bioclinical-modernbert` (hub), a folder, or a hub's `ORG/NAME`. A hub's models need",
        "`--hub`.",
        "",
        f"`corpus.format` is one of {', '.join(formats)}.",
    ]
    return "\n".join(lines).rstrip() + "\n"


def recipe_schema() -> str:
    """The recipe as a JSON schema."""
    schema = RecipeConfig.model_json_schema()
    schema |= {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Recipe of notesmith",
    }
    return json.dumps(_any_method(schema), indent=1, ensure_ascii=False) + "\n"


def _any_method(value: Any) -> Any:
    """The schema without "exactly one of": a table without ``method`` fits several methods."""
    if isinstance(value, list):
        return [_any_method(each) for each in value]
    if isinstance(value, dict):
        return {
            "anyOf" if name == "oneOf" else name: _any_method(each) for name, each in value.items()
        }
    return value


def _kinds_lines(path: str, kinds: list[type[Config]]) -> list[str]:
    """A table whose options depend on its method: those of all methods, then those of each."""
    common = set.intersection(*(set(kind.model_fields) for kind in kinds)) - {"method"}
    methods = {_toml(kind.model_fields["method"].get_default()): kind for kind in kinds}
    shared = next(c for c in kinds[0].__mro__ if set(c.model_fields) == common)
    lines = _table_lines(path, shared, f"[{path}]")
    choice = f"{', '.join(methods)}; {next(iter(methods))} if left out"
    lines[2] += f" `method` is one of {choice}. Each has options of its own."
    for method, kind in methods.items():
        title = f"[{path}] where method is {method}"
        lines += _table_lines(path, kind, title, but=frozenset(common | {"method"}))
    return lines


def _table_lines(
    path: str, model: type[Config], title: str, *, but: frozenset[str] = frozenset()
) -> list[str]:
    what = " ".join((model.__doc__ or "").split())
    lines = [f"## {title}", "", what, ""]
    lines += ["| field | value | default | what |", "| --- | --- | --- | --- |"]
    nested: list[str] = []
    for name, field in model.model_fields.items():
        if name in but:
            continue
        if not field.description:
            raise ValueError(f"{model.__name__}.{name} has no description")
        child = _model(field.annotation)
        if child is not None and path and path != "arm":
            nested += _table_lines(f"{path}.{name}", child, f"[{path}.{name}]")
        if child is not None and name == "arm":
            value, default = "`[[arm]]` tables", "needed"
        elif child is not None:
            value = f"table `[{path}.{name}]`" if path else f"table `[{name}]`"
            default = "needed" if field.is_required() else ""
        else:
            bounds = _bounds(field.metadata)
            value = ", ".join([_type(field.annotation), *bounds])
            default = "needed" if field.is_required() else _toml(field.get_default())
        row = (f"`{name}`", value, default, field.description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return [*lines, "", *nested]


def _models(annotation: Any) -> list[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [typing.cast("type[Config]", annotation)]
    return [model for part in get_args(annotation) for model in _models(part)]


def _model(annotation: Any) -> type[Config] | None:
    return next(iter(_models(annotation)), None)


def _type(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (typing.Union, UnionType):
        return _type(next(part for part in parts if part is not NoneType))
    if origin is typing.Annotated:
        return ", ".join([_type(parts[0]), *_bounds(_flat(parts[1:]))])
    if origin is tuple:
        return f"list of: {_type(parts[0])}"
    if origin is dict:
        return "table" if parts[1] is Any else f"table: text to {_type(parts[1])}"
    return _NAMES.get(annotation, str(annotation))


def _flat(metadata: tuple[Any, ...]) -> list[Any]:
    return [m for part in metadata for m in getattr(part, "metadata", [part])]


def _bounds(metadata: typing.Iterable[Any]) -> list[str]:
    return [
        f"{sign} {getattr(found, name):g}"
        for found in metadata
        for kind, (sign, name) in _BOUNDS.items()
        if isinstance(found, kind)
    ]


def _toml(value: Any) -> str:
    if value is None or value is PydanticUndefined or value == {}:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`' if value else '`""`'
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`"


def main() -> int:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
