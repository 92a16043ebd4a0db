"""Precision and recall of each label over thresholds, on labelled notes: choose where to work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from notesmith.document import Document
from notesmith.errors import StageError
from notesmith.metrics import PRFScore, known_only, score
from notesmith.ner.decode import PLAIN, Decision, WordScores, label_documents
from notesmith.ner.student import Student
from notesmith.progress import OnProgress, silent

GRID = (0.02, 0.05, *(round(i / 10, 1) for i in range(1, 10)), 0.95, 0.98, 0.99)


@dataclass(frozen=True, slots=True)
class Point:
    """Strict counts of one label at a threshold; None is the plain decision, without one."""

    threshold: float | None
    score: PRFScore


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a threshold must reach on these notes: precision and recall, from 0 to 1."""

    precision: float = 0.0
    recall: float = 0.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """Points of each label, all labels at the same threshold; and a choice.

    ``chosen`` maps a label to the point of best F1 among those that reach what is wanted (the plain
    decision where none is better), or to None where none reaches it. ``plain`` are the counts of
    all labels without thresholds, ``together`` those with every label at its chosen one: a lower
    threshold can take words from another label.
    """

    points: Mapping[str, tuple[Point, ...]]
    chosen: Mapping[str, Point | None]
    plain: PRFScore
    together: PRFScore

    @property
    def thresholds(self) -> dict[str, float]:
        """The chosen thresholds, by label; labels at the plain decision are left out."""
        found = {label: point.threshold for label, point in self.chosen.items() if point}
        return {label: t for label, t in found.items() if t is not None}


def sweep_thresholds(
    student: Student,
    gold: Sequence[Document],
    *,
    grid: Sequence[float] = GRID,
    wanted: Wanted | None = None,
    on_progress: OnProgress = silent,
) -> Sweep:
    """Score ``student`` on ``gold`` at every threshold of ``grid``.

    Raises:
        StageError: ``gold`` has no mention of a label that the student knows.
    """
    if not any(ent.label in student.labels for doc in gold for ent in doc.entities):
        raise StageError(
            f"no mention of {', '.join(student.labels)} in these notes; map the labels or name "
            "other notes"
        )
    scores = student.predict_scores(gold, on_progress=on_progress)
    points: dict[str, list[Point]] = {label: [] for label in student.labels}
    for threshold in (None, *grid):
        same = {} if threshold is None else dict.fromkeys(student.labels, threshold)
        by_label = _counts(student, gold, scores, Decision(same))
        for label, found in points.items():
            found.append(Point(threshold, by_label.get(label, PRFScore())))
    chosen = {label: choose(found, wanted or Wanted()) for label, found in points.items()}
    best = Sweep({label: tuple(found) for label, found in points.items()}, chosen, *_NONE)
    plain = _counts(student, gold, scores, PLAIN)
    together = _counts(student, gold, scores, Decision(best.thresholds))
    return Sweep(best.points, chosen, *(PRFScore.sum(c.values()) for c in (plain, together)))


_NONE = (PRFScore(), PRFScore())


def choose(points: Sequence[Point], wanted: Wanted) -> Point | None:
    """The point of best F1 that reaches what is wanted; the first of ``points`` where equal."""
    enough = [
        point
        for point in points
        if point.score.precision >= wanted.precision and point.score.recall >= wanted.recall
    ]
    return max(enough, key=lambda point: point.score.f1, default=None)


def _counts(
    student: Student, gold: Sequence[Document], scores: Sequence[WordScores], decision: Decision
) -> dict[str, PRFScore]:
    found = label_documents(gold, scores, student.labels, model=student.name, decision=decision)
    sides = known_only(gold, list(found))
    return score(sides.gold, sides.predicted).by_label()
