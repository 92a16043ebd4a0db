"""The README's table of results, and the headline's two runs beside each other.

    python benchmarks/headline_tables.py [docs/results]

Everything comes from the ``results.json`` files of the runs. Where two runs took the same draws,
*together* is their mean, draw by draw; its interval is Student's t over the draws, with the larger
of the runs' errors from documents added. The first runs kept no counts by document, so the
documents cannot be resampled for two runs together.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy import stats

BOTH, ALONE = "synthetic + replacement", "synthetic"
# Later runs call the arms by how their text was made; they kept 1.5 texts a gold unit.
LATER = {BOTH: "sft+filter + replacement", ALONE: "sft+filter"}
PAIRS = (
    (BOTH, "replacement"),
    (BOTH, "gold"),
    (ALONE, "gold"),
    ("replacement", "gold"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the README's table: what was labelled, and the files of its runs."""

    corpus: str
    labelled: str
    size: int
    files: tuple[str, ...]


ROWS = (
    Row("NCBI Disease", "25 abstracts", 25, ("ncbi-disease",)),
    Row("NCBI Disease", "50 abstracts", 50, ("ncbi-disease", "ncbi-disease-50-rl-test")),
    Row("NCBI Disease", "100 abstracts", 100, ("ncbi-disease", "ncbi-disease-100-rl-test")),
    Row("NCBI Disease", "all 592 abstracts", 592, ("ncbi-disease-592",)),
    Row("BC5CDR, 2 labels", "50 abstracts", 50, ("bc5cdr-50", "bc5cdr-50-rl-test")),
    Row("MACCROBAT, 41 labels", "50 reports", 50, ("maccrobat-50",)),
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
    """The arm of that name, or of its later name, and size."""
    names = {name, LATER.get(name, name)}
    return next(a for a in results["arms"] if a["name"] in names and a["size"] == size)


def stated(run: dict[str, Any], first: str, second: str, size: int) -> dict[str, Any] | None:
    """The run's own comparison of two arms, if it has one."""
    pair = arm_of(run, first, size)["name"], arm_of(run, second, size)["name"]
    for entry in run["comparisons"]:
        if (entry["arm"], entry["against"]) == pair and entry["size"] == size:
            return dict(entry)
    return None


def by_draw(
    run: dict[str, Any], first: str, second: str, size: int, score: str = "f1"
) -> list[float]:
    """Differences of two arms, draw by draw."""
    ours = arm_of(run, first, size)[score]["values"]
    theirs = arm_of(run, second, size)[score]["values"]
    return [a - b for a, b in zip(ours, theirs, strict=True)]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two arms compared in each run and together; ``dev`` is the mean difference there."""

    runs: tuple[Interval, ...]
    together: Interval
    draws: tuple[float, ...]
    dev: float


def compare(runs: list[dict[str, Any]], first: str, second: str, size: int) -> Difference:
    """The difference of two arms on test in each run and together, and on dev."""
    entries = [stated(run, first, second, size) for run in runs]
    known = [e for run in runs for e in run["comparisons"] if e["arm"] == _name(run, first, size)]
    se_documents = max((e["se_documents"] for e in entries if e), default=0.0) or max(
        e["se_documents"] for e in known
    )
    values = [by_draw(run, first, second, size) for run in runs]
    together = [mean(pair) for pair in zip(*values, strict=True)]
    own = tuple(
        Interval(entry["delta"], entry["low"], entry["high"])
        if entry
        else over_draws(each, se_documents)
        for entry, each in zip(entries, values, strict=True)
    )
    dev = mean(mean(by_draw(run, first, second, size, "dev_f1")) for run in runs)
    pooled = own[0] if len(runs) == 1 else over_draws(together, se_documents)
    return Difference(own, pooled, tuple(together), dev)


def _name(run: dict[str, Any], arm: str, size: int) -> str:
    return str(arm_of(run, arm, size)["name"])


def signed(value: float) -> str:
    """One decimal with a sign, minus as such, no "-0.0"."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−").replace("+0.0", "0.0")


def line(cells: list[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def readme_rows(folder: Path) -> list[str]:
    """The rows of the README's table, made text with replacement against either rival."""
    rows = []
    for row in ROWS:
        runs = [read(folder, name) for name in row.files]
        over = [compare(runs, BOTH, rival, row.size) for rival in ("replacement", "gold")]
        n = len(over[0].draws)
        draws = f"{n}, mean of two runs" if len(runs) > 1 else str(n)
        figures = [text for one in over for text in (str(one.together), signed(one.dev))]
        rows.append(line([row.corpus, row.labelled, draws, *figures]))
    return rows


def read(folder: Path, name: str) -> dict[str, Any]:
    """The results of one run."""
    results: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return results


def main() -> None:
    """Print the README's table, then the headline's two runs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/results"))
    folder = parser.parse_args().folder
    head = ["corpus", "labelled", "draws"]
    head += [f"over {rival}{what}" for rival in ("replacement", "gold") for what in ("", ", dev")]
    print("\n".join([line(head), f"|{'---|' * len(head)}", *readme_rows(folder)]))

    runs = [read(folder, name) for name in ROWS[1].files]
    print("\n| arm | first run: test, dev | second run: test, dev | together: test, dev |")
    print("|---|---|---|---|")
    for name in ("gold", "replacement", ALONE, BOTH):
        scores = [arm_of(run, name, 50) for run in runs]
        pairs = [(s["f1"]["mean"], s["dev_f1"]["mean"]) for s in scores]
        pairs.append((mean(p[0] for p in pairs), mean(p[1] for p in pairs)))
        print(line([name, *(f"{test:.1f}, {dev:.1f}" for test, dev in pairs)]))
    print("\n| difference | first run | second run | together | on dev | draw by draw |")
    print("|---|---|---|---|---|---|")
    for first, second in PAIRS:
        found = compare(runs, first, second, 50)
        figures = [*map(str, found.runs), str(found.together), signed(found.dev)]
        print(line([f"{first} − {second}", *figures, ", ".join(map(signed, found.draws))]))


if __name__ == "__main__":
    main()
