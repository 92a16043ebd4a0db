"""``notesmith synthesize``: more labelled text from labelled documents."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from notesmith.cli import workflow
from notesmith.cli.reading import reads_documents
from notesmith.cli.screen import Screen
from notesmith.config.corpus import ReadingConfig

if TYPE_CHECKING:
    from notesmith.workflows.synthesize import Synthesized


@reads_documents()
def synthesize(
    gold: Annotated[
        Path, typer.Argument(help="File or folder of labelled documents; all are used.")
    ],
    out: workflow.Out,
    options: ReadingConfig,
    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            min=1,
            help="Texts to ask for; filters keep a part of them. If not given, 1,000, and fewer "
            "for few documents.",
        ),
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(
            min=0.02, help="Learn as much, and write as much text, as this time allows here."
        ),
    ] = None,
    rl: Annotated[
        bool, typer.Option("--rl", help="Let the generator learn from rewards after fine-tuning.")
    ] = False,
    held_out: workflow.HeldOut = None,
    save_generator: Annotated[
        Path | None,
        typer.Option(
            help="Folder to make for the tuned generator, which can write more later. It may know "
            "parts of the notes by heart: guard it as you guard them."
        ),
    ] = None,
    generator: Annotated[
        Path | None,
        typer.Option(help="Saved generator that writes the text; also give another --seed."),
    ] = None,
    seed: workflow.Seed = 13,
    changes: workflow.Changes = None,
    preview: workflow.Preview = False,
    hub: workflow.Hub = False,
) -> None:
    """Make labelled text: tune a language model on GOLD, let it write, keep what passes filters.

    With --out made.jsonl it also writes made.dropped.jsonl (what was dropped, and why), made.html
    (examples), made.md (a dataset card) and made.work (the state from which an interrupted run goes
    on; it can be deleted once all is written). All but the card hold note text. You can stop it at
    any moment; the same command goes on.
    """
    from notesmith.workflows.synthesize import synthesize as run

    with workflow.heard() as reports:
        result = run(
            gold,
            out,
            n=n,
            hours=hours,
            rl=rl,
            held_out=held_out or (),
            generator=generator,
            save_generator=save_generator,
            seed=seed,
            changes=changes or (),
            reading=options,
            is_preview=preview,
            hub=hub,
            **reports,
        )
    _print(result, gold, is_preview=preview)


def _print(result: Synthesized, gold: Path, *, is_preview: bool) -> None:
    from notesmith.cli.progress import duration
    from notesmith.experiment.recipes import corpus_path

    console = Screen(highlight=False, soft_wrap=True)
    summary, files = result.summary, result.files
    assert files is not None
    if not result.n_computed:
        console.print(f"{files.kept} is finished already; nothing was computed.")
    console.print(
        f"Kept {summary.kept:,} of {summary.asked:,} texts in {duration(summary.seconds)}: "
        f"{summary.words:,} words, {summary.new_names:,} of {summary.names:,} names are new.",
        style="bold",
    )
    for reason, count in summary.dropped.items():
        console.print(f"  dropped {count:,}: {reason}")
    for label in summary.labels:
        console.print(
            f"  {label.label}: {label.requested:,} mentions requested, {label.missing:,} missing; "
            f"{label.kept:,} in kept text"
        )
    for what, found in summary.steered.items():
        concepts = (
            f"{found['concepts_kept']:,} of {found['concepts']:,} listed concepts in kept text; "
            if "concepts" in found
            else ""
        )
        console.print(
            f"  {what}: {concepts}{found['asked']:,} texts asked for, {found['kept']:,} kept"
        )
    if is_preview:
        console.print(
            "Preview: after so few steps of learning the text does not show what is possible."
        )
    console.print(f"Kept text: {files.kept}; dropped, with reasons: {files.dropped}")
    console.print(f"Look at it: {files.page}; dataset card: {files.card}")
    if result.generator is not None:
        console.print(
            f"Generator: {result.generator}. It may know parts of the notes by heart: guard it as "
            "you guard them."
        )
    if is_preview:
        console.print("Next: the same command without --preview")
        return
    if not summary.kept:
        console.print("Nothing was kept. The reasons show what to change with --set or --hours.")
        return
    student = files.kept.with_name("model")
    words = [
        "notesmith",
        "train",
        str(corpus_path(str(gold))),
        "--made",
        str(files.kept),
        "--out",
        str(student),
    ]
    console.print(f"Next: {shlex.join(words)}")
    console.print(
        "Whether it helps: notesmith init writes a recipe, and notesmith run compares students "
        "with and without made text."
    )
