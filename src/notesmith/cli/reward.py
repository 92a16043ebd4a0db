"""``notesmith reward``: what labelled documents would earn, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from notesmith.cli.reading import read_saying, reads_documents
from notesmith.cli.screen import Screen, say, say_json
from notesmith.config.corpus import ReadingConfig
from notesmith.document import Document
from notesmith.segments import Unit, cut, split

if TYPE_CHECKING:
    from notesmith.synthesis.reward.results import DocumentRewards

_WHAT = {
    "agreement": "how far labels and model agree, both ways, on names that gold lacks",
    "novelty": "1 minus the largest share of the context that occurs in one gold unit",
    "diversity": "1 minus the largest share of the context that occurs in another document",
}


@reads_documents()
def reward(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="Labelled documents, any format.")],
    options: ReadingConfig,
    gold: Annotated[
        Path | None, typer.Option("--gold", help="Gold documents to compare FILE with.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Student that judges labels, ideally not trained on FILE."),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(
            "--user",
            metavar="WHERE:FUNCTION",
            help="Reward of your own, as module:function or file.py:function; repeatable.",
        ),
    ] = None,
    unit: Annotated[
        Unit,
        typer.Option(help="Unit to score; FILE and gold are cut into such units."),
    ] = "document",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score labelled documents as the generator's text is scored in training; explain each part.

    Parts that need a request are skipped, and so are parts that need gold or a model when none is
    given; the output says so. Ids and numbers are printed, never text.
    """
    from notesmith.config.filters import FilterConfig
    from notesmith.config.rewards import RewardConfig
    from notesmith.synthesis.reward.function import RewardModel
    from notesmith.synthesis.reward.judges import Judges

    docs = _units(source, unit, options)
    known = _units(gold, unit, options) if gold else []
    judges = Judges()
    if model is not None:
        from notesmith.ner.model import load_ner

        student = load_ner(model)
        for label, n in sorted(student.count_unknown(docs).items()):
            say(
                f"{source.name}: {n} of label {label}, which the model does not know: it disagrees",
                err=True,
            )
        judges = Judges(
            committee=lambda texts: [
                student.predict([Document(f"text-{i}", text) for i, text in enumerate(texts)])
            ]
        )
    config = RewardConfig(user=tuple(user or ()))
    found = RewardModel(known, config, FilterConfig(), judges=judges).score_documents(docs)
    if as_json:
        say_json(found.to_json(), indent=1)
        return
    _print(found)


def _units(path: Path, unit: Unit, options: ReadingConfig) -> Sequence[Document]:
    docs = read_saying(path, options, expect_mentions=False)
    return docs if unit == "document" else [cut(d, span) for d in docs for span in split(d, unit)]


def _print(found: DocumentRewards) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    console = Screen(highlight=False)
    names = list(found.rows[0].parts) if found.rows else []
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("id")
    for name in ("total", *names):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("failed gate")
    for row in found.rows:
        numbers = [_number(row.total), *(_number(row.parts[name]) for name in names)]
        table.add_row(row.id, *numbers, row.gate or "")
    table.add_section()
    means = found.means
    table.add_row(
        f"mean of {len(found.rows)}", *(_number(means.get(name)) for name in ("total", *names))
    )
    console.print(table)
    for reason, n in found.gates.items():
        console.print(f"{n} failed: {reason}", soft_wrap=True)
    for name in names:
        if name in _WHAT:
            console.print(f"{name}: {_WHAT[name]}", soft_wrap=True)
    for name, reason in found.left_out.items():
        console.print(f"{name} left out: {reason}", soft_wrap=True)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
