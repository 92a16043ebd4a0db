"""Doubtful words of a note are masked, and never taught as words of no mention."""

from __future__ import annotations

import numpy as np

from notesmith.annotation.silver import mask_doubtful
from notesmith.document import Document, Entity
from notesmith.ner.decode import WordScores

TEXT = "No gout or lupus today."
WORDS = ((0, 2), (3, 7), (8, 10), (11, 16), (17, 22), (22, 23))


def scores(*best: float) -> WordScores:
    rows = np.array([[p, (1 - p) / 2, (1 - p) / 2] for p in best], np.float32)
    return WordScores(WORDS, rows)


def note() -> Document:
    gout = Entity("T1", "Disease", ((3, 7),))
    lupus = Entity("T2", "Disease", ((11, 22),))
    return Document("n", TEXT, (gout, lupus))


def test_a_word_below_the_bound_is_masked_and_its_mention_goes_with_it() -> None:
    found = mask_doubtful(note(), scores(0.99, 0.99, 0.99, 0.6, 0.99, 0.8), doubtful=0.9)
    assert [ent.id for ent in found.entities] == ["T1"]
    assert found.masked == ((11, 23),)


def test_nothing_is_masked_at_zero_and_in_a_note_without_words() -> None:
    assert mask_doubtful(note(), scores(*[0.5] * 6), doubtful=0) == note()
    empty = Document("e", "")
    assert mask_doubtful(empty, WordScores((), np.zeros((0, 3), np.float32)), doubtful=1) == empty
