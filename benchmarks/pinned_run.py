"""Pin what a rebuild must not change: a small run of every source, compared value by value.

    python benchmarks/pinned_run.py runs/pinned --digest pinned.json
    python benchmarks/pinned_run.py runs/pinned --against pinned.json

The first command runs two small recipes on the packaged notes with one thread (every source, every
method of learning from rewards, cross-fit) and writes a digest without text: the results, and for
each stage the metrics and the SHA-256 of every file of its cells. The second computes the same and
prints every difference. Cells are matched by stage and content, not by key, so that keys and
folders may change. Files are equal byte for byte only on one kind of processor with the same
packages.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COMMON = """
[corpus]
train = "demo:train"
{held_out}
kind = "clinical note"

[lm]
model = "gemma3-270m-offline"

[ner]
encoder = "minilm"
steps = 12
batch_size = 12

[sft]
epochs = 0.3
replaced_copies = 1

[synthesize]
units = 24

[synthesize.names]
proposals = 12

[sample]
max_new_tokens = 40

[reward]
members = 2

[rl]
steps = 2
completions = 4
max_new_tokens = 32
held_out = 4
save_every = 1
"""
HELD_OUT = """
name = "pinned"
{common}
[draws]
sizes = [8]
replicates = 1
students = 2
curve = [4]
out_of_draw_documents = 12

{arms}
[evaluate]
comparator = "gold"
against = {{ "synthetic + replacement" = "replacement" }}
resamples = 500
"""
CROSS_FIT = """
name = "pinned-cross-fit"
{common}
[draws]
sizes = [8]
replicates = 1

[[arm]]
name = "gold"

[[arm]]
name = "synthetic"
made = ["synthetic"]

[evaluate]
protocol = "cross-fit"
folds = 2
resamples = 500
"""
ARMS = {
    "gold": "",
    "replacement": 'made = ["replaced"]',
    "proposed": 'made = ["replaced-proposed"]',
    "tokens": 'made = ["lwtr"]',
    "shuffled": 'made = ["shuffled"]',
    "synthetic": 'made = ["synthetic"]',
    "unfiltered": 'made = ["synthetic-unfiltered"]',
    "relabelled": 'made = ["synthetic-relabelled"]',
    "placebo": 'made = ["synthetic-shuffled-labels"]',
    "synthetic + replacement": 'made = ["synthetic", "replaced"]\nner = { steps = 14 }',
    "base": 'made = ["synthetic"]\ntuned = false',
    "best of 2": 'made = ["synthetic"]\nbest_of = 2',
    "grpo": 'made = ["synthetic"]\nrl = { method = "grpo", prompts = 2, evaluate_every = 1 }',
    "best-of-n": 'made = ["synthetic"]\nrl = { method = "best-of-n", ROUNDS }',
    "dpo": 'made = ["synthetic"]\nrl = { method = "dpo", ROUNDS }',
}
ROUNDS = "rounds = 1, prompts_per_round = 6, batch_size = 4"
# What a clock or the machine decides.
VOLATILE = (
    *(
        "seconds",
        "seconds_per_draw",
        "peak_memory_bytes",
        "tokens_per_second",
        "created",
        "machine",
    ),
    *("versions", "checksum"),
)
VOLATILE_FILES = ("metrics.json", "done.json")


def recipes() -> dict[str, str]:
    """The two recipes as TOML, by name."""
    arms = "\n".join(
        f'[[arm]]\nname = "{name}"\n{more}\n'.replace("ROUNDS", ROUNDS)
        for name, more in ARMS.items()
    )
    both = 'dev = "demo:dev"\ntest = "demo:test"'
    return {
        "held-out": HELD_OUT.format(common=COMMON.format(held_out=both), arms=arms),
        "cross-fit": CROSS_FIT.format(common=COMMON.format(held_out="")),
    }


def settled(value: Any) -> Any:
    """``value`` without what a clock or the machine decides."""
    if isinstance(value, dict):
        return {
            key: settled(each)
            for key, each in sorted(value.items())
            if not any(key == name or key.endswith(f"_{name}") for name in VOLATILE)
        }
    return [settled(each) for each in value] if isinstance(value, list) else value


def cell_of(folder: Path) -> dict[str, Any]:
    """Metrics of a cell and the SHA-256 of its files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "metrics": settled(json.loads((folder / "metrics.json").read_text(encoding="utf-8"))),
        "files": {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if path.name not in VOLATILE_FILES
        },
    }


def digest_of(folder: Path) -> dict[str, Any]:
    """What a run folder holds, free of text, of keys and of times."""
    cells: dict[str, list[Any]] = {}
    for stage in sorted((folder / "cells").iterdir()):
        found = [cell_of(path) for path in stage.iterdir() if (path / "metrics.json").is_file()]
        cells[stage.name] = sorted(found, key=lambda cell: json.dumps(cell, sort_keys=True))
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {"results": settled(results), "cells": cells}


def flat(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of ``value`` with its path."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from flat(each, f"{at}.{key}")
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield from flat(each, f"{at}[{i}]")
    else:
        yield at, value


def differences(old: Any, new: Any, tolerance: float) -> Iterator[str]:
    """A line for each leaf that differs, by more than ``tolerance`` where it is a number."""
    before, after = dict(flat(old)), dict(flat(new))
    for path in sorted(before.keys() | after.keys()):
        a, b = before.get(path, "absent"), after.get(path, "absent")
        if a == b:
            continue
        numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (a, b))
        if not (numbers and math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)):
            yield f"{path}: {a} -> {b}"


def compared(old: dict[str, Any], new: dict[str, Any], tolerance: float) -> list[str]:
    """All differences between two digests of one recipe."""
    found = list(differences(settled(old["results"]), settled(new["results"]), tolerance))
    for stage in sorted(old["cells"].keys() | new["cells"].keys()):
        a, b = old["cells"].get(stage, []), new["cells"].get(stage, [])
        both = Counter(json.dumps(c, sort_keys=True) for c in a)
        lost = both - Counter(json.dumps(c, sort_keys=True) for c in b)
        if len(a) != len(b):
            found.append(f"{stage}: {len(a)} cells -> {len(b)}")
        elif lost:
            found.append(f"{stage}: {lost.total()} of {len(a)} cells differ")
            for i, (one, other) in enumerate(zip(a, b, strict=True)):
                lines = differences(one, other, tolerance)
                found += [f"  {stage} {i + 1}{line}" for line in lines]
    return found


def main() -> int:
    """Run, then write or compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="run folders go below it")
    parser.add_argument("--digest", type=Path, help="write what was found to this file")
    parser.add_argument("--against", type=Path, help="compare with this file")
    parser.add_argument("--tolerance", type=float, default=0.0, help="of numbers, relative")
    parser.add_argument("--only", nargs="*", default=None, help="of held-out and cross-fit")
    args = parser.parse_args()
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    args.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for name, text in recipes().items():
        if args.only and name not in args.only:
            continue
        recipe = args.folder / f"{name}.toml"
        recipe.write_text(text, encoding="utf-8")
        out = args.folder / name
        program = [sys.executable, "-c", "from notesmith.cli import main; main()"]
        command = [*program, "run", str(recipe), "--out", str(out)]
        subprocess.run([*command, "--keep-models"], check=True, env={**os.environ, **one})
        found[name] = digest_of(out)
    if args.digest:
        args.digest.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")
    if not args.against:
        return 0
    old = json.loads(args.against.read_text(encoding="utf-8"))
    lines = [
        f"{name}: {line}"
        for name in found
        for line in compared(old[name], found[name], args.tolerance)
    ]
    print("\n".join(lines) or f"equal value by value: {', '.join(found)}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
