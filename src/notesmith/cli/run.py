"""``notesmith run``: a recipe in, a verdict out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from notesmith.cli.recipe import Recipe
from notesmith.cli.screen import say


def run(
    recipe: Recipe,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run folder; runs/RECIPE if not given.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="A.B=VALUE", help="Change a value; arm.NAME.… for one arm; repeatable."
        ),
    ] = None,
    arms: Annotated[
        str, typer.Option(help="Comma-separated arms to keep, the comparator among them.")
    ] = "",
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=A,B", help="Run only a part: stage=, arm=, size=, replicate=."),
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop between two cells once this time is over.")
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Take a few documents through every stage.")
    ] = False,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep the weights of every replicate.")
    ] = False,
    another_opening: Annotated[
        str,
        typer.Option(
            metavar="REASON", help="Open a test set again for another plan; the opening is counted."
        ),
    ] = "",
    send_text_to: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="Consent to send prompts with text of your documents to the host of "
            "sample.server, which is not this machine. The run folder records it and the report "
            "states it.",
        ),
    ] = "",
    hub: Annotated[
        bool,
        typer.Option("--hub", help="Allow fetching the recipe's models from a model hub."),
    ] = False,
    jobs: Annotated[
        int, typer.Option(min=1, help="Cells to compute side by side, each in its own process.")
    ] = 1,
) -> None:
    """Run a recipe: corpus, generator, made text, students, scores, report.

    You can stop it with Ctrl-C or a kill at any moment. The same command then goes on where it was.
    """
    from notesmith.cli.progress import Display, print_outcome, print_preview
    from notesmith.experiment.recipes import load_recipe
    from notesmith.experiment.recipes import preview as shrink
    from notesmith.experiment.run import run_recipe

    config = load_recipe(
        recipe,
        changes=[*(changes or ()), *(["hub=true"] if hub else [])],
        arms=[name.strip() for name in arms.split(",") if name.strip()],
    )
    name = Path(recipe).stem
    if preview:
        config = shrink(config)
        name = f"{name}-preview"
    folder = out or Path("runs") / name

    def tell(what: str) -> None:
        say(f"notesmith: {what}", err=True)

    try:
        with Display() as display:
            result = run_recipe(
                config,
                folder,
                only=only or (),
                max_minutes=max_minutes,
                keep_models=keep_models,
                another_opening=another_opening,
                consent=frozenset({send_text_to} - {""}),
                is_preview=preview,
                jobs=jobs,
                on_progress=display.on_progress,
                on_cell=display.on_cell,
                tell=tell,
            )
    except KeyboardInterrupt:
        say("notesmith: interrupted; the same command goes on where it was", err=True)
        raise typer.Exit(130) from None
    if preview:
        print_preview(result)
    else:
        print_outcome(result)
