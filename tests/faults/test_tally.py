"""The count itself: a lost trial fails the test that made it."""

from __future__ import annotations

import pytest

from .conftest import Tried


def test_a_lost_trial_is_named():
    tried = Tried()
    tried.count("flip", True)
    tried.count("flip", False)
    with pytest.raises(AssertionError, match=r"flip.*1 of 2"):
        tried.check()


def test_a_full_run_makes_more_trials(amount, request):
    assert amount(2, 500) == (500 if request.config.getoption("--full") else 2)
