"""``notesmith card``: dataset and model cards of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from notesmith.cli.screen import say

card = typer.Typer(no_args_is_help=True, help="Write the dataset or model card of a run.")

Run = Annotated[Path, typer.Argument(help="Run folder, with its results.json.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder to write README.md into; cards/… of the run if not given."),
]
Title = Annotated[str, typer.Option(help="Title of the card.")]
Licence = Annotated[
    str, typer.Option(help="Hugging Face licence id; 'other' points to source and model terms.")
]
Language = Annotated[str, typer.Option(help="Language code of the text.")]
Source = Annotated[str, typer.Option(help="Source corpus, its version and agreement.")]
Contact = Annotated[str, typer.Option(help="Whom to tell about identifying text.")]


@card.command("dataset")
def dataset(
    run: Run,
    out: Out = None,
    title: Title = "",
    licence: Licence = "other",
    language: Language = "en",
    source: Source = "",
    contact: Contact = "",
) -> None:
    """Write the card of the text that a run made."""
    from notesmith.report.card import CardFacts, dataset_card
    from notesmith.results import Results

    facts = CardFacts(title, licence, language, source, contact)
    _write(dataset_card(Results.read(run), facts), run, out, "dataset")


@card.command("model")
def model(
    run: Run,
    arm: Annotated[str, typer.Option(help="Arm of the model; the verdict's if not given.")] = "",
    size: Annotated[int, typer.Option(min=0, help="Gold documents; the main size if 0.")] = 0,
    out: Out = None,
    title: Title = "",
    licence: Licence = "other",
    language: Language = "en",
    source: Source = "",
    contact: Contact = "",
) -> None:
    """Write the card of a model that a run trained."""
    from notesmith.report.card import CardFacts, model_card
    from notesmith.results import Results

    facts = CardFacts(title, licence, language, source, contact)
    _write(model_card(Results.read(run), facts, arm=arm, size=size), run, out, "model")


def _write(text: str, run: Path, out: Path | None, kind: str) -> None:
    from notesmith.experiment.folder import is_run
    from notesmith.files.write import atomic_write_text, must_be_new

    path = (out or run / "cards" / kind) / "README.md"
    if out is not None or not is_run(run):
        must_be_new(path)
    atomic_write_text(path, text)
    say(str(path))
