"""Why *synthetic + replacement* gained less in a later run: text, amount, student's code, luck.

    python benchmarks/why_the_gain_fell.py write OLD_TREE old-run CORPUS
    python benchmarks/why_the_gain_fell.py write NEW_TREE new-run CORPUS
    python benchmarks/why_the_gain_fell.py again NEW_TREE new-run CORPUS
    python benchmarks/why_the_gain_fell.py train NEW_TREE old-run new-run CORPUS --out cells.jsonl
    python benchmarks/why_the_gain_fell.py train OLD_TREE old-run new-run CORPUS --out cells.jsonl \
        --only "old text, all" --students 2
    python benchmarks/why_the_gain_fell.py collect cells.jsonl --old old-run --new new-run \
        --first docs/results/ncbi-disease.json --later docs/results/ncbi-disease-50-rl-test.json \
        --out scores.json
    python benchmarks/why_the_gain_fell.py table scores.json

Trees are checkouts of the commits that are compared; CORPUS is the folder of NCBI Disease's
original files. Run folders hold text and stay where they are; cells and scores hold counts alone.
``train`` goes on where it stopped, and ``--part 1/2`` takes every second cell. Test documents are
never scored: the generators get hashes of them, so that no made text repeats one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from notesmith.document import Document

ROOT, SIZE, N_DRAWS, PER_GOLD = 13, 50, 2, 1.5
FILES = {
    "train": "train/NCBItrainset_corpus.txt",
    "dev": "devel/NCBIdevelopset_corpus.txt",
    "test": "test/NCBItestset_corpus.txt",
}
AGAIN = "written-again"
SETS = ("outside", "dev")
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Arm:
    """What joins gold: text of a run (or none), all of it or the first of it, and replacement."""

    text: str = ""
    first: bool = False
    replaced: bool = True
    by_length: bool = False


ARMS: dict[str, Arm] = {
    "replacement": Arm(),
    "old text, all": Arm("old"),
    "new text, 1.5 a unit": Arm("new", first=True),
    "new text, all": Arm("new"),
    "old text, 1.5 a unit": Arm("old", first=True),
    "new text again, all": Arm("again"),
    "replacement, like lengths": Arm(by_length=True),
    "old text, all, like lengths": Arm("old", by_length=True),
    "new text, 1.5 a unit, like lengths": Arm("new", first=True, by_length=True),
    "gold": Arm(replaced=False),
}
COMPARED: tuple[tuple[str, str, str], ...] = (
    ("text: new - old, all kept", "new text, all", "old text, all"),
    ("text: new - old, 1.5 a unit", "new text, 1.5 a unit", "old text, 1.5 a unit"),
    ("text: new again - new", "new text again, all", "new text, all"),
    ("amount: 1.5 a unit - all, old text", "old text, 1.5 a unit", "old text, all"),
    ("amount: 1.5 a unit - all, new text", "new text, 1.5 a unit", "new text, all"),
    ("both: new, 1.5 a unit - old, all", "new text, 1.5 a unit", "old text, all"),
    (
        "like lengths - random: old, all",
        "old text, all, like lengths",
        "old text, all",
    ),
    (
        "like lengths - random: new, 1.5 a unit",
        "new text, 1.5 a unit, like lengths",
        "new text, 1.5 a unit",
    ),
    ("like lengths - random: replacement", "replacement, like lengths", "replacement"),
    ("gain over replacement: old, all", "old text, all", "replacement"),
    ("gain over replacement: new, all", "new text, all", "replacement"),
    ("gain over replacement: new, 1.5 a unit", "new text, 1.5 a unit", "replacement"),
    (
        "gain, like lengths: old, all",
        "old text, all, like lengths",
        "replacement, like lengths",
    ),
    (
        "gain, like lengths: new, 1.5 a unit",
        "new text, 1.5 a unit, like lengths",
        "replacement, like lengths",
    ),
)


def use(tree: Path) -> None:
    """Let ``notesmith`` be that of ``tree``.

    Raises:
        SystemExit: another one was loaded.
    """
    source = str(tree.resolve() / "src")
    sys.path.insert(0, source)
    import notesmith

    if not str(notesmith.__file__).startswith(source):
        raise SystemExit(f"{notesmith.__file__} is not of {tree}")


def changes_for(corpus: Path) -> list[str]:
    """What both runs change in the recipe ``ncbi-disease``; its students are of no interest."""
    return [
        *(f"corpus.{split}={corpus / name}" for split, name in FILES.items()),
        "lm.model=gemma3-270m-offline",
        f"draws.sizes=[{SIZE}]",
        f"draws.replicates={N_DRAWS}",
        f"draws.seed={ROOT}",
        "evaluate.split=dev",
        "ner.steps=1",
    ]


def write(tree: Path, run: Path, corpus: Path) -> int:
    """Let the generators of ``tree`` write; return the command's exit code."""
    command = ["run", "ncbi-disease", "--out", str(run), "--keep-models"]
    command += ["--arms", "gold,synthetic + replacement"]
    for change in changes_for(corpus):
        command += ["--set", change]
    code = "from notesmith.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(tree.resolve() / "src")}
    return subprocess.run([sys.executable, "-c", code, *command], env=environment).returncode


def folder_of(run: Path, stage: str, seed: int | None) -> Path:
    """The folder of the cell of ``stage`` with that seed (the only one, where it is None).

    Raises:
        SystemExit: there is none.
    """
    for path in sorted(run.glob(f"cells/{stage}/*/metrics.json")):
        if seed is None or json.loads(path.read_text("utf-8"))["seed"] == seed:
            return path.parent
    raise SystemExit(f"{run}: no finished cell {stage}; let it write first")


def generator_seed(draw: int) -> int:
    """The seed of all that is made from draw ``draw``, counted from 1."""
    from notesmith.pipeline.cells import seed_for

    return seed_for(ROOT, "generator", SIZE, draw - 1)


def text_folder(run: Path, text: str, draw: int) -> Path:
    """The folder of the text of ``run`` that the filters kept.

    Raises:
        SystemExit: there is none.
    """
    if text != "again":
        return folder_of(run, "filter", generator_seed(draw))
    folder = run / AGAIN / str(draw)
    if not (folder / "metrics.json").exists():
        raise SystemExit(f"{run}: nothing was written again from draw {draw}")
    return folder


def gold_folder(run: Path, draw: int) -> Path:
    """The folder of the gold documents of a draw."""
    from notesmith.pipeline.cells import seed_for

    return folder_of(run, "draw", seed_for(ROOT, "draw", draw - 1))


def again(run: Path, corpus: Path) -> None:
    """Let the fine-tuned generators of ``run`` write once more, all of it by another seed."""
    from notesmith.config import LmConfig
    from notesmith.filters import run as run_filters
    from notesmith.lm import load_lm
    from notesmith.pipeline import artefacts, load_recipe
    from notesmith.pipeline.machine import home
    from notesmith.synthesize import run_sample

    config = load_recipe("ncbi-disease", changes=changes_for(corpus))
    hashes = json.loads((folder_of(run, "held-out", None) / "hashes.json").read_text("utf-8"))
    for draw in range(1, N_DRAWS + 1):
        out = run / AGAIN / str(draw)
        if (out / "metrics.json").exists():
            continue
        seed = generator_seed(draw)
        gold = artefacts.load_docs(gold_folder(run, draw))
        model = folder_of(run, "sft", seed) / artefacts.MODEL
        written = run_sample(
            load_lm(LmConfig(model=str(model), trim=False), cache=home() / "cache"),
            gold,
            artefacts.load_names(folder_of(run, "names", seed)),
            config,
            labels=("Disease",),
            seed=seed + 1,
        )
        result = run_filters(
            written.candidates, gold, config.filter, held_out=frozenset(map(int, hashes))
        )
        out.mkdir(parents=True, exist_ok=True)
        artefacts.save_docs(result.kept, out)
        dropped = {reason: n for reason, n in result.counts.items() if reason != "kept"}
        found = {"asked": len(written.candidates), "dropped": dropped}
        (out / "metrics.json").write_text(json.dumps(found), "utf-8")


class Documents:
    """The documents of both runs, read once a draw."""

    def __init__(self, old: Path, new: Path, corpus: Path) -> None:
        from notesmith.corpus import read_corpus

        self.runs = {"old": old, "new": new}
        self.split = {
            name: read_corpus(corpus / FILES[name], label_map={"*": "Disease"}).docs
            for name in ("train", "dev")
        }
        self._read: dict[tuple[str, int], list[Document]] = {}

    def gold(self, draw: int) -> list[Document]:
        """The documents of a draw, which both runs must share."""
        return self._load("gold", draw, lambda run: gold_folder(run, draw))

    def replaced(self, draw: int) -> list[Document]:
        """Copies of the draw with other mentions, which both runs must share."""
        return self._load(
            "replaced", draw, lambda run: folder_of(run, "replaced", generator_seed(draw))
        )

    def made(self, arm: Arm, draw: int) -> list[Document]:
        """What joins gold, in the order in which a run puts it."""
        found = [*self.replaced(draw)] if arm.replaced else []
        return found + (self.text(arm, draw) if arm.text else [])

    def text(self, arm: Arm, draw: int) -> list[Document]:
        """The text of a run that the filters kept, or the first of it."""
        from notesmith.pipeline import artefacts
        from notesmith.segments import split

        key = (arm.text, draw)
        if key not in self._read:
            run = self.runs["old" if arm.text == "old" else "new"]
            self._read[key] = artefacts.load_docs(text_folder(run, arm.text, draw))
        n_units = sum(len(split(doc, "sentence")) for doc in self.gold(draw))
        return self._read[key][: round(PER_GOLD * n_units) if arm.first else None]

    def has(self, arm: Arm, draw: int) -> bool:
        """Whether what ``arm`` needs has been written."""
        try:
            self.made(arm, draw)
        except SystemExit:
            return False
        return True

    def scored(self, name: str, draw: int) -> list[Document]:
        """Dev, or all of train that is not in the draw."""
        if name == "dev":
            return self.split["dev"]
        own = {doc.id for doc in self.gold(draw)}
        return [doc for doc in self.split["train"] if doc.id not in own]

    def _load(self, what: str, draw: int, folder: Callable[[Path], Path]) -> list[Document]:
        from notesmith.pipeline import artefacts

        key = (what, draw)
        if key not in self._read:
            found = [artefacts.load_docs(folder(run)) for run in self.runs.values()]
            if [d.text for d in found[0]] != [d.text for d in found[1]]:
                raise SystemExit(f"draw {draw}: {what} documents of the two runs differ")
            self._read[key] = found[1]
        return self._read[key]


def by_length_always(on: bool) -> None:
    """Batch units of like length, as on a GPU, or as the machine does it."""
    from notesmith.ner import integrate, train

    def plan(*args: Any, **values: Any) -> list[list[int]]:
        return integrate.plan_batches(*args, **{**values, "by_length": True})

    vars(train)["plan_batches"] = plan if on else integrate.plan_batches


def train(docs: Documents, arm: Arm, draw: int, student: int) -> dict[str, Any]:
    """Train one student and score it: counts a document, nothing of their text."""
    from notesmith.metrics import score
    from notesmith.ner import train_ner
    from notesmith.pipeline import load_recipe
    from notesmith.pipeline.cells import seed_for

    config = load_recipe("ncbi-disease", changes=["corpus.train=-"]).ner
    # The seeds of a run's students: the first is that of the published runs.
    purpose = f"student {student}" if student > 1 else "student"
    by_length_always(arm.by_length)
    began = time.process_time()
    result = train_ner(
        docs.gold(draw),
        docs.made(arm, draw),
        config=config,
        labels=("Disease",),
        seed=seed_for(ROOT, purpose, SIZE, draw - 1),
    )
    found: dict[str, Any] = {"loss": result.history[-1]["loss"], "tokens": result.tokens}
    for name in SETS:
        gold = docs.scored(name, draw)
        counts = score(gold, result.model.predict(gold)).documents()
        found[name] = [[c.tp, c.fp, c.fn] for c in counts]
    return {**found, "processor_seconds": round(time.process_time() - began, 1)}


def wanted(args: argparse.Namespace) -> Iterator[tuple[int, int, str]]:
    """Student, draw and arm of each cell, such that all arms are equally full at any time."""
    for student in range(1, args.students + 1):
        for draw in args.draw or range(1, N_DRAWS + 1):
            for name in args.only or ARMS:
                yield student, draw, name


def train_all(docs: Documents, args: argparse.Namespace) -> None:
    """Train what is not finished; a line of JSON each."""
    code = args.code or args.tree.resolve().name
    part, parts = map(int, args.part.split("/"))
    for number, (student, draw, name) in enumerate(wanted(args)):
        cell = {"code": code, "arm": name, "draw": draw, "student": student}
        done = read_cells([args.out]) if args.out.exists() else []
        if number % parts != part - 1 or any(cell.items() <= d.items() for d in done):
            continue
        if not docs.has(ARMS[name], draw):
            continue
        cell |= train(docs, ARMS[name], draw, student)
        with args.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(cell) + "\n")
        f1 = ", ".join(f"{n} {f1_of(np.sum(cell[n], axis=0)):.2f}" for n in SETS)
        print(f"{student} {draw} {name} [{code}]: {f1}, {cell['processor_seconds']} s", flush=True)


def read_cells(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Finished cells of several files."""
    return [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()]


def f1_of(counts: Any) -> float:
    """Strict micro-F1 of (tp, fp, fn), in per cent."""
    tp, fp, fn = counts
    return float(200 * tp / (2 * tp + fp + fn))


def collect(args: argparse.Namespace) -> dict[str, Any]:
    """All cells with their F1, counts a document summed over students, and what was written."""
    cells = read_cells(args.cells)
    summed: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for cell in sorted(cells, key=lambda c: (c["code"], c["draw"], c["arm"], c["student"])):
        row = {k: cell[k] for k in ("code", "arm", "draw", "student", "processor_seconds")}
        # The same digest means the same counts on each document.
        row["digest"] = _digest([cell[name] for name in SETS])
        for name in SETS:
            row[name] = round(f1_of(np.sum(cell[name], axis=0)), 3)
            key = f"{cell['code']}|{cell['arm']}|{cell['draw']}|{name}"
            total = np.array(cell[name]) + np.array(summed.get(key, 0))
            summed[key] = total.tolist()
        rows.append(row)
    return {
        "cells": rows,
        "same": same_parts(args.old, args.new),
        "texts": texts_of(args.old, args.new),
        "published": published(args.first, args.later),
        "documents": summed,
    }


def published(first: Path, later: Path) -> dict[str, Any]:
    """F1 of the arms that both published runs have, a draw each; ``made`` is what joined gold."""
    runs = [json.loads(path.read_text("utf-8")) for path in (first, later)]
    arms: list[dict[str, dict[str, Any]]] = [
        {"+".join(arm["made"]) or "gold": arm for arm in run["arms"] if _is_plain(arm)}
        for run in runs
    ]
    kept = [
        [row for row in run["made"] if row["size"] == SIZE and row.get("source") in _PLAIN]
        for run in runs
    ]
    return {
        "arms": {
            made: {
                split: [found[made][name]["values"] for found in arms]
                for split, name in (("test", "f1"), ("dev", "dev_f1"))
            }
            for made in arms[0]
            if made in arms[1]
        },
        "kept": [[row["kept"] for row in rows] for rows in kept],
        "words": [[row["words"] for row in rows] for rows in kept],
        "cut": [row["dropped"].get("more than was wanted", 0) for row in kept[1]],
    }


_PLAIN = (None, "sft+filter")


def _is_plain(arm: Mapping[str, Any]) -> bool:
    """Whether no arm of the later run but this one has such documents: no rewards, no choice."""
    names = ("gold", "replacement", "synthetic", "synthetic + replacement")
    return arm["size"] == SIZE and arm["name"].replace("sft+filter", "synthetic") in names


def same_parts(old: Path, new: Path) -> list[dict[str, Any]]:
    """Digests of what both codes made from the same documents: names, tuned model, copies."""
    found: list[dict[str, Any]] = []
    for draw in range(1, N_DRAWS + 1):
        for stage, file in (
            ("names", "names.json"),
            ("sft", "model/model.safetensors"),
            ("replaced", "docs.jsonl"),
        ):
            try:
                folders = [folder_of(run, stage, generator_seed(draw)) for run in (old, new)]
            except SystemExit:
                continue
            digests = [hashlib.sha256((f / file).read_bytes()).hexdigest()[:12] for f in folders]
            found.append({"stage": stage, "draw": draw, "old": digests[0], "new": digests[1]})
    return found


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]


def texts_of(old: Path, new: Path) -> list[dict[str, Any]]:
    """Counts of what each run wrote and kept, a draw each."""
    from notesmith.metrics import fold_mention
    from notesmith.pipeline import artefacts

    found: list[dict[str, Any]] = []
    for run, name in ((old, "old"), (new, "new"), (new, "again")):
        for draw in range(1, N_DRAWS + 1):
            try:
                folder = text_folder(run, name, draw)
            except SystemExit:
                continue
            kept = artefacts.load_docs(folder)
            metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
            mentions = [e.mention(d.text) for d in kept for e in d.entities]
            found.append(
                {
                    "text": name,
                    "draw": draw,
                    "asked": metrics["asked"],
                    "dropped": metrics["dropped"],
                    "kept": len(kept),
                    "words": sum(len(d.text.split()) for d in kept),
                    "mentions": len(mentions),
                    "names": len({fold_mention(m) for m in mentions}),
                    "without_mentions": sum(not d.entities for d in kept),
                    "masked": sum(len(d.masked) for d in kept),
                    "digest": _digest([d.text for d in kept]),
                }
            )
    return found


@dataclass(frozen=True, slots=True)
class Effect:
    """A mean difference in F1, its standard error of student luck, its interval of documents."""

    mean: float
    error: float
    low: float
    high: float
    students: int


def effect_of(scores: Mapping[str, Any], new: str, old: str, draw: int, name: str) -> Effect | None:
    """``new`` less ``old`` in one draw, students paired by seed; None where there are no pairs."""
    f1: dict[str, dict[int, float]] = {new: {}, old: {}}
    code = default_code(scores)
    for cell in scores["cells"]:
        if cell["arm"] in f1 and cell["draw"] == draw and cell["code"] == code:
            f1[cell["arm"]][cell["student"]] = cell[name]
    both = sorted(f1[new].keys() & f1[old].keys())
    if len(both) < 2:
        return None
    gaps = [f1[new][s] - f1[old][s] for s in both]
    counts = [
        np.array(scores["documents"][f"{code}|{arm}|{draw}|{name}"], dtype=float)
        for arm in (new, old)
    ]
    rng = np.random.default_rng(ROOT)
    drawn: list[float] = []
    for _ in range(RESAMPLES):
        rows = rng.integers(len(counts[0]), size=len(counts[0]))
        drawn.append(f1_of(counts[0][rows].sum(0)) - f1_of(counts[1][rows].sum(0)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    error = statistics.stdev(gaps) / math.sqrt(len(gaps))
    return Effect(statistics.fmean(gaps), error, float(low), float(high), len(both))


def default_code(scores: Mapping[str, Any]) -> str:
    """The code that trained most students."""
    return str(statistics.mode(cell["code"] for cell in scores["cells"]))


def tables(scores: Mapping[str, Any]) -> str:
    """The page's tables, as Markdown."""
    parts = (published_table, text_table, arm_table, effect_table, same)
    return "\n\n".join(part(scores) for part in parts)


def published_table(scores: Mapping[str, Any]) -> str:
    """The later published run less the first, a draw each, and mean with its standard error."""
    lines = [
        "| made documents | test, by draw | mean ± s.e. | dev, by draw | mean ± s.e. |",
        "| --- " * 5 + "|",
    ]
    for made, splits in scores["published"]["arms"].items():
        cells: list[str] = []
        for first, later in splits.values():
            gaps = [b - a for a, b in zip(first, later, strict=True)]
            error = statistics.stdev(gaps) / math.sqrt(len(gaps))
            cells.append(", ".join(f"{gap:+.1f}" for gap in gaps))
            cells.append(f"{statistics.fmean(gaps):+.2f} ± {error:.2f}")
        lines.append(f"| {made} | {' | '.join(cells)} |")
    return "\n".join(lines)


def text_table(scores: Mapping[str, Any]) -> str:
    """What each generator wrote."""
    columns = ("asked", "kept", "words", "mentions", "names", "without_mentions", "masked")
    lines = [
        f"| text | draw | {' | '.join(c.replace('_', ' ') for c in columns)} |",
        "| --- " * (len(columns) + 2) + "|",
    ]
    for row in scores["texts"]:
        cells = " | ".join(f"{row[c]:,}" for c in columns)
        lines.append(f"| {row['text']} | {row['draw']} | {cells} |")
    return "\n".join(lines)


def arm_table(scores: Mapping[str, Any]) -> str:
    """Mean and spread of students, an arm a row."""
    code = default_code(scores)
    heads = [f"{name}, draw {draw}" for name in SETS for draw in range(1, N_DRAWS + 1)]
    lines = [f"| arm | students | {' | '.join(heads)} |", "| --- " * (len(heads) + 2) + "|"]
    for arm in ARMS:
        cells: list[str] = []
        students: list[int] = []
        for name in SETS:
            for draw in range(1, N_DRAWS + 1):
                own = [
                    c[name]
                    for c in scores["cells"]
                    if (c["arm"], c["draw"], c["code"]) == (arm, draw, code)
                ]
                students.append(len(own))
                spread = f" ± {statistics.stdev(own):.1f}" if len(own) > 1 else ""
                cells.append(f"{statistics.fmean(own):.1f}{spread}" if own else "")
        if any(students):
            n = "–".join(str(n) for n in sorted({min(students), max(students)}))
            lines.append(f"| {arm} | {n} | {' | '.join(cells)} |")
    return "\n".join(lines)


def effect_table(scores: Mapping[str, Any]) -> str:
    """Differences with one standard error of students, and 95% of documents outside the draw."""
    heads = [f"{name}, draw {draw}" for name in SETS for draw in range(1, N_DRAWS + 1)]
    lines = [f"| difference | {' | '.join(heads)} | mean outside |", "| --- " * 6 + "|"]
    for title, new, old in COMPARED:
        cells: list[str] = []
        outside: list[Effect] = []
        for name in SETS:
            for draw in range(1, N_DRAWS + 1):
                found = effect_of(scores, new, old, draw, name)
                if found is None:
                    cells.append("")
                    continue
                outside += [found] if name == "outside" else []
                interval = f" [{found.low:+.1f}, {found.high:+.1f}]" if name == "outside" else ""
                cells.append(f"{found.mean:+.1f} ± {found.error:.1f}{interval}")
        if any(cells):
            mean = statistics.fmean(e.mean for e in outside)
            error = math.sqrt(sum(e.error**2 for e in outside)) / len(outside)
            lines.append(f"| {title} | {' | '.join(cells)} | {mean:+.2f} ± {error:.2f} |")
    return "\n".join(lines)


def same(scores: Mapping[str, Any]) -> str:
    """Whether students of two codes are the same, on the cells that both trained."""
    digests: dict[tuple[str, int, int], dict[str, str]] = {}
    for c in scores["cells"]:
        digests.setdefault((c["arm"], c["draw"], c["student"]), {})[c["code"]] = c["digest"]
    both = [found for found in digests.values() if len(found) > 1]
    equal = sum(len(set(found.values())) == 1 for found in both)
    parts = [f"{p['stage']} of draw {p['draw']}" for p in scores["same"] if p["old"] == p["new"]]
    other = [f"{p['stage']} of draw {p['draw']}" for p in scores["same"] if p["old"] != p["new"]]
    return (
        f"Of {len(both)} students that both codes trained, {equal} gave the same counts.\n"
        f"The same to the bit: {', '.join(parts) or 'nothing'}. Not: {', '.join(other) or 'none'}."
    )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("write", "again"):
        step = steps.add_parser(name)
        for argument in ("tree", "run", "corpus"):
            step.add_argument(argument, type=Path)
    step = steps.add_parser("train")
    for argument in ("tree", "old", "new", "corpus"):
        step.add_argument(argument, type=Path)
    step.add_argument("--out", type=Path, required=True)
    step.add_argument("--code", help="what the tree is called in the cells; its folder's name")
    step.add_argument("--students", type=int, default=5)
    step.add_argument("--only", action="append", choices=list(ARMS), default=[])
    step.add_argument("--draw", action="append", type=int, default=[])
    step.add_argument("--part", default="1/1")
    step = steps.add_parser("collect")
    step.add_argument("cells", type=Path, nargs="+")
    for argument in ("--old", "--new", "--first", "--later", "--out"):
        step.add_argument(argument, type=Path, required=True)
    steps.add_parser("table").add_argument("scores", type=Path)
    return parser.parse_args()


def main() -> None:
    """Do one step."""
    args = parse()
    if args.step == "write":
        raise SystemExit(write(args.tree, args.run, args.corpus))
    if args.step in ("again", "train"):
        use(args.tree)
    if args.step == "again":
        again(args.run, args.corpus)
    elif args.step == "train":
        train_all(Documents(args.old, args.new, args.corpus), args)
    elif args.step == "collect":
        args.out.write_text(json.dumps(collect(args), separators=(",", ":")) + "\n", "utf-8")
    else:
        print(tables(json.loads(args.scores.read_text("utf-8"))))


if __name__ == "__main__":
    main()
