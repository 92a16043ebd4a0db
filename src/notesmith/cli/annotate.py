"""``notesmith annotate``: labels for notes without labels, by whoever learnt from labelled ones."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from notesmith.cli import review, workflow
from notesmith.cli.reading import IdField, PatientFrom, TextField, reads_documents
from notesmith.cli.screen import Screen
from notesmith.config.corpus import ReadingConfig

if TYPE_CHECKING:
    from notesmith.workflows.annotate import Annotated as Labelled


@reads_documents()
def annotate(
    notes: Annotated[
        Path,
        typer.Argument(
            help="Notes without labels: plain texts (.txt, .text), JSON lines (.gz and .xz too), "
            "Parquet, or a corpus of any format, whose labels are not read."
        ),
    ],
    out: workflow.Out,
    options: ReadingConfig,
    gold: Annotated[
        Path | None,
        typer.Option(help="File or folder of labelled documents that the students learn from."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a saved student, of students that vote, or of what --save-model kept, "
            "that labels; nothing of it is trained then."
        ),
    ] = None,
    students: Annotated[
        int | None, typer.Option(min=1, help="Students to train, which vote; 5 if not given.")
    ] = None,
    labels: Annotated[
        Literal["hard", "masked", "soft"] | None,
        typer.Option(
            help="What a student is to learn: the mentions; the mentions, with doubtful words left "
            "out; or, if not given, the distributions of all words (soft)."
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="Annotators that label together, by a vote of equal weight: students, lm-json, "
            "lm-inline, prompted, dictionary, tagger; separated by commas, or repeated. If not "
            "given, those of --model, or else students.",
        ),
    ] = None,
    held_out: workflow.HeldOut = None,
    save_model: Annotated[
        Path | None,
        typer.Option(
            help="Folder to make for the students and language models that were trained. A "
            "language model may know parts of GOLD by heart: guard it as you guard GOLD."
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Let students compute in float32, up to twice as long. Otherwise they use "
            "bfloat16 where the machine has it, and one or two mentions in a thousand depend on "
            "the notes beside their own.",
        ),
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Fit the scores of a tuned language model to the part of GOLD that tuning holds "
            "out; the card shows how often they are right. With fewer than 50 mentions found "
            "there they stay as they are.",
        ),
    ] = False,
    seed: workflow.Seed = 13,
    changes: workflow.Changes = None,
    notes_format: Annotated[
        str | None,
        typer.Option(help="Format of NOTES, text for plain texts; recognised if not given."),
    ] = None,
    text_field: TextField = None,
    id_field: IdField = None,
    patient_from: PatientFrom = None,
    preview: workflow.Preview = False,
    for_review: review.ForReview = None,
    tool: review.ReviewTool = "label-studio",
    review_notes: review.ReviewNotes = None,
    review_words: review.ReviewWords = None,
    control: review.Control = 0.2,
    annotators: review.Reviewers = None,
    overlap: review.Overlap = 0.0,
    send_text_to: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="Consent to send prompts with text of your documents and notes to the host of "
            "sample.server, which is not this machine. The card states it.",
        ),
    ] = "",
    hub: workflow.Hub = False,
) -> None:
    """Label NOTES: train students on labelled documents (--gold) and let them vote.

    Other annotators may label in their place or vote with them (--by): a language model tuned on
    the labelled documents or shown some of them, a dictionary, a tagger.

    With --out silver.jsonl it also writes silver.scores.npz (the distributions of all words, which
    notesmith train reads), silver.html (examples, doubtful ones first), silver.md (a card) and
    silver.work (the state from which an interrupted run goes on; it can be deleted once all is
    written). silver.jsonl, silver.html and silver.work hold note text. Notes that repeat a labelled
    or held-out document are left out and counted. Options on how documents are read are for
    labelled ones; NOTES take --notes-format, and share --encoding, --ignore and
    --on-problem. You can stop it at any moment; the same command goes on.
    """
    from notesmith.cli.process import keep_few_kernels

    keep_few_kernels()
    from notesmith.corpus.formats.json_values import NoteFields
    from notesmith.workflows.annotate import annotate as run

    queue = review.review_of(
        for_review,
        tool,
        notes=review_notes,
        words=review_words,
        control=control,
        annotators=annotators,
        overlap=overlap,
        seed=seed,
    )
    if queue is not None:
        queue.check(labels, changes or (), is_preview=preview)
    names = [name.strip() for each in by or () for name in each.split(",")]
    with workflow.heard() as reports:
        result = run(
            notes,
            out,
            gold=gold,
            model=model,
            students=students,
            labels=labels,
            by=names or None,
            held_out=held_out or (),
            save_model=save_model,
            exact=exact,
            calibrate=calibrate,
            seed=seed,
            changes=changes or (),
            reading=options,
            notes_format=notes_format,
            fields=NoteFields(text_field, id_field),
            patient_from=patient_from,
            is_preview=preview,
            hub=hub,
            consent=frozenset({send_text_to} - {""}),
            **reports,
        )
    _print(result, gold, names, is_preview=preview)
    if queue is not None:
        from notesmith.workflows.review import queue_labelled

        assert result.files is not None and result.files.scores is not None
        made = queue_labelled(
            result.files.kept,
            result.files.scores,
            queue,
            gold=gold,
            held_out=held_out or (),
            reading=options,
            patient_from=patient_from,
        )
        review.print_queue(Screen(highlight=False, soft_wrap=True), queue, made)


def _print(result: Labelled, gold: Path | None, by: list[str], *, is_preview: bool) -> None:
    from notesmith.annotation.calibration import LEAST_MENTIONS
    from notesmith.cli.progress import duration
    from notesmith.experiment.recipes import corpus_path
    from notesmith.report.silver import BAND_NAMES

    console = Screen(highlight=False, soft_wrap=True)
    summary, files = result.summary, result.files
    assert files is not None
    took = f" in {duration(result.seconds)}"
    if not (result.is_new or result.n_trained):
        console.print(f"{files.kept} is finished already; nothing was computed.")
        took = ""
    console.print(
        f"Labelled {summary.notes:,} notes{took}: {summary.mentions:,} mentions in "
        f"{summary.words:,} words; {summary.doubtful:,} words are doubtful.",
        style="bold",
    )
    for label in summary.labels:
        bands = "; ".join(
            f"{name}: {n:,}" for n, name in zip(label.bands, BAND_NAMES, strict=True) if n
        )
        by_score = f" (by score, {bands})" if bands else ""
        console.print(f"  {label.label}: {label.mentions:,} mentions{by_score}")
    if summary.masked:
        console.print(f"  masked: {summary.masked:,} words")
    for what, n in (
        *summary.reading.items(),
        *summary.answers.items(),
        *summary.problems.items(),
    ):
        console.print(f"  {n:,} {what}")
    for name, one in summary.calibrated.items():
        on = f"{one.mentions:,} mentions in {one.documents:,} held-out documents"
        if one.temperature is None:
            console.print(
                f"  scores of {name} are not calibrated: {on} are fewer than {LEAST_MENTIONS}"
            )
        else:
            console.print(f"  scores of {name} are calibrated on {on}; the card shows how well")
    for what, n in summary.left_out.items():
        console.print(f"  left out {n:,} notes: {what}")
    if is_preview:
        console.print(
            "Preview: after so few steps of learning the labels do not show what is possible."
        )
    beside = f"; distributions of words: {files.scores}" if files.scores else ""
    console.print(f"Labelled notes: {files.kept}{beside}")
    console.print(f"Look at it: {files.page}; card: {files.card}")
    if result.model is not None:
        _print_saved(console, result.model, by)
    if is_preview:
        console.print("Next: the same command without --preview")
        return
    words = [
        "notesmith",
        "train",
        str(corpus_path(str(gold))) if gold is not None else "GOLD",
        "--made",
        str(files.kept),
        "--out",
        str(files.kept.with_name("model")),
    ]
    console.print(f"Next: {shlex.join(words)}")
    console.print("Whether it helps: notesmith run compares students with and without such notes.")


def _print_saved(console: Screen, folder: Path, by: list[str]) -> None:
    from notesmith.experiment.stages.lm_labels import TUNED
    from notesmith.ner.settings import ANNOTATORS_FILE
    from notesmith.workflows.annotators import STUDENTS

    console.print(f"Saved: {folder}")
    if (folder / ANNOTATORS_FILE).exists():
        console.print(
            "It holds a tuned language model, which may know parts of the labelled documents by "
            "heart: guard it as you guard them."
        )
    if unkept := [name for name in by if name not in (STUDENTS, *TUNED)]:
        console.print(
            f"It does not hold {', '.join(unkept)}. To label as here with --model, name "
            f"--by {','.join(by)}, --gold and the settings of {', '.join(unkept)} again."
        )
