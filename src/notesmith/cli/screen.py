"""The edge to the terminal: every line, table and JSON value that a command prints passes here.

Names of files, labels and ids come from outside. They are shown as they are and never read as
rich's markup. Characters that would move a cursor, colour a terminal, end a line or turn it around
are each shown by a visible sign.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from notesmith.marked import one_line


class Screen(Console):
    """A console that prints strings as they are; styles are given beside them, never inside."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return ``text`` as rich text; rich calls this for every string, cells of tables too."""
        options |= {"markup": False, "emoji": False}
        return super().render_str(one_line(text), **options)


def say(line: str, *, err: bool = False) -> None:
    """Print one line, to stderr if ``err``."""
    # Named, stderr is rich's own while a line moves there, which puts other lines above it. Left to
    # itself, typer writes past it.
    typer.echo(one_line(line), file=sys.stderr if err else None)


def say_json(value: Any, *, indent: int = 2) -> None:
    """Print a JSON value; what is not printable is escaped as JSON does."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    typer.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


def guard_logging() -> None:
    """Show messages of libraries and of ours, which go to stderr, as ``say`` does."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_OneLine())
