from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from notesmith.document import Document, Entity
from notesmith.errors import StageError
from notesmith.metrics import PRFScore
from notesmith.ner.decode import WordScores
from notesmith.ner.sweep import Point, Wanted, choose, sweep_thresholds

# One word a document: the probability that it is a Drug.
CHANCES = {"sure": 0.95, "likely": 0.7, "wrong": 0.6, "missed": 0.3}
GOLD = [
    Document(name, "ab", () if name == "wrong" else (Entity("T1", "Drug", ((0, 2),)),))
    for name in CHANCES
]


class Fixed:
    """A student whose probabilities are written above."""

    labels = ("Drug",)
    name = "fixed"

    def predict_scores(self, docs: Sequence[Document], **options: Any) -> list[WordScores]:
        rows = [np.array([[1 - CHANCES[d.id], CHANCES[d.id], 0]], np.float32) for d in docs]
        return [WordScores(((0, 2),), row) for row in rows]

    def predict(self, docs: Sequence[Document], **options: Any) -> list[Document]:
        raise AssertionError


def test_points_are_strict_counts_at_each_threshold() -> None:
    found = sweep_thresholds(Fixed(), GOLD, grid=(0.2, 0.65, 0.9))
    assert found.points["Drug"] == (
        Point(None, PRFScore(2, 1, 1)),
        Point(0.2, PRFScore(3, 1, 0)),
        Point(0.65, PRFScore(2, 0, 1)),
        Point(0.9, PRFScore(1, 0, 2)),
    )
    assert found.thresholds == {"Drug": 0.2}
    assert (found.plain, found.together) == (PRFScore(2, 1, 1), PRFScore(3, 1, 0))


def test_the_choice_reaches_what_is_wanted() -> None:
    found = sweep_thresholds(Fixed(), GOLD, grid=(0.2, 0.65), wanted=Wanted(precision=0.9))
    assert found.thresholds == {"Drug": 0.65}
    nothing = sweep_thresholds(Fixed(), GOLD, grid=(0.2,), wanted=Wanted(0.99, 0.99))
    assert nothing.chosen == {"Drug": None} and nothing.thresholds == {}
    assert nothing.together == nothing.plain


def test_the_plain_decision_stays_where_none_is_better() -> None:
    points = [Point(None, PRFScore(2, 1, 1)), Point(0.6, PRFScore(2, 1, 1))]
    assert choose(points, Wanted()) is points[0]


def test_notes_without_mentions_choose_nothing() -> None:
    with pytest.raises(StageError, match="no mention of Drug"):
        sweep_thresholds(Fixed(), [Document("a", "ab")])
