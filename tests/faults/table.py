"""Print what ``make faults`` tried and survived, as the table of ``docs/reliability.md``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path


def main(folder: Path) -> None:
    """Add up the counts in ``folder`` and print a row a kind."""
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    for path in sorted(folder.glob("*.json")):
        for kind, (n, s) in json.loads(path.read_text()).items():
            tried[kind] += n
            survived[kind] += s
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"Commit {commit or 'unknown'}.\n")
    print("| what was done | tried | survived |\n| --- | --- | --- |")
    for kind in sorted(tried):
        print(f"| {kind} | {tried[kind]} | {survived[kind]} |")
    print(f"| all | {tried.total()} | {survived.total()} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
