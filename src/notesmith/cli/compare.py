"""``notesmith compare``: two sets of predictions against the same gold."""

from __future__ import annotations

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
def compare(
    gold: Annotated[Path, typer.Argument(help="File or folder as annotated, any format.")],
    first: Annotated[Path, typer.Argument(help="Predictions to compare with.")],
    second: Annotated[Path, typer.Argument(help="Predictions that may be better.")],
    options: ReadingConfig,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Confidence of the intervals.")
    ] = CONFIDENCE,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resampling.")] = 13,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two sets of predictions by a bootstrap that is paired by document."""
    from notesmith.evaluate.predictions import compare as compare_predictions

    found = compare_predictions(
        read_saying(gold, options),
        read_saying(first, options),
        read_saying(second, options),
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    is_short = first.name != second.name
    names = (first.name, second.name) if is_short else (str(first), str(second))
    sentence = found.sentence(*names)
    if as_json:
        value = {"sentence": sentence, **found.to_json()}
        say_json(value, indent=1)
        return
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption="p of the labels is adjusted by Holm",
        caption_justify="left",
    )
    table.add_column("", no_wrap=True)
    for column in ("first F1", "second F1", "difference", "interval", "p"):
        table.add_column(column, justify="right", no_wrap=True)
    parts = [(found.strict,), (found.lenient,), found.labels]
    for rows in parts:
        for row in rows:
            table.add_row(
                row.part,
                f"{row.f1_first:.1f}",
                f"{row.f1_second:.1f}",
                f"{row.delta:+.1f}",
                f"{row.low:+.1f} to {row.high:+.1f}",
                f"{row.p_holm:.2g}",
                style="bold" if row is found.strict else None,
            )
        table.add_section()
    Screen().print(table)
    for notice in found.notices:
        say(notice)
    say(sentence)
