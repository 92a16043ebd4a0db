"""``notesmith corpus corrected``: merge corrections from an annotation tool into gold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from notesmith.cli.corpus import print_counts
from notesmith.cli.reading import Metadata, PatientFrom, reads_documents
from notesmith.cli.screen import Screen
from notesmith.config import ReadingConfig
from notesmith.corpus.corrected import HOLDING, merge_corrections
from notesmith.corpus.problems import Tally
from notesmith.corpus.reading import check_named, read_corpus, write_corpus
from notesmith.errors import ConfigError
from notesmith.files.write import must_be_new

_OF_GOLD = {
    *("format", "label_map", "on_problem", "tags", "token_column", "tag_column", "documents"),
    *("encoding", "ignore", "without_mentions"),
}


@reads_documents(without=("unknown",))
def corrected(
    gold: Annotated[Path, typer.Argument(help="The corpus as it was checked.")],
    corrections: Annotated[
        Path,
        typer.Argument(
            metavar="CORRECTED", help="What the tool exported, all documents or a part."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="File of JSON lines to write.")],
    options: ReadingConfig,
    corrected_format: Annotated[
        str | None,
        typer.Option(help=f"Format of CORRECTED ({', '.join(HOLDING)}); recognised if not given."),
    ] = None,
    metadata: Metadata = None,
    patient_from: PatientFrom = None,
) -> None:
    """Replace documents of gold by their corrected versions, by id, and count what changed.

    --format, --label-map and the options for CoNLL apply to GOLD. The options for INCEpTION, Label
    Studio and Prodigy apply to CORRECTED.
    """
    if out.suffix.lower() != ".jsonl":
        raise ConfigError(
            f"--out {out.name}: name a .jsonl file, which holds provenance; convert it afterwards"
        )
    must_be_new(out)
    of_gold = ReadingConfig(**options.model_dump(include=_OF_GOLD))
    of_corrected = options.model_copy(update={"format": corrected_format, "label_map": {}})
    read = read_corpus(gold, of_gold, metadata=metadata, patient_from=patient_from)
    check_named(of_gold, [read])
    found = read_corpus(corrections, of_corrected, expect_mentions=False)
    if found.format not in HOLDING:
        raise ConfigError(
            f"{corrections}: {found.format} does not hold attributes and relations, which would "
            f"be lost; export as {', '.join(HOLDING)}"
        )
    made = merge_corrections(read.docs, found.docs, tally=Tally.of(options))
    write_corpus(made.docs, out)
    console = Screen()
    print_counts(console, f"while reading {gold.name}", read.counts)
    print_counts(console, f"while reading {corrections.name}", found.counts)
    for what, n in made.counts.items():
        console.print(f"{n:,} {what}", highlight=False)
    console.print(f"{out}: {len(made.docs):,} documents", highlight=False, soft_wrap=True)
