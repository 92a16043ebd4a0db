"""``notesmith init``: a first recipe from a corpus."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from notesmith.cli.reading import Metadata, PatientFrom, reads_documents
from notesmith.cli.screen import Screen
from notesmith.config.corpus import ReadingConfig


@reads_documents()
def init(
    corpus: Annotated[Path, typer.Argument(help="Labelled documents: a file or folder.")],
    options: ReadingConfig,
    out: Annotated[Path, typer.Option("--out", help="Recipe to write.")] = Path("recipe.toml"),
    dev: Annotated[
        Path | None, typer.Option(help="Documents to make choices on, if you have them.")
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="Documents to score; if not given, a part of CORPUS is held out."),
    ] = None,
    notes: Annotated[
        Path | None,
        typer.Option(
            "--notes",
            help="Notes without labels to learn from: texts, JSON lines, Parquet or a corpus.",
        ),
    ] = None,
    hub: Annotated[
        bool, typer.Option("--hub", help="Allow a language model that has to be fetched.")
    ] = False,
    hours: Annotated[float, typer.Option(min=0.1, help="Roughly how long a run may take.")] = 4.0,
    cross_fit: Annotated[
        bool,
        typer.Option(
            "--cross-fit",
            help="Hold out no test set; score every note with models that never saw it.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what an earlier init wrote.")
    ] = False,
    name: Annotated[
        str, typer.Option(help="Name of the run in its report; asked for in a terminal.")
    ] = "",
    kind: Annotated[
        str,
        typer.Option(help="What the notes are, as 'discharge summary'; asked for in a terminal."),
    ] = "",
    metadata: Metadata = None,
    patient_from: PatientFrom = None,
) -> None:
    """Look at a corpus and at this machine, and write a commented recipe that fits both.

    Without a test set, a part of the notes is held out by patient and written beside the recipe.
    """
    from notesmith.init.choices import in_hours, in_time
    from notesmith.init.compose import in_words
    from notesmith.init.write import init_recipe, unasked

    begun = init_recipe(
        corpus,
        out,
        dev=dev,
        test=test,
        unlabelled=notes,
        reading=options,
        metadata=metadata,
        patient_from=patient_from,
        hub=hub,
        hours=hours,
        cross_fit=cross_fit,
        force=force,
        name=name,
        kind=kind,
        ask=_ask if sys.stdin.isatty() and sys.stdout.isatty() else unasked,
    )
    console = Screen(highlight=False, soft_wrap=True)

    def line(text: str) -> None:
        console.print(text)

    for what, n in begun.counts.items():
        line(f"while reading: {n:,} {what}")
    for sentence in begun.left_out:
        line(sentence)
    parts = ", ".join(f"{n} {split}" for split, n in begun.n_documents.items())
    if begun.notes is not None:
        line(
            f"Notes: {begun.notes} ({parts}; they hold note text, keep them as you keep the notes)"
        )
    else:
        line(f"Notes: {parts} documents, read where they are")
    if begun.n_unlabelled:
        line(f"Notes without labels: {begun.n_unlabelled:,}, read where they are")
    if begun.notes is not None and not begun.n_patients:
        line(
            "Patients: none are named, so notes of one patient may be divided; name them with "
            "--metadata FILE or --patient-from REGEX, and --force"
        )
    line(f"Recipe: {begun.recipe}; every choice in it says why")
    if begun.composed.config.hub:
        line(
            f"Fetches: {begun.composed.config.lm.model} from the model hub, once, at the first "
            "run; no text leaves"
        )
    seconds = begun.composed.seconds
    if seconds is not None:
        line(f"Time: roughly {in_words(seconds)} on this machine; notesmith plan measures")
    first = ""
    if not in_time(seconds, hours):
        line(
            f"      longer than the {in_hours(hours)} given: begin with "
            "--only arm=gold,replacement, which takes minutes a draw"
        )
        first = " --only arm=gold,replacement"
    if begun.ceiling.is_low:
        line(f"Note: {begun.ceiling.sentence} notesmith corpus check {corpus} says what to do.")
    line("Which of the three systems fits these notes (docs/which-system.md):")
    for each in begun.advice:
        line(f"      {each.words}")
    line(f"Next: notesmith plan {begun.recipe}")
    line(f"      notesmith run {begun.recipe} --preview")
    line(f"      notesmith run {begun.recipe}{first}")


def _ask(question: str, proposal: str) -> str:
    answer: str = typer.prompt(question, default=proposal, show_default=bool(proposal), err=True)
    return answer
