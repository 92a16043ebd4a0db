"""Label more notes, or not? Labelling simulated on a corpus whose labels are known.

    python benchmarks/label_or_not.py run TRAIN --label-map '*=Disease' --out runs/label-or-not
    python benchmarks/label_or_not.py table runs/label-or-not

Each draw begins with some labelled documents and a pool of notes whose labels are hidden. A person
then reads as many words as the labelled documents have, and what was read is labelled as in the
corpus. Compared are the votes of students of what is labelled, and one student that learns the
votes' distributions on the notes that nobody read:

- ``start``: the first documents, nothing read.
- ``silver``: nothing read, the whole pool labelled by the votes of ``start``.
- ``random``, ``queue``: notes by lot, or as ``notesmith annotate --for-review`` queues them.
- ``random + silver``, ``queue + silver``: the rest of the pool labelled by the votes of that.

Scored documents are the same for all draws. None of their texts and patients is in another part.
A finished part is kept in the folder, as text-free counts, so the same command goes on after a
stop. The folder also holds students; they are deleted as soon as a draw is finished.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from notesmith.annotation.queue import Choice, choose
from notesmith.cli.process import prepare
from notesmith.config import NerConfig, ReadingConfig
from notesmith.corpus import read_corpus
from notesmith.corpus.formats import jsonl
from notesmith.corpus.outside import outside_of
from notesmith.document import Document, Provenance, labels_of
from notesmith.evaluate.bootstrap import bootstrap
from notesmith.experiment.graph import seed_for
from notesmith.files.write import atomic_write_text
from notesmith.metrics import score
from notesmith.ner.protocol import Student
from notesmith.ner.student import load_student
from notesmith.ner.train import train_ner
from notesmith.words import words
from notesmith.workflows.voters import train_voters

SETTINGS = "settings.json"
ARMS = ("start", "silver", "random", "queue", "random + silver", "queue + silver")


@dataclass(frozen=True, slots=True)
class Settings:
    """What is simulated: counts of documents, of students that vote, and of students of silver."""

    start: int = 25
    pool: int = 300
    scored: int = 200
    voters: int = 5
    students: int = 3
    steps: int = NerConfig().steps
    encoder: str = NerConfig().encoder
    seed: int = 24003


@dataclass(frozen=True, slots=True)
class Draw:
    """The documents of a draw, with their labels."""

    gold: list[Document]
    pool: list[Document]
    scored: list[Document]


def draw(docs: Sequence[Document], settings: Settings, number: int) -> Draw:
    """Documents of draw ``number`` (from 1); the scored ones are those of all draws.

    Raises:
        SystemExit: there are too few documents.
    """
    rest = list(docs)
    random.Random(settings.seed).shuffle(rest)
    scored, rest = rest[: settings.scored], rest[settings.scored :]
    rest = list(outside_of(scored)(rest, Counter()))
    if len(rest) < settings.start + settings.pool or not scored:
        raise SystemExit(
            f"{len(scored) + len(rest)} documents, without repeats of scored ones; "
            f"{settings.scored + settings.start + settings.pool} are needed"
        )
    random.Random(seed_for(settings.seed, f"draw {number}")).shuffle(rest)
    end = settings.start + settings.pool
    return Draw(rest[: settings.start], rest[settings.start : end], scored)


def n_words(docs: Sequence[Document]) -> int:
    """Words that a person reads."""
    return sum(len(words(doc.text)) for doc in docs)


def by_lot(pool: Sequence[Document], budget: int, seed: int) -> list[Document]:
    """Notes at random until ``budget`` words are read; the last may run past it, as in a queue."""
    order = list(pool)
    random.Random(seed).shuffle(order)
    chosen: list[Document] = []
    while order and n_words(chosen) < budget:
        chosen.append(order.pop())
    return chosen


@dataclass(frozen=True, slots=True)
class Simulation:
    """One draw, whose finished parts stand in ``folder``."""

    chosen: Draw
    labels: tuple[str, ...]
    settings: Settings
    number: int
    folder: Path

    @property
    def models(self) -> Path:
        """Where students stand until the draw is finished."""
        return self.folder / f"draw-{self.number}"

    @property
    def config(self) -> NerConfig:
        """Of every student."""
        return NerConfig(encoder=self.settings.encoder, steps=self.settings.steps)

    def seed(self, what: str) -> int:
        """The seed of a part."""
        return seed_for(self.settings.seed, f"draw {self.number} {what}")

    def is_kept(self, arm: str) -> bool:
        """Whether an arm is finished."""
        return path_of(self.folder, arm, self.number).exists()

    def run(self) -> None:
        """Train and score all arms, each kept as soon as it is finished."""
        if not all(map(self.is_kept, ARMS)):
            self.models.mkdir(parents=True, exist_ok=True)
            self.arms_of("start", [])
            for name, read in self.reads().items():
                self.arms_of(name, read)
        if self.models.exists():
            shutil.rmtree(self.models)

    def reads(self) -> dict[str, list[Document]]:
        """The notes that a person reads, by the way in which they are chosen."""
        gold, pool = self.chosen.gold, self.chosen.pool
        budget = n_words(gold)
        notes = [unlabelled(doc) for doc in pool]
        scores = self.votes("start", gold).predict_scores(notes)
        choice = Choice(words=budget, seed=self.seed("queue"))
        queue = choose(zip(notes, scores, strict=True), choice, gold=gold)
        by_id = {doc.id: doc for doc in pool}
        return {
            "random": by_lot(pool, budget, self.seed("random")),
            "queue": [by_id[item.id] for item in queue.items],
        }

    def arms_of(self, name: str, read: list[Document]) -> None:
        """The votes of what is labelled, and students of the rest of the pool."""
        silver = "silver" if name == "start" else f"{name} + silver"
        if self.is_kept(name) and self.is_kept(silver):
            return
        gold = [*self.chosen.gold, *read]
        voters = self.votes(name, gold)
        if not self.is_kept(name):
            self.keep(name, [voters], read)
        if not self.is_kept(silver):
            self.keep(silver, self.taught(silver, voters, gold), read)

    def votes(self, name: str, gold: Sequence[Document]) -> Student:
        """Students of ``gold`` that vote."""
        out = self.models / name
        if not out.exists():
            train_voters(
                gold,
                config=self.config,
                labels=self.labels,
                students=self.settings.voters,
                seed=self.seed(name),
                out=out,
            )
        return load_student(out)

    def taught(self, arm: str, voters: Student, gold: Sequence[Document]) -> Iterator[Student]:
        """Students of ``gold`` and of what ``voters`` think of the notes outside of it."""
        known = {doc.id for doc in gold}
        silver = Provenance("silver")
        notes = [
            replace(unlabelled(doc), provenance=silver)
            for doc in self.chosen.pool
            if doc.id not in known
        ]
        ids = [doc.id for doc in notes]
        soft = dict(zip(ids, voters.predict_scores(notes), strict=True))
        for n in range(1, self.settings.students + 1):
            out = self.models / f"{arm} {n}"
            if not out.exists():
                seed = self.seed(out.name)
                found = train_ner(
                    gold, notes, config=self.config, labels=self.labels, soft=soft, seed=seed
                )
                found.model.save(out)
            yield load_student(out)

    def keep(self, arm: str, students: Iterable[Student], read: Sequence[Document]) -> None:
        """Score ``students`` and write their counts."""
        scored = self.chosen.scored
        bare = [unlabelled(doc) for doc in scored]
        found = {
            "arm": arm,
            "draw": self.number,
            "words_read": n_words(read),
            "notes_read": len(read),
            "mentions_read": sum(len(doc.entities) for doc in read),
            "counts": [
                [(x.tp, x.fp, x.fn) for x in score(scored, student.predict(bare)).documents()]
                for student in students
            ],
        }
        atomic_write_text(path_of(self.folder, arm, self.number), json.dumps(found))


def simulate(docs: Sequence[Document], settings: Settings, number: int, folder: Path) -> None:
    """Run a draw."""
    Simulation(draw(docs, settings, number), labels_of(docs), settings, number, folder).run()


def unlabelled(doc: Document) -> Document:
    """A note as it is before anybody labels it."""
    return replace(doc, entities=(), relations=(), concept_relations=())


def path_of(folder: Path, arm: str, number: int) -> Path:
    """Where the counts of an arm and draw stand."""
    return folder / f"{number}-{arm.replace(' + ', '-')}.json"


def begin(folder: Path, settings: Settings, docs: Sequence[Document]) -> None:
    """Write down what the parts in ``folder`` are of.

    Raises:
        SystemExit: the folder holds parts of other documents or settings.
    """
    digest = hashlib.sha256()
    for doc in docs:
        digest.update(jsonl.dumps(doc).encode())
    said = json.dumps({**asdict(settings), "documents": digest.hexdigest()}, indent=1)
    path = folder / SETTINGS
    if path.exists() and path.read_text(encoding="utf-8") != said:
        raise SystemExit(f"{path}: is of other documents or settings; name another folder")
    atomic_write_text(path, said)


def run(args: argparse.Namespace) -> None:
    """Simulate all draws, ``--jobs`` of them side by side."""
    settings = Settings(
        **{
            name: value
            for name, value in vars(args).items()
            if name in Settings.__dataclass_fields__ and value is not None
        }
    )
    args.out.mkdir(parents=True, exist_ok=True)
    label_map = dict(pair.split("=", 1) for pair in args.label_map)
    docs = read_corpus(args.train, ReadingConfig(format=args.format, label_map=label_map)).docs
    begin(args.out, settings, docs)
    with ProcessPoolExecutor(
        args.jobs, mp_context=get_context("spawn"), initializer=prepare
    ) as pool:
        waiting = [
            pool.submit(simulate, docs, settings, number, args.out)
            for number in range(1, args.draws + 1)
        ]
        for number, each in enumerate(waiting, 1):
            each.result()
            print(f"draw {number} of {args.draws} is finished", flush=True)


def read_arms(folder: Path) -> dict[str, dict[int, Mapping[str, object]]]:
    """What was kept, by arm and draw."""
    found: dict[str, dict[int, Mapping[str, object]]] = {}
    for path in sorted(folder.glob("*-*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(kept["arm"], {})[kept["draw"]] = kept
    return found


def table(folder: Path) -> str:
    """Markdown: F1 of each arm, and the gain over ``start``, over words and over each other."""
    arms = read_arms(folder)
    draws = sorted(set.intersection(*(set(arms.get(arm, {})) for arm in ARMS)))
    if not draws:
        raise SystemExit(f"{folder}: no draw is finished")

    def counts(arm: str) -> NDArray[np.float64]:
        """(draws, students, documents, 3); the votes stand as often as there are students."""
        found = np.array([arms[arm][n]["counts"] for n in draws], dtype=float)
        most = max(len(arms[other][draws[0]]["counts"]) for other in ARMS)  # type: ignore[arg-type]
        return found if found.shape[1] == most else np.repeat(found, most, axis=1)

    def gap(arm: str, rival: str) -> str:
        found = bootstrap(counts(arm), counts(rival))
        low, mean, high = (100 * x for x in (found.low, found.mean, found.high))
        return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"

    lines = [
        f"{len(draws)} draws, {counts('start').shape[2]} scored documents",
        "",
        "| arm | words read | mentions read | F1 | over start | gain per 1,000 words | by draw |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for arm in ARMS:
        n_read, mentions = (
            float(np.mean([arms[arm][n][what] for n in draws]))  # type: ignore[arg-type]
            for what in ("words_read", "mentions_read")
        )
        own = 100 * bootstrap(counts(arm)).mean
        row = [arm, f"{n_read:,.0f}", f"{mentions:,.0f}", f"{own:.1f}"]
        if arm == "start":
            row += ["", "", ""]
        else:
            found = bootstrap(counts(arm), counts("start"))
            each = f"{100 * found.mean / (n_read / 1000):+.2f}" if n_read else "–"
            values = ", ".join(f"{100 * value:+.1f}" for value in found.values)
            row += [gap(arm, "start"), each, values]
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", "| compared | difference, 95% |", "| --- | ---: |"]
    for arm, rival in (
        ("queue", "random"),
        ("silver", "random"),
        ("random + silver", "random"),
        ("queue + silver", "queue"),
        ("queue + silver", "random + silver"),
    ):
        lines.append(f"| {arm} − {rival} | {gap(arm, rival)} |")
    return "\n".join(lines)


def main() -> None:
    """Run, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("run")
    step.add_argument("train", type=Path)
    step.add_argument("--out", type=Path, required=True)
    step.add_argument("--format")
    step.add_argument("--label-map", action="append", default=[], metavar="OLD=NEW")
    step.add_argument("--draws", type=int, default=5)
    step.add_argument("--jobs", type=int, default=1, help="draws side by side")
    for name, what in (
        ("start", "labelled documents"),
        ("pool", "notes whose labels are hidden"),
        ("scored", "documents that are scored"),
        ("voters", "students that vote"),
        ("students", "students of silver"),
        ("steps", "of each student"),
        ("seed", "root of all seeds"),
    ):
        step.add_argument(f"--{name}", type=int, help=what)
    step.add_argument("--encoder")
    step = steps.add_parser("table")
    step.add_argument("folder", type=Path)
    args = parser.parse_args()
    if args.step == "table":
        print(table(args.folder))
        return
    run(args)


if __name__ == "__main__":
    main()
