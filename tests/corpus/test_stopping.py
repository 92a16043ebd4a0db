import math

import pytest

from notesmith.corpus.stopping import Round, Share, outlook


def round_of(number, gold_words, f1, n=40, words=1000, each=10):
    """A round whose control notes all have this F1."""
    control = ((f1 * 2 * each, 2.0 * each),) * n
    return Round(number, gold_words, 12, words, control, ())


def test_shares_and_their_intervals():
    assert Share.of([]).value is None and str(Share.of([(0, 0)])) == "none"
    assert Share.of([(1, 4)]) == Share(0.25, None, 1)
    assert Share.of([(1, 2)] * 9 + [(0, 0)]) == Share(0.5, (0.5, 0.5), 9)
    low, high = Share.of([(0, 2), (2, 2)] * 10).interval
    assert 0.2 < low < 0.5 < high < 0.8
    assert str(Share.of([(1, 2)] * 2)) == "50.0% [50.0, 50.0]"


def test_one_round_tells_nothing():
    found = outlook([round_of(1, 1000, 0.6)])
    assert found.gain is None
    assert "cannot be told yet: it takes two rounds" in found.sentence
    assert found.sentence.endswith("and there is 1.")
    few = outlook([round_of(1, 1000, 0.6), round_of(2, 2000, 0.7, n=4)])
    assert few.gain is None


def test_a_curve_that_still_rises():
    # 10 points a doubling: from 3,000 words to 4,000 it is 10 log2(4/3).
    rounds = [round_of(2, 2000, 0.7), round_of(1, 1000, 0.6)]
    found = outlook(rounds)
    assert found.gain == pytest.approx(10 * math.log2(4 / 3))
    assert found.sentence == (
        "Another round of 12 notes (1,000 words) is expected to bring about +4.2 points of F1 "
        "[+4.2, +4.2]."
    )


def test_a_curve_that_is_flat():
    found = outlook([round_of(1, 1000, 0.8), round_of(2, 2000, 0.805)])
    assert found.gain == pytest.approx(0.5 * math.log2(4 / 3))
    assert found.sentence.endswith("less than a gain worth having: stop.")


def test_a_curve_that_chance_could_have_made():
    noisy = tuple((float(i % 2) * 20, 20.0) for i in range(10))
    better = tuple((20.0 if i % 5 else 0.0, 20.0) for i in range(10))
    rounds = [Round(1, 1000, 9, 500, noisy, ()), Round(2, 1500, 9, 500, better, ())]
    found = outlook(rounds)
    assert found.interval[0] < 0 < found.interval[1]
    assert found.sentence.startswith("What another round would bring cannot be told yet: ")


def test_numbers_there_and_back():
    one = Round(3, 1000, 12, 900, ((2.0, 5.0),), ((1.0, 4.0),))
    assert Round.from_record(one.to_record()) == one
