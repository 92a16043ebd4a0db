"""Tune the gold baseline: train the student on draws of gold documents, score on dev.

    python benchmarks/student_tuning.py TRAIN DEV --out cells.jsonl [--draws 2] [--only "NAME;…"]

One line of JSON a finished cell (setting, draw); a second run goes on where the first stopped, and
at the end (or with ``--table``) prints a table for docs/experiments. Test data has no part in it.
All labels count as one, but for ``--all-labels``.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from pathlib import Path
from typing import Any

from notesmith.cli.process import prepare
from notesmith.config import NerConfig, ReadingConfig
from notesmith.corpus import read_corpus
from notesmith.document import Document, labels_of
from notesmith.metrics import score

SETTINGS: dict[str, dict[str, Any]] = {
    f"learning rate {rate}, steps {steps}": {"learning_rate": float(rate), "steps": steps}
    for steps in (150, 240, 300, 600)
    for rate in ("5e-5", "1e-4", "2e-4", "3e-4", "5e-4", "8e-4")
} | {
    "head rate 3e-4": {"head_learning_rate": 3e-4},
    "head rate 3e-3": {"head_learning_rate": 3e-3},
    "mean of pieces": {"pieces": "mean"},
    "dropout 0": {"dropout": 0.0},
    "dropout 0.2": {"dropout": 0.2},
    "warmup 0.3": {"warmup_ratio": 0.3},
    "weight decay 0": {"weight_decay": 0.0},
    "batch 12": {"batch_size": 12},
    "batch 48": {"batch_size": 48},
}


def read(path: Path, label_map: dict[str, str]) -> list[Document]:
    """Documents, bad records left out."""
    return read_corpus(path, ReadingConfig(label_map=label_map, on_problem="count")).docs


def measure(
    gold: list[Document],
    dev: list[Document],
    config: NerConfig,
    *,
    labels: tuple[str, ...],
    seed: int,
) -> dict[str, float]:
    """Train on ``gold`` and score ``dev``."""
    from notesmith.ner import train_ner

    began = time.process_time()
    result = train_ner(gold, config=config, labels=labels, seed=seed)
    spent = time.process_time() - began
    micro = score(dev, result.model.predict(dev)).micro
    return {
        "f1": 100 * micro.f1,
        "precision": 100 * micro.precision,
        "recall": 100 * micro.recall,
        "seconds": result.seconds,
        "processor_seconds": spent,
        "loss": result.history[-1]["loss"],
    }


def table(cells: list[dict[str, Any]]) -> str:
    """Markdown, a row a setting, best mean first."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        rows.setdefault(cell["setting"], []).append(cell)
    lines = [
        "| setting | F1 by draw | mean F1 | P | R | processor seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]

    def mean(name: str, key: str) -> float:
        return statistics.mean(cell[key] for cell in rows[name])

    for name in sorted(rows, key=lambda n: -mean(n, "f1")):
        draws = ", ".join(f"{c['f1']:.1f}" for c in sorted(rows[name], key=lambda c: c["draw"]))
        lines.append(
            f"| {name} | {draws} | {mean(name, 'f1'):.1f} | {mean(name, 'precision'):.1f} | "
            f"{mean(name, 'recall'):.1f} | {mean(name, 'processor_seconds'):.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the cells that are missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("dev", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=50)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cells", type=int, default=10**9, help="stop after this many")
    parser.add_argument("--all-labels", action="store_true", help="do not map labels to one")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    prepare()
    import torch

    torch.set_num_threads(args.threads)
    text = args.out.read_text("utf-8") if args.out.exists() else ""
    cells = [json.loads(line) for line in text.splitlines()]
    done = {(cell["setting"], cell["draw"]) for cell in cells}
    names = [name.strip() for name in args.only.split(";") if name.strip()] or list(SETTINGS)
    wanted = [(n, d) for n in names for d in range(1, args.draws + 1) if (n, d) not in done]
    if not args.table:
        label_map = {} if args.all_labels else {"*": "Entity"}
        train, dev = read(args.train, label_map), read(args.dev, label_map)
        labels = labels_of(train)
        for name, draw in wanted[: args.cells]:
            gold = random.Random(draw).sample(train, args.documents)
            config = NerConfig(**SETTINGS[name])
            found = measure(gold, dev, config, labels=labels, seed=draw)
            cells.append({"setting": name, "draw": draw, **found})
            with args.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(cells[-1]) + "\n")
    print(table(cells))


if __name__ == "__main__":
    main()
