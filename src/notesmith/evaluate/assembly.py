"""Assemble the findings of a run from the scores of its cells.

What only ``experiment`` knows (corpus, made text, stages, versions) it adds to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from notesmith.config.recipe import EvaluateConfig
from notesmith.errors import StageError
from notesmith.evaluate.board import Board
from notesmith.evaluate.bootstrap import Estimate as Resampled
from notesmith.evaluate.bootstrap import Metric, f1, precision, recall
from notesmith.evaluate.comparisons import Evidence, compare_arms, points, power_of
from notesmith.evaluate.curve import fit_curve, trend
from notesmith.evaluate.notices import disagreements, notices
from notesmith.evaluate.scores import CellScores, View
from notesmith.evaluate.verdict import candidate, fixed_sequence, write_verdict
from notesmith.findings import (
    Arm,
    AttributeScore,
    Estimate,
    Findings,
    LabelScore,
    LearningCurve,
    MadeSource,
    OutOfDrawScores,
)
from notesmith.rules import WORTHWHILE

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


def assemble(
    cells: Iterable[CellScores],
    config: EvaluateConfig,
    *,
    main_size: int | None = None,
    made: Mapping[str, Sequence[MadeSource]] | None = None,
    votes: Mapping[str, int] | None = None,
    adapted: Collection[str] = (),
    dev_cells: Iterable[CellScores] = (),
    out_of_draw_cells: Iterable[CellScores] = (),
    planned: Mapping[int, int] | None = None,
    pool: int | None = None,
    seconds_per_draw: float | None = None,
    curve_arm: str = "gold",
    seed: int = 13,
) -> Findings:
    """Turn the scores of all cells into the findings of a run.

    Args:
        cells: of the split that is reported, all on the same documents.
        config: comparator, further comparisons, resamples, confidence.
        main_size: the gold size of the verdict; the one with most arms if not given.
        made: made sources by arm, in the recipe's order, of arms that are not scored yet too.
        votes: students that vote by arm, of arms that have several.
        adapted: arms whose encoder read text without labels.
        dev_cells: the same students scored on dev.
        out_of_draw_cells: the same students scored on the train documents that their draw did not
            use, each over all of train with its draw ``left_out``.
        planned: replicates by size that were sealed; no claim before they are there.
        pool: train documents that draws are taken from.
        seconds_per_draw: computing time of one more draw with all its arms, for the price of an
            answer; nothing is said of it where it is not known.
        curve_arm: gold alone: its sizes make the learning curve, and it is a step of the verdict.
        seed: of the bootstrap.

    Raises:
        StageError: there is no cell, or cells were scored on different documents.
    """
    board = Board.of(cells, config, seed)
    dev = Board.of(dev_cells, config, seed)
    out = Board.of(out_of_draw_cells, config, seed)
    if not board.cells:
        raise StageError("there is nothing to assemble: no cell was scored")
    sources, voting = dict(made or {}), dict(votes or {})
    order = {arm: i for i, arm in enumerate(sources)}
    keys = sorted(board.cells, key=lambda k: (k[1], order.get(k[0], len(order)), k[0]))
    board.cells = {key: board.cells[key] for key in keys}
    sizes = sorted({size for _, size in keys})
    main = main_size if main_size is not None else _busiest_size(keys)
    if main not in sizes:
        raise StageError(f"no cell was scored at main size {main}; there are {sizes}")
    about = config.candidate or candidate(sources, config.comparator, adapted)
    scored = {arm for arm, size in keys if size == main}

    def sequence(about: str | None) -> tuple[str, ...]:
        rival = config.against.get(about or "", config.comparator)
        return fixed_sequence(
            about, rival=rival, gold=curve_arm, made=sources, votes=voting, adapted=adapted
        )

    awaited = _awaited(about, sequence(about), scored, sources)
    if about not in scored:
        # Speak about what is there.
        there = {arm: own for arm, own in sources.items() if arm in scored}
        about = candidate(there, config.comparator, adapted)
    evidence = Evidence(
        config,
        board,
        out,
        curve_arm,
        main,
        None if awaited else about,
        dict(planned or {}),
        frozenset(sources),
        about if awaited else None,
        sequence(about),
    )
    comparisons = compare_arms(evidence)
    deciding = evidence.board(main)
    told = notices(board, main_size=main, planned=planned, pool=pool)
    if deciding is not board:
        told += notices(deciding, main_size=main, planned=planned, pool=pool)
    findings = Findings(
        split=board.split,
        comparator=config.comparator,
        candidate=about,
        labels=_labels(board),
        sizes=tuple(sizes),
        main_size=main,
        confidence=config.confidence,
        resamples=config.resamples,
        minutes_per_note=config.minutes_per_note,
        deciding=evidence.decide(main),
        notices=tuple(dict.fromkeys([*disagreements(comparisons, main), *told])),
        arms=tuple(
            _arm(
                evidence,
                dev,
                arm,
                size,
                made=sources.get(arm, ()),
                votes=voting.get(arm, 1),
                adapted=arm in adapted,
            )
            for arm, size in keys
        ),
        comparisons=tuple(comparisons),
        learning_curve=_learning_curve(evidence),
        power=power_of(evidence, comparisons, seconds_per_draw),
    )
    return findings.model_copy(update={"verdict": write_verdict(findings, awaited)})


def _awaited(
    about: str | None,
    sequence: Collection[str],
    scored: Collection[str],
    planned: Collection[str],
) -> str | None:
    """The arm of the plan that the recommendation needs and that is not scored, if there is one."""
    if about is None:
        return None
    needed = (about, *sequence)
    return next((a for a in needed if a not in scored and a in {*planned, about}), None)


def _busiest_size(keys: Sequence[tuple[str, int]]) -> int:
    sizes = [size for _, size in keys]
    return max(sorted(set(sizes)), key=sizes.count)


def _labels(board: Board) -> tuple[str, ...]:
    return tuple(
        sorted({x for row in board.cells.values() for cell in row.values() for x in cell.strict})
    )


def _estimate(found: Resampled) -> Estimate:
    return Estimate(
        mean=points(found.mean),
        sd=points(found.sd),
        low=points(found.low),
        high=points(found.high),
        values=tuple(points(v) for v in found.values),
    )


def _scores(board: Board, arm: str, size: int) -> dict[str, Any]:
    return {
        name: _estimate(board.score(arm, size, view, metric))
        for name, (view, metric) in _METRICS.items()
    }


def _arm(
    evidence: Evidence,
    dev: Board,
    arm: str,
    size: int,
    *,
    made: Sequence[MadeSource],
    votes: int,
    adapted: bool,
) -> Arm:
    board, out = evidence.test, evidence.out
    row = board.cells[arm, size]
    beyond = None
    if (arm, size) in out.cells and out.n_scored(size):
        beyond = OutOfDrawScores(
            n_documents=out.n_scored(size),
            n_replicates=len(out.cells[arm, size]),
            **_scores(out, arm, size),
        )
    labels = sorted({label for cell in row.values() for label in cell.strict})
    attributes = sorted({name for cell in row.values() for name in cell.end_to_end})
    return Arm(
        name=arm,
        size=size,
        made=tuple(made),
        votes=votes,
        adapted=adapted,
        n_replicates=len(row),
        n_students=min(cell.students for cell in row.values()),
        **_scores(board, arm, size),
        out_of_draw=beyond,
        decided_on=evidence.decide(size).split,
        dev_f1=_estimate(dev.score(arm, size, "strict", f1)) if (arm, size) in dev.cells else None,
        by_label={label: _label(board, arm, size, label) for label in labels},
        attributes={
            name: AttributeScore(
                end_to_end=_label(board, arm, size, name, "end_to_end"),
                on_found=_label(board, arm, size, name, "on_found"),
            )
            for name in attributes
        },
        seconds=round(float(np.mean([cell.seconds for cell in row.values()])), 2),
        tokens=round(float(np.mean([cell.tokens for cell in row.values()]))),
    )


def _label(board: Board, arm: str, size: int, label: str, view: View = "strict") -> LabelScore:
    totals = board.counts(arm, size, view, label=label).sum(axis=1)
    return LabelScore(
        precision=points(float(precision(totals).mean())),
        recall=points(float(recall(totals).mean())),
        f1=points(float(f1(totals).mean())),
        support=round(float((totals[:, 0] + totals[:, 2]).mean())),
    )


def _learning_curve(evidence: Evidence) -> LearningCurve:
    board, main = evidence.board(evidence.main), evidence.main
    scores = evidence.gold_scores(board)
    sizes = list(scores)
    means = [100 * float(np.mean(values)) for values in scores.values()]
    kind, fit, doubling = None, None, None
    if len(sizes) > 1:
        kind = trend(
            scores,
            worthwhile=WORTHWHILE / 100,
            confidence=evidence.config.confidence,
            seed=board.seed,
        ).kind
        fit = fit_curve(sizes, means)
        if main in sizes and 2 * main <= max(sizes):
            doubling = round(fit(2 * main) - fit(main), 3)
    return LearningCurve(
        arm=evidence.curve_arm,
        scored_on=board.split,
        sizes=tuple(sizes),
        f1=tuple(round(m, 3) for m in means),
        trend=kind,
        fit=fit,
        doubling=doubling,
    )
