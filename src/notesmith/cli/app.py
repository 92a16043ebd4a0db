"""The table of commands, one line for each; a command's file parses, then calls the library."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import notesmith
from notesmith.cli import corpus
from notesmith.cli.annotate import annotate
from notesmith.cli.bundle import bundle
from notesmith.cli.card import card
from notesmith.cli.corpus_adjudicate import adjudicate
from notesmith.cli.corpus_agreement import agreement
from notesmith.cli.corpus_check import check
from notesmith.cli.corpus_corrected import corrected
from notesmith.cli.evaluate import evaluate
from notesmith.cli.export import export
from notesmith.cli.init import init
from notesmith.cli.methods import methods
from notesmith.cli.plan import plan
from notesmith.cli.predict import predict
from notesmith.cli.recipe import ListsRecipes
from notesmith.cli.report import report
from notesmith.cli.reward import reward
from notesmith.cli.run import run as run_command
from notesmith.cli.screen import guard_logging, say
from notesmith.cli.show import show
from notesmith.cli.status import status
from notesmith.cli.synthesize import synthesize
from notesmith.cli.thresholds import thresholds
from notesmith.cli.train import train
from notesmith.errors import MissingExtraError, NotesmithError
from notesmith.marked import one_line

_FULL = "disk full; free some space"
_NO_ROOM = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "a file would be larger than may be here; raise the limit (ulimit -f)",
}
# What a user's path or disk can do; any other error of the system is a bug and keeps its traceback.
_PLACE = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO),
        *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
    }
)
_MODEL_PACKAGES = frozenset({"accelerate", "peft", "safetensors", "torch"}) | {
    *("transformers", "tokenizers")
}

# Typer names it under the name of whatever it is built on.
_Usage: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


class Commands(TyperGroup):
    """The commands. An interrupted command says so on one line and exits with 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except _Usage as error:
            # It quotes what was typed, which a shell may have made of a file's name.
            error.message = one_line(error.message)
            raise
        except KeyboardInterrupt:
            say("notesmith: interrupted; nothing half-written is left", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="notesmith",
    cls=Commands,
    help="Make more labelled clinical text with a local language model, and prove it helped.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        say(f"notesmith {notesmith.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(synthesize)
app.command()(annotate)
app.command()(init)
app.command(cls=ListsRecipes)(plan)
app.command("run", cls=ListsRecipes)(run_command)
app.command()(status)
app.command()(report)
app.command()(methods)
for command in (check, corrected, agreement, adjudicate):
    corpus.app.command()(command)
app.add_typer(corpus.app, name="corpus")
app.command()(train)
app.command()(predict)
app.command()(thresholds)
app.command()(export)
app.command()(evaluate)
app.command()(show)
app.command()(reward)
app.add_typer(card, name="card")
app.command()(bundle)


def run() -> None:
    """Run the command line; an expected error is one line on stderr and exit code 1."""
    guard_logging()
    try:
        try:
            app()
        finally:
            _flush()
    except NotesmithError as error:
        _stop(f"notesmith: {error}", 1)
    except OSError as error:
        if error.errno in _NO_ROOM:
            _stop(f"notesmith: {_NO_ROOM[error.errno]} and run the same command again", 1)
        if error.errno not in _PLACE or error.filename is None:
            raise
        _stop(f"notesmith: {error.filename}: {error.strerror}; name another path", 1)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _MODEL_PACKAGES:
            raise
        _stop(f"notesmith: {MissingExtraError(package, 'models')}", 1)


def _flush() -> None:
    """Flush what was printed, while a failure can still be reported on one line."""
    try:
        sys.stdout.flush()
    except OSError:
        # What could not be written is not tried again when Python ends.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _stop(line: str, code: int) -> None:
    say(line, err=True)
    sys.exit(code)
