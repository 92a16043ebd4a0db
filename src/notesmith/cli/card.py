"""``notesmith card``: dataset and model cards of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from notesmith.cli.screen import say

card = typer.Typer(no_args_is_help=True, help="Write the dataset or model card of a run.")

Run = Annotated[Path, typer.Argument(help="Run folder, with its results.json.")]
Out = Annotated[
    Path | None, typer.Option(help="Folder to write README.md into; cards/… of the run if absent.")
]
Title = Annotated[str, typer.Option(help="Title of the card.")]
Licence = Annotated[
    str, typer.Option(help="Hugging Face licence id; 'other' points to source and model terms.")
]
Language = Annotated[str, typer.Option(help="Language code of the text.")]
Source = Annotated[str, typer.Option(help="Source corpus, its version and agreement.")]
Contact = Annotated[str, typer.Option(help="Whom to tell of identifying text.")]


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
    from notesmith.report.reading import read_run

    facts = CardFacts(title, licence, language, source, contact)
    _write(dataset_card(read_run(run), facts), out or run / "cards" / "dataset")


@card.command("model")
def model(
    run: Run,
    arm: Annotated[str, typer.Option(help="Arm of the model; the verdict's if absent.")] = "",
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
    from notesmith.report.reading import read_run

    facts = CardFacts(title, licence, language, source, contact)
    _write(model_card(read_run(run), facts, arm=arm, size=size), out or run / "cards" / "model")


def _write(text: str, folder: Path) -> None:
    from notesmith.corpus.files import atomic_write_text

    path = folder / "README.md"
    atomic_write_text(path, text)
    say(str(path))
