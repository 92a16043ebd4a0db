"""Markdown from templates: every value is escaped, so that a name cannot become markup."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from notesmith.report import words


class Plain(str):
    """Markdown of ours, written as it stands."""

    __slots__ = ()


def render(template: str, **values: Any) -> str:
    """Return the template of ``report/templates`` with its values; blank lines are collapsed."""
    rendered = _environment().get_template(template).render(**values)
    return re.sub(r"\n{3,}", "\n\n", rendered).strip() + "\n"


@cache
def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("notesmith.report"),
        # Markdown's own escapes, applied to every value by ``finalize``.
        autoescape=False,
        finalize=lambda value: value if isinstance(value, Plain) else escape_markdown(str(value)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "points": words.points,
        "signed": words.signed,
        "n": words.count,
        "percent": words.percent,
        "duration": words.duration,
        "listed": words.listed,
        "rate": lambda value: f"{value:g}",
        "scored_on": words.scored_on,
        "flow": _flow,
        "plain": Plain,
    }
    env.globals |= {"interval": words.interval, "plural": words.plural, "advice": words.advice}
    return env


def _flow(text: str) -> str:
    """One line of what a template spreads over several, as a paragraph is pasted elsewhere."""
    return re.sub(r" ([,.;:)])", r"\1", " ".join(text.split()))


# Signs that begin a list, a heading's underline or a rule, where they stand alone at the start.
_LEADING = re.compile(
    r"\A(\s*(?:[0-9]{1,9}(?=[.)]\s))?)([.)](?=\s)|[+\-](?=\s|\Z)|[=\-](?=[=\-]*\s*\Z))"
)
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&$!])")


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it stands, on one line."""
    line = _SPECIAL.sub(r"\\\1", "".join(c if c.isprintable() else " " for c in text))
    return _LEADING.sub(r"\1\\\2", line)
