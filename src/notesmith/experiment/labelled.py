"""Collect what annotators made of notes without labels: how much, how sure, and how right."""

from __future__ import annotations

from collections import Counter

from notesmith.experiment.graph import Cell
from notesmith.experiment.plan import Plan, Target
from notesmith.experiment.stages import lm_labels, mined, notes, silver
from notesmith.experiment.stages.score import is_score, students_of
from notesmith.experiment.store import CellStore
from notesmith.results import MinedNames, SilverLabels


def silver_of(plan: Plan, store: CellStore) -> tuple[SilverLabels, ...]:
    """The silver that arms learn from, where it is finished, in the order of the plan."""
    judged = {
        target.cell.inputs[silver.STAGE.name].key: store.metrics_of(silver.QUALITY, target.cell)
        for target in plan.targets
        if target.cell.stage == silver.QUALITY
    }
    found: dict[tuple[str, str, int, int], SilverLabels] = {}
    for target in plan.targets:
        for student in students_of(target.cell) if is_score(target.cell) else ():
            # One a draw; in a cross-fit, one a fold.
            if (cell := student.inputs.get(silver.STAGE.name)) is None:
                continue
            place = cell.key, target.arm, target.size, target.replicate
            if place not in found and (made := store.metrics_of(silver.STAGE, cell)):
                found[place] = _labels(target, cell, made, judged.get(cell.key), store)
    return tuple(found.values())


def _labels(
    target: Target,
    cell: Cell,
    made: silver.Measured,
    quality: silver.Quality | None,
    store: CellStore,
) -> SilverLabels:
    answers, unusable = _answers(cell, store)
    return SilverLabels(
        arm=target.arm,
        size=target.size,
        replicate=target.replicate,
        notes=made.made.documents,
        left_out=_left_out(cell, store),
        mentions=made.mentions,
        confidence=made.confidence,
        doubtful=made.doubtful,
        answers=answers,
        unusable=unusable,
        known=quality.documents if quality else 0,
        scores=(quality.precision, quality.recall, quality.f1) if quality else None,
        by_label=quality.by_label if quality else {},
        calibration_error=quality.calibration_error if quality else None,
    )


def mined_of(plan: Plan, store: CellStore) -> tuple[MinedNames, ...]:
    """How right the names are that arms took from notes, where that was measured."""
    return tuple(
        MinedNames(
            arm=target.arm,
            size=target.size,
            replicate=target.replicate,
            names=judged.names,
            right=judged.right,
            precision=judged.precision,
            low=judged.low,
            unseen_covered=judged.unseen_covered,
        )
        for target in plan.targets
        if target.cell.stage == mined.QUALITY
        and (judged := store.metrics_of(mined.QUALITY, target.cell))
    )


def _left_out(cell: Cell, store: CellStore) -> int:
    """Notes that repeat a document which is labelled or held out, or its patient."""
    read = store.metrics_of(notes.STAGE, cell.inputs["notes"])
    return sum(read.repeats.values()) if read else 0


def _answers(cell: Cell, store: CellStore) -> tuple[int, dict[str, int]]:
    """Answers of the language models among a silver's annotators, and their faults by reason."""
    n, unusable = 0, Counter[str]()
    for annotator in cell.inputs.values():
        if annotator.stage == lm_labels.STAGE:
            said = store.metrics_of(lm_labels.STAGE, annotator)
            if said is not None:
                n += said.answers
                unusable.update(said.failures)
                unusable.update(said.misfits)
    return n, dict(sorted(unusable.items()))
