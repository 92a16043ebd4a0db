import time

import numpy as np
import pytest
from scipy import stats

from notesmith.errors import StageError
from notesmith.evaluate.bootstrap import (
    bootstrap,
    document_weights,
    f1,
    pool_groups,
    precision,
    recall,
    two_sided_p,
)


def random_counts(n_replicates=5, n_documents=100, *, right=0.65, seed=0):
    rng = np.random.default_rng(seed)
    n_gold = rng.poisson(8, n_documents)
    tp = rng.binomial(n_gold, right, (n_replicates, n_documents))
    fp = rng.poisson(3, (n_replicates, n_documents))
    return np.stack([tp, fp, n_gold - tp], axis=-1)


def test_metrics_by_hand():
    # tp 6, fp 2, fn 4: P = 6/8, R = 6/10, F1 = 12/18.
    counts = np.array([6.0, 2.0, 4.0])
    assert precision(counts) == 0.75
    assert recall(counts) == 0.6
    assert f1(counts) == pytest.approx(2 / 3)


def test_metrics_are_zero_where_undefined():
    assert f1(np.zeros((2, 3))).tolist() == [0.0, 0.0]


def test_weights_draw_every_document_once_on_average():
    weights = document_weights(20, 5000, seed=1)
    assert (weights.sum(axis=1) == 20).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(20), abs=0.06)
    # A binomial (20, 1/20) has variance 0.95.
    assert weights.var() == pytest.approx(0.95, abs=0.03)


def test_identical_arms_do_not_differ():
    counts = random_counts()
    found = bootstrap(counts, counts)
    assert (found.mean, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_mean_is_of_the_replicates_scores():
    # Replicate 1: tp 3, fp 1, fn 1 over both documents: 6/8. Replicate 2: tp 1, fp 0, fn 3: 2/5.
    counts = [[[2, 1, 0], [1, 0, 1]], [[0, 0, 2], [1, 0, 1]]]
    found = bootstrap(counts, resamples=200)
    assert found.values == pytest.approx((0.75, 0.4))
    assert found.mean == pytest.approx(0.575)
    # sd of two values is their distance over sqrt 2; its standard error is half the distance.
    assert found.sd == pytest.approx(0.35 / 2**0.5)
    assert found.se_replicates == pytest.approx(0.175)


def test_documents_that_do_not_vary_leave_the_t_interval_of_the_replicates():
    # Every document alike: resampling documents changes nothing, so the interval must be
    # mean +- t(0.975, 4 df) sd / sqrt 5, with t = 2.776.
    tp = np.array([60, 62, 64, 66, 68])
    counts = np.zeros((5, 10, 3))
    counts[..., 0] = tp[:, None]
    counts[..., 1] = counts[..., 2] = (100 - tp)[:, None]
    found = bootstrap(counts)
    # F1 = 2 tp / (2 tp + 2 (100 - tp)) = tp / 100: mean 0.64, sd sqrt(10) / 100.
    half = 2.7764 * (10**0.5 / 100) / 5**0.5
    assert found.mean == pytest.approx(0.64)
    assert found.low == pytest.approx(0.64 - half, abs=2e-4)
    assert found.high == pytest.approx(0.64 + half, abs=2e-4)


def test_p_agrees_with_the_t_test_where_documents_do_not_vary():
    delta = np.array([1, 3, 2, 4, 1])
    ours, theirs = np.zeros((5, 10, 3)), np.zeros((5, 10, 3))
    ours[..., 0], theirs[..., 0] = 60 + delta[:, None], 60
    ours[..., 1] = ours[..., 2] = (40 - delta)[:, None]
    theirs[..., 1:] = 40
    found = bootstrap(ours, theirs)
    assert found.p == pytest.approx(stats.ttest_1samp(delta, 0).pvalue, abs=2e-3)


def test_interval_and_p_agree():
    for seed in range(12):
        ours, theirs = random_counts(right=0.68, seed=seed), random_counts(seed=seed)
        found = bootstrap(ours, theirs, resamples=2000)
        clear = found.low > 0 or found.high < 0
        if abs(found.p - 0.05) > 0.002:
            assert clear == (found.p < 0.05)


def test_swapping_the_arms_turns_the_sign():
    ours, theirs = random_counts(right=0.7), random_counts(seed=1)
    there, back = bootstrap(ours, theirs), bootstrap(theirs, ours)
    assert there.mean == pytest.approx(-back.mean)
    assert there.low == pytest.approx(-back.high, abs=2e-3)


def test_one_replicate_rests_on_documents_alone():
    counts = random_counts(n_replicates=1)
    found = bootstrap(counts)
    assert found.sd == 0
    assert found.se_replicates == 0
    # Standard error of a ratio of sums by the delta method: residuals 2 tp - F1 (2 tp + fp + fn).
    tp, fp, fn = counts[0].T
    size = 2 * tp + fp + fn
    residual = 2 * tp - found.mean * size
    expected = residual.std() * len(size) ** 0.5 / size.sum()
    assert found.se_documents == pytest.approx(expected, rel=0.05)


def test_shared_document_error_is_not_made_of_what_replicates_do_alone():
    # No document effect is shared by replicates: their covariance is near 0, so the documents add
    # little beside the replicates' own spread.
    rng = np.random.default_rng(3)
    tp = rng.binomial(10, 0.6, (8, 200))
    counts = np.stack([tp, 10 - tp, 10 - tp], axis=-1)
    alone = bootstrap(counts[:1])
    assert bootstrap(counts).se_documents < alone.se_documents / 2


def test_draws_that_differ_widen_the_interval_beyond_the_crossed_bootstrap():
    # Three draws far apart: the crossed bootstrap never leaves their range, t with 2 df does.
    ours = np.concatenate([random_counts(1, right=r) for r in (0.60, 0.66, 0.72)])
    calibrated, crossed = bootstrap(ours), bootstrap(ours, method="crossed")
    assert calibrated.high - calibrated.low > 1.5 * (crossed.high - crossed.low)
    assert calibrated.mean == crossed.mean


def test_patients_are_resampled_whole():
    counts = np.arange(12).reshape(1, 4, 3)
    # Documents 0 and 2 are of one patient: [0, 1, 2] + [6, 7, 8].
    assert pool_groups(counts, [7, 3, 7, 9]).tolist() == [[[3, 4, 5], [6, 8, 10], [9, 10, 11]]]


def test_same_seed_same_interval():
    counts = random_counts()
    first, second = bootstrap(counts, seed=4), bootstrap(counts, seed=4)
    assert (first.low, first.high, first.p) == (second.low, second.high, second.p)
    assert bootstrap(counts, seed=5).low != first.low


def test_p_counts_both_sides_and_is_never_zero():
    assert two_sided_p(np.array([1.0, 1.0, 1.0, -1.0])) == pytest.approx(2 * 2 / 5)
    assert two_sided_p(np.ones(99)) == pytest.approx(2 / 100)


def test_unpaired_counts_are_an_error():
    with pytest.raises(StageError, match="not paired"):
        bootstrap(random_counts(5), random_counts(4))
    with pytest.raises(StageError, match="not \\(replicates, documents, 3\\)"):
        bootstrap(np.zeros((5, 3)))


def test_ten_thousand_resamples_of_500_documents_are_quick():
    ours, theirs = random_counts(5, 500), random_counts(5, 500, seed=1)
    start = time.process_time()
    bootstrap(ours, theirs)
    assert time.process_time() - start < 4


def rare_label():
    """A label in 3 of 100 documents, all found: the field case of a perfect rare label."""
    counts = np.zeros((1, 100, 3))
    counts[0, :3, 0] = 1
    return counts


def test_resamples_without_the_label_are_left_out_and_counted():
    found = bootstrap(rare_label())
    assert (found.mean, found.low, found.high) == (1.0, 1.0, 1.0)
    # Each of 100 documents drawn is another one with chance 0.97: (0.97)^100 = 4.8% of resamples.
    assert found.n_left_out == pytest.approx(476, abs=60)
    assert len(found.draws) == 10_000 - found.n_left_out
    assert bootstrap(random_counts()).n_left_out == 0


def test_a_label_without_gold_has_no_width():
    counts = np.zeros((1, 20, 3))
    counts[0, :2, 1] = 1
    found = bootstrap(counts, resamples=500)
    assert (found.mean, found.low, found.high, found.n_left_out) == (0.0, 0.0, 0.0, 500)


def alike(tp):
    """Students of one draw, F1 ``tp``, on ten documents that are all alike."""
    tp = np.asarray(tp)[None, :, None]
    counts = np.zeros((1, tp.shape[1], 10, 3))
    counts[..., 0], counts[..., 1], counts[..., 2] = tp, 100 - tp, 100 - tp
    return counts


def test_students_of_one_draw_give_the_interval_their_spread():
    # Documents are all alike, so all that is left is t(0.975, 4 df) sd / sqrt 5 of the students'
    # differences 1, 3, 2, 4, 1: mean 2.2, sd 1.304, half-width 2.776 x 1.304 / 2.236 = 1.619.
    found = bootstrap(alike([61, 63, 62, 64, 61]), alike([60] * 5))
    assert found.mean == pytest.approx(0.022)
    assert found.values == pytest.approx((0.022,))
    assert (found.low, found.high) == pytest.approx((0.022 - 0.01619, 0.022 + 0.01619), abs=2e-4)
    assert (found.n_replicates, found.sd, found.spread_of) == (1, 0.0, "students")
    assert found.se_replicates == pytest.approx(0.01304 / 5**0.5, abs=1e-5)


def test_students_of_several_draws_are_added_up():
    counts = np.concatenate([alike([60, 62]), alike([64, 66])])
    found, added = bootstrap(counts), bootstrap(counts.sum(axis=1))
    assert found.values == pytest.approx((0.61, 0.65))
    assert (found.low, found.high) == (added.low, added.high)
    assert found.spread_of == "replicates"


def test_one_student_of_one_draw_has_no_spread():
    assert bootstrap(random_counts(1)).spread_of == "nothing"


def test_groups_of_students_are_pooled_too():
    counts = np.arange(24).reshape(1, 2, 4, 3)
    pooled = pool_groups(counts, [7, 3, 7, 9])
    assert pooled.shape == (1, 2, 3, 3)
    assert pooled[0, 1].tolist() == [[15, 16, 17], [30, 32, 34], [21, 22, 23]]
