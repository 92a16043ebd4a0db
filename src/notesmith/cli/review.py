"""The options of ``notesmith annotate`` that queue notes for annotators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from notesmith.cli.screen import Screen
from notesmith.errors import ConfigError

if TYPE_CHECKING:
    from notesmith.annotation.queue import Queued
    from notesmith.workflows.review import Review

ForReview = Annotated[
    Path | None,
    typer.Option(
        "--for-review",
        metavar="FOLDER",
        help="Folder to make with the notes that a person should label next. It holds note text.",
    ),
]
ReviewTool = Annotated[
    Literal["label-studio", "brat", "prodigy", "inception"],
    typer.Option("--as", help="The tool that --for-review is written for."),
]
ReviewNotes = Annotated[
    int | None, typer.Option(min=1, help="Number of notes to queue; 20 if no size is given.")
]
ReviewWords = Annotated[
    int | None, typer.Option(min=1, help="Size of the queue in words, in place of notes.")
]
Control = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Share of the queue that is drawn at random and shown without labels."
    ),
]
Reviewers = Annotated[
    str | None, typer.Option("--annotators", metavar="NAMES", help="Separated by commas.")
]
Overlap = Annotated[
    float, typer.Option(min=0, max=1, help="Share of the queue that two annotators are given.")
]

NOTES = 20


def review_of(
    folder: Path | None,
    tool: Literal["label-studio", "brat", "prodigy", "inception"],
    *,
    notes: int | None,
    words: int | None,
    control: float,
    annotators: str | None,
    overlap: float,
    seed: int,
) -> Review | None:
    """The queue that is asked for, if one is.

    Raises:
        ConfigError: an option does not fit the others.
    """
    if folder is None:
        if notes or words or annotators or overlap:
            raise ConfigError("options on the notes to review need --for-review FOLDER")
        return None
    from notesmith.annotation.queue import Choice
    from notesmith.workflows.review import Review

    names = tuple(name.strip() for name in (annotators or "annotator").split(","))
    size = notes if notes or words else NOTES
    choice = Choice(
        notes=size, words=words, control=control, annotators=names, overlap=overlap, seed=seed
    )
    return Review(folder, choice, tool)


def print_queue(console: Screen, review: Review, made: Queued) -> None:
    """Say what was queued, what was left out, and what comes next."""
    queue = made.queue
    n_control = len(queue.of_kind("control"))
    console.print(
        f"For review: {len(queue.items):,} of {queue.n_notes:,} notes, {queue.words:,} words, "
        f"{n_control:,} of them control notes without labels."
    )
    for name in queue.annotators:
        items = queue.of_annotator(name)
        words = sum(item.words for item in items)
        console.print(f"  {name}: {len(items):,} notes, {words:,} words")
    for what, n in queue.left_out.items():
        console.print(f"  not queued: {n:,} notes {what}")
    for what, n in made.lost.items():
        console.print(f"  not held by {review.tool}: {n:,} {what}")
    console.print(
        f"Queue: {review.folder} (holds note text); why each note is in it: "
        f"{review.folder / 'index.csv'}"
    )
    # Annotators work in the folder itself with brat alone.
    exports = "" if review.tool == "brat" else "".join(f" {x}=EXPORT" for x in queue.annotators)
    console.print(
        f"Once labelled: notesmith corpus corrected {review.folder}{exports} --out labelled.jsonl"
    )
