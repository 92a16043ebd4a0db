from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.document import Document
from notesmith.errors import ConfigError
from notesmith.ner.decode import (
    PLAIN,
    Decision,
    WordScores,
    decide,
    label_documents,
    legal_marginals,
    mention_score,
    score_of,
    unread,
)
from notesmith.words import Run, tag_runs, to_entities

LABELS = ("Drug", "Problem")


def scores(*rows: list[float], labels: int = 1) -> WordScores:
    """Words of two letters with a space between, and their probabilities."""
    words = tuple((3 * i, 3 * i + 2) for i in range(len(rows)))
    return WordScores(words, np.array(rows, np.float32).reshape(len(rows), 2 * labels + 1))


def is_legal(tags: tuple[int, ...]) -> bool:
    pairs = zip((0, *tags), tags, strict=False)
    return all(tag % 2 or not tag or before in (tag, tag - 1) for before, tag in pairs)


@given(st.integers(1, 5), st.integers(0, 99))
def test_marginals_are_those_of_the_legal_sequences(n: int, seed: int) -> None:
    rows = np.random.default_rng(seed).dirichlet(np.ones(5), n).astype(np.float32)
    want = np.zeros((n, 5))
    for tags in filter(is_legal, product(range(5), repeat=n)):
        want[range(n), tags] += rows[range(n), tags].astype(float).prod()
    want /= want.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(legal_marginals(rows), want, atol=1e-6)


def test_marginals_of_no_words_are_empty() -> None:
    assert legal_marginals(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_a_score_is_the_least_sure_word_against_no_label() -> None:
    rows = np.array([[0.1, 0.9, 0.0, 0, 0], [0.2, 0.0, 0.6, 0.2, 0]])
    # Word 0: 0.9 / 1.0; word 1: 0.6 / 0.8.
    assert mention_score(rows, Run(0, 0, 2)) == pytest.approx(0.75)
    assert mention_score(rows, Run(0, 0, 1)) == pytest.approx(0.9)


def test_runs_are_mentions_of_words() -> None:
    assert tag_runs([0, 1, 2, 1, 4, 4, 0]) == [Run(0, 1, 3), Run(0, 3, 4), Run(1, 4, 6)]


def test_the_plain_decision_is_the_most_probable_tags() -> None:
    found = decide(scores([0.4, 0.6, 0], [0.9, 0.1, 0]), LABELS[:1])
    assert found == to_entities([1, 0], [(0, 2), (3, 5)], LABELS[:1])
    assert not found[0].attributes and score_of(found[0]) is None


@pytest.mark.parametrize("t", [None, 0.1])
def test_a_mention_goes_on_over_a_word_that_no_window_holds(t: float | None) -> None:
    inner, outside = [0.01, 0.01, 0.98], [0.98, 0.01, 0.01]
    begins = [0.01, 0.98, 0.01]
    (table,) = unread([[(i, i + 1) for i in range(7)]], 3)
    for i, row in {0: begins, 2: inner, 4: outside, 6: begins}.items():
        table[i] = row
    words = tuple((i, i + 1) for i in range(7))
    decision = Decision({} if t is None else {"P": t})
    found = decide(WordScores(words, table), ["P"], decision)
    assert [ent.spans for ent in found] == [((0, 3),), ((6, 7),)]


def test_a_threshold_leaves_out_what_is_less_sure() -> None:
    said = scores([0.4, 0.6, 0], [1, 0, 0], [0.1, 0.9, 0])
    spans = [e.spans for e in decide(said, ("Drug",), Decision({"Drug": 0.8}))]
    assert spans == [((6, 8),)]


def test_a_low_threshold_finds_more_from_just_there_on() -> None:
    said = scores([0.7, 0.3, 0], [1, 0, 0])
    assert not decide(said, ("Drug",), Decision({"Drug": 0.31}))
    found = decide(said, ("Drug",), Decision({"Drug": 0.29}, scores=True))
    assert [e.spans for e in found] == [((0, 2),)]
    assert found[0].attributes == ("score=0.3000",) and score_of(found[0]) == 0.3


def test_written_scores_are_rounded_down() -> None:
    found = decide(scores([0.12346, 0.87654, 0]), ("Drug",), Decision({}, scores=True))
    assert found[0].attributes == ("score=0.8765",)
    assert found[0].id == "T1"


def test_labels_without_a_threshold_are_left_alone() -> None:
    said = scores([0.4, 0.6, 0, 0, 0], [1, 0, 0, 0, 0], [0.4, 0, 0, 0.6, 0], labels=2)
    found = decide(said, LABELS, Decision({"Drug": 0.9}))
    assert [(e.id, e.label) for e in found] == [("T1", "Problem")]


@pytest.mark.parametrize("t", [0.0, 1.0, -1.0, 1.5, float("nan")])
def test_a_threshold_lies_between_0_and_1(t: float) -> None:
    with pytest.raises(ConfigError, match="threshold of 'Drug'"):
        Decision({"Drug": t})


def test_a_threshold_for_an_unknown_label_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'Gene': the model's labels are Drug, Problem"):
        Decision({"Gene": 0.5}).check(LABELS)


def test_documents_keep_id_and_text() -> None:
    doc = Document("a", "aa bb", masked=((0, 2),))
    found = label_documents([doc], [scores([0, 1, 0], [1, 0, 0])], ("Drug",), model="m")
    [labelled] = found
    assert (labelled.id, labelled.text, labelled.masked) == ("a", "aa bb", ())
    assert labelled.mentions() == ["aa"]
    assert labelled.provenance.kind == "silver" and labelled.provenance.parents == ("a",)
    assert PLAIN.thresholds == {}
