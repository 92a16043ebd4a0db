"""Group-relative policy optimisation: advantages, the distance to the reference, and the loss.

GRPO: Shao et al. (2024, arXiv:2402.03300). Without the division by the deviation: Liu et al.
(2025, arXiv:2503.20783). Each part apart: GDPO, Liu et al. (2026, arXiv:2601.05242). Losses and
gradients are those of TRL 1.16, which a test compares.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from notesmith.lm.training.batches import Loss

# Keeps a division by a deviation of 0 finite.
_EPSILON = 1e-4


def advantages(totals: NDArray[np.float64], *, over_deviation: bool) -> NDArray[np.float64]:
    """Rewards ``(groups, n)`` less their group's mean; ``over_deviation`` divides by its own."""
    centred = totals - totals.mean(axis=1, keepdims=True)
    if not over_deviation:
        return centred
    deviation: NDArray[np.float64] = totals.std(axis=1, ddof=1, keepdims=True)
    return centred / (deviation + _EPSILON)


def advantages_by_part(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each part standardised within its group, their sum standardised over the batch.

    Parts ``(groups, n, n_parts)``, NaN where one does not apply; advantages ``(groups, n)``. Parts
    count alike, so one that varies little moves the policy as much as one that varies much.
    """
    known = ~np.isnan(parts)
    count = known.sum(axis=1, keepdims=True)
    values = np.where(known, parts, 0.0)
    mean = values.sum(axis=1, keepdims=True) / np.maximum(count, 1)
    centred = np.where(known, parts - mean, 0.0)
    squares = (centred**2).sum(axis=1, keepdims=True)
    # One value of a part in a group has no deviation: it tells nothing.
    deviation = np.sqrt(squares / np.maximum(count - 1, 1))
    summed = (centred / (deviation + _EPSILON)).sum(axis=2)
    spread = summed.std(ddof=1) if summed.size > 1 else 0.0
    standard: NDArray[np.float64] = (summed - summed.mean()) / (spread + _EPSILON)
    return standard


def kl_terms(log_probs: Tensor, reference: Tensor) -> Tensor:
    """Terms whose mean over the policy's own tokens estimates KL(policy, reference), in nats.

    Never negative and unbiased: "k3" of Schulman (2020), http://joschu.net/blog/kl-approx.html.
    """
    return torch.exp(reference - log_probs) - (reference - log_probs) - 1.0


def loss(
    log_probs: Tensor, reference: Tensor, advantages: Tensor, *, kl: float, n_tokens: int
) -> Loss:
    """Loss of completion tokens, divided by the ``n_tokens`` of the whole batch.

    The policy is the one that drew the completions, so its ratio to itself is 1 and only its
    gradient counts; clipping would change nothing. The ratio stands before the distance too, which
    makes its gradient that of the KL (DeepSeek-AI, 2025, arXiv:2512.02556).

    What a drawn token was unlikely by estimates the entropy without bias, and costs nothing; the
    sum over the vocabulary takes a tenth of a step.

    Args:
        log_probs: of each token under the policy, in nats, ``(tokens,)``.
        reference: the same under the reference.
        advantages: of each token's completion.
        kl: weight of the distance to the reference.
        n_tokens: completion tokens of the batch.
    """
    ratio = (log_probs - log_probs.detach()).exp()
    distance = kl_terms(log_probs, reference)
    means = {
        "kl": distance.detach().sum() / n_tokens,
        "entropy": -log_probs.detach().sum() / n_tokens,
    }
    return Loss((-(ratio * advantages) + kl * distance * ratio).sum() / n_tokens, means)
