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
    changes_to,
    lay_over,
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
        """How ``arm`` learns from rewards; None where it does not, or nothing is known."""
        known = self.arms.get(arm)
        return None if known is None else known.rl

    def ner_changes(self, arm: str) -> Mapping[str, Any]:
        """What ``arm`` changes in [ner]."""
        known = self.arms.get(arm)
        if known is None or self.ner is None:
            return {}
        return changes_to(self.ner.model_dump(mode="json"), known.ner.model_dump(mode="json"))


def read_settings(config: Mapping[str, Any]) -> Settings:
    """Return the tables of a resolved recipe."""
    raw = config.get("arm")
    arms = [_arm(config, arm) for arm in raw] if isinstance(raw, (list, tuple)) else []
    return Settings(
        corpus=_table(CorpusConfig, config.get("corpus")),
        draws=_table(DrawConfig, config.get("draws")),
        ner=_table(NerConfig, config.get("ner")),
        lm=_table(LmConfig, config.get("lm")),
        sft=_table(SftConfig, config.get("sft")),
        synthesize=_table(SynthesizeConfig, config.get("synthesize")),
        rl=_table(RlConfig, config.get("rl")),
        reward=_table(RewardConfig, config.get("reward")),
        sample=_table(SampleConfig, config.get("sample")),
        filter=_table(FilterConfig, config.get("filter")),
        augment=_table(AugmentConfig, config.get("augment")),
        evaluate=_table(EvaluateConfig, config.get("evaluate")),
        arms={arm.name: arm for arm in arms if arm is not None},
    )


def _arm(config: Mapping[str, Any], raw: object) -> ArmConfig | None:
    """An arm with whole tables in place of its changes to [ner] and [rl]."""
    if not isinstance(raw, Mapping):
        return None
    whole = {
        name: lay_over(base, raw[name])
        for name in ("ner", "rl")
        if isinstance(base := config.get(name), Mapping) and isinstance(raw.get(name), Mapping)
    }
    return _table(ArmConfig, {**raw, **whole})


def _table(kind: type[_C], raw: object) -> _C | None:
    if not isinstance(raw, Mapping):
        return None
    known = {name: raw[name] for name in kind.model_fields if name in raw}
    for name, field in kind.model_fields.items():
        # What is empty is nothing that anybody chose; any other default must be written down.
        if name not in known and field.get_default(call_default_factory=True):
            return None
    try:
        return kind.model_validate(known)
    except ValidationError:
        return None
