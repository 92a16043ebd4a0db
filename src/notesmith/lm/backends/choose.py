"""Draw the next token of many rows: temperature, then top-k, then top-p, then noise.

The warpers and their order are those of transformers' ``generate``. The noise is a function of
(seed, sample index, position, token id) and of nothing else, so a sample does not change with the
rows it shares a batch with, as far as the logits do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Multipliers of SplitMix64 (Steele, Lea and Flood, 2014), as signed 64-bit integers.
_GAMMA, _MIX1, _MIX2 = -7046029254386353131, -4658895280553007687, -7723592293110705685


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finalizer; the shifts are logical, so sign bits are masked off."""
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _MIX1
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _MIX2
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def gumbel(seed: int, index: Tensor, position: Tensor, ids: Tensor) -> Tensor:
    """Standard Gumbel noise ``(rows, n)`` for token ``ids`` of samples at positions ``(rows,)``."""
    root = _mix(torch.tensor((seed + 1) % (1 << 63), device=ids.device) * _GAMMA)
    row = _mix(_mix(root + index * _GAMMA) + (position + 1) * _GAMMA)
    bits = (_mix(row[:, None] + (ids + 1) * _GAMMA) >> 11) & ((1 << 53) - 1)
    # Half a step away from 0 and 1, so both logarithms are finite.
    uniform = (bits.double() + 0.5) * 2.0**-53
    return uniform.log_().neg_().log_().neg_().float()


@dataclass(frozen=True, slots=True)
class Chooser:
    """Settings of a run of sampling; ``top_k`` 0 keeps all tokens, ``top_p`` 1 all mass."""

    temperature: float
    top_k: int
    top_p: float
    seed: int

    def candidates(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Log weights, -inf where dropped, and token ids, both ``(rows, k)``, best first."""
        n = logits.shape[-1]
        if self.top_k == 0 and self.top_p >= 1.0:
            ids = torch.arange(n, device=logits.device).expand(len(logits), n)
            return logits.float() / self.temperature, ids
        values, ids = _largest(logits, min(self.top_k or n, n))
        values = values.float().div_(self.temperature)
        if self.top_p < 1.0:
            probabilities = torch.softmax(values, dim=-1)
            before = probabilities.cumsum(dim=-1) - probabilities
            before[:, 0] = -1.0  # the best token always stays
            values.masked_fill_(before >= self.top_p, -torch.inf)
        return values, ids

    def __call__(self, logits: Tensor, index: Tensor, position: Tensor) -> Tensor:
        """Token ids ``(rows,)`` for ``logits (rows, vocabulary)`` of samples at positions."""
        values, ids = self.candidates(logits)
        noisy = values.add_(gumbel(self.seed, index, position, ids))
        return ids.gather(1, noisy.argmax(dim=-1, keepdim=True))[:, 0]


def _largest(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    values, ids = logits.topk(k, dim=-1)
    return values, ids
