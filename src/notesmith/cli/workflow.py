"""The options that ``synthesize`` and ``annotate`` share, and how both show that they work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from notesmith.cli.screen import say

if TYPE_CHECKING:
    from notesmith.experiment.engine import OnCell
    from notesmith.progress import OnProgress

Out = Annotated[Path, typer.Option("--out", metavar="FILE.jsonl", help="File to write.")]
HeldOut = Annotated[
    list[Path] | None,
    typer.Option(
        "--held-out",
        help="Documents that the output must not repeat, by text or patient, such as dev and test; "
        "repeatable.",
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, help="Root of all seeds; another one gives another output.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Change a setting; repeatable."),
]
Preview = Annotated[
    bool,
    typer.Option(
        "--preview", help="Use a few documents and steps, to see that all works, not how well."
    ),
]
Hub = Annotated[
    bool, typer.Option("--hub", help="Allow fetching the named models from a model hub.")
]


class Heard(TypedDict):
    """What a workflow calls about its work."""

    on_progress: OnProgress
    on_cell: OnCell
    tell: Callable[[str], None]


@contextmanager
def heard() -> Iterator[Heard]:
    """Show what a workflow reports; an interrupt ends the command and says how to go on."""
    from notesmith.cli.progress import Display

    try:
        with Display() as display:
            yield {
                "on_progress": display.on_progress,
                "on_cell": display.on_cell,
                "tell": lambda what: say(f"notesmith: {what}", err=True),
            }
    except KeyboardInterrupt:
        say("notesmith: interrupted; the same command goes on where it was", err=True)
        raise typer.Exit(130) from None
