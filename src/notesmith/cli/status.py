"""``notesmith status``: how far a run is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from notesmith.cli.screen import Screen


def status(
    folder: Annotated[
        Path, typer.Argument(help="Run folder, or a folder with runs below it.")
    ] = Path(),
) -> None:
    """Show finished and missing cells of a run by stage, and estimate the time left.

    Where the folder is no run, the runs around and below it are found, as in runs/.
    """
    from notesmith.experiment.places import find_runs

    for found in find_runs(folder):
        _show(found)


def _show(folder: Path) -> None:
    from rich.table import Table

    from notesmith.cli.progress import time_left
    from notesmith.experiment.run import status_of

    found = status_of(folder)
    table = Table(title=str(found.folder), title_justify="left")
    table.add_column("stage")
    table.add_column("done", justify="right")
    table.add_column("left", justify="right")
    for stage, (n_done, n_left) in found.stages.items():
        table.add_row(stage, str(n_done), str(n_left) if n_left else "")
    table.add_section()
    table.add_row("all", str(found.n_done), str(found.n_left) if found.n_left else "")
    console = Screen()
    console.print(table)
    if found.n_left and (said := time_left(found.eta, found.n_untimed)):
        console.print(f"{said[0].upper()}{said[1:]} left, going by finished cells.")
