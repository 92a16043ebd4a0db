import numpy as np
import pytest

from notesmith.errors import StageError
from notesmith.evaluate.bootstrap import bootstrap, document_weights
from notesmith.evaluate.multiple import holm
from notesmith.evaluate.power import detectable, needed, power, replicates_needed


def test_holm_by_hand():
    # Sorted: 0.01 x 4 = 0.04; 0.02 x 3 = 0.06; 0.03 x 2 = 0.06; 0.04 x 1 = 0.04, raised to 0.06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_is_cut_at_one():
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_holm_of_nothing_and_of_one():
    assert holm([]) == []
    assert holm([0.03]) == [0.03]


def test_power_at_no_difference_is_the_error_rate():
    assert power(0.0, 2.0, 5, alpha=0.05) == pytest.approx(0.05, abs=1e-3)


def test_power_agrees_with_a_published_value():
    # One-sample t test, effect 1 SD, n = 10, alpha 0.05 two-sided: power 0.803 (Cohen's tables).
    assert power(1.0, 1.0, 10, alpha=0.05) == pytest.approx(0.803, abs=2e-3)


def test_detectable_inverts_power():
    found = detectable(1.0, 10)
    assert found is not None
    assert power(found, 1.0, 10, alpha=0.05) == pytest.approx(0.8, abs=1e-4)
    assert found == pytest.approx(0.996, abs=5e-3)


def test_shared_documents_make_it_harder():
    alone, shared = detectable(2.0, 5), detectable(2.0, 5, se_documents=1.0)
    assert alone is not None
    assert shared is not None
    assert shared > alone


def test_documents_alone_are_a_plain_z_test():
    # No spread of replicates, error 1: (1.960 + 0.842) standard errors.
    assert detectable(0.0, 5, se_documents=1.0) == pytest.approx(2.80, abs=0.01)


def test_one_replicate_has_no_power_to_state():
    assert detectable(2.0, 1) is None
    with pytest.raises(StageError, match="two replicates"):
        power(1.0, 2.0, 1, alpha=0.05)


def test_replicates_needed():
    # Effect of 1 SD needs 10 (power 0.803), 9 are not enough (0.751).
    assert replicates_needed(1.0, 1.0) == 10
    # Documents' error of 1 forbids finding 2 (2.8 needed), however many replicates.
    assert replicates_needed(2.0, 1.0, se_documents=1.0) is None


def test_more_documents_where_documents_are_the_whole_error():
    # Error 1 on 100 documents, nothing from replicates: finding 1 takes an error of 1 / 2.802, and
    # (2.802)² x 100 = 785 documents; 8 times both is the first whole multiple above 7.85.
    found = needed(1.0, 1e-9, n_replicates=5, n_documents=100, se_documents=1.0)
    assert (found.replicates, found.documents, found.times) == (None, 785, 8)


def test_more_replicates_where_they_are_the_whole_error():
    # Effect of 1 SD: 10 replicates (above); no documents help, as they are no part of the error.
    found = needed(1.0, 1.0, n_replicates=5, n_documents=100)
    assert (found.replicates, found.documents, found.times) == (10, None, 2)


def test_both_where_neither_alone_is_enough():
    # Documents leave 2.802 x 0.797 = 2.2 however many replicates; replicates 3.0 however many
    # documents. Both k times: variance (1.899² / 5 + 0.797²) / k = 1.356 / k must be below
    # 1 / 2.802² = 0.127, so k is above 10.6.
    found = needed(1.0, 1.899, n_replicates=5, n_documents=100, se_documents=0.797)
    assert (found.replicates, found.documents, found.times) == (None, None, 11)


def test_power_at_hand_computed_points():
    # Two replicates, documents alone known: the critical value is 12.71 s / sqrt 2, s = sd |Z|.
    # Found at shift d where d + 0.7071 Z' > 8.985 |Z|; at d = 8.985 x 1.2816 (the 0.8 quantile of
    # |Z|) the chance is a little below 0.8, for Z' moves it over the steep side of the bar.
    assert power(8.985 * 1.2816, 1.0, 2, alpha=0.05) == pytest.approx(0.795, abs=0.01)
    # Shared documents of the same size as replicates: 0.8 was stated and 0.43 found before.
    found = detectable(2.0, 2, se_documents=0.8)
    assert found == pytest.approx(23.1, abs=0.3)
    assert power(10.57, 2.0, 2, se_documents=0.8, alpha=0.05) == pytest.approx(0.44, abs=0.02)


def test_a_spread_that_is_only_estimated_asks_for_more():
    # sd known: 3.36 (5 replicates, sd 2). Estimated from the same five, the mean chance over what
    # may be behind it is 0.68 there.
    assert detectable(2.0, 5) == pytest.approx(3.36, abs=0.02)
    assert power(3.36, 2.0, 5, alpha=0.05, sd_from=5) == pytest.approx(0.685, abs=0.02)
    assert detectable(2.0, 5, sd_from=5) == pytest.approx(4.18, abs=0.02)
    with pytest.raises(StageError, match="spread is known from two"):
        power(1.0, 2.0, 5, alpha=0.05, sd_from=1)


def paired(rng, n_replicates, *, n_documents=40, shift=0.0):
    """Counts of two arms: documents that both share, each replicate's own luck, a true shift."""
    hard = rng.normal(0, 3, n_documents)
    own = rng.normal(0, 2, (n_replicates, 1)) + rng.normal(0, 3, (n_replicates, n_documents))
    counts = np.zeros((2, n_replicates, n_documents, 3))
    counts[0, ..., 0] = 60 + shift + hard + own
    counts[1, ..., 0] = 60
    counts[..., 1] = counts[..., 2] = 100 - counts[..., 0]
    return counts


@pytest.mark.parametrize("n_replicates", [2, 3, 5, 10])
def test_the_stated_difference_is_found_four_times_in_five(n_replicates):
    # By the very bootstrap that makes claims. SD of a replicate: 2 and 3 / sqrt 40 together;
    # documents' error: 3 / sqrt 40. benchmarks/power.py has many more runs.
    error = 3 / 40**0.5
    stated = detectable((4 + error**2) ** 0.5, n_replicates, se_documents=error)
    assert stated is not None
    rng = np.random.default_rng(n_replicates)
    weights = document_weights(40, 400, seed=1)
    runs = 250
    found = 0
    for _ in range(runs):
        ours, theirs = paired(rng, n_replicates, shift=stated)
        estimate = bootstrap(ours, theirs, weights=weights)
        found += estimate.low > 0
    # Three standard errors of 250 runs are 7.6 points.
    assert found / runs == pytest.approx(0.8, abs=0.076)


def test_some_differences_are_out_of_reach():
    found = needed(0.01, 2.0, n_replicates=5, n_documents=100, se_documents=1.0)
    assert (found.replicates, found.documents, found.times) == (None, None, None)


def test_needed_for_no_difference_is_an_error():
    with pytest.raises(StageError, match="not above 0"):
        needed(0.0, 1.0, n_replicates=5, n_documents=100)
