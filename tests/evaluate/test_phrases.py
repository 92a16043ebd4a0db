import pytest

from notesmith.evaluate import phrases
from notesmith.evaluate.phrases import draws_words, hours, points
from notesmith.findings import Power, Worth

WORTH = {"notes": 14, "low": 5, "high": 26, "beyond": []}
POWER = {"scored_on": "test", "detectable": 3.5, "n_replicates": 5, "n_documents": 100}


def worth_words(worth, minutes=None):
    return phrases.worth_words(Worth.model_validate(worth), minutes)


def needed_words(power):
    return phrases.needed_words(Power.model_validate(power))


@pytest.mark.parametrize(
    ("worth", "words"),
    [
        (WORTH, "about 14 more labelled notes [5, 26]"),
        (
            {"notes": 50, "low": 9, "high": 50, "beyond": ["notes", "high"]},
            "at least 50 more labelled notes [9, 50 or more]",
        ),
        (
            {"notes": -9, "low": -25, "high": 3, "beyond": ["low"]},
            "about 9 labelled notes fewer [-25 or fewer, 3]",
        ),
    ],
)
def test_worth_in_words(worth, words):
    assert worth_words(worth) == words


@pytest.mark.parametrize(("value", "text"), [(1.84, "+1.8"), (-0.04, "0.0"), (-2.0, "-2.0")])
def test_points(value, text):
    assert points(value) == text


def test_worth_in_hours_keeps_what_is_a_bound():
    worth = {
        "notes": 50,
        "low": 9,
        "high": 50,
        "beyond": ["notes", "high"],
        "hours": {"notes": 12.5, "low": 2.25, "high": 12.5},
    }
    assert worth_words(worth, 15) == (
        "at least 50 more labelled notes [9, 50 or more], or 12 annotator hours [2.2, 12 or more] "
        "at 15 minutes a note"
    )


def test_without_minutes_there_are_no_hours():
    assert worth_words({**WORTH, "hours": {"notes": 2.8, "low": 1.0, "high": 5.2}}) == (
        "about 14 more labelled notes [5, 26]"
    )
    assert worth_words(WORTH, 12) == "about 14 more labelled notes [5, 26]"


@pytest.mark.parametrize(
    ("value", "text"), [(2.84, "2.8"), (-0.04, "0.0"), (9.96, "10"), (12.5, "12"), (-3.0, "-3.0")]
)
def test_hours(value, text):
    assert hours(value) == text


@pytest.mark.parametrize(
    ("replicates", "documents", "times", "said"),
    [
        (
            36,
            None,
            7,
            "about 36 replicates on these 100 documents (new draws under a new plan; rough,",
        ),
        (None, 785, 8, "about 785 scored documents with these 5 replicates (new draws under a"),
        (13, 400, 3, "about 13 replicates on these 100 documents, or 400 scored documents with"),
        (
            None,
            None,
            11,
            "Neither more replicates on these 100 documents nor more documents alone would do. "
            "Finding 1 F1 four times out of five would take about 55 replicates and 1100 scored "
            "documents together (",
        ),
        (
            None,
            None,
            None,
            "nor more documents alone would find 1 F1, and both together are out of reach.",
        ),
    ],
)
def test_what_is_needed(replicates, documents, times, said):
    ways = {"replicates": replicates, "documents": documents, "times": times}
    words = needed_words({**POWER, "needed": {"difference": 1.0, **ways}})
    assert said in words
    # Only where documents would be added must they be like those at hand.
    assert ("must be like these" in words) == (documents is not None or "scored documents" in words)


def test_replicates_are_priced_in_hours_where_a_draw_has_a_price():
    power = {**POWER, "seconds_per_draw": 900.0}
    alone = {"difference": 1.0, "replicates": 36, "documents": None, "times": 7}
    # 36 draws of a quarter of an hour.
    assert "about 36 replicates on these 100 documents, 9.0 hours of computing here (" in (
        needed_words({**power, "needed": alone})
    )
    both = {"difference": 1.0, "replicates": None, "documents": None, "times": 11}
    assert "55 replicates, 14 hours of computing here and 1100 scored documents" in (
        needed_words({**power, "needed": both})
    )


def test_other_numbers_of_draws_than_were_sealed():
    assert draws_words(12, 20) == "No claim before the 20 draws that were sealed; 12 are there"
    assert draws_words(7, 5).endswith(
        "for 5 draws and 7 are there, so it was extended after a look"
    )


def test_nothing_needed_nothing_said():
    assert needed_words(POWER) == ""
