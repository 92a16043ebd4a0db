"""A plan of fake stages: quick, deterministic, writing a few files each."""

from __future__ import annotations

import hashlib
import json
import time

from notesmith.experiment.graph import Cell

STAGES = ("draw", "make", "train", "score")


def chain(n: int = 3, *, version: int = 1) -> list[Cell]:
    """``n`` replicates of draw → make → train → score, ``make`` reading ``draw`` too."""
    targets = []
    for replicate in range(n):
        draw = Cell("draw", version, {"documents": 5}, seed=replicate, replicate=replicate)
        make = Cell("make", 1, {}, {"gold": draw}, seed=7, replicate=replicate)
        train = Cell("train", 1, {}, {"gold": draw, "made": make}, replicate=replicate)
        targets.append(Cell("score", 1, {}, {"model": train, "gold": draw}, replicate=replicate))
    return targets


def fake(pause: float = 0.0, calls: list[str] | None = None):
    """A stage function that hashes what it reads and appends to a scratch file as it goes."""

    def function(work):
        if calls is not None:
            calls.append(work.cell.stage.name)
        read = {
            name: (folder / "data.txt").read_text() for name, folder in sorted(work.inputs.items())
        }
        lines_before = 0
        partial = work.scratch / "rows.txt"
        if partial.exists():
            lines_before = partial.read_text().count("\n")
        with partial.open("a") as file:
            for row in range(lines_before, 4):
                file.write(f"{row}\n")
                file.flush()
                time.sleep(pause)
        body = hashlib.sha256(json.dumps([work.cell.key, read]).encode()).hexdigest()
        (work.out / "data.txt").write_text(body)
        (work.out / "more").mkdir()
        (work.out / "more" / "weights.bin").write_bytes(body.encode() * 50)
        return {"tokens": 10}

    return function


def fake_stages(pause: float = 0.0, calls: list[str] | None = None):
    return dict.fromkeys(STAGES, fake(pause, calls))
