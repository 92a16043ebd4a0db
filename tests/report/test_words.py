import pytest

from notesmith.report import words


@pytest.mark.parametrize(
    ("value", "said"),
    [(3.12, "+3.1"), (-3.12, "−3.1"), (0.04, "0.0"), (-0.04, "0.0"), (None, "–")],
)
def test_signed(value, said):
    assert words.signed(value) == said


def test_points_and_interval():
    assert words.points(65.432) == "65.4"
    assert words.points(float("nan")) == "–"
    assert words.interval(62.13, 68.0) == "[62.1, 68.0]"
    assert words.interval(-1.0, 2.0, sign=True) == "[−1.0, +2.0]"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.5, "0.5 s"), (48, "48 s"), (720, "12 min"), (7500, "2 h 05 min"), (3599, "1 h 00 min")],
)
def test_duration(seconds, said):
    assert words.duration(seconds) == said


def test_counts_shares_and_lists():
    assert words.count(12345.4) == "12,345"
    assert words.percent(0.093) == "9.3%"
    assert words.percent(0.7533) == "75%"
    assert words.probability(0.0004) == "< 0.001"
    assert words.probability(0.0193) == "0.019"
    assert words.plural(1, "note") == "1 note"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.memory(3 * 2**29) == "1.5 GiB"


def test_minus_leaves_names_and_dates_alone():
    said = words.minus("lwtr (-0.3), gemma3-270m, 2026-01-15: -5.1 [-7.3, -2.9]")
    assert said == "lwtr (−0.3), gemma3-270m, 2026-01-15: −5.1 [−7.3, −2.9]"


@pytest.mark.parametrize(
    ("value", "said"), [(6.24, "6.2"), (9.96, "10"), (29.0, "29"), (-1.0, "−1.0")]
)
def test_hours(value, said):
    assert words.hours(value) == said
