"""``notesmith corpus adjudicate``: make one corpus from those of several annotators, by a rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

import typer
from rich.table import Table

from notesmith.cli.corpus import AsJson, print_counts
from notesmith.cli.corpus_agreement import Annotators, Paths, read_places
from notesmith.cli.reading import Metadata, PatientFrom, reads_documents
from notesmith.cli.screen import Screen, say_json
from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.adjudicate import Adjudicated, Rule
from notesmith.corpus.adjudicate import adjudicate as decide
from notesmith.corpus.agreement import words
from notesmith.corpus.problems import Tally
from notesmith.corpus.reading import write_corpus
from notesmith.errors import ConfigError
from notesmith.files.write import must_be_new

_SHOWN = 20


@reads_documents(without=("annotator", "predictions", "unknown"))
def adjudicate(
    paths: Paths,
    out: Annotated[Path, typer.Option("--out", help="File of JSON lines to write.")],
    options: ReadingConfig,
    rule: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="majority, union or intersection; or prefer=NAME, with majority for the rest.",
        ),
    ] = "majority",
    undecided: Annotated[
        Literal["mask", "drop"],
        typer.Option(help="Where nothing decides: leave out of training (mask), or no mention."),
    ] = "mask",
    annotators: Annotators = None,
    metadata: Metadata = None,
    patient_from: PatientFrom = None,
    all_places: Annotated[
        bool, typer.Option("--all", help=f"Print all undecided places, not only {_SHOWN}.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make one corpus from those of several annotators, and say what was decided.

    A ground truth of Label Studio or a curation of INCEpTION takes precedence where there is one.
    """
    chosen, prefer = _rule(rule)
    if out.suffix.lower() != ".jsonl":
        raise ConfigError(
            f"--out {out.name}: name a .jsonl file, which holds masks and provenance; "
            "convert it afterwards"
        )
    must_be_new(out)
    read = read_places(paths, annotators, options, metadata, patient_from)
    made = decide(
        read.docs,
        rule=chosen,
        prefer=prefer,
        truth=read.truth,
        mask=undecided == "mask",
        tally=Tally.of(options),
    )
    write_corpus(made.docs, out)
    if as_json:
        record = {
            "counts": made.counts,
            "undecided": [place.to_record() for place in made.undecided],
            "while_reading": read.counts,
        }
        say_json(record)
        return
    console = Screen()
    if made.undecided:
        console.print(_undecided(made, None if all_places else _SHOWN))
    print_counts(console, "while reading", read.counts)
    for what, n in made.counts.items():
        console.print(f"{n:,} {what}", highlight=False)
    n = sum(len(doc.entities) for doc in made.docs)
    said = f"{out}: {len(made.docs):,} documents, {n:,} mentions"
    console.print(said, highlight=False, soft_wrap=True)


def _rule(text: str) -> tuple[Rule, str | None]:
    """The rule, and the annotator to prefer."""
    rules: dict[str, Rule] = {rule: rule for rule in get_args(Rule)}
    if text in rules:
        return rules[text], None
    word, _, name = text.partition("=")
    if word == "prefer" and name:
        return "majority", name
    raise ConfigError(f"--rule {text!r} is not majority, union, intersection or prefer=NAME")


def _undecided(made: Adjudicated, shown: int | None) -> Table:
    table = Table("document", "span", "labels", "kind", title="undecided")
    for place in made.undecided[:shown]:
        table.add_row(
            place.doc_id,
            f"[{place.start}, {place.end})",
            ", ".join(place.labels),
            words(place),
        )
    return table
