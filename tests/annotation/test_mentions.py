"""Mentions with scores become distributions, so that their finders vote as students do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from notesmith.annotation.mentions import MentionAnnotator, scores_of_mentions
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, StageError
from notesmith.ner.decode import Decision, WordScores, score_of
from notesmith.ner.votes import Votes
from notesmith.progress import OnProgress

LABELS = ("Disease", "Drug")
TEXT = "Renal failure after aspirin."
NOTE = Document("n", TEXT)


def found(*scores: float | None) -> Document:
    spans, labels = (((0, 13),), ((20, 27),)), LABELS
    marks = [(f"score={score}",) if score is not None else () for score in scores]
    return NOTE.with_entities(
        Entity(f"T{i}", labels[i], spans[i], said) for i, said in enumerate(marks)
    )


def test_words_of_a_mention_have_its_score_and_others_the_floor() -> None:
    scores = scores_of_mentions(found(0.9, 0.6), LABELS, floor=0.04)
    assert scores.words == ((0, 5), (6, 13), (14, 19), (20, 27), (27, 28))
    np.testing.assert_allclose(
        scores.probabilities,
        [
            [0.1, 0.9, 0, 0, 0],
            [0.1, 0, 0.9, 0, 0],
            [0.96, 0.01, 0.01, 0.01, 0.01],
            [0.4, 0, 0, 0.6, 0],
            [0.96, 0.01, 0.01, 0.01, 0.01],
        ],
        atol=1e-6,
    )


def test_a_mention_without_a_score_is_nearly_sure() -> None:
    assert scores_of_mentions(found(None), LABELS).probabilities[0, 1] == pytest.approx(0.99)
    said = scores_of_mentions(found(None), LABELS, unscored=0.7).probabilities[:2, 0]
    np.testing.assert_allclose(said, 0.3, rtol=1e-5)


def test_nothing_is_said_of_masked_words() -> None:
    masked = replace(found(0.9, 0.9), masked=((0, 3), (14, 19)))
    rows = scores_of_mentions(masked, LABELS).probabilities
    np.testing.assert_allclose(rows[[0, 2]], 0.2, rtol=1e-6)
    np.testing.assert_allclose(rows[1], [0.1, 0, 0.9, 0, 0], atol=1e-6)


def test_nested_mentions_are_flattened_and_counted() -> None:
    inner = Entity("T9", "Drug", ((0, 5),), ("score=0.99",))
    counts: Counter[str] = Counter()
    doc = found(0.8)
    scores = scores_of_mentions(doc.with_entities((*doc.entities, inner)), LABELS, counts=counts)
    np.testing.assert_allclose(scores.probabilities[0], [0.2, 0.8, 0, 0, 0], atol=1e-6)
    assert counts == {"nested": 1}


def test_rows_sum_to_one_without_words_and_without_labels_too() -> None:
    assert scores_of_mentions(Document("e", ""), LABELS).probabilities.shape == (0, 5)
    for doc, labels in ((found(0.3, 0.3), LABELS), (NOTE, ("Disease",)), (NOTE, ())):
        sums = scores_of_mentions(doc, labels).probabilities.sum(axis=1)
        np.testing.assert_allclose(sums, 1, rtol=1e-5)


@pytest.mark.parametrize("score", [1.2, -0.1, "high", "nan"])
def test_a_score_that_is_no_probability_is_an_error_that_shows_no_text(score: object) -> None:
    doc = NOTE.with_entities([Entity("T1", "Drug", ((20, 27),), (f"score={score}",))])
    with pytest.raises(StageError) as caught:
        scores_of_mentions(doc, LABELS)
    assert str(caught.value) == "doc 'n': the score of 'T1' is not a number from 0 to 1"


def test_other_labels_and_bounds_are_errors() -> None:
    with pytest.raises(StageError, match="label Drug is not among the model's: Disease"):
        scores_of_mentions(found(0.9, 0.9), ("Disease",))
    with pytest.raises(ConfigError, match=r"floor 1\.0 or score"):
        scores_of_mentions(NOTE, LABELS, floor=1.0)


def finder(*scores: float | None) -> MentionAnnotator:
    def find(docs: Sequence[Document], on_progress: OnProgress) -> Iterable[Document]:
        return [replace(found(*scores), id=doc.id) for doc in docs]

    return MentionAnnotator(LABELS, "a finder", find)


def test_an_annotator_is_used_like_a_student() -> None:
    note = finder(0.9, 0.4).predict([NOTE])[0]
    assert [(e.label, e.spans) for e in note.entities] == [("Disease", ((0, 13),))]
    assert note.provenance.kind == "silver" and note.provenance.model == "a finder"
    low = Decision({"Drug": 0.3, "Disease": 0.5}, scores=True)
    both = finder(0.9, 0.4).predict([NOTE], decision=low)[0]
    assert [e.label for e in both.entities] == ["Disease", "Drug"]
    assert score_of(both.entities[1]) == pytest.approx(0.4, abs=0.01)


def test_annotators_vote_with_each_other() -> None:
    votes = Votes((finder(0.9), finder(0.5, 0.9)))
    (scores,) = votes.predict_scores([NOTE])
    assert isinstance(scores, WordScores)
    np.testing.assert_allclose(scores.probabilities[0, 1], 0.7, rtol=1e-5)
    assert [e.label for e in votes.predict([NOTE])[0].entities] == ["Disease"]


def test_a_finder_of_other_documents_is_an_error() -> None:
    with pytest.raises(StageError, match="a finder: found mentions in other documents"):
        finder(0.9).predict([Document("n", "Another text.")])
