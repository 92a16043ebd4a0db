import pytest

from notesmith.findings import OUT_OF_DRAW
from notesmith.forecast.corpus_stats import SplitStats
from notesmith.forecast.power import smallest_gain
from tests.experiment.doubles import tiny_recipe

PATHS = {"train": "a", "dev": "b", "test": "c"}


def found(mentions, replicates, **more):
    recipe = tiny_recipe(PATHS, draws={"replicates": replicates, "sizes": [50]})
    return smallest_gain(recipe, {"test": SplitStats(100, 1, {"x": mentions}), **more})


def gain(mentions, replicates):
    return found(mentions, replicates).gain


def test_it_is_near_what_the_projects_own_runs_found():
    # NCBI Disease: 2.1 and 2.9; BC5CDR: 1.1 (docs/results).
    assert gain(960, 5) == pytest.approx(2.5, abs=0.4)
    assert gain(9809, 3) == pytest.approx(1.1, abs=0.5)


def test_more_mentions_and_more_replicates_show_smaller_gains():
    assert gain(100, 5) > gain(1000, 5) > gain(1000, 10)


def test_one_replicate_shows_nothing():
    assert gain(1000, 1) is None


def beyond(pool, sampled, *, each=9):
    facts = {"train": pool, OUT_OF_DRAW: sampled}
    return {split: SplitStats(n, 1, {"x": each * n}) for split, n in facts.items()}


def test_documents_beyond_a_draw_decide_where_they_are_half_as_many():
    many = found(960, 5, **beyond(592, 592))
    assert (many.split, many.n_documents, many.n_mentions) == (OUT_OF_DRAW, 542, 4878)
    # Five draws show what seven would on the test set: 1.4 times as many.
    assert gain(960, 8) < many.gain < gain(960, 5)
    assert many.gain == pytest.approx(gain(960, 7), abs=0.1)
    assert found(960, 5, **beyond(592, 40)).split == "test"
    assert found(960, 5, **beyond(50, 50)).split == "test"


def test_nothing_to_score_shows_nothing():
    assert smallest_gain(tiny_recipe(PATHS), {"test": SplitStats(3, 9, {})}) is None
