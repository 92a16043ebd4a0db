"""What reinforcement learning passes to and fro: completions out, rewards in. No text is logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion of prompt number ``prompt``.

    ``token_ids`` and ``text`` hold neither prompt nor end of text; reserved marks stay in ``text``.
    ``ended`` is False where the token budget ran out.
    """

    prompt: int
    text: str
    token_ids: tuple[int, ...]
    ended: bool


@dataclass(frozen=True, slots=True)
class Reward:
    """What a completion is worth: ``total`` is maximised, ``parts`` (each 0 to 1) explain it.

    ``gate`` names the check that it failed, if one: then ``total`` and every part are 0, which is a
    legitimate low reward. A reward that cannot be computed is an exception, never a 0.
    """

    total: float
    parts: Mapping[str, float] = field(default_factory=dict)
    gate: str | None = None


# Rewards of a batch of rollouts, in their order. Rollouts of one prompt stand together: a group.
RewardFunction = Callable[[Sequence[Rollout]], Sequence[Reward]]
