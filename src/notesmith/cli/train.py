"""``notesmith train``: train the student on labelled documents and save it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notesmith.cli.reading import read_counting, reads_documents
from notesmith.cli.screen import Screen, say
from notesmith.config.corpus import ReadingConfig
from notesmith.config.student import NerConfig
from notesmith.document import Document, labels_of
from notesmith.errors import ConfigError, CorpusError, FileError, shown_name
from notesmith.progress import OnProgress, Progress

if TYPE_CHECKING:
    from notesmith.ner.decode import WordScores


@reads_documents()
def train(
    corpus: Annotated[Path, typer.Argument(help="File or folder of labelled documents.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to make for the model.")],
    options: ReadingConfig,
    made: Annotated[
        list[Path] | None,
        typer.Option("--made", help="Made documents to train on as well; repeatable."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="ner.FIELD=VALUE", help="Change a setting; repeatable."),
    ] = None,
    labels: Annotated[
        str, typer.Option(help="Comma-separated labels to learn; those of CORPUS if not given.")
    ] = "",
    hub: Annotated[
        bool, typer.Option("--hub", help="Allow fetching the encoder from a model hub.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of new weights, order and dropout.")] = 13,
    students: Annotated[
        int, typer.Option(min=1, help="Students to train, each with a seed of its own, that vote.")
    ] = 1,
) -> None:
    """Train the student: an encoder with a tagging head, saved as a folder transformers can load.

    Settings are those of the table ner of a recipe, for example --set ner.steps=600. With
    --students 5 five students vote: the folder is used like one student. An interrupted command
    goes on with the students that are finished.
    """
    from notesmith.corpus.reading import check_named
    from notesmith.corpus.splits import find_splits

    config = student_config(changes or ())
    if out.exists():
        raise FileError(f"{out}: exists already; name another folder with --out")

    read = read_counting(corpus, options)
    gold = read.docs
    parts: Mapping[str, Path] = {}
    with suppress(CorpusError):  # names that could be parts of two kinds
        parts = find_splits(corpus)
    if {"train", "test"} <= parts.keys():
        say(
            f"{corpus}: the student learns from {', '.join(parts)} together, so scores on any of "
            f"these mean nothing; name {parts['train']} to leave the others out",
            err=True,
        )
    of_made = options.model_copy(update={"format": None, "unknown": ()})
    read_made = [read_counting(path, of_made) for path in made or ()]
    extra = [doc for each in read_made for doc in each.docs]
    check_named(options, [read, *read_made])
    wanted = [name.strip() for name in labels.split(",") if name.strip()]
    if absent := [name for name in wanted if name not in labels_of([*gold, *extra])]:
        listed = ", ".join(map(shown_name, labels_of([*gold, *extra])))
        raise ConfigError(f"--labels {absent[0]}: no document has this label; labels are {listed}")
    from notesmith.ner.encoder import have_encoder
    from notesmith.ner.integrate import count_made_elsewhere
    from notesmith.ner.settings import read_settings

    if n := count_made_elsewhere(extra, gold):
        say(
            f"{n} of {len(extra)} made documents were made of documents that {corpus.name} lacks; "
            "a score on those would be of text that the student has seen",
            err=True,
        )
    learnt = wanted or labels_of(gold) or labels_of(extra)
    soft: dict[str, WordScores] = {}
    for path, each in zip(made or (), read_made, strict=True):
        soft |= _soft_labels(path, each.docs, learnt)
    config = config.model_copy(update={"encoder": have_encoder(config.encoder, fetch=hub)})
    lesson = _Lesson(gold, extra, config, tuple(wanted), soft, seed)
    taken = _train_one(lesson, out) if students == 1 else _train_votes(lesson, students, out)
    for what, n in sorted(taken.counts.items()):
        say(f"{n:,} {what.replace('_', ' ')}", err=True)
    saved = read_settings(out)
    names = ", ".join(a.name for a in saved.attributes)
    attributes = f"attributes {names}, " if names else ""
    say(
        f"{out}: {len(gold)} + {len(extra)} documents, labels {', '.join(saved.labels)}, "
        f"{attributes}{taken.words}, {taken.seconds:.0f} s"
    )


@dataclass(frozen=True, slots=True)
class _Lesson:
    """What is learnt, and how."""

    gold: Sequence[Document]
    made: Sequence[Document]
    config: NerConfig
    labels: tuple[str, ...]
    soft: Mapping[str, WordScores]
    seed: int


@dataclass(frozen=True, slots=True)
class _Taken:
    """What training took, in words; ``counts`` is what was flattened or completed."""

    words: str
    seconds: float
    counts: Mapping[str, int]


def _train_one(lesson: _Lesson, out: Path) -> _Taken:
    from notesmith.ner.train import train_ner

    with moving_line() as on_progress:
        result = train_ner(
            lesson.gold,
            lesson.made,
            config=lesson.config,
            labels=lesson.labels or None,
            seed=lesson.seed,
            soft=lesson.soft,
            on_progress=on_progress,
        )
        result.model.save(out)
    last = result.history[-1]
    words = f"{last['step']:.0f} steps, loss {last['loss']:.3g}"
    completed = {f"mentions {what} in made documents": n for what, n in result.completed.items()}
    return _Taken(words, result.seconds, {**result.counts, **completed})


def _train_votes(lesson: _Lesson, students: int, out: Path) -> _Taken:
    from notesmith.workflows.voters import n_finished, train_voters, work_of

    try:
        with moving_line() as on_progress:
            found = train_voters(
                lesson.gold,
                lesson.made,
                config=lesson.config,
                labels=lesson.labels or None,
                soft=lesson.soft,
                students=students,
                seed=lesson.seed,
                out=out,
                on_progress=on_progress,
            )
    except KeyboardInterrupt:
        n = n_finished(work_of(out))
        kept = f"{n} of {students} students are finished, in {work_of(out)}, and the same command"
        said = f"{kept} goes on" if n else "no student was finished"
        say(f"notesmith: interrupted; {said}", err=True)
        raise typer.Exit(130) from None
    least, most = (f"{pick(found.losses, default=0):.3g}" for pick in (min, max))
    losses = f", loss {least}{f' to {most}' if most != least else ''}" if found.losses else ""
    before = f", {found.n_resumed} of them trained before" if found.n_resumed else ""
    words = f"{students} students that vote{before}, {lesson.config.steps} steps each{losses}"
    return _Taken(words, found.seconds, found.counts)


def _soft_labels(
    path: Path, docs: Sequence[Document], labels: Sequence[str]
) -> dict[str, WordScores]:
    """The distributions of words that stand beside made documents; says what is used."""
    from notesmith.experiment import taught

    file = taught.beside(path)
    if not file.is_file():
        return {}
    found = taught.soft_labels(file, docs, labels)
    others = [
        f"{n:,} {what}"
        for n, what in (
            (found.n_changed, "were changed since and teach their own labels"),
            (found.n_without, "are not in it and teach their own labels"),
        )
        if n
    ]
    say(
        f"{file.name}: {len(found.scores):,} documents of {path.name} teach the distributions of "
        f"their words{''.join(f'; {what}' for what in others)}",
        err=True,
    )
    return found.scores


def student_config(changes: Sequence[str]) -> NerConfig:
    """The default ``NerConfig`` with ``ner.FIELD=VALUE`` changes.

    Raises:
        ConfigError: a change is not written so, or the field or value is wrong.
    """
    from pydantic import ValidationError

    from notesmith.experiment.recipes import apply_change

    values: dict[str, Any] = {"ner": {}}
    for change in changes:
        if not re.match(r"\s*ner\.[^=]+=", change):
            raise ConfigError(f"--set {change!r}: write it as ner.FIELD=VALUE")
        apply_change(values, change)
    try:
        return NerConfig.model_validate(values["ner"])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in ("ner", *first["loc"]))
        raise ConfigError(f"--set {where}: {first['msg']}") from None


@contextmanager
def moving_line() -> Iterator[OnProgress]:
    """Show the state of one stage: one updating line in a terminal, a line a minute elsewhere."""
    from notesmith.cli.progress import PLAIN_EVERY, describe

    console = Screen(stderr=True, highlight=False)
    printed = time.monotonic()

    def print_sometimes(progress: Progress) -> None:
        nonlocal printed
        if time.monotonic() - printed >= PLAIN_EVERY:
            printed = time.monotonic()
            console.print(describe(progress), soft_wrap=True)

    if not console.is_terminal:
        yield print_sometimes
        return
    with console.status("starting") as status:
        yield lambda progress: status.update(console.render_str(describe(progress)))
