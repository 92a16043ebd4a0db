"""The recipe as TOML with comments: values with their reasons, nothing of a note's text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import tomli_w

from notesmith.config.recipe import ArmConfig
from notesmith.init.choices import Choice

_WIDTH = 96


@dataclass(frozen=True, slots=True)
class Line:
    """``key = value`` below its reason; a reason alone where there is no key."""

    key: str
    choice: Choice


def comment(text: str) -> str:
    """``text`` as comment lines; line breaks in it are not kept."""
    words = " ".join(text.split())
    return "".join(
        f"# {line}\n" for line in textwrap.wrap(words, _WIDTH - 2, break_on_hyphens=False)
    )


def assign(key: str, value: Any) -> str:
    """A line of TOML."""
    return tomli_w.dumps({key: value}) if not isinstance(value, list) else f"{key} = {value}\n"


def table(name: str, lines: Iterable[Line]) -> str:
    """A table, each value below its reason, alternatives as comments."""
    parts = [f"[{name}]\n"] if name else []
    for line in lines:
        if line.choice.why:
            why = line.choice.why
            parts.append(comment(f"{why[0].upper()}{why[1:]}{'' if why.endswith(':') else '.'}"))
        if line.key:
            parts.append(assign(line.key, line.choice.value))
        parts += [f"# {more}\n" for more in line.choice.more]
    return "".join(parts)


def descriptions(labels: Iterable[str]) -> str:
    """A table of label descriptions to fill in, commented out."""
    lines = [assign(label, "what it means, in one line").rstrip("\n") for label in labels]
    head = (
        "A line on what each label means goes into prompts and into the dataset card. Take # away:"
    )
    return comment(head) + "".join(
        f"# {line}\n" for line in ["[corpus.label_descriptions]", *lines]
    )


def arm(config: ArmConfig, why: str) -> str:
    """An arm, with what it shows."""
    parts = [comment(why), "[[arm]]\n", assign("name", config.name)]
    if config.made:
        parts.append(f"made = {_inline(list(config.made))}\n")
    if config.votes > 1:
        parts.append(assign("votes", config.votes))
    if config.rl is not None:
        parts.append(f"rl = {_inline({'method': config.rl.method})}\n")
    return "".join(parts)


def _inline(value: Any) -> str:
    """A value on one line; the strings of recipes hold no quotes."""
    if isinstance(value, Mapping):
        inside = ", ".join(f'"{key}" = {_inline(each)}' for key, each in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return tomli_w.dumps({"x": value}).partition("= ")[2].strip()


def inline(key: str, value: Any) -> str:
    """``key = value`` on one line."""
    return f"{key} = {_inline(value)}\n"
