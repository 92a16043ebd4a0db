"""The recipe inside ``results.json``, table by table, as far as it is wholly there.

A table that lacks a value is left out: nobody knows whether a default that was not written down
was used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from notesmith.config import (
    RL_METHODS,
    ArmConfig,
    AugmentConfig,
    Config,
    CorpusConfig,
    DrawConfig,
    EvaluateConfig,
    FilterConfig,
    LmConfig,
    NerConfig,
    RewardConfig,
    RlConfig,
    SampleConfig,
    SftConfig,
    SynthesizeConfig,
    changed_learning,
)

_C = TypeVar("_C", bound=Config)


@dataclass(frozen=True, slots=True)
class Settings:
    """Tables of a recipe; None where one is not known. ``arms`` are those with known settings."""

    corpus: CorpusConfig | None
    draws: DrawConfig | None
    ner: NerConfig | None
    lm: LmConfig | None
    sft: SftConfig | None
    synthesize: SynthesizeConfig | None
    rl: RlConfig | None
    reward: RewardConfig | None
    sample: SampleConfig | None
    filter: FilterConfig | None
    augment: AugmentConfig | None
    evaluate: EvaluateConfig | None
    arms: Mapping[str, ArmConfig]

    def rl_of(self, arm: str) -> RlConfig | None:
        """``[rl]`` with the changes of ``arm`` laid over it; None where it does not learn so."""
        known = self.arms.get(arm)
        if known is None or known.rl is None or self.rl is None:
            return None
        try:
            return changed_learning(self.rl.model_dump(), known.rl)
        except ValidationError:
            return None


def read_settings(config: Mapping[str, Any]) -> Settings:
    """Return the tables of a resolved recipe."""
    raw = config.get("arm")
    arms = [_table(ArmConfig, arm) for arm in raw] if isinstance(raw, (list, tuple)) else []
    return Settings(
        corpus=_table(CorpusConfig, config.get("corpus")),
        draws=_table(DrawConfig, config.get("draws")),
        ner=_table(NerConfig, config.get("ner")),
        lm=_table(LmConfig, config.get("lm")),
        sft=_table(SftConfig, config.get("sft")),
        synthesize=_table(SynthesizeConfig, config.get("synthesize")),
        rl=_learning(config.get("rl")),
        reward=_table(RewardConfig, config.get("reward")),
        sample=_table(SampleConfig, config.get("sample")),
        filter=_table(FilterConfig, config.get("filter")),
        augment=_table(AugmentConfig, config.get("augment")),
        evaluate=_table(EvaluateConfig, config.get("evaluate")),
        arms={arm.name: arm for arm in arms if arm is not None},
    )


def _learning(raw: object) -> RlConfig | None:
    kind = RL_METHODS.get(raw.get("method", "")) if isinstance(raw, Mapping) else None
    return _table(kind, raw) if kind is not None else None


def _table(kind: type[_C], raw: object) -> _C | None:
    if not isinstance(raw, Mapping):
        return None
    known = {name: raw[name] for name in kind.model_fields if name in raw}
    for name, field in kind.model_fields.items():
        # None is left out where a recipe is written down; any other default is not.
        if name not in known and field.get_default(call_default_factory=True) is not None:
            return None
    try:
        return kind.model_validate(known)
    except ValidationError:
        return None
