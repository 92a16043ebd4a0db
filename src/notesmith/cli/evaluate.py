"""``notesmith evaluate``: score predictions against gold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from notesmith.cli.reading import read_saying, reads_documents
from notesmith.cli.screen import Screen, say, say_json
from notesmith.config import ReadingConfig
from notesmith.rules import CONFIDENCE


@reads_documents()
def evaluate(
    gold: Annotated[Path, typer.Argument(help="File or folder as annotated, any format.")],
    predicted: Annotated[Path, typer.Argument(help="The same documents as predicted.")],
    options: ReadingConfig,
    seen: Annotated[
        Path | None,
        typer.Option("--seen", help="Training data: also score mentions unseen in it."),
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Confidence of the intervals.")
    ] = CONFIDENCE,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resampling.")] = 13,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score predictions: strict, lenient, per label, seen and unseen, with intervals.

    strict: label and all boundaries; lenient: label and overlap; boundary: boundaries, any label;
    unseen and seen: strict, by whether the training data has the mention.

    Where predictions carry attributes of gold: each one on mentions found (label and boundaries are
    right), and end to end, where label, boundaries and value must be right.
    """
    from notesmith.evaluate.predictions import rate, resampled_units

    mentions = None
    if seen is not None:
        train = read_saying(seen, options)
        mentions = [mention for doc in train for mention in doc.mentions()]
    found = rate(
        read_saying(gold, options),
        read_saying(predicted, options),
        seen=mentions,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    if as_json:
        say_json(found.to_json(), indent=1)
        return
    unit = resampled_units(found.n_groups, found.n_documents)
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title=f"{found.n_documents} documents",
        caption=f"{confidence:.0%} intervals from resampling {found.n_groups} {unit}",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("", no_wrap=True)
    for column in ("P", "R", "F1", "interval", "tp", "fp", "fn"):
        table.add_column(column, justify="right", no_wrap=True)
    attributes = [
        replace(row, part=f"{row.part} ({where})")
        for each in found.attributes
        for row, where in ((each.on_found, "found"), (each.end_to_end, "end to end"))
    ]
    for i, rows in enumerate((found.views, found.labels, attributes)):
        for row in rows:
            table.add_row(
                row.part,
                f"{row.precision:.1f}",
                f"{row.recall:.1f}",
                f"{row.f1:.1f}",
                f"{row.f1_low:.1f} to {row.f1_high:.1f}",
                str(row.tp),
                str(row.fp),
                str(row.fn),
                style="bold" if row.part == "strict" and i == 0 else None,
            )
        table.add_section()
    Screen().print(table)
    for notice in found.notices:
        say(notice)
