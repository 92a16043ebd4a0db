"""``notesmith methods``: the draft for a paper about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from notesmith.cli.screen import say


def methods(
    run: Annotated[Path, typer.Argument(help="Run folder, with its results.json.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Markdown file, with BibTeX beside it; methods.md of the run if not given.",
        ),
    ] = None,
    source: Annotated[str, typer.Option(help="Source corpus, its version and agreement.")] = "",
) -> None:
    """Write a draft of methods, BibTeX and TRIPOD-LLM from results.json."""
    from notesmith.experiment.folder import is_run
    from notesmith.files.write import must_be_new
    from notesmith.report.methods import PaperFacts
    from notesmith.report.writing import METHODS, REFERENCES, write_methods
    from notesmith.results import Results

    if out is not None or not is_run(run):
        draft = out or run / METHODS
        must_be_new(draft)
        must_be_new(draft.parent / REFERENCES)
    path = write_methods(Results.read(run), out or run / METHODS, facts=PaperFacts(source))
    say(str(path))
