"""The arithmetic of each method, against numbers worked by hand and against TRL's."""

import math

import numpy as np
import pytest
import torch

from notesmith.lm.objectives.best_of_n import choose_best
from notesmith.lm.objectives.dpo import Pair, best_and_worst, preference_loss
from notesmith.lm.objectives.grpo import advantages, advantages_by_part, kl_terms
from notesmith.lm.objectives.weighted import group_weights


def test_the_best_of_a_group_is_kept_where_it_earns_more_than_the_mean():
    totals = np.array([[0.2, 0.9, 0.9], [0.0, 0.0, 0.0], [0.4, 0.4, 0.4], [-1.0, -0.5, -2.0]])
    assert choose_best(totals) == [1, None, None, None]
    assert choose_best(np.array([[0.1, 0.1, 0.1]])) == [None]  # whatever rounding does to the mean


def test_weights_fall_by_e_a_temperature_and_failed_gates_weigh_nothing():
    totals = np.array([[1.0, 0.8, 0.0], [0.5, 0.5, 0.9], [0.0, 0.0, 0.0]])
    failed = np.array([[False, False, True], [False, False, True], [True, True, True]])
    weights = group_weights(totals, failed, 0.2)
    e = math.e
    assert weights[0] == pytest.approx([e / (e + 1), 1 / (e + 1), 0])
    assert weights[1] == pytest.approx([0.5, 0.5, 0])
    assert weights[2] == pytest.approx([0, 0, 0])


def test_a_pair_is_the_best_that_passed_and_the_worst_of_all():
    totals = np.array([[0.3, 0.9, 0.0, 0.6], [0.2, 0.5, 0.4, 0.3], [0.4] * 4, [0.0] * 4])
    failed = np.array([[False, False, True, False], [False] * 4, [False] * 4, [True] * 4])
    assert best_and_worst(totals, failed) == [Pair(1, 2), Pair(1, 0), None, None]


def test_a_failed_gate_is_worse_than_a_text_that_passed_and_earned_nothing():
    totals, failed = np.array([[0.0, 0.0, 0.7]]), np.array([[False, True, False]])
    assert best_and_worst(totals, failed) == [Pair(2, 1)]


def test_the_preference_loss_by_hand():
    # Margin (-10 + 12) - (-20 + 19) = 3; beta 0.5: -log sigmoid(1.5) = log(1 + e^-1.5).
    numbers = (torch.tensor([x]) for x in (-10.0, -20.0, -12.0, -19.0))
    (loss,) = preference_loss(*numbers, beta=0.5).tolist()
    assert loss == pytest.approx(math.log(1 + math.exp(-1.5)))
    same = torch.tensor([-3.0])
    assert float(preference_loss(same, same, same, same, beta=0.1)) == pytest.approx(math.log(2))


def test_advantages_by_hand():
    totals = np.array([[1.0, 0.0, 0.5, 0.5], [0.3, 0.3, 0.3, 0.3]])
    centred = [[0.5, -0.5, 0, 0], [0, 0, 0, 0]]
    assert advantages(totals, over_deviation=False) == pytest.approx(np.array(centred))
    deviation = math.sqrt(0.5 / 3)
    scaled = np.array(centred) / (deviation + 1e-4)
    assert advantages(totals, over_deviation=True) == pytest.approx(scaled)


def test_parts_count_alike_however_much_they_vary():
    # The second part varies a hundred times less; against the first it cancels it all the same.
    parts = np.array([[[1.0, 0.50], [0.0, 0.51]], [[1.0, 0.51], [0.0, 0.50]]])
    expected = [[0.0, 0.0], [math.sqrt(1.5), -math.sqrt(1.5)]]
    assert advantages_by_part(parts) == pytest.approx(np.array(expected), abs=0.01)
    totals = [[0.495, -0.495], [0.505, -0.505]]
    assert advantages(parts.sum(2), over_deviation=False) == pytest.approx(np.array(totals))


def test_a_part_that_does_not_apply_moves_nothing():
    with_gap = np.array([[[1.0, np.nan], [0.0, np.nan], [0.5, 0.7]]])
    assert advantages_by_part(with_gap) == pytest.approx(advantages_by_part(with_gap[:, :, :1]))


def test_kl_terms_by_hand():
    terms = kl_terms(np.log([0.5, 0.2]), np.log([0.5, 0.4]))
    assert terms == pytest.approx([0.0, 2 - math.log(2) - 1])


def test_the_estimate_of_kl_is_unbiased():
    policy, reference = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    exact = float((policy * np.log(policy / reference)).sum())
    assert float((policy * kl_terms(np.log(policy), np.log(reference))).sum()) == pytest.approx(
        exact
    )
