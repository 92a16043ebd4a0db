"""The configuration of every stage: one pydantic model a stage, as a recipe's TOML tables.

Every field has a type, a bound, a default and one line with its unit. Defaults are what the
measurements in ``docs/results.md`` support.
"""

from notesmith.config.annotators import (
    AnnotateConfig,
    DictionaryConfig,
    LmAnnotateConfig,
    MinedConfig,
    TaggerConfig,
)
from notesmith.config.corpus import LONGEST_DESCRIPTION, CorpusConfig, DrawConfig, ReadingConfig
from notesmith.config.fields import AttributeNames, C, Config, Count, Positive, Ratio, part_of
from notesmith.config.filters import AugmentConfig, FilterConfig, LengthConfig
from notesmith.config.generator import (
    LmConfig,
    NamesConfig,
    SampleConfig,
    SftConfig,
    SteeringConfig,
    SynthesizeConfig,
    Template,
    UnitConfig,
)
from notesmith.config.recipe import ArmConfig, EvaluateConfig, RecipeConfig, changes_to, lay_over
from notesmith.config.rewards import (
    RL_METHODS,
    BestOfNConfig,
    DpoConfig,
    GrpoConfig,
    InRounds,
    Learning,
    RewardConfig,
    RlConfig,
)
from notesmith.config.student import AdaptConfig, AdaptRecipeConfig, IntegrationConfig, NerConfig

__all__ = [
    "LONGEST_DESCRIPTION",
    "RL_METHODS",
    "AdaptConfig",
    "AdaptRecipeConfig",
    "AnnotateConfig",
    "ArmConfig",
    "AttributeNames",
    "AugmentConfig",
    "BestOfNConfig",
    "C",
    "Config",
    "CorpusConfig",
    "Count",
    "DictionaryConfig",
    "DpoConfig",
    "DrawConfig",
    "EvaluateConfig",
    "FilterConfig",
    "GrpoConfig",
    "InRounds",
    "IntegrationConfig",
    "Learning",
    "LengthConfig",
    "LmAnnotateConfig",
    "LmConfig",
    "MinedConfig",
    "NamesConfig",
    "NerConfig",
    "Positive",
    "Ratio",
    "ReadingConfig",
    "RecipeConfig",
    "RewardConfig",
    "RlConfig",
    "SampleConfig",
    "SftConfig",
    "SteeringConfig",
    "SynthesizeConfig",
    "TaggerConfig",
    "Template",
    "UnitConfig",
    "changes_to",
    "lay_over",
    "part_of",
]
