"""``notesmith evaluate``: score predictions against gold, one set or two side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from notesmith.cli.reading import read_counting, reads_documents
from notesmith.cli.screen import Screen, say, say_json
from notesmith.config.corpus import ReadingConfig
from notesmith.rules import CONFIDENCE, FEW_DOCUMENTS

if TYPE_CHECKING:
    from notesmith.evaluate.calibration import MentionReliability
    from notesmith.evaluate.predictions import Differences, Ratings


@reads_documents()
def evaluate(
    gold: Annotated[Path, typer.Argument(help="Annotated file or folder, in any format.")],
    predicted: Annotated[Path, typer.Argument(help="The same documents, with predictions.")],
    options: ReadingConfig,
    second: Annotated[
        Path | None,
        typer.Argument(help="The predictions of another student, to compare with PREDICTED."),
    ] = None,
    seen: Annotated[
        Path | None,
        typer.Option("--seen", help="Training data; mentions unseen in it are also scored."),
    ] = None,
    missing: Annotated[
        Literal["error", "counts-as-empty"],
        typer.Option(help="What a document without a prediction is: an error, or all missed."),
    ] = "error",
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Confidence of the intervals.")
    ] = CONFIDENCE,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resampling.")] = 13,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score predictions: strict, lenient, per label, seen and unseen, with intervals.

    Strict needs the right label and boundaries; lenient needs the right label and an overlap;
    boundary needs the right boundaries alone. Unseen and seen are strict scores of the mentions
    that the training data lacks or has.

    Where predictions carry attributes of gold, each attribute is scored twice: on mentions that
    were found (label and boundaries are right), and end to end, where label, boundaries and value
    must be right.

    Where predictions carry scores (predict --scores), a second table says how often those of a
    score are right.

    With SECOND, the output gives F1 of both and the difference, with an interval paired by
    document.

    --label-map applies to all files, --unknown to GOLD.
    """
    from notesmith.corpus.reading import check_named
    from notesmith.evaluate.predictions import compare, rate

    of_others = options.model_copy(update={"unknown": ()})
    read = [
        read_counting(path, how, expect_mentions=expects)
        for path, how, expects in (
            (gold, options, True),
            (predicted, of_others, False),
            (second, of_others, False),
            (seen, of_others, True),
        )
        if path is not None
    ]
    check_named(options, read)
    docs, ours = read[0].docs, read[1].docs
    theirs = None if second is None else read[2].docs
    train = None if seen is None else read[-1].docs
    if second is None or theirs is None:
        rated = rate(
            docs,
            ours,
            train=train,
            missing=missing,
            resamples=resamples,
            confidence=confidence,
            seed=seed,
        )
        _show_ratings(rated, as_json=as_json)
        return
    compared = compare(
        docs,
        ours,
        theirs,
        train=train,
        missing=missing,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    names = (predicted.name, second.name)
    if predicted.name == second.name:
        names = (str(predicted), str(second))
    _show_differences(compared, names, as_json=as_json)


def _show_ratings(found: Ratings, *, as_json: bool) -> None:
    if as_json:
        say_json(found.to_json(), indent=1)
        return
    table = _table(found, ("P", "R", "F1", "interval", "tp", "fp", "fn"))
    attributes = [
        replace(row, part=f"{row.part} ({where})")
        for each in found.attributes
        for row, where in ((each.on_found, "found"), (each.end_to_end, "end to end"))
    ]
    strict, *others = found.views
    for rows in ((strict, found.macro, *others), found.labels, attributes):
        for row in rows:
            few = row not in found.views and row.n_with < FEW_DOCUMENTS
            counts = ("", "", "") if row is found.macro else (row.tp, row.fp, row.fn)
            table.add_row(
                row.part,
                f"{row.precision:.1f}",
                f"{row.recall:.1f}",
                f"{row.f1:.1f}",
                "too few" if few else f"{row.f1_low:.1f} to {row.f1_high:.1f}",
                *map(str, counts),
                style="bold" if row is strict else None,
            )
        table.add_section()
    Screen().print(table)
    if found.reliability is not None:
        Screen().print(_reliability_table(found.reliability))
    for notice in found.notices:
        say(notice)


def _reliability_table(found: MentionReliability) -> Table:
    strict, lenient = found.strict, found.lenient
    table = _plain_table(
        f"reliability of the scores of {strict.n} predictions",
        f"calibration error: strict {strict.calibration_error:.3f}, lenient "
        f"{lenient.calibration_error:.3f}",
        ("predictions", "mean score", "strict right", "lenient right"),
    )
    for one, other in zip(strict.bins, lenient.bins, strict=True):
        table.add_row(
            f"{one.low:.1f} to {one.high:.1f}",
            str(one.n),
            f"{one.mean_score:.2f}",
            f"{one.right_ratio:.2f}",
            f"{other.right_ratio:.2f}",
        )
    return table


def _show_differences(found: Differences, names: tuple[str, str], *, as_json: bool) -> None:
    from notesmith.evaluate.predictions import CANNOT_SHOW

    sentence = found.sentence(*names)
    if as_json:
        said = {"sentence": sentence, "cannot_show": CANNOT_SHOW}
        say_json({**said, **found.to_json()}, indent=1)
        return
    table = _table(found, ("first F1", "second F1", "difference", "interval", "p"))
    table.caption = f"{table.caption}; p of the labels is adjusted by Holm"
    strict, *others = found.views
    for rows in ((strict, found.macro, *others), found.labels):
        for row in rows:
            few = row not in found.views and row.n_with < FEW_DOCUMENTS
            table.add_row(
                row.part,
                f"{row.f1_first:.1f}",
                f"{row.f1_second:.1f}",
                f"{row.delta:+.1f}",
                "too few" if few else f"{row.low:+.1f} to {row.high:+.1f}",
                "" if few else f"{row.p_holm:.2g}",
                style="bold" if row is found.strict else None,
            )
        table.add_section()
    Screen().print(table)
    for line in (*found.notices, sentence, CANNOT_SHOW):
        say(line)


def _table(found: Ratings | Differences, columns: tuple[str, ...]) -> Table:
    from notesmith.evaluate.predictions import resampled_units

    unit = resampled_units(found.n_groups, found.n_documents)
    return _plain_table(
        f"{found.n_documents} documents",
        f"{found.confidence:.0%} intervals from resampling {found.n_groups} {unit}",
        columns,
    )


def _plain_table(title: str, caption: str, columns: tuple[str, ...]) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table
