"""A plan of fake stages: quick, deterministic, writing a few files each."""

from __future__ import annotations

import hashlib
import json
import time
from functools import partial
from pathlib import Path

from notesmith.config import Config
from notesmith.experiment.graph import Cell, Context, NoConfig, Stage
from notesmith.experiment.metrics import Metrics

CONTEXT = Context(Path(), {}, Path, Path(), {})


class Settings(Config):
    documents: int = 0


def run(work, pause=0.0, calls=None):
    """Hashes what it reads and appends to a scratch file as it goes."""
    if calls is not None:
        calls.append(work.cell.stage.name)
    read = {name: (folder / "data.txt").read_text() for name, folder in sorted(work.inputs.items())}
    lines_before = 0
    partly = work.scratch / "rows.txt"
    if partly.exists():
        lines_before = partly.read_text().count("\n")
    with partly.open("a") as file:
        for row in range(lines_before, 4):
            file.write(f"{row}\n")
            file.flush()
            time.sleep(pause)
    body = hashlib.sha256(json.dumps([work.cell.key, read]).encode()).hexdigest()
    (work.out / "data.txt").write_text(body)
    (work.out / "more").mkdir()
    (work.out / "more" / "weights.bin").write_bytes(body.encode() * 50)
    return Metrics(tokens=10)


DRAW = Stage("draw", 1, Settings, Metrics, run)
MAKE, TRAIN = (Stage(name, 1, NoConfig, Metrics, run) for name in ("make", "train"))
SCORE = Stage("score", 1, NoConfig, Metrics, run, text_free=True)
STAGES = (DRAW, MAKE, TRAIN, SCORE)


def chain(n: int = 3, *, documents: int = 5) -> list[Cell]:
    """``n`` replicates of draw → make → train → score, ``make`` reading ``draw`` too."""
    targets = []
    for replicate in range(n):
        draw = Cell(DRAW, Settings(documents=documents), seed=replicate, replicate=replicate)
        make = Cell(MAKE, inputs={"gold": draw}, seed=7, replicate=replicate)
        train = Cell(TRAIN, inputs={"gold": draw, "made": make}, replicate=replicate)
        targets.append(Cell(SCORE, inputs={"model": train, "gold": draw}, replicate=replicate))
    return targets


def fake_stages(pause: float = 0.0, calls: list[str] | None = None):
    """Slow or recording functions in the place of the stages' own."""
    return {stage.name: partial(run, pause=pause, calls=calls) for stage in STAGES}
