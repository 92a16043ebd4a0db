from functools import partial

import numpy as np
import pytest

from notesmith.errors import StageError
from notesmith.evaluate import curve
from notesmith.evaluate.curve import fit_curve

# Scores in points: a rise of 1 would matter.
worth_in_notes = partial(curve.worth_in_notes, worthwhile=1.0)


def test_two_sizes_give_the_logarithm():
    # a + b log n through (25, 60) and (100, 70): b = 10 / log 4.
    fit = fit_curve([25, 100], [60.0, 70.0])
    assert fit.c == 0
    assert fit.b == pytest.approx(10 / np.log(4))
    assert fit(50) == pytest.approx(65.0)


def test_power_law_is_found():
    sizes = [25, 50, 100, 200]
    fit = fit_curve(sizes, [80 - 100 * n**-0.5 for n in sizes])
    assert fit.c == pytest.approx(0.5)
    assert (fit.a, fit.b) == pytest.approx((80, 100))


def test_curve_needs_two_sizes():
    with pytest.raises(StageError, match="two different sizes"):
        fit_curve([50], [60.0])


def steady(means):
    """Three equal replicates a size: a curve that is known exactly."""
    return {n: [value] * 3 for n, value in means.items()}


def test_worth_inverts_the_curve():
    # Log curve: +5 per doubling. From 50 notes a gain of 5 is worth 50 more, of 2.5 worth
    # 50 (sqrt 2 - 1) = 20.7, of -2.5 worth 50 (1 / sqrt 2 - 1) = -14.6.
    scores = steady({25: 60.0, 50: 65.0, 100: 70.0, 200: 75.0})
    draws = np.linspace(2.5, 7.5, 1001)
    found = worth_in_notes(scores, 50, 5.0, draws)
    assert found.worth is not None
    assert found.worth.notes == 50
    # Quantiles 0.025 and 0.975 of the gains are 2.625 and 7.375.
    assert found.worth.low == round(50 * (2 ** (2.625 / 5) - 1))
    assert found.worth.high == round(50 * (2 ** (7.375 / 5) - 1))
    assert found.worth.beyond == ()


def test_loss_is_worth_fewer_notes():
    scores = steady({25: 60.0, 50: 65.0, 100: 70.0})
    found = worth_in_notes(scores, 50, -2.5, np.full(100, -2.5))
    assert found.worth is not None
    assert found.worth.notes == -15


def test_gain_beyond_the_largest_size_is_a_bound():
    scores = steady({25: 60.0, 50: 65.0, 100: 70.0})
    found = worth_in_notes(scores, 50, 8.0, np.linspace(2.5, 13.5, 200))
    assert found.worth is not None
    assert (found.worth.notes, found.worth.high) == (50, 50)
    assert found.worth.beyond == ("notes", "high")
    assert found.worth.low < 50


def test_no_gain_is_worth_nothing():
    scores = steady({25: 60.0, 50: 65.0, 100: 70.0})
    found = worth_in_notes(scores, 50, 0.0, np.zeros(50))
    assert found.worth is not None
    assert (found.worth.notes, found.worth.low, found.worth.high) == (0, 0, 0)


def test_flat_curve_has_no_worth():
    # +0.2 with a spread of 0.1: the rise is within 0.2 ± 0.4, so a rise of 1 is ruled out.
    scores = {25: [64.0, 64.1, 63.9], 100: [64.2, 64.3, 64.1]}
    found = worth_in_notes(scores, 25, 2.0, np.full(500, 2.0))
    assert found.worth is None
    assert found.reason == "the gold curve is flat from 25 to 100 notes"


def test_a_curve_that_may_well_rise_is_not_called_flat():
    # +0.7 with a spread of 2: three replicates leave room for a rise of 7.
    scores = {25: [64.0, 66.0, 62.0], 100: [65.0, 63.0, 66.0]}
    found = worth_in_notes(scores, 25, 2.0, np.full(500, 2.0))
    assert (found.worth, found.reason) == (
        None,
        "too few replicates to tell whether the gold curve rises from 25 to 100 notes",
    )


def test_one_replicate_of_a_size_tells_nothing_of_its_spread():
    scores = {25: [60.0, 61.0], 50: [65.0], 100: [70.0]}
    found = worth_in_notes(scores, 25, 2.0, np.full(500, 2.0))
    assert (found.worth, found.reason) == (
        None,
        "too few replicates: gold was trained once at 50, 100 notes, which tells nothing of its "
        "spread",
    )


def test_one_size_has_no_worth():
    found = worth_in_notes({50: [65.0]}, 50, 2.0, np.full(10, 2.0))
    assert found.worth is None
    assert found.reason == "gold was trained at one size only"


def test_size_without_gold_has_no_worth():
    found = worth_in_notes(steady({25: 60.0, 100: 70.0}), 50, 2.0, np.full(10, 2.0))
    assert found.worth is None
    assert found.reason == "gold was not trained at 50 notes"


def test_noise_of_the_curve_widens_the_interval():
    known = steady({25: 60.0, 50: 65.0, 100: 70.0, 200: 75.0})
    noisy = {n: [v[0] - 1.5, v[0], v[0] + 1.5] for n, v in known.items()}
    draws = np.random.default_rng(0).normal(3, 0.5, 2000)
    sure, unsure = (worth_in_notes(s, 50, 3.0, draws).worth for s in (known, noisy))
    assert sure is not None
    assert unsure is not None
    assert unsure.high - unsure.low > sure.high - sure.low


def test_a_gain_where_the_curve_ends_has_no_worth():
    scores = steady({25: 60.0, 50: 65.0, 100: 70.0})
    found = worth_in_notes(scores, 100, 2.0, np.full(50, 2.0))
    assert (found.worth, found.reason) == (None, "the gold curve ends at 100 notes")
    found = worth_in_notes(scores, 25, -2.0, np.full(50, -2.0))
    assert (found.worth, found.reason) == (None, "the gold curve begins at 25 notes")
    assert worth_in_notes(scores, 100, -2.0, np.full(50, -2.0)).worth is not None
