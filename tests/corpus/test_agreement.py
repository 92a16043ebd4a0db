import json

import pytest

from notesmith.corpus.agreement import F1, agreement
from notesmith.errors import CorpusError
from notesmith.metrics import PRFScore
from tests.corpus.marked import reading

# Strict, document 1: P:one by both, P:two by a, P:two three by b. Document 2: Q:four by both.
ANN = [reading("P:one", "P:two", doc_id="1"), reading("Q:four", doc_id="2")]
BEN = [reading("P:one", "P:two three", doc_id="1"), reading("Q:four", "Q:six", doc_id="2")]


def test_two_annotators():
    found = agreement({"a": ANN, "b": BEN})
    assert found.pairs == (found.overall,)
    assert found.overall.annotators == ("a", "b")
    # 2 of 3 and 4 mentions: 2 * 2 / 7.
    assert found.overall.strict.counts == PRFScore(2, 2, 1)
    assert found.overall.strict.value == pytest.approx(4 / 7)
    assert found.overall.lenient.counts == PRFScore(3, 1, 0)
    strict, lenient = found.overall.labels["P"]
    assert (strict.value, lenient.value) == (0.5, 1.0)
    assert found.sizes == {"a": (2, 3), "b": (2, 4)}
    assert found.kinds == {"boundary": 1, "only b": 1}


def test_f1_is_the_same_both_ways():
    one, other = agreement({"a": ANN, "b": BEN}), agreement({"b": BEN, "a": ANN})
    assert one.overall.strict.value == other.overall.strict.value
    assert one.overall.strict.interval == other.overall.strict.interval


def test_the_interval_spans_the_documents_scores():
    # Documents score 2/4 and 2/3: resamples of two documents score 1/2, 2/3 or 4/7.
    low, high = agreement({"a": ANN, "b": BEN}).overall.strict.interval
    assert (low, high) == (pytest.approx(1 / 2), pytest.approx(2 / 3))


def test_documents_of_one_patient_are_resampled_together():
    ann = [reading("P:one", doc_id=str(i), patient="p") for i in range(3)]
    found = agreement({"a": ann, "b": ann})
    assert (found.n_groups, found.overall.strict) == (1, F1(PRFScore(3, 0, 0)))


def test_three_annotators_add_up_over_pairs():
    found = agreement({"a": ANN, "b": BEN, "c": ANN[:1]})
    assert [(p.annotators, p.n_documents) for p in found.pairs] == [
        (("a", "b"), 2),
        (("a", "c"), 1),
        (("b", "c"), 1),
    ]
    assert [p.strict.counts for p in found.pairs] == [
        PRFScore(2, 2, 1),
        PRFScore(2, 0, 0),
        PRFScore(1, 1, 1),
    ]
    assert found.overall.strict.counts == PRFScore(5, 3, 2)
    assert found.overall.n_documents == 2


def test_documents_of_one_annotator_are_counted():
    found = agreement({"a": ANN, "b": BEN[:1]})
    assert found.counts == {"documents of one annotator only, not compared": 1}
    assert list(found.readings) == ["1"]


def test_nothing_marked_is_no_score():
    found = agreement({"a": [reading()], "b": [reading()]})
    assert (found.overall.strict.value, found.overall.strict.interval) == (None, None)


def test_what_cannot_be_compared():
    with pytest.raises(CorpusError, match=r"one annotator \(a\): name a path for each"):
        agreement({"a": ANN})
    with pytest.raises(CorpusError, match="nothing that a, b share"):
        agreement({"a": ANN[:1], "b": BEN[1:]})


def test_a_record_holds_no_text():
    record = agreement({"a": ANN, "b": BEN}).to_record()
    assert record["overall"]["strict"] | {"low": 0, "high": 0} == {
        "f1": pytest.approx(4 / 7),
        "low": 0,
        "high": 0,
        "both": 2,
        "only_first": 1,
        "only_second": 2,
    }
    assert not any(word in json.dumps(record) for word in ("one two", "three", "four"))
