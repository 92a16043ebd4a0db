"""Doubtful words of a note are masked, and never taught as words of no mention."""

from __future__ import annotations

import numpy as np
import pytest

from notesmith.annotation.silver import mask_doubtful, mean_scores
from notesmith.document import Document, Entity
from notesmith.errors import StageError
from notesmith.evaluate.calibration import word_reliability
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


def test_annotators_count_alike() -> None:
    one, two = scores(1.0, 0.5, 0.2, 0.9, 0.9, 0.9), scores(0.5, 0.5, 0.4, 0.1, 0.9, 0.9)
    (found,) = mean_scores([note()], {"students": {"n": one}, "dictionary": {"n": two}})
    assert found.words == one.words
    expected = [0.75, 0.5, 0.3, 0.5, 0.9, 0.9]
    np.testing.assert_allclose(found.probabilities[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-6)


def test_annotators_of_other_words_or_without_a_note_are_named() -> None:
    one = scores(*[0.5] * 6)
    other = WordScores(WORDS[:5], one.probabilities[:5])
    with pytest.raises(StageError, match="'n': annotator 'dictionary' has other words or labels"):
        mean_scores([note()], {"students": {"n": one}, "dictionary": {"n": other}})
    with pytest.raises(StageError, match="'n': annotator 'dictionary' left it out"):
        mean_scores([note()], {"students": {"n": one}, "dictionary": {}})


def test_calibration_is_the_gap_between_probability_and_share_that_is_right() -> None:
    """O at all words, and four of the six are O: at 0.95 one of two, at 0.65 three of four."""
    said = scores(0.95, 0.95, 0.65, 0.65, 0.65, 0.65)
    gold = note().with_entities(note().entities[:1])
    found = word_reliability([gold], [said], ("Disease",)).calibration_error
    assert found == pytest.approx((2 * 0.45 + 4 * 0.35) / 6)
    assert word_reliability([], [], ("Disease",)).calibration_error == 0


def test_an_annotator_without_an_opinion_of_a_word_does_not_vote_on_it() -> None:
    students = {"n": scores(*[0.6] * 6)}
    dictionary = {"n": scores(*[0.9] * 6)}
    said = {"students": students, "dictionary": dictionary}
    (found,) = mean_scores([note()], said, spoken={"dictionary": {"n": [(3, 7)]}})
    assert found.probabilities[:, 0] == pytest.approx([0.6, 0.75, 0.6, 0.6, 0.6, 0.6])
    # Where nobody has an opinion, all are asked.
    (alone,) = mean_scores([note()], said, spoken={"dictionary": {"n": []}, "students": {"n": []}})
    assert alone.probabilities[:, 0] == pytest.approx([0.75] * 6)
