"""Kill a run in the middle of learning from rewards, go on, and compare with an unbroken run.

    python benchmarks/resume_rl.py [RECIPE] [--kills 3] [--set FIELD=VALUE]... [--work FOLDER]

RECIPE (``quickstart-rl``) runs up to its rewarded generator twice, from the same fine-tuned model:
once unbroken, once with ``kill -9`` after each of the first states written. Both run on one
thread, where the same result is promised bit by bit. Prints which files and records differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_TIMES = frozenset({"training_seconds", "seconds", "peak_memory_bytes"})


def main() -> None:
    """Run, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", nargs="?", default="quickstart-rl")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--work", type=Path, help="kept, and gone on with; else a temporary folder")
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp(prefix="resume-rl-"))
    command = [
        *(sys.executable, "-c", "from notesmith.cli import main; main()", "run", given.recipe),
        *(part for change in given.changes for part in ("--set", change)),
    ]
    whole, broken = work / "whole", work / "broken"
    run(command, whole, "sft,committee,names")
    if not broken.exists():
        shutil.copytree(whole, broken)
    began = time.monotonic()
    run(command, whole, "rl")
    print(f"unbroken: {time.monotonic() - began:.0f} s", flush=True)
    for n in range(given.kills):
        kill_after_a_state(command, broken, n + 1)
    run(command, broken, "rl")
    compare(whole, broken)
    if given.work is None:
        shutil.rmtree(work)


def start(command: list[str], out: Path, stages: str) -> subprocess.Popen[bytes]:
    """Start the stages of a run on one thread."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, "--out", str(out), "--only", f"stage={stages}"],
        env={**os.environ, **threads},
        stdout=subprocess.DEVNULL,
    )


def run(command: list[str], out: Path, stages: str) -> None:
    """Run the stages to their end."""
    if start(command, out, stages).wait():
        raise SystemExit(f"{stages} failed")


def kill_after_a_state(command: list[str], out: Path, number: int) -> None:
    """Kill the run some seconds after it wrote a state that was not there when it began."""
    before = states(out)
    process = start(command, out, "rl")
    while states(out) <= before:
        if process.poll() is not None:
            raise SystemExit("the run ended before it could be killed: ask for more steps")
        time.sleep(0.2)
    time.sleep(3 * number)
    process.kill()
    process.wait()
    print(f"killed after {max(states(out), default='no state')}", flush=True)


def states(out: Path) -> set[str]:
    """Names of the states that are there."""
    return {path.name for path in out.glob("cells/rl/**/state-*") if path.is_dir()}


def compare(whole: Path, broken: Path) -> None:
    """Print what differs between the rewarded generators of two runs."""
    hashes = [
        {
            str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in out.glob("cells/rl/*/model/*")
        }
        for out in (whole, broken)
    ]
    names = sorted({*hashes[0], *hashes[1]})
    differ = [name for name in names if hashes[0].get(name) != hashes[1].get(name)]
    print(f"{len(names)} files of models, {len(differ)} differ", *differ)
    records = [
        [json.loads(path.read_text()) for path in sorted(out.glob("cells/rl/*/metrics.json"))]
        for out in (whole, broken)
    ]
    for one, other in zip(*records, strict=True):
        changed = [k for k in one if k not in _TIMES and same(one[k]) != same(other.get(k))]
        print(f"records of {one['method']}: {len(one['history'])} rows;", "differ in", changed)


def same(value: Any) -> str:
    """A value as text, for comparison."""
    return json.dumps(value, sort_keys=True)


if __name__ == "__main__":
    main()
