"""``notesmith report``: results and report of whatever is finished in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="Run folder.")],
    minutes_per_note: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            help="Minutes an annotator needs for one note; worth is then given in hours too.",
        ),
    ] = None,
) -> None:
    """Write results.json, report.html and methods.md from what is finished; compute nothing."""
    from notesmith.cli.progress import print_outcome
    from notesmith.experiment.run import write_results

    print_outcome(write_results(folder, minutes_per_note=minutes_per_note))
