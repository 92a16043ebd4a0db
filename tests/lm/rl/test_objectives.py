"""The arithmetic of each method, against numbers worked by hand."""

import math

import numpy as np
import pytest
import torch

from notesmith.lm.rl.objectives import dpo, grpo
from notesmith.lm.rl.objectives.best_of_n import choose_best
from notesmith.lm.rl.objectives.dpo import Pair, best_and_worst, preference_loss
from notesmith.lm.rl.objectives.grpo import advantages, advantages_by_part, kl_terms


def test_the_best_of_a_group_is_kept_where_it_earns_more_than_the_mean():
    totals = np.array([[0.2, 0.9, 0.9], [0.0, 0.0, 0.0], [0.4, 0.4, 0.4], [-1.0, -0.5, -2.0]])
    assert choose_best(totals) == [1, None, None, None]
    assert choose_best(np.array([[0.1, 0.1, 0.1]])) == [None]  # whatever rounding does to the mean


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
    policy, reference = torch.tensor([[0.5, 0.2], [0.5, 0.4]], dtype=torch.double).log()
    assert kl_terms(policy, reference).tolist() == pytest.approx([0.0, 2 - math.log(2) - 1])


def test_the_estimate_of_kl_is_unbiased():
    policy, reference = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]], dtype=torch.double)
    exact = float((policy * (policy / reference).log()).sum())
    terms = kl_terms(policy.log(), reference.log())
    assert float((policy * terms).sum()) == pytest.approx(exact)


def test_the_loss_of_grpo_by_hand():
    # Two completions, of two tokens and of one; the reference finds the last token likelier by e.
    log_probs = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    loss = grpo.loss(
        log_probs,
        torch.tensor([-1.0, -2.0, -2.0]),
        torch.tensor([0.5, 0.5, -1.0]),
        kl=0.1,
        n_tokens=3,
    )
    distance = math.e - 2
    assert float(loss.value.detach()) == pytest.approx((-0.5 - 0.5 + 1.0 + 0.1 * distance) / 3)
    assert float(loss.means["kl"]) == pytest.approx(distance / 3)
    assert float(loss.means["entropy"]) == pytest.approx(2.0)
    loss.value.backward()
    expected = [-0.5 / 3, -0.5 / 3, (1.0 + 0.1 * (1 - math.e + distance)) / 3]
    assert log_probs.grad.tolist() == pytest.approx(expected)


def test_the_loss_of_dpo_by_hand():
    # Margin ((-3 + 2) - (-1 + 3)) = -3; the preferred completion costs 1.5 nats a token.
    loss = dpo.loss(
        torch.tensor([-1.0, -2.0, -1.0]),
        torch.tensor([2, 1]),
        torch.tensor([-2.0, -3.0]),
        beta=0.5,
        nll=0.2,
        n_pairs=4,
    )
    expected = (math.log(1 + math.exp(1.5)) + 0.2 * 1.5) / 4
    assert float(loss.value) == pytest.approx(expected)
