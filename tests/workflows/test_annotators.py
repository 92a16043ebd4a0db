"""Annotators of different kinds vote in the command as they do in recipes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from notesmith.annotation.mentions import MentionAnnotator
from notesmith.document import Document, Entity
from notesmith.progress import OnProgress
from notesmith.workflows.annotators import DICTIONARY, STUDENTS, Vote

NOTE = Document("n", "No gout or lupus.")
LABELS = ("Disease",)


def finding(name: str, *found: tuple[int, int, float], alone: bool = False) -> MentionAnnotator:
    def find(docs: Sequence[Document], told: OnProgress) -> list[Document]:
        entities = tuple(
            Entity(f"T{i}", "Disease", ((start, end),), (f"score={score}",))
            for i, (start, end, score) in enumerate(found)
        )
        return [doc.with_entities(entities) for doc in docs]

    return MentionAnnotator(LABELS, name, find, floor=0.1, mentions_alone=alone)


def test_a_dictionary_does_not_outvote_students_on_words_that_it_lacks() -> None:
    students = finding("five", (3, 7, 0.6), (11, 16, 0.6))
    dictionary = finding("names", (3, 7, 0.8), alone=True)
    (both,) = Vote(LABELS, {STUDENTS: students, DICTIONARY: dictionary}).say([NOTE]).scores
    # Of gout both have an opinion, of lupus the students alone.
    assert both.probabilities[1, 1] == pytest.approx(0.7)
    assert both.probabilities[3, 1] == pytest.approx(0.6)
    all_words = {STUDENTS: students, DICTIONARY: finding("all", (3, 7, 0.8))}
    (other,) = Vote(LABELS, all_words).say([NOTE]).scores
    assert other.probabilities[3, 1] == pytest.approx(0.325)
