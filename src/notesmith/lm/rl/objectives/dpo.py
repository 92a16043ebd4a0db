"""Direct preference optimisation: pairs of a group, and their loss.

Rafailov et al. (2023, arXiv:2305.18290). The likelihood of the chosen text can fall along with
that of the rejected one; a term on the chosen text alone holds it (Pang et al., 2024,
arXiv:2404.19733).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from notesmith.lm.training.batches import Loss


@dataclass(frozen=True, slots=True)
class Pair:
    """Places in a group of the completion to prefer and of the one to avoid."""

    chosen: int
    rejected: int


def best_and_worst(totals: NDArray[np.float64], failed: NDArray[np.bool_]) -> list[Pair | None]:
    """The best completion of each group that passed its gates, and the worst of all.

    None where none passed, or where all earn the same.
    """
    pairs: list[Pair | None] = []
    for rewards, fails in zip(totals, failed, strict=True):
        passed = np.where(fails, -np.inf, rewards)
        # A failed gate earns 0, yet is worse than a text that passed and earns 0.
        ranked = np.where(fails, np.minimum(rewards, rewards.min() - 1.0), rewards)
        pair = Pair(int(passed.argmax()), int(ranked.argmin()))
        clear = not fails.all() and rewards[pair.chosen] > rewards[pair.rejected]
        pairs.append(pair if clear else None)
    return pairs


def preference_loss(
    chosen: Tensor,
    rejected: Tensor,
    chosen_reference: Tensor,
    rejected_reference: Tensor,
    *,
    beta: float,
) -> Tensor:
    """-log sigmoid(beta (gain of the chosen - gain of the rejected)), one a pair.

    Each argument holds log-probabilities of whole completions, in nats, ``(pairs,)``; a gain is
    the policy's less the reference's.
    """
    margin = (chosen - chosen_reference) - (rejected - rejected_reference)
    return -functional.logsigmoid(beta * margin)


def loss(
    log_probs: Tensor, lengths: Tensor, reference: Tensor, *, beta: float, nll: float, n_pairs: int
) -> Loss:
    """Loss of pairs, divided by the ``n_pairs`` of the whole batch.

    Args:
        log_probs: of each token under the policy, in nats, completion after completion; each
            preferred one stands before the one to avoid.
        lengths: tokens of each completion.
        reference: log-probability of each completion under the reference.
        beta: strength of the pull to the reference.
        nll: weight of the preferred completion's own loss a token.
        n_pairs: pairs of the batch.
    """
    rows = torch.arange(len(lengths), device=log_probs.device).repeat_interleave(lengths)
    sums = log_probs.new_zeros(len(lengths)).index_add(0, rows, log_probs)
    preference = preference_loss(sums[::2], sums[1::2], reference[::2], reference[1::2], beta=beta)
    own = -nll * sums[::2] / lengths[::2]
    return Loss((preference + own).sum() / n_pairs)
