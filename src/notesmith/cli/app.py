"""The command table: one line a command; each command's file parses, then calls the library."""

from __future__ import annotations

import errno
import sys
from typing import Annotated

import typer

import notesmith
from notesmith.cli import corpus
from notesmith.cli.card import card
from notesmith.cli.compare import compare
from notesmith.cli.evaluate import evaluate
from notesmith.cli.predict import predict
from notesmith.cli.report import report
from notesmith.cli.run import run as run_command
from notesmith.cli.show import show
from notesmith.cli.status import status
from notesmith.cli.train import train
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


app.command("run")(run_command)
app.command()(status)
app.command()(report)
app.add_typer(corpus.app, name="corpus")
app.command()(train)
app.command()(predict)
app.command()(evaluate)
app.command()(compare)
app.command()(show)
app.add_typer(card, name="card")


def run() -> None:
    """Run the command line; an expected error is one line on stderr and exit code 1."""
    try:
        app()
    except NotesmithError as error:
        _stop(f"notesmith: {error}", 1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _stop("notesmith: disk full; free some space and run the same command again", 1)


def _stop(line: str, code: int) -> None:
    typer.echo(line, err=True)
    sys.exit(code)
