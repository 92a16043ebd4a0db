"""``notesmith corpus``: convert, count and divide corpora."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from notesmith.cli.reading import Metadata, PatientFrom, reads_documents
from notesmith.cli.screen import Screen, say_json
from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.formats import FORMATS
from notesmith.corpus.formats.label_studio_write import config_for
from notesmith.corpus.reading import CorpusRead, check_named, read_corpus, write_corpus
from notesmith.corpus.recognition import matches, refuse_beside
from notesmith.corpus.splits import find_splits, split_corpus
from notesmith.corpus.statistics import CorpusStatistics, describe
from notesmith.errors import ConfigError, FileError
from notesmith.files.write import atomic_folder, atomic_write_text, must_be_new

app = typer.Typer(
    no_args_is_help=True, help="Convert, count, check, compare, correct and divide corpora."
)

_SUFFIX_FORMATS = {
    ".jsonl": "jsonl",
    ".conll": "conll",
    ".tsv": "conll",
    ".iob2": "conll",
    ".pubtator": "pubtator",
    ".spacy": "docbin",
    ".parquet": "parquet",
}

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
@reads_documents()
def convert(
    source: Annotated[Path, typer.Argument(help="Corpus file or folder.")],
    target: Annotated[Path, typer.Argument(help="File, or folder for brat and inline.")],
    options: ReadingConfig,
    to: Annotated[
        str | None, typer.Option("--to", help="Format written; from the suffix if not given.")
    ] = None,
    metadata: Metadata = None,
    patient_from: PatientFrom = None,
) -> None:
    """Write a corpus in another format, and count what that format cannot hold."""
    to = to or _SUFFIX_FORMATS.get(target.suffix.lower())
    if to is None:
        raise ConfigError(f"{target}: name the format with --to: {', '.join(FORMATS)}")
    beside = target.with_name(f"{target.stem}.labeling-config.xml")
    if not target.is_dir():
        must_be_new(target)
    if to == "label-studio":
        must_be_new(beside)
    read = read_corpus(source, options, metadata=metadata, patient_from=patient_from)
    check_named(options, [read])
    configuration = config_for(read.docs) if to == "label-studio" else None
    lost = write_corpus(read.docs, target, format=to)
    console = Screen()
    n = sum(len(doc.entities) for doc in read.docs)
    console.print(f"{len(read.docs)} documents, {n} mentions: {read.format} to {to}")
    print_counts(console, "while reading", read.counts)
    print_counts(console, f"not held by {to}", lost)
    if configuration is not None:
        try:
            atomic_write_text(beside, configuration)
        except FileError:
            target.unlink(missing_ok=True)  # both or none
            raise
        console.print(f"{beside}: paste it into the project (Labeling Interface, Code)")


@app.command()
@reads_documents()
def stats(
    paths: Annotated[
        list[Path], typer.Argument(help="Corpora; one folder may hold train, dev and test.")
    ],
    options: ReadingConfig,
    metadata: Metadata = None,
    patient_from: PatientFrom = None,
    as_json: AsJson = False,
) -> None:
    """Count documents, mentions, labels, attributes and relations, with a column for each split."""
    corpora = read_splits(paths, options, metadata, patient_from)
    described = {name: describe(read.docs) for name, read in corpora.items()}
    if as_json:
        record = {
            name: found.to_record() | {"while_reading": corpora[name].counts}
            for name, found in described.items()
        }
        say_json(record)
        return
    console = Screen()
    console.print(_totals_table(described))
    console.print(_labels_table(described))
    for title in ("attributes", "relations", "concept_relations", "kinds"):
        rows = {name: getattr(found, title) for name, found in described.items()}
        if any(rows.values()):
            console.print(_counts_table(title.replace("_", " "), rows))
    for name, read in corpora.items():
        print_counts(console, f"while reading {name}", read.counts)


@app.command()
@reads_documents()
def split(
    source: Annotated[Path, typer.Argument(help="Corpus file or folder.")],
    target: Annotated[Path, typer.Argument(help="Folder to make, with an entry for each part.")],
    options: ReadingConfig,
    seed: Annotated[int, typer.Option(help="Seed of the shuffle.")] = 13,
    train: Annotated[float, typer.Option(min=0, help="Share of train.")] = 0.7,
    dev: Annotated[float, typer.Option(min=0, help="Share of dev; 0 makes none.")] = 0.15,
    test: Annotated[float, typer.Option(min=0, help="Share of test; 0 makes none.")] = 0.15,
    by: Annotated[str, typer.Option(help="Metadata field whose groups stay whole.")] = "patient",
    stratify: Annotated[str, typer.Option(help="Metadata field to spread evenly.")] = "kind",
    to: Annotated[str, typer.Option("--to", help="Format written.")] = "jsonl",
    metadata: Metadata = None,
    patient_from: PatientFrom = None,
) -> None:
    """Divide a corpus into train, dev and test, with no patient in two of them."""
    if to not in FORMATS:
        raise ConfigError(f"--to {to!r} is not one of {', '.join(FORMATS)}")
    read = read_corpus(source, options, metadata=metadata, patient_from=patient_from)
    check_named(options, [read])
    ratios = {n: r for n, r in {"train": train, "dev": dev, "test": test}.items() if r > 0}
    made = split_corpus(read.docs, ratios=ratios, by=by, stratify=stratify, seed=seed)
    lost: Counter[str] = Counter()
    with atomic_folder(target) as folder:
        for name, docs in made.parts.items():
            lost.update(write_corpus(docs, FORMATS[to].path(folder, name), format=to))
    console = Screen()
    table = Table("part", title=f"divided by {by}, seed {seed}")
    for heading in ("groups", "documents", "mentions"):
        table.add_column(heading, justify="right")
    for name, docs in made.parts.items():
        mentions = sum(len(doc.entities) for doc in docs)
        table.add_row(name, str(made.n_groups[name]), str(len(docs)), str(mentions))
    console.print(table)
    if made.n_ungrouped:
        said = f"{made.n_ungrouped} documents name no {by}: each counted as one of its own"
        console.print(said)
    print_counts(console, "while reading", read.counts)
    print_counts(console, f"not held by {to}", dict(lost))


def read_splits(
    paths: list[Path],
    options: ReadingConfig,
    metadata: Path | None,
    patient_from: str | None,
) -> dict[str, CorpusRead]:
    """The parts of a corpus by name: those of one folder, otherwise one for each path."""
    places = find_splits(paths[0]) if len(paths) == 1 else {}
    places = {n: p for n, p in places.items() if not matches(Path(p.name), options.ignore)}
    if len(places) < 2:
        places = {}
        for path in paths:
            name = path.stem if path.is_file() else path.resolve().name
            places[name if name not in places else str(path)] = path
    else:
        refuse_beside(paths[0], places.values(), options)
    read = {
        name: read_corpus(path, options, metadata=metadata, patient_from=patient_from)
        for name, path in places.items()
    }
    check_named(options, read.values())
    return read


def _totals_table(described: dict[str, CorpusStatistics]) -> Table:
    rows = {
        "documents": "n_documents",
        "patients": "n_patients",
        "characters": "n_characters",
        "words": "n_words",
        "sentences": "n_sentences",
        "mentions": "n_mentions",
        "discontinuous": "n_discontinuous",
        "pairs on same or nested spans": "n_nested",
        "crossing pairs": "n_crossing",
    }
    table = Table("", title="totals")
    for name in described:
        table.add_column(name, justify="right")
    for title, field in rows.items():
        table.add_row(title, *(f"{getattr(found, field):,}" for found in described.values()))
    free = (f"{found.mention_free_ratio:.1%}" for found in described.values())
    table.add_row("sentences without mention", *free)
    return table


def _labels_table(described: dict[str, CorpusStatistics]) -> Table:
    table = Table("label", title="mentions / distinct strings, words a mention")
    for name in described:
        table.add_column(name, justify="right")
    by_label = {
        name: {label.label: label for label in found.labels} for name, found in described.items()
    }
    for label in dict.fromkeys(name for found in by_label.values() for name in found):
        cells = []
        for found in by_label.values():
            row = found.get(label)
            cells.append(
                f"{row.n_mentions:,} / {row.n_distinct:,}, {row.mean_words:.1f}" if row else "0"
            )
        table.add_row(label, *cells)
    return table


def _counts_table(title: str, rows: dict[str, dict[str, int]]) -> Table:
    table = Table("", title=title)
    for name in rows:
        table.add_column(name, justify="right")
    for key in dict.fromkeys(key for counts in rows.values() for key in counts):
        table.add_row(key, *(f"{counts.get(key, 0):,}" for counts in rows.values()))
    return table


def print_counts(console: Screen, title: str, counts: Mapping[str, int]) -> None:
    """Print a line for each count."""
    for what, n in counts.items():
        console.print(f"{title}: {n:,} {what}", highlight=False)
