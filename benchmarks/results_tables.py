"""Tables for a page of docs/experiments from a run's results.json.

    python benchmarks/results_tables.py RUN/results.json [--size 50]

Prints Markdown: arms, differences, made text by draw, the learning curve, costs by stage.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def arms(results: dict[str, Any], size: int) -> str:
    """Scores of the arms at ``size``."""

    def row(arm: dict[str, Any]) -> list[str]:
        f1 = arm["f1"]
        spread = f"± {f1['sd']:.1f} [{f1['low']:.1f}, {f1['high']:.1f}]"
        others = ("precision", "recall", "unseen_f1", "lenient_f1")
        return [
            arm["name"],
            f"{f1['mean']:.1f} {spread}",
            *(f"{arm[name]['mean']:.1f}" for name in others),
            f"{arm['dev_f1']['mean']:.1f}" if arm["dev_f1"] else "",
            ", ".join(f"{value:.1f}" for value in f1["values"]),
        ]

    head = (
        "arm",
        "F1, mean ± SD over draws [95% interval]",
        "precision",
        "recall",
        "F1 of unseen mentions",
        "lenient F1",
        "F1 on dev",
        "F1 of each draw",
    )
    return table(head, (row(arm) for arm in results["arms"] if arm["size"] == size))


def differences(results: dict[str, Any], size: int) -> str:
    """Differences between arms at ``size``, with worth in notes where it is known."""

    def row(entry: dict[str, Any]) -> list[str]:
        worth = entry.get("worth_in_notes") or entry.get("worth") or {}
        notes = worth.get("notes")
        return [
            f"{entry['arm']} − {entry['against']}",
            f"{entry['delta']:+.2f} [{entry['low']:+.2f}, {entry['high']:+.2f}]",
            f"{entry['p']:.3f}",
            f"{entry['p_holm']:.3f}",
            ", ".join(f"{value:+.1f}" for value in entry.get("values", [])),
            ""
            if notes is None
            else f"{notes:.0f} [{_bound(worth, 'low')}, {_bound(worth, 'high')}]",
        ]

    head = ("difference", "F1 [95% interval]", "p", "p, Holm", "draw by draw", "worth in notes")
    return table(head, (row(e) for e in results["comparisons"] if e["size"] == size))


def _bound(worth: dict[str, Any], end: str) -> str:
    """An end of the interval; one that the curve does not reach is a bound."""
    sign = {"low": "≤ ", "high": "≥ "}[end] if end in worth.get("beyond", ()) else ""
    return "–" if worth.get(end) is None else f"{sign}{worth[end]:.0f}"


def made(results: dict[str, Any], size: int) -> str:
    """What was asked for, kept and dropped in each draw at ``size``."""

    def row(entry: dict[str, Any]) -> list[str]:
        dropped = sorted(entry["dropped"].items(), key=lambda pair: -pair[1])
        covered = entry.get("unseen_test_mentions_covered")
        return [
            str(entry["replicate"] + 1),
            str(entry["asked"]),
            str(entry["kept"]),
            "; ".join(f"{reason} {n}" for reason, n in dropped),
            str(entry["tokens"]),
            f"{entry['seconds']:.0f}",
            str(entry["new_names"]),
            "" if covered is None else f"{100 * covered:.1f}%",
        ]

    head = (
        "draw",
        "asked",
        "kept",
        "dropped, by reason",
        "tokens written",
        "seconds of sampling",
        "new names in kept text",
        "unseen test mentions covered",
    )
    return table(head, (row(e) for e in results["made"] if e["size"] == size))


def costs(results: dict[str, Any]) -> str:
    """Time, tokens and memory by stage."""
    rows = (
        [
            stage["stage"],
            str(stage["cells"]),
            f"{stage['seconds'] / stage['cells'] / 60:.1f}",
            str(stage["tokens_per_second"] or ""),
            f"{stage['peak_memory_bytes'] / 2**30:.1f}",
        ]
        for stage in results["stages"]
        if stage["seconds"] >= 60
    )
    return table(("stage", "cells", "minutes a cell", "tokens/s", "peak memory, GiB"), rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--size", type=int)
    args = parser.parse_args()
    results = json.loads(args.results.read_text("utf-8"))
    sizes = [args.size] if args.size else [results["main_size"], *results["sizes"]]
    for size in dict.fromkeys(sizes):
        print(f"### {size} gold documents\n")
        for part in (arms, differences, made):
            print(part(results, size), end="\n\n")
    print(json.dumps(results["learning_curve"]), end="\n\n")
    print(costs(results), end="\n\n")
    print(results["verdict"]["headline"])


if __name__ == "__main__":
    main()
