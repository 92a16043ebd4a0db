"""The temperature of scores: against sums worked by hand, its bounds, and what it leaves alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from notesmith.annotation.calibration import at_temperature, fit_temperature


def test_a_temperature_divides_the_logit() -> None:
    assert at_temperature(0.9, 2.0) == pytest.approx(0.75)  # odds of 9 become odds of 3
    assert at_temperature(0.75, 0.5) == pytest.approx(0.9)
    assert at_temperature(0.5, 7.0) == 0.5
    assert 0.5 < at_temperature(1.0, 10.0) < 1 and 0 < at_temperature(0.0, 0.1) < 0.5


def test_the_fitted_temperature_is_the_one_whose_mean_score_is_the_share_right() -> None:
    # 75 of 100 mentions with a score of 0.9 are right. Their targets are 76/77 and 1/27.
    share = (75 * 76 / 77 + 25 / 27) / 100
    wanted = math.log(9) / math.log(share / (1 - share))
    found = fit_temperature([0.9] * 100, [True] * 75 + [False] * 25)
    assert found == pytest.approx(wanted, rel=1e-6)
    assert at_temperature(0.9, found) == pytest.approx(share, rel=1e-6)


def test_scores_that_are_calibrated_stay_almost_as_they_are() -> None:
    rng = np.random.default_rng(3)
    scores = rng.uniform(0.2, 0.99, 5000)
    assert fit_temperature(scores, rng.random(5000) < scores) == pytest.approx(1, abs=0.06)


def test_the_temperature_has_bounds() -> None:
    assert fit_temperature([0.9] * 60, [False] * 60) == pytest.approx(10)
    assert fit_temperature([0.51] * 5000, [True] * 5000) == pytest.approx(0.1)
    assert fit_temperature([0.99] * 60, [True] * 60) > 1  # a few right ones prove little
