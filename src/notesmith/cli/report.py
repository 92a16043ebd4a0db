"""``notesmith report``: results and report of whatever is finished in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="Run folder.")],
) -> None:
    """Write results.json and report.html of what is finished, computing nothing."""
    from notesmith.cli.progress import print_outcome
    from notesmith.pipeline import write_results

    print_outcome(write_results(folder))
