"""Dropout that is cheap on a CPU: one random byte an element, eight drawn at a time.

PyTorch draws one number an element on one thread there, a sixth of a small encoder's training step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


class ByteDropout(torch.nn.Module):
    """Dropout with its probability rounded to 1/256, from a random generator of its own."""

    def __init__(self, p: float, rng: np.random.Generator) -> None:
        super().__init__()
        self.p = p
        self._rng = rng
        # At least one byte value is kept, so that the scale stays finite.
        self._threshold = min(round(p * 256), 255)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero each element with probability ``p`` and scale up the rest, in training only."""
        if not self.training or self._threshold == 0:
            return values
        words = self._rng.integers(
            0, 2**64 - 1, (values.numel() + 7) // 8, dtype=np.uint64, endpoint=True
        )
        drawn = torch.from_numpy(words.view(np.uint8)[: values.numel()]).view(values.shape)
        kept = (drawn >= self._threshold).to(values.dtype)
        return values * kept.mul_(256 / (256 - self._threshold))


@contextmanager
def training_dropout(model: Any, *, p: float, seed: int, device: str) -> Iterator[None]:
    """Set the dropouts of ``model`` to ``p`` while it trains; on a CPU swap in ``ByteDropout``.

    Dropout of attention weights is turned off for speed; its effect on F1 was not measured.
    Transformers' BERT family keeps it under a ``self``.
    """
    rng = np.random.default_rng([seed, 7])
    swapped: list[tuple[Any, str, torch.nn.Dropout]] = []
    for path, module in list(model.named_modules()):
        if not isinstance(module, torch.nn.Dropout):
            continue
        parent_path, _, name = path.rpartition(".")
        parent = model.get_submodule(parent_path)
        new: torch.nn.Module
        if parent_path.endswith("self"):
            new = torch.nn.Dropout(0.0)
        else:
            new = ByteDropout(p, rng) if device == "cpu" else torch.nn.Dropout(p)
        setattr(parent, name, new.train(model.training))
        swapped.append((parent, name, module))
    try:
        yield
    finally:
        for parent, name, module in swapped:
            setattr(parent, name, module)
