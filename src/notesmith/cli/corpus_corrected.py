"""``notesmith corpus corrected``: take back what annotators corrected or labelled, as gold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from notesmith.cli.corpus import print_counts
from notesmith.cli.corpus_agreement import read_places
from notesmith.cli.reading import Metadata, PatientFrom, reads_documents
from notesmith.cli.screen import Screen
from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.corrected import HOLDING, merge_corrections
from notesmith.corpus.problems import Tally
from notesmith.corpus.queue_files import MARKED, TO_READ, Sent, is_queue, read_queue
from notesmith.corpus.queued import QUEUED
from notesmith.corpus.reading import check_named, read_corpus, write_corpus
from notesmith.document import Document
from notesmith.errors import ConfigError
from notesmith.files.write import must_be_new

if TYPE_CHECKING:
    from notesmith.corpus.queued import Item
    from notesmith.corpus.returned import Returned

_OF_GOLD = {
    *("format", "label_map", "on_problem", "tags", "token_column", "tag_column", "documents"),
    *("encoding", "ignore", "without_mentions"),
}
_SHOWN = 10


@reads_documents(without=("unknown",))
def corrected(
    gold: Annotated[
        Path, typer.Argument(help="The corpus as it was checked, or the folder of a queue.")
    ],
    out: Annotated[Path, typer.Option("--out", help="File of JSON lines to write.")],
    options: ReadingConfig,
    corrections: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]CORRECTED",
            help="What the tool exported, all documents or a part; of a queue a file or folder for "
            "each annotator, which brat has in the queue's folder itself.",
        ),
    ] = None,
    corrected_format: Annotated[
        str | None,
        typer.Option(
            help=f"Format of CORRECTED ({', '.join(HOLDING)}; of a queue any); recognised if not "
            "given."
        ),
    ] = None,
    earlier: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of the queue of an earlier round; repeatable."),
    ] = None,
    control_out: Annotated[
        Path | None,
        typer.Option(
            help="File of JSON lines for the control notes of a queue, in place of --out; they may "
            "be scored."
        ),
    ] = None,
    metadata: Metadata = None,
    patient_from: PatientFrom = None,
) -> None:
    """Replace documents of gold by their corrected versions, by id, and count what changed.

    If GOLD is the folder of a queue (notesmith annotate --for-review), the labelled notes of the
    queue become gold, and the round is described: what is missing, agreement, how much of the
    shown labels was kept, and what another round would bring. A column minutes of --metadata holds
    minutes of work, where the tool exports none.

    --format, --label-map and the options for CoNLL apply to GOLD. The options for INCEpTION, Label
    Studio and Prodigy apply to CORRECTED.
    """
    for path in (out, *((control_out,) if control_out else ())):
        if path.suffix.lower() != ".jsonl":
            raise ConfigError(
                f"{path.name}: name a .jsonl file, which holds provenance; convert it afterwards"
            )
        must_be_new(path)
    of_corrected = options.model_copy(update={"format": corrected_format, "label_map": {}})
    if is_queue(gold):
        if options.format or options.label_map:
            raise ConfigError(f"{gold}: is a queue, which takes no --format and no --label-map")
        targets = _Targets(out, control_out)
        _take_back(gold, corrections or [], targets, of_corrected, earlier or [], metadata)
        return
    if not corrections or len(corrections) > 1:
        raise ConfigError("name one file or folder of corrections after GOLD")
    if earlier or control_out:
        raise ConfigError(f"--earlier and --control-out are for queues, and {gold} is none")
    _merge(gold, Path(corrections[0]), out, options, of_corrected, metadata, patient_from)


def _merge(
    gold: Path,
    corrections: Path,
    out: Path,
    options: ReadingConfig,
    of_corrected: ReadingConfig,
    metadata: Path | None,
    patient_from: str | None,
) -> None:
    of_gold = ReadingConfig(**options.model_dump(include=_OF_GOLD))
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


@dataclass(frozen=True, slots=True)
class _Targets:
    """Where the notes of a queue go, and its control notes if they go elsewhere."""

    out: Path
    control: Path | None

    def write(self, docs: list[Document]) -> list[str]:
        """Write ``docs``; returns a line about each file."""
        apart = {doc.id for doc in docs if self.control and doc.metadata[QUEUED] == "control"}
        said = []
        for path, of_file in (
            (self.control, [doc for doc in docs if doc.id in apart]),
            (self.out, [doc for doc in docs if doc.id not in apart]),
        ):
            if path is not None:
                write_corpus(of_file, path)
                n = sum(len(doc.entities) for doc in of_file)
                said.append(f"{path}: {len(of_file):,} documents, {n:,} mentions")
        return said


def _take_back(
    folder: Path,
    places: list[str],
    targets: _Targets,
    options: ReadingConfig,
    earlier: list[Path],
    metadata: Path | None,
) -> None:
    from notesmith.corpus.returned import lead_times, read_numbers, take_back, write_numbers
    from notesmith.corpus.stopping import outlook

    sent = read_queue(folder)
    before = [read_numbers(path) for path in earlier]
    numbers = [sent.queue.round, *(each.number for each in before)]
    if len(set(numbers)) < len(numbers):
        raise ConfigError("--earlier: two queues are of one round; name each round once")
    places = places or _own_places(sent)
    options = options.model_copy(update={"without_mentions": True})
    read = read_places(places, None, options, metadata, None)
    minutes: dict[str, float] = {}
    for place in places:
        path = Path(place) if Path(place).exists() else Path(place.partition("=")[2])
        for doc_id, n in lead_times(path).items():
            minutes[doc_id] = minutes.get(doc_id, 0.0) + n
    made = take_back(sent, read.docs, truth=read.truth, minutes=minutes, tally=Tally.of(options))
    said = targets.write(made.docs)
    write_numbers(sent, made.round)
    console = Screen(highlight=False, soft_wrap=True)
    print_counts(console, "while reading", read.counts)
    print_counts(console, "while taking back", made.counts)
    _print_round(console, sent, made)
    console.print(outlook([*before, made.round]).sentence)
    for line in said:
        console.print(line)


def _own_places(sent: Sent) -> list[str]:
    """The folders of a queue that annotators have worked in themselves.

    Raises:
        ConfigError: the tool exports to other files.
    """
    if sent.tool != "brat":
        raise ConfigError(
            f"{sent.path}: name what each annotator exported from {sent.tool}, as NAME=PATH"
        )
    return [f"{name}={sent.path / name}" for name in sent.queue.annotators]


def _print_round(console: Screen, sent: Sent, made: Returned) -> None:
    queue = sent.queue
    n_control = sum(doc.metadata[QUEUED] == "control" for doc in made.docs)
    console.print(
        f"Round {queue.round}: {len(made.docs):,} of {len(queue.items):,} notes came back, "
        f"{n_control:,} of them control notes."
    )
    _print_absent(console, "notes did not come back", made.missing)
    _print_absent(console, "notes lack a second reading", made.waiting)
    if made.missing and sent.tool in MARKED:
        console.print(f"A note comes back once its mark {TO_READ} is deleted.")
    if made.agreement is not None:
        f1, n = made.agreement.overall.strict, len(made.agreement.readings)
        console.print(
            f"Agreement on {n:,} notes that two have read: F1 {_points(f1.value, f1.interval)}."
        )
    if made.n_undecided:
        console.print(
            f"{made.n_undecided:,} places on which they differ are masked: neither learnt nor "
            "scored. Let a person decide them (notesmith corpus adjudicate)."
        )
    if made.changed.value is not None:
        console.print(
            f"Of the labels shown, annotators changed or removed {made.changed}, and they added "
            f"{made.added:,} mentions."
        )
    if made.f1_shown.value is not None:
        console.print(f"F1 of the model's labels on notes where they were shown: {made.f1_shown}.")
    if made.f1_control.value is not None:
        console.print(
            f"F1 of the model's labels on control notes, labelled without them: {made.f1_control}."
        )
    if made.seems_anchored:
        console.print(
            "Warning: annotators may have accepted what they were shown, for they agree with the "
            "model far more on its labels than on control notes, though the shown notes are harder."
        )
    for kind, effort in made.effort.items():
        console.print(
            f"{kind}: {effort.minutes:.0f} minutes for {effort.notes:,} notes, "
            f"{effort.per_thousand_words:.0f} for 1,000 words."
        )


def _print_absent(console: Screen, what: str, items: tuple[Item, ...]) -> None:
    if not items:
        return
    names = [f"{item.id} ({', '.join(item.annotators)})" for item in items[:_SHOWN]]
    more = f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
    console.print(f"{len(items):,} {what}: {', '.join(names)}{more}")


def _points(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "none"
    found = f"{100 * value:.1f}%"
    return (
        found if interval is None else f"{found} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
    )
