import pytest

from notesmith.errors import StageError
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


def test_some_differences_are_out_of_reach():
    found = needed(0.01, 2.0, n_replicates=5, n_documents=100, se_documents=1.0)
    assert (found.replicates, found.documents, found.times) == (None, None, None)


def test_needed_for_no_difference_is_an_error():
    with pytest.raises(StageError, match="not above 0"):
        needed(0.0, 1.0, n_replicates=5, n_documents=100)
