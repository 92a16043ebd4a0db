"""Which parts a reward is made of, and why each other one is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from notesmith.config.rewards import RewardConfig
from notesmith.errors import ConfigError
from notesmith.synthesis.reward.judges import Judges

_ZERO = "its weight is 0"
_GATE = "it is a gate"


@dataclass(frozen=True, slots=True)
class PartPlan:
    """``weights`` of the parts whose mean counts, ``factors`` that scale it, and the rest.

    A factor's weight is how far it scales, 0 to 1. ``left_out`` maps a part to the reason.
    """

    weights: Mapping[str, float]
    factors: Mapping[str, float]
    left_out: Mapping[str, str]


def plan_parts(
    config: RewardConfig,
    judges: Judges,
    user: Sequence[str],
    *,
    has_gold: bool,
    has_request: bool,
) -> PartPlan:
    """Take the parts that ``config`` weights and that can be computed.

    Args:
        config: weights.
        judges: callables; a part whose callable is absent is left out.
        user: names of the user's parts.
        has_gold: whether there is gold to compare with.
        has_request: whether it is known what was asked for.
    """
    no_gold = "" if has_gold else "there is no gold"
    no_request = "" if has_request else "there is no request"
    no_committee = "" if judges.committee else "no committee was given"
    no_fluency = no_gold if judges.fluency else "no language model was given"
    covered = no_request or (_GATE if config.coverage == "gate" else "")
    weighted = {
        "agreement": (config.agreement, no_committee),
        "coverage": (config.coverage_weight, covered),
        "density": (config.density, no_request),
        "fluency": (config.fluency, no_fluency),
        **{name: (config.user_weight, "") for name in user},
    }
    scaling = {"novelty": (config.novelty, no_gold), "diversity": (config.diversity, "")}
    return PartPlan(
        weights={name: w for name, (w, absent) in weighted.items() if w and not absent},
        factors={name: w for name, (w, absent) in scaling.items() if w and not absent},
        left_out={
            name: absent if w else _ZERO
            for name, (w, absent) in (weighted | scaling).items()
            if absent or not w
        },
    )


def demand(plan: PartPlan) -> PartPlan:
    """``plan`` where training may rest on it.

    Raises:
        ConfigError: a weighted part lacks what it needs, or no part has a weight.
    """
    for name, reason in plan.left_out.items():
        if reason not in (_ZERO, _GATE):
            raise ConfigError(f"reward.{name} has a weight, but {reason}; set it to 0")
    if not plan.weights:
        raise ConfigError("no part of the reward has a weight above 0")
    return plan
