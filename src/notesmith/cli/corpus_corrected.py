"""``notesmith corpus corrected``: put corrections of an annotation tool over gold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from notesmith.cli.corpus import (
    Annotator,
    Feature,
    Format,
    LabelMap,
    Layer,
    Metadata,
    PatientFrom,
    Problems,
    Tasks,
    TextKey,
    parse_label_map,
    print_counts,
)
from notesmith.cli.screen import Screen
from notesmith.corpus.corrected import HOLDING, merge_corrections
from notesmith.corpus.formats import ReadOptions
from notesmith.corpus.problems import Tally
from notesmith.corpus.reading import read_corpus, write_corpus
from notesmith.errors import ConfigError
from notesmith.files.write import must_be_new


def corrected(
    gold: Annotated[Path, typer.Argument(help="The corpus as it was checked.")],
    corrections: Annotated[
        Path,
        typer.Argument(
            metavar="CORRECTED", help="What the tool exported: any part of the documents."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="File of JSON lines to write.")],
    format: Format = None,
    label_map: LabelMap = None,
    corrected_format: Annotated[
        str | None,
        typer.Option(help=f"Format of CORRECTED ({', '.join(HOLDING)}); found out if not given."),
    ] = None,
    on_problem: Problems = "raise",
    metadata: Metadata = None,
    patient_from: PatientFrom = None,
    layer: Layer = None,
    feature: Feature = None,
    annotator: Annotator = None,
    tasks: Tasks = None,
    text_key: TextKey = None,
) -> None:
    """Merge corrected documents over gold by id, and count what changed."""
    if out.suffix.lower() != ".jsonl":
        raise ConfigError(
            f"--out {out.name}: name a .jsonl file, which holds provenance; convert it afterwards"
        )
    must_be_new(out)
    read = read_corpus(
        gold,
        format=format,
        label_map=parse_label_map(label_map),
        on_problem=on_problem,
        metadata=metadata,
        patient_from=patient_from,
    )
    found = read_corpus(
        corrections,
        format=corrected_format,
        on_problem=on_problem,
        options=ReadOptions(
            layer=layer, feature=feature, annotator=annotator, tasks=tasks, text_key=text_key
        ),
    )
    if found.format not in HOLDING:
        raise ConfigError(
            f"{corrections}: {found.format} does not hold attributes and relations, which would "
            f"be lost; export as {', '.join(HOLDING)}"
        )
    made = merge_corrections(read.docs, found.docs, tally=Tally(on_problem))
    write_corpus(made.docs, out)
    console = Screen()
    print_counts(console, f"while reading {gold.name}", read.counts)
    print_counts(console, f"while reading {corrections.name}", found.counts)
    for what, n in made.counts.items():
        console.print(f"{n:,} {what}", highlight=False)
    console.print(f"{out}: {len(made.docs):,} documents", highlight=False, soft_wrap=True)
