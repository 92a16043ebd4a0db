"""How honest is the interval of a cross-fit? Teams of few notes, each judged on a test set too.

    python benchmarks/crossfit_coverage.py TRAIN TEST --teams 20 [--notes 60] [--folds 5]
        [--replicates 1] [--steps 150] [--runs runs/crossfit] [--out crossfit.json]

A team is a draw of notes from TRAIN. It compares two arms that need no language model (gold, and
gold with mention replacement) by cross-fit on its own notes, and by students trained on all its
notes that are scored on two other sets: TEST, and the *rest* of TRAIN, which are notes of the same
kind as the team's, as TEST need not be. Printed is how often the interval of the first holds the
difference that was measured there, and how often it holds once that measurement's own error is
added, for a test set is a sample as well. OUT holds numbers only; teams in it are not computed
again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from notesmith.cli.process import prepare

ARMS = [{"name": "gold"}, {"name": "replacement", "made": ["replaced"]}]


def main() -> None:
    """Compute the teams that are missing, then print the coverage of all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--format", default="pubtator")
    parser.add_argument("--one-label", default="", help="map all labels to this one")
    parser.add_argument("--teams", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="number of the first team")
    parser.add_argument("--notes", type=int, default=60)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--replicates", type=int, default=1)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--runs", type=Path, default=Path("runs/crossfit"))
    parser.add_argument("--out", type=Path, default=Path("crossfit.json"))
    args = parser.parse_args()
    prepare()
    from notesmith.files.write import atomic_write_text

    for team in range(args.first, args.first + args.teams):
        done = json.loads(args.out.read_text()) if args.out.exists() else []
        if any(row["team"] == team for row in done):
            continue
        row = {"team": team, **one_team(args, team)}
        atomic_write_text(args.out, json.dumps([*done, row], indent=1) + "\n")
        print(
            f"team {team}: {row['own']} by cross-fit, {row['test']} on test, {row['rest']} on rest",
            flush=True,
        )
    rows = json.loads(args.out.read_text())
    for where in ("test", "rest"):
        print(where)
        for line in coverage(rows, where):
            print("  " + line)


def one_team(args: argparse.Namespace, team: int) -> dict[str, Any]:
    """Difference and interval by cross-fit; difference and standard error on the other sets."""
    evaluate = {"protocol": "cross-fit", "folds": args.folds}
    own = compared(args, team, "folds", evaluate=evaluate, replicates=args.replicates)
    test = compared(args, team, "test", test=args.test)
    rest = compared(args, team, "rest", test=rest_of(args, team))
    return {
        "notes": args.notes,
        "replicates": args.replicates,
        "steps": args.steps,
        "own": {name: own[name] for name in ("delta", "low", "high")},
        "test": {"delta": test["delta"], "se": test["se_documents"]},
        "rest": {"delta": rest["delta"], "se": rest["se_documents"]},
        "gold": {"own": own["gold"], "test": test["gold"], "rest": rest["gold"]},
    }


def rest_of(args: argparse.Namespace, team: int) -> Path:
    """Write the documents of TRAIN that the team did not draw."""
    from notesmith.config import ReadingConfig
    from notesmith.corpus import read_corpus, write_corpus
    from notesmith.experiment.artefacts import load_docs

    (drawn,) = (args.runs / f"team-{team}-test" / "cells" / "draw").iterdir()
    own = {doc.id for doc in load_docs(drawn)}
    docs = read_corpus(args.train, ReadingConfig(format=args.format)).docs
    path = Path(args.runs / f"team-{team}-rest.txt")
    write_corpus([doc for doc in docs if doc.id not in own], path, format=args.format)
    return path


def compared(
    args: argparse.Namespace,
    team: int,
    name: str,
    *,
    test: Path | None = None,
    evaluate: dict[str, Any] | None = None,
    replicates: int = 1,
) -> dict[str, Any]:
    """The comparison of the two arms, and gold's own F1 with its interval."""
    from notesmith.config import RecipeConfig
    from notesmith.experiment import run_recipe

    corpus = {"train": str(args.train), "format": args.format, "kind": "note"}
    if args.one_label:
        corpus |= {"label_map": {"*": args.one_label}}
    if test is not None:
        corpus |= {"test": str(test)}
    config = RecipeConfig.model_validate(
        {
            "name": "team",
            "corpus": corpus,
            # Another root seed: another draw of notes.
            "draws": {"sizes": [args.notes], "replicates": replicates, "seed": 1000 + team},
            "ner": {"encoder": "minilm", "steps": args.steps},
            "arm": ARMS,
            "evaluate": evaluate or {},
        }
    )
    folder = args.runs / f"team-{team}-{name}"
    if name == "rest" and not folder.exists():  # another test set, the same students
        folder.mkdir()
        (folder / "cells").symlink_to((args.runs / f"team-{team}-test" / "cells").resolve())
    # What would ship is not asked for.
    only = ["stage=gather"] if evaluate else ()
    results = run_recipe(config, folder, only=only).results
    assert results is not None  # all cells are done
    gold = next(arm for arm in results.arms if arm.name == "gold").f1
    return {
        **results.comparisons[0].model_dump(mode="json"),
        "gold": gold.model_dump(include={"mean", "low", "high"}),
    }


def coverage(rows: list[dict[str, Any]], where: str) -> list[str]:
    """Coverage of what was found on ``where``, in words, with the binomial standard error."""

    def line(what: str, held: list[bool]) -> str:
        share = float(np.mean(held))
        error = (share * (1 - share) / len(held)) ** 0.5
        return f"{what}: {100 * share:.0f}% ± {100 * error:.0f} of {len(held)}"

    def widened(row: dict[str, Any]) -> bool:
        own, test = row["own"], row[where]
        half = (own["high"] - own["low"]) / 2
        reach = (half**2 + (1.96 * test["se"]) ** 2) ** 0.5
        return abs(own["delta"] - test["delta"]) <= reach

    inside = [row["own"]["low"] <= row[where]["delta"] <= row["own"]["high"] for row in rows]
    gold = [
        row["gold"]["own"]["low"] <= row["gold"][where]["mean"] <= row["gold"]["own"]["high"]
        for row in rows
    ]
    errors = [row["own"]["delta"] - row[where]["delta"] for row in rows]
    widths = [row["own"]["high"] - row["own"]["low"] for row in rows]
    return [
        line(f"interval holds the difference on {where}", inside),
        line("with the error of that difference added", [widened(row) for row in rows]),
        line(f"interval of gold's F1 holds that on {where}", gold),
        f"cross-fit less {where}: mean {np.mean(errors):+.1f}, sd {np.std(errors, ddof=1):.1f} F1; "
        f"mean width of the interval {np.mean(widths):.1f}",
    ]


if __name__ == "__main__":
    main()
