"""The comparison of the README, from the results of its two runs on the same five draws.

    cd docs/results
    python ../../benchmarks/headline.py ncbi-disease.json ncbi-disease-50-rl-test.json

Prints Markdown: F1 of each arm on test and dev in either run and together, then the differences.
*Together* is the mean of the two runs, draw by draw; its interval is Student's t over the draws,
with the larger of the runs' errors from documents added. Neither run kept both students of a draw
in one archive, so the documents cannot be resampled for the two together.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy import stats

# The arms of the two runs that were made in the same way; the later one kept 1.5 texts a gold unit.
ARMS = {
    "gold": ("gold", "gold"),
    "replacement": ("replacement", "replacement"),
    "synthetic": ("synthetic", "sft+filter"),
    "synthetic + replacement": ("synthetic + replacement", "sft+filter + replacement"),
}
PAIRS = (
    ("synthetic + replacement", "replacement"),
    ("synthetic + replacement", "gold"),
    ("synthetic", "gold"),
    ("replacement", "gold"),
)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with a 95% interval, in points of F1."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]".replace("-", "−")


def over_draws(values: list[float], se_documents: float) -> Interval:
    """Student's t over draws; the documents' error joins with the normal quantile of its share."""
    n = len(values)
    se_draws = stdev(values) / n**0.5
    half = (
        (stats.t.ppf(0.975, n - 1) * se_draws) ** 2 + (stats.norm.ppf(0.975) * se_documents) ** 2
    ) ** 0.5
    return Interval(mean(values), mean(values) - half, mean(values) + half)


def arm_of(results: dict[str, Any], name: str, size: int) -> dict[str, Any]:
    """The arm of that name and size."""
    return next(a for a in results["arms"] if a["name"] == name and a["size"] == size)


def differences(runs: list[dict[str, Any]], first: str, second: str, size: int) -> list[str]:
    """The difference of two arms on test in either run and together, and together on dev."""
    stated = [_stated(run, ARMS[first][i], ARMS[second][i], size) for i, run in enumerate(runs)]
    se_documents = max(entry["se_documents"] for entry in stated if entry)
    by_run = [_values(run, i, first, second, size, "f1") for i, run in enumerate(runs)]
    on_dev = [_values(run, i, first, second, size, "dev_f1") for i, run in enumerate(runs)]
    together = [mean(pair) for pair in zip(*by_run, strict=True)]
    cells = [
        Interval(entry["delta"], entry["low"], entry["high"])
        if entry
        else over_draws(values, se_documents)
        for entry, values in zip(stated, by_run, strict=True)
    ]
    dev = mean(mean(values) for values in on_dev)
    draws = ", ".join(f"{value:+.1f}" for value in together)
    row = [*map(str, cells), str(over_draws(together, se_documents)), f"{dev:+.1f}", draws]
    return [text.replace("-", "−") for text in row]


def _stated(run: dict[str, Any], arm: str, against: str, size: int) -> dict[str, Any] | None:
    """The run's own comparison of two arms, if it has one."""
    for entry in run["comparisons"]:
        if (entry["arm"], entry["against"], entry["size"]) == (arm, against, size):
            return dict(entry)
    return None


def _values(
    run: dict[str, Any], which: int, first: str, second: str, size: int, score: str
) -> list[float]:
    """Differences of two arms of run ``which`` (0 or 1), draw by draw."""
    ours = arm_of(run, ARMS[first][which], size)[score]["values"]
    theirs = arm_of(run, ARMS[second][which], size)[score]["values"]
    return [a - b for a, b in zip(ours, theirs, strict=True)]


def main() -> None:
    """Read the two results and print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs=2, type=Path, help="results.json of the two runs")
    parser.add_argument("--size", type=int, default=50, help="gold documents of a draw")
    options = parser.parse_args()
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in options.runs]
    print("| arm | first run: test, dev | second run: test, dev | together: test, dev |")
    print("|---|---|---|---|")
    for name, own in ARMS.items():
        scores = [arm_of(run, arm, options.size) for run, arm in zip(runs, own, strict=True)]
        figures = [(s["f1"]["mean"], s["dev_f1"]["mean"]) for s in scores]
        figures.append(tuple(mean(pair) for pair in zip(*figures, strict=True)))
        print(f"| {name} | {' | '.join(f'{test:.1f}, {dev:.1f}' for test, dev in figures)} |")
    print("\n| difference on test | first run | second run | together | on dev | draw by draw |")
    print("|---|---|---|---|---|---|")
    for first, second in PAIRS:
        print(
            f"| {first} − {second} | {' | '.join(differences(runs, first, second, options.size))} |"
        )


if __name__ == "__main__":
    main()
