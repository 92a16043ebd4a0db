"""Assemble the results of a run from the scores of its cells; scores in points of 100.

The report reads nothing else. What only the pipeline knows (corpus, made text, stages, versions)
it adds to the dictionary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from notesmith.config import EvaluateConfig
from notesmith.errors import StageError
from notesmith.evaluate.bootstrap import (
    Array,
    Estimate,
    Metric,
    bootstrap,
    document_weights,
    f1,
    pool_groups,
    precision,
    recall,
)
from notesmith.evaluate.cells import CellScores, View
from notesmith.evaluate.curve import Worth, fit_curve, worth_in_notes
from notesmith.evaluate.multiple import holm
from notesmith.evaluate.power import detectable, needed
from notesmith.evaluate.verdict import WORTHWHILE, candidate, claim, write_verdict

SCHEMA = 1

_METRICS: dict[str, tuple[View, Metric]] = {
    "f1": ("strict", f1),
    "precision": ("strict", precision),
    "recall": ("strict", recall),
    "lenient_f1": ("lenient", f1),
    "boundary_f1": ("boundary", f1),
    "unseen_f1": ("unseen", f1),
    "unseen_recall": ("unseen", recall),
    "seen_f1": ("seen", f1),
}


@dataclass(slots=True)
class _Board:
    """The cells of one split by arm, size and replicate, with what their bootstrap shares."""

    config: EvaluateConfig
    seed: int
    cells: dict[tuple[str, int], dict[int, CellScores]] = field(default_factory=dict)
    groups: tuple[int, ...] = ()
    weights: Array | None = None

    @classmethod
    def of(cls, cells: Iterable[CellScores], config: EvaluateConfig, seed: int) -> _Board:
        board = cls(config, seed)
        first: CellScores | None = None
        for cell in cells:
            first = first or cell
            if cell.ids_hash != first.ids_hash or cell.groups != first.groups:
                raise StageError(
                    f"arm {cell.arm!r}, size {cell.size}, replicate {cell.replicate} was scored "
                    "on other documents than the rest"
                )
            row = board.cells.setdefault((cell.arm, cell.size), {})
            if cell.replicate in row:
                raise StageError(
                    f"arm {cell.arm!r}, size {cell.size} has replicate {cell.replicate} twice"
                )
            row[cell.replicate] = cell
        if first is not None:
            board.groups = first.groups
            board.weights = document_weights(len(set(first.groups)), config.resamples, seed=seed)
        return board

    def replicates(self, arm: str, size: int) -> list[int]:
        return sorted(self.cells.get((arm, size), {}))

    def counts(
        self,
        arm: str,
        size: int,
        view: View,
        *,
        replicates: Sequence[int] | None = None,
        label: str | None = None,
    ) -> Array:
        row = self.cells[arm, size]
        wanted = self.replicates(arm, size) if replicates is None else replicates
        return np.stack([row[r].counts(view, label=label) for r in wanted])

    def estimate(
        self,
        counts: Array,
        other: Array | None = None,
        *,
        metric: Metric = f1,
    ) -> Estimate:
        return bootstrap(
            pool_groups(counts, self.groups),
            None if other is None else pool_groups(other, self.groups),
            metric=metric,
            confidence=self.config.confidence,
            seed=self.seed,
            weights=self.weights,
        )


def assemble(
    cells: Iterable[CellScores],
    config: EvaluateConfig,
    *,
    main_size: int | None = None,
    made: Mapping[str, Sequence[str]] | None = None,
    dev_cells: Iterable[CellScores] = (),
    out_of_draw_cells: Iterable[CellScores] = (),
    planned: Mapping[int, int] | None = None,
    pool: int | None = None,
    curve_arm: str = "gold",
    seed: int = 13,
) -> dict[str, Any]:
    """Turn the scores of all cells into the results of a run.

    Args:
        cells: of the split that is reported, all on the same documents.
        config: comparator, further comparisons, resamples, confidence.
        main_size: the gold size of the verdict; the one with most arms if not given.
        made: made sources by arm, in the recipe's order, of arms that are not scored yet too.
        dev_cells: the same students scored on dev.
        out_of_draw_cells: the same students scored on the train documents that their draw did not
            use, each over all of train with its draw ``left_out``.
        planned: replicates by size that were sealed; no claim before they are there.
        pool: train documents that draws are taken from.
        curve_arm: the arm whose sizes make the learning curve.
        seed: of the bootstrap.

    Returns:
        The part of ``results.json`` that follows from scores. Scores and differences are in points
        of 100; ``p`` and ratios from 0 to 1.

    Raises:
        StageError: there is no cell, or cells were scored on different documents.
    """
    board = _Board.of(cells, config, seed)
    dev = _Board.of(dev_cells, config, seed)
    if not board.cells:
        raise StageError("there is nothing to assemble: no cell was scored")
    sources = dict(made or {})
    order = {arm: i for i, arm in enumerate(sources)}
    keys = sorted(board.cells, key=lambda k: (k[1], order.get(k[0], len(order)), k[0]))
    sizes = sorted({size for _, size in keys})
    main = main_size if main_size is not None else _busiest_size(keys)
    if main not in sizes:
        raise StageError(f"no cell was scored at main size {main}; there are {sizes}")
    any_cell = next(iter(board.cells[keys[0]].values()))
    comparisons = _comparisons(board, keys, curve_arm)
    about = config.candidate or candidate(sources, config.comparator)
    scored = {arm for arm, _ in keys}
    awaited = about if about not in scored else None
    if awaited:
        # Speak about what is there.
        there = {arm: own for arm, own in sources.items() if arm in scored}
        about = candidate(there, config.comparator)
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "scale": 100,
        "split": any_cell.split,
        "comparator": config.comparator,
        "candidate": about,
        "labels": _labels(board),
        "sizes": sizes,
        "main_size": main,
        "confidence": config.confidence,
        "resamples": config.resamples,
        "minutes_per_note": config.minutes_per_note,
        "arms": [_arm(board, dev, arm, size, sources.get(arm, ())) for arm, size in keys],
        "comparisons": comparisons,
        "learning_curve": _learning_curve(board, curve_arm, main),
        "power": _power(board, comparisons, about, main),
    }
    results["verdict"] = write_verdict(results, about, awaited).to_json()
    return results


def _busiest_size(keys: Sequence[tuple[str, int]]) -> int:
    sizes = [size for _, size in keys]
    return max(sorted(set(sizes)), key=sizes.count)


def _labels(board: _Board) -> list[str]:
    return sorted({x for row in board.cells.values() for cell in row.values() for x in cell.strict})


def _stat(estimate: Estimate) -> dict[str, Any]:
    return {
        "mean": _points(estimate.mean),
        "sd": _points(estimate.sd),
        "low": _points(estimate.low),
        "high": _points(estimate.high),
        "values": [_points(v) for v in estimate.values],
    }


def _points(value: float) -> float:
    return round(100 * value, 3)


def _arm(board: _Board, dev: _Board, arm: str, size: int, made: Sequence[str]) -> dict[str, Any]:
    row = board.cells[arm, size]
    entry: dict[str, Any] = {
        "name": arm,
        "size": size,
        "made": list(made),
        "n_replicates": len(row),
    }
    for name, (view, metric) in _METRICS.items():
        entry[name] = _stat(board.estimate(board.counts(arm, size, view), metric=metric))
    labels = sorted({label for cell in row.values() for label in cell.strict})
    entry["by_label"] = {label: _label(board, arm, size, label) for label in labels}
    if names := sorted({name for cell in row.values() for name in cell.end_to_end}):
        entry["attributes"] = {
            name: {
                view: _label(board, arm, size, name, view) for view in ("end_to_end", "on_found")
            }
            for name in names
        }
    entry["dev_f1"] = (
        _stat(dev.estimate(dev.counts(arm, size, "strict"))) if (arm, size) in dev.cells else None
    )
    entry["seconds"] = round(float(np.mean([cell.seconds for cell in row.values()])), 2)
    entry["tokens"] = round(float(np.mean([cell.tokens for cell in row.values()])))
    return entry


def _label(board: _Board, arm: str, size: int, label: str, view: View = "strict") -> dict[str, Any]:
    totals = board.counts(arm, size, view, label=label).sum(axis=1)
    return {
        "precision": _points(float(precision(totals).mean())),
        "recall": _points(float(recall(totals).mean())),
        "f1": _points(float(f1(totals).mean())),
        "support": round(float((totals[:, 0] + totals[:, 2]).mean())),
    }


def _comparisons(
    board: _Board, keys: Sequence[tuple[str, int]], curve_arm: str
) -> list[dict[str, Any]]:
    """Each arm against the comparator, then the recipe's further pairs: a Holm family each.

    A family is made of the comparisons at one size.
    """
    config = board.config
    entries: list[dict[str, Any]] = []
    for size in sorted({size for _, size in keys}):
        here = [arm for arm, n in keys if n == size]
        families = {
            "comparator": [(arm, config.comparator) for arm in here if arm != config.comparator],
            "against": [
                (arm, other)
                for arm, other in config.against.items()
                if arm in here and other != config.comparator
            ],
        }
        for family, pairs in families.items():
            found = [_compare(board, pair, size, family, curve_arm) for pair in pairs]
            kept = [entry for entry in found if entry is not None]
            for entry, p in zip(kept, holm([entry["p"] for entry in kept]), strict=True):
                entry["p_holm"] = round(p, 5)
                entry["p"] = round(entry["p"], 5)
                entry["claim"] = claim(
                    entry["low"],
                    entry["high"],
                    p,
                    entry["n_replicates"],
                    alpha=1 - config.confidence,
                )
            entries += kept
    return entries


def _compare(
    board: _Board, pair: tuple[str, str], size: int, family: str, curve_arm: str
) -> dict[str, Any] | None:
    arm, against = pair
    common = sorted(set(board.replicates(arm, size)) & set(board.replicates(against, size)))
    if not common:
        return None
    estimate = board.estimate(
        board.counts(arm, size, "strict", replicates=common),
        board.counts(against, size, "strict", replicates=common),
    )
    found = worth_in_notes(
        _gold_scores(board, curve_arm),
        size,
        estimate.mean,
        estimate.draws,
        confidence=board.config.confidence,
        seed=board.seed,
    )
    return {
        "arm": arm,
        "against": against,
        "family": family,
        "size": size,
        "delta": _points(estimate.mean),
        "low": _points(estimate.low),
        "high": _points(estimate.high),
        "values": [_points(v) for v in estimate.values],
        "p": estimate.p,
        "p_holm": 1.0,
        "n_replicates": estimate.n_replicates,
        "worth": _worth(found.worth, board.config.minutes_per_note),
        "worth_reason": found.reason,
        "claim": "no difference shown",
        "sd_delta": _points(estimate.sd),
        "se_documents": _points(estimate.se_documents),
    }


def _worth(worth: Worth | None, minutes: float | None) -> dict[str, Any] | None:
    if worth is None:
        return None
    notes = {"notes": worth.notes, "low": worth.low, "high": worth.high}
    entry: dict[str, Any] = {**notes, "beyond": list(worth.beyond)}
    if minutes is not None:
        entry["hours"] = {name: round(n * minutes / 60, 2) for name, n in notes.items()}
    return entry


def _gold_scores(board: _Board, curve_arm: str) -> dict[int, list[float]]:
    sizes = sorted(size for arm, size in board.cells if arm == curve_arm)
    return {
        size: [cell.f1 for _, cell in sorted(board.cells[curve_arm, size].items())]
        for size in sizes
    }


def _learning_curve(board: _Board, curve_arm: str, main: int) -> dict[str, Any]:
    scores = _gold_scores(board, curve_arm)
    sizes = list(scores)
    means = [100 * float(np.mean(values)) for values in scores.values()]
    entry: dict[str, Any] = {
        "arm": curve_arm,
        "sizes": sizes,
        "f1": [round(m, 3) for m in means],
        "fit": None,
        "doubling": None,
    }
    if len(sizes) > 1:
        fit = fit_curve(sizes, means)
        entry["fit"] = {
            "a": fit.a,
            "b": fit.b,
            "c": fit.c,
            "formula": "a + b log n" if fit.c == 0 else "a - b n^-c",
            "low": fit.low,
            "high": fit.high,
        }
        if main in sizes and 2 * main <= max(sizes):
            entry["doubling"] = round(fit(2 * main) - fit(main), 3)
    return entry


def _power(
    board: _Board, comparisons: Sequence[Mapping[str, Any]], about: str | None, main: int
) -> dict[str, Any]:
    """Of the verdict's comparison; of the first one at the main size where there is none."""
    here = [c for c in comparisons if c["size"] == main]
    mine = [c for c in here if c["arm"] == about] or here
    chosen = next((c for c in mine if c["family"] == "against"), mine[0] if mine else None)
    entry: dict[str, Any] = {
        "sd_delta": None,
        "se_documents": None,
        "detectable": None,
        "n_replicates": 0,
        "n_documents": len(board.groups),
        "needed": None,
    }
    if chosen is None:
        return entry
    entry["sd_delta"] = chosen["sd_delta"]
    entry["se_documents"] = chosen["se_documents"]
    entry["n_replicates"] = chosen["n_replicates"]
    found = detectable(
        chosen["sd_delta"], chosen["n_replicates"], se_documents=chosen["se_documents"]
    )
    if found is None:
        return entry
    entry["detectable"] = round(found, 2)
    if found > WORTHWHILE:
        lacking = needed(
            WORTHWHILE,
            chosen["sd_delta"],
            n_replicates=chosen["n_replicates"],
            n_documents=len(board.groups),
            se_documents=chosen["se_documents"],
        )
        entry["needed"] = asdict(lacking)
    return entry
