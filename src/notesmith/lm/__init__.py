"""Language models: strings and token ids in, strings and ids out. Never imports Document.

The names below load on first use, because they need PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "Example": "notesmith.lm.training.sft",
    "LanguageModel": "notesmith.lm.load",
    "MarkConstraint": "notesmith.lm.constrain",
    "PRESETS": "notesmith.lm.presets",
    "Preset": "notesmith.lm.presets",
    "Reward": "notesmith.lm.rollout",
    "RlResult": "notesmith.lm.rl.train",
    "Rollout": "notesmith.lm.rollout",
    "Sample": "notesmith.lm.samples",
    "SampleResult": "notesmith.lm.samples",
    "SftResult": "notesmith.lm.training.sft",
    "load_lm": "notesmith.lm.load",
    "score_continuations": "notesmith.lm.score",
    "train_rl": "notesmith.lm.rl.train",
    "train_sft": "notesmith.lm.training.sft",
}
__all__ = [
    "PRESETS",
    "Example",
    "LanguageModel",
    "MarkConstraint",
    "Preset",
    "Reward",
    "RlResult",
    "Rollout",
    "Sample",
    "SampleResult",
    "SftResult",
    "load_lm",
    "score_continuations",
    "train_rl",
    "train_sft",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'notesmith.lm' has no attribute {name!r}")
