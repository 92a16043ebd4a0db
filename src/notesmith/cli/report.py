"""``notesmith report``: results and report of whatever is finished in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from notesmith.cli.screen import say
from notesmith.errors import ConfigError


def report(
    folder: Annotated[
        Path, typer.Argument(help="Run folder, or a folder with one run below it.")
    ] = Path(),
    minutes_per_note: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            help="Minutes an annotator needs for one note; worth is then given in hours too.",
        ),
    ] = None,
) -> None:
    """Write results.json, report.html and methods.md from what is finished; compute nothing.

    Where the folder is no run, the run around or below it is found, as in runs/.
    """
    from notesmith.cli.progress import print_outcome
    from notesmith.experiment.places import find_runs
    from notesmith.experiment.run import write_results

    runs = find_runs(folder)
    if len(runs) > 1:
        raise ConfigError(f"{folder}: {len(runs)} runs, name one: {', '.join(map(str, runs))}")
    if runs[0] != folder:
        say(f"notesmith: run folder {runs[0]}", err=True)
    print_outcome(write_results(runs[0], minutes_per_note=minutes_per_note))
