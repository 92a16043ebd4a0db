"""The command table: one line a command; each command's file parses, then calls the library."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import notesmith
from notesmith.cli.compare import compare
from notesmith.cli.evaluate import evaluate
from notesmith.errors import NotesmithError

app = typer.Typer(
    name="notesmith",
    help="Make more labelled clinical text with a local language model, and prove it helped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"notesmith {notesmith.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(evaluate)
app.command()(compare)


def run() -> None:
    """Run the command line; an expected error is one line on stderr and exit code 1."""
    try:
        app()
    except NotesmithError as error:
        typer.echo(f"notesmith: {error}", err=True)
        sys.exit(1)
