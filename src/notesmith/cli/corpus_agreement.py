"""``notesmith corpus agreement``: how well annotators agree, and a page of where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from notesmith.cli.corpus import AsJson, print_counts
from notesmith.cli.reading import Metadata, PatientFrom, reads_documents
from notesmith.cli.screen import Screen, say, say_json
from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.agreement import F1, Agreement
from notesmith.corpus.agreement import agreement as compare_annotators
from notesmith.corpus.annotators import AnnotatorsRead, Place, read_annotators
from notesmith.corpus.problems import Tally
from notesmith.errors import ConfigError
from notesmith.files.write import atomic_write_text, must_be_new
from notesmith.rules import CONFIDENCE

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME=]PATH",
        help="A file of several annotators, or a file or folder for each.",
    ),
]
Annotators = Annotated[
    list[str] | None,
    typer.Option("--annotator", help="Annotator to use, instead of all; repeatable."),
]


@reads_documents(without=("annotator", "predictions", "unknown"))
def agreement(
    paths: Paths,
    options: ReadingConfig,
    page: Annotated[
        Path | None,
        typer.Option(help="Page of all disagreements to write. It holds note text."),
    ] = None,
    annotators: Annotators = None,
    metadata: Metadata = None,
    patient_from: PatientFrom = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Confidence of the intervals.")
    ] = CONFIDENCE,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resampling.")] = 13,
    as_json: AsJson = False,
) -> None:
    """Compare annotators: F1 of mentions, strict and lenient, and where they differ.

    Strict means the same label and boundaries; lenient means the same label and an overlap. F1 does
    not depend on which annotator is taken as the reference.
    """
    if page is not None:
        must_be_new(page)
    read = read_places(paths, annotators, options, metadata, patient_from)
    found = compare_annotators(read.docs, tally=Tally.of(options), confidence=confidence, seed=seed)
    if page is not None:
        from notesmith.report.disagreements import render_disagreements

        title = f"Where {', '.join(found.sizes)} differ"
        html = render_disagreements(found.disagreements, found.readings, title=title)
        atomic_write_text(page, html)
    if as_json:
        record = found.to_record() | {"while_reading": read.counts}
        say_json(record)
    else:
        console = Screen()
        _print_tables(console, found, confidence)
        print_counts(console, "while reading", read.counts)
        print_counts(console, "while comparing", found.counts)
    if page is not None:
        say(f"{page}: {len(found.disagreements)} places (holds note text)", err=True)


def read_places(
    paths: list[str],
    annotators: list[str] | None,
    options: ReadingConfig,
    metadata: Path | None,
    patient_from: str | None,
) -> AnnotatorsRead:
    """The documents of every annotator below ``[NAME=]PATH`` arguments."""
    return read_annotators(
        [_place(path) for path in paths],
        options,
        only=annotators or (),
        metadata=metadata,
        patient_from=patient_from,
    )


def _place(argument: str) -> Place:
    name, sign, path = argument.partition("=")
    if not sign or Path(argument).exists():
        return Place(Path(argument))
    if not name or not path:
        raise ConfigError(f"{argument!r}: write NAME=PATH, or the path alone")
    return Place(Path(path), name)


def _print_tables(console: Screen, found: Agreement, confidence: float) -> None:
    for name, (docs, mentions) in found.sizes.items():
        console.print(f"{name}: {docs:,} documents, {mentions:,} mentions", highlight=False)
    unit = "documents" if found.n_groups == len(found.readings) else "patients"
    table = _table("agreement (F1)", f"{confidence:.0%} intervals from resampling {unit}")
    table.add_column("", overflow="fold")
    for column in ("docs", "mentions", "strict", "interval", "lenient", "interval"):
        table.add_column(column, justify="right", no_wrap=True)
    several = len(found.pairs) > 1
    for row in (*found.pairs, *((found.overall,) if several else ())):
        counts = row.strict.counts
        table.add_row(
            "all pairs" if row is found.overall and several else ", ".join(row.annotators),
            f"{row.n_documents:,}",
            f"{counts.tp + counts.fn:,} / {counts.tp + counts.fp:,}",
            _points(row.strict),
            _interval(row.strict),
            _points(row.lenient),
            _interval(row.lenient),
        )
    console.print(table)
    labels = _table("by label, all pairs" if several else "by label", "")
    labels.add_column("", overflow="fold")
    for column in ("strict", "lenient", "both", "one only"):
        labels.add_column(column, justify="right", no_wrap=True)
    for label, (strict, lenient) in found.overall.labels.items():
        counts = strict.counts
        labels.add_row(
            label,
            _points(strict),
            _points(lenient),
            f"{counts.tp:,}",
            f"{counts.fp + counts.fn:,}",
        )
    console.print(labels)
    kinds = _table("places where they differ", "")
    kinds.add_column("", overflow="fold")
    kinds.add_column("places", justify="right")
    for kind, n in found.kinds.items():
        kinds.add_row(kind, f"{n:,}")
    console.print(kinds if found.kinds else "they agree everywhere")


def _table(title: str, caption: str) -> Table:
    return Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title=title,
        caption=caption or None,
        title_justify="left",
        caption_justify="left",
    )


def _points(score: F1) -> str:
    return "–" if score.value is None else f"{100 * score.value:.1f}"


def _interval(score: F1) -> str:
    if score.interval is None:
        return "–"
    low, high = score.interval
    return f"{100 * low:.1f} to {100 * high:.1f}"
