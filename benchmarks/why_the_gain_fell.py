"""Why *synthetic + replacement* gained less in a later run: text, amount, student's code, luck.

    python benchmarks/why_the_gain_fell.py write OLD_TREE old-run CORPUS
    python benchmarks/why_the_gain_fell.py write NEW_TREE new-run CORPUS
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
    "replacement, like lengths": Arm(by_length=True),
    "old text, all, like lengths": Arm("old", by_length=True),
    "new text, 1.5 a unit, like lengths": Arm("new", first=True, by_length=True),
    "gold": Arm(replaced=False),
}
OLD_ALL, NEW_ALL = "old text, all", "new text, all"
OLD_CUT, NEW_CUT = "old text, 1.5 a unit", "new text, 1.5 a unit"
ALIKE = ", like lengths"
# A title, and the arms that are subtracted; the pairs of several are taken together.
COMPARED: tuple[tuple[Any, ...], ...] = (
    ("amount: 1.5 a unit - all, old text", (OLD_CUT, OLD_ALL)),
    ("amount: 1.5 a unit - all, new text", (NEW_CUT, NEW_ALL)),
    ("amount: 1.5 a unit - all, both texts", (OLD_CUT, OLD_ALL), (NEW_CUT, NEW_ALL)),
    ("text: new - old, all kept", (NEW_ALL, OLD_ALL)),
    ("text: new - old, 1.5 a unit", (NEW_CUT, OLD_CUT)),
    ("both: new, 1.5 a unit - old, all", (NEW_CUT, OLD_ALL)),
    ("batches: like lengths - random, new, 1.5 a unit", (NEW_CUT + ALIKE, NEW_CUT)),
    ("batches: like lengths - random, old, all", (OLD_ALL + ALIKE, OLD_ALL)),
    ("batches: like lengths - random, replacement", ("replacement" + ALIKE, "replacement")),
    ("gain over replacement: old, all", (OLD_ALL, "replacement")),
    ("gain over replacement: new, all", (NEW_ALL, "replacement")),
    ("gain over replacement: new, 1.5 a unit", (NEW_CUT, "replacement")),
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
    from notesmith.experiment.graph import seed_for

    return seed_for(ROOT, "generator", SIZE, draw - 1)


def gold_folder(run: Path, draw: int) -> Path:
    """The folder of the gold documents of a draw."""
    from notesmith.experiment.graph import seed_for

    return folder_of(run, "draw", seed_for(ROOT, "draw", draw - 1))


class Documents:
    """The documents of both runs, read once a draw."""

    def __init__(self, old: Path, new: Path, corpus: Path) -> None:
        from notesmith.config import ReadingConfig
        from notesmith.corpus import read_corpus

        self.runs = {"old": old, "new": new}
        self.split = {
            name: read_corpus(corpus / FILES[name], ReadingConfig(label_map={"*": "Disease"})).docs
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
        from notesmith.experiment import artefacts
        from notesmith.segments import split

        key = (arm.text, draw)
        if key not in self._read:
            folder = folder_of(self.runs[arm.text], "filter", generator_seed(draw))
            self._read[key] = artefacts.load_docs(folder)
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
        from notesmith.experiment import artefacts

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
    from notesmith.experiment import load_recipe
    from notesmith.experiment.graph import seed_for
    from notesmith.metrics import score
    from notesmith.ner import train_ner

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
    # A cell that was trained twice counts once; both gave the same, or the last one stands.
    by_name = {(c["code"], c["draw"], c["arm"], c["student"]): c for c in read_cells(args.cells)}
    cells = [by_name[name] for name in sorted(by_name)]
    summed: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for cell in cells:
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
    from notesmith.experiment import artefacts
    from notesmith.metrics import fold_mention

    found: list[dict[str, Any]] = []
    for name, run in (("old", old), ("new", new)):
        for draw in range(1, N_DRAWS + 1):
            try:
                folder = folder_of(run, "filter", generator_seed(draw))
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
    """Differences in F1 of students paired by seed, and their mean's interval of documents.

    ``interval`` is None where the arms have different students.
    """

    gaps: tuple[float, ...]
    interval: tuple[float, float] | None

    def __str__(self) -> str:
        error = statistics.stdev(self.gaps) / math.sqrt(len(self.gaps))
        said = f"{statistics.fmean(self.gaps):+.2f} ± {error:.2f}"
        if self.interval is None:
            return said
        return f"{said} [{self.interval[0]:+.1f}, {self.interval[1]:+.1f}]"


def students_of(scores: Mapping[str, Any], arm: str, draw: int, name: str) -> dict[int, float]:
    """F1 of an arm's students by number."""
    code = default_code(scores)
    return {
        cell["student"]: cell[name]
        for cell in scores["cells"]
        if (cell["arm"], cell["draw"], cell["code"]) == (arm, draw, code)
    }


def effect_of(scores: Mapping[str, Any], new: str, old: str, draw: int, name: str) -> Effect | None:
    """``new`` less ``old`` in one draw, students paired by seed; None where there are no pairs."""
    f1 = [students_of(scores, arm, draw, name) for arm in (new, old)]
    both = sorted(f1[0].keys() & f1[1].keys())
    if len(both) < 2:
        return None
    gaps = tuple(f1[0][s] - f1[1][s] for s in both)
    if f1[0].keys() != f1[1].keys():
        return Effect(gaps, None)
    code = default_code(scores)
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
    return Effect(gaps, (float(low), float(high)))


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


def columns_of(scores: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Each set of documents and draw that was scored."""
    draws = sorted({cell["draw"] for cell in scores["cells"]})
    return [(name, draw) for name in SETS for draw in draws]


def arm_table(scores: Mapping[str, Any]) -> str:
    """F1 of each student in the order of seeds, and their mean and spread, an arm a row."""
    columns = columns_of(scores)
    heads = [f"{name}, draw {draw} | mean ± sd" for name, draw in columns]
    lines = [f"| joins gold | {' | '.join(heads)} |", "| --- " * (2 * len(heads) + 1) + "|"]
    for arm in ARMS:
        cells: list[str] = []
        for name, draw in columns:
            own = list(students_of(scores, arm, draw, name).values())
            spread = f" ± {statistics.stdev(own):.2f}" if len(own) > 1 else ""
            cells.append(", ".join(f"{f1:.1f}" for f1 in own))
            cells.append(f"{statistics.fmean(own):.2f}{spread}" if own else "")
        if any(cells):
            lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def effect_table(scores: Mapping[str, Any]) -> str:
    """Differences with one standard error of students, and 95% of documents outside the draw."""
    columns = columns_of(scores)
    heads = [f"{name}, draw {draw}" for name, draw in columns]
    lines = [f"| difference | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    for title, *pairs in COMPARED:
        found = [
            [effect_of(scores, new, old, draw, name) for new, old in pairs]
            for name, draw in columns
        ]
        if any(effect for column in found for effect in column):
            cells = " | ".join(map(_together, found))
            lines.append(f"| {title} | {cells} |")
    return "\n".join(lines)


def _together(found: Sequence[Effect | None]) -> str:
    """One effect, or the pairs of several as one, without an interval of documents."""
    known = [effect for effect in found if effect is not None]
    if len(known) == 1:
        return str(known[0])
    return str(Effect(sum((e.gaps for e in known), ()), None)) if known else ""


def same(scores: Mapping[str, Any]) -> str:
    """Whether students of two codes are the same, on the cells that both trained."""
    digests: dict[tuple[str, int, int], dict[str, str]] = {}
    for c in scores["cells"]:
        digests.setdefault((c["arm"], c["draw"], c["student"]), {})[c["code"]] = c["digest"]
    both = [found for found in digests.values() if len(found) > 1]
    equal = sum(len(set(found.values())) == 1 for found in both)
    parts = [f"{p['stage']} of draw {p['draw']}" for p in scores["same"] if p["old"] == p["new"]]
    other = [f"{p['stage']} of draw {p['draw']}" for p in scores["same"] if p["old"] != p["new"]]
    trained = f"Of {len(both)} students that both codes trained, {equal} gave the same counts.\n"
    equal_parts = f"The same to the bit: {', '.join(parts) or 'nothing'}."
    return f"{trained if both else ''}{equal_parts} Not: {', '.join(other) or 'none'}."


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("write")
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
    if args.step == "train":
        use(args.tree)
        train_all(Documents(args.old, args.new, args.corpus), args)
    elif args.step == "collect":
        args.out.write_text(json.dumps(collect(args), separators=(",", ":")) + "\n", "utf-8")
    else:
        print(tables(json.loads(args.scores.read_text("utf-8"))))


if __name__ == "__main__":
    main()
