"""Print what ``make faults`` tried and survived, as the table of ``docs/reliability.md``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

# Kinds that differ in a detail share a row; ``--all`` prints each.
_ROWS = (
    (r"answer of a language model .*, read as (.*)", r"answer of a language model, read as \1"),
    (r".*, in notes to annotate", "notes mutated in one of 15 ways, then annotated"),
    (r".*, read as (.*)", r"file mutated in one of 15 ways, read as \1"),
    (r"disk full at the nth call: .*", "disk full at the nth call of a writer or a run"),
    (r"file-size limit: .*", "limit on the size of files, on each writing command"),
    (r".*: four times as much", "four times as much to read, write, show or check, in line"),
    (r"hostile model folder loaded as .*", "hostile model folder, on each path that loads"),
    (r"hostile model folder named to .*", "hostile model folder, named to each command"),
    (r"(.*), in (a cell|the run folder): (.*)", r"file damaged in \2 of a finished run: \3"),
    (
        r".* (?:in|from|to) (a model folder of others|a state of training|a student's folder|"
        r"a tuned language model|an exported student|the cache of converted models).*",
        r"file damaged in \1",
    ),
    (r"opening in the register: .*", "opening in the register damaged"),
    (r".* in the place of a file of ours", "link, pipe or folder in the place of a file of ours"),
    (r"(?:link|pipe) .*in a corpus folder", "link or pipe in a corpus folder"),
    (r"killed in (?!a stage).*, then done again", "writing command killed, then done again"),
)


def row_of(kind: str) -> str:
    """The row that ``kind`` is counted in."""
    for pattern, row in _ROWS:
        if re.fullmatch(pattern, kind):
            return re.sub(pattern, row, kind)
    return kind


def main(folder: Path, row_of: Callable[[str], str]) -> None:
    """Add up the counts in ``folder`` and print a row a kind."""
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    for path in sorted(folder.glob("*.json")):
        for kind, (n, s) in json.loads(path.read_text()).items():
            tried[row_of(kind)] += n
            survived[row_of(kind)] += s
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"Commit {commit or 'unknown'}.\n")
    print("| what was done | tried | survived |\n| --- | --- | --- |")
    for kind in sorted(tried):
        print(f"| {kind} | {tried[kind]} | {survived[kind]} |")
    print(f"| all | {tried.total()} | {survived.total()} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), str if "--all" in sys.argv else row_of)
