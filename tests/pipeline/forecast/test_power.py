import pytest

from notesmith.pipeline.forecast.facts import SplitFacts
from notesmith.pipeline.forecast.power import smallest_gain

from ..doubles import tiny_recipe

PATHS = {"train": "a", "dev": "b", "test": "c"}


def gain(mentions, replicates):
    recipe = tiny_recipe(PATHS, draws={"replicates": replicates})
    return smallest_gain(recipe, SplitFacts(100, 1, {"x": mentions})).gain


def test_it_is_near_what_the_projects_own_runs_found():
    # NCBI Disease: 2.1 and 2.9; BC5CDR: 1.1 (docs/results).
    assert gain(960, 5) == pytest.approx(2.5, abs=0.4)
    assert gain(9809, 3) == pytest.approx(1.1, abs=0.5)


def test_more_mentions_and_more_replicates_show_smaller_gains():
    assert gain(100, 5) > gain(1000, 5) > gain(1000, 10)


def test_one_replicate_shows_nothing():
    assert gain(1000, 1) is None
