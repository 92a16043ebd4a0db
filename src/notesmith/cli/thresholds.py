"""``notesmith thresholds``: precision and recall of each label over thresholds, on dev."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from notesmith.cli.reading import read_saying, reads_documents
from notesmith.cli.screen import Screen, say, say_json
from notesmith.cli.train import moving_line
from notesmith.config.corpus import ReadingConfig

if TYPE_CHECKING:
    from notesmith.ner.sweep import Point, Sweep


@reads_documents()
def thresholds(
    model: Annotated[
        Path, typer.Argument(help="Folder that notesmith train, run or export saved.")
    ],
    gold: Annotated[
        Path, typer.Argument(help="Labelled notes to choose on: dev, neither train nor test.")
    ],
    options: ReadingConfig,
    precision: Annotated[
        float, typer.Option(min=0, max=100, help="Least precision that a threshold must have.")
    ] = 0.0,
    recall: Annotated[
        float, typer.Option(min=0, max=100, help="Least recall that a threshold must have.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a model at several thresholds of a mention's score, by label, and name the best.

    Scores are strict. The marked line of a label has the best F1 among those that reach --precision
    and --recall. That F1 is too favourable, because the threshold was chosen on these notes.
    """
    from notesmith.ner.student import load_student
    from notesmith.ner.sweep import Wanted, sweep_thresholds

    docs = read_saying(gold, options)
    student = load_student(model)
    with moving_line() as on_progress:
        found = sweep_thresholds(
            student, docs, wanted=Wanted(precision / 100, recall / 100), on_progress=on_progress
        )
    if as_json:
        say_json(_values(found), indent=1)
        return
    for label, points in found.points.items():
        _print(label, points, found.chosen[label])
    for what, score in (("plain", found.plain), ("chosen", found.together)):
        p, r, f = (f"{100 * x:.1f}" for x in (score.precision, score.recall, score.f1))
        say(f"all labels, {what}: P {p}, R {r}, F1 {f}")
    chosen = [f"--threshold {shlex.quote(f'{k}={v:g}')}" for k, v in found.thresholds.items()]
    if chosen:
        say(f"notesmith predict … {' '.join(chosen)}")
    for label, point in found.chosen.items():
        if point is None:
            say(f"{label}: no threshold reaches this precision and recall", err=True)


def _print(label: str, points: tuple[Point, ...], chosen: Point | None) -> None:
    score = points[0].score
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title=f"{label}: {score.tp + score.fn} mentions",
        title_justify="left",
    )
    for column in ("threshold", "P", "R", "F1", "tp", "fp", "fn"):
        table.add_column(column, justify="right", no_wrap=True)
    for point in points:
        score = point.score
        table.add_row(
            "plain" if point.threshold is None else f"{point.threshold:g}",
            *(f"{100 * x:.1f}" for x in (score.precision, score.recall, score.f1)),
            *(str(n) for n in (score.tp, score.fp, score.fn)),
            "◀" if point is chosen else "",
            style="bold" if point is chosen else None,
        )
    Screen(highlight=False).print(table)


def _values(found: Sweep) -> dict[str, Any]:
    def row(point: Point) -> dict[str, Any]:
        score = point.score
        rates = {"precision": score.precision, "recall": score.recall, "f1": score.f1}
        counts = {"tp": score.tp, "fp": score.fp, "fn": score.fn}
        return {"threshold": point.threshold} | {k: 100 * v for k, v in rates.items()} | counts

    return {
        "scale": 100,
        "labels": {label: [row(p) for p in points] for label, points in found.points.items()},
        "chosen": {label: row(p) if p else None for label, p in found.chosen.items()},
        "plain_f1": 100 * found.plain.f1,
        "chosen_f1": 100 * found.together.f1,
    }
