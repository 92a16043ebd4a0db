"""What the generator takes of a recipe: how text is asked for, and how gold is cut for it."""

from __future__ import annotations

from pydantic import Field

from notesmith.config.fields import Config, Ratio, part_of
from notesmith.config.filters import LengthConfig
from notesmith.config.generator import SampleConfig, Template, UnitConfig
from notesmith.config.recipe import RecipeConfig


class PromptConfig(Config):
    """What a prompt says besides its request."""

    template: Template = Field(default="scratch", description="from nothing, or grounded in gold")
    kind: str = Field(default="", description="what the documents are: 'abstract', 'note'")
    label_descriptions: dict[str, str] = Field(
        default_factory=dict, description="one line on a label, by label"
    )
    attributes: tuple[str, ...] = Field(
        default=(), description="attributes of mentions, asked for by name"
    )

    @classmethod
    def from_recipe(cls, recipe: RecipeConfig) -> PromptConfig:
        """What ``recipe`` has prompts say."""
        return cls(
            template=recipe.synthesize.prompt,
            kind=recipe.corpus.kind,
            label_descriptions=recipe.corpus.label_descriptions,
            attributes=recipe.synthesize.attributes,
        )


class GenerationConfig(Config):
    """How text is asked for and written."""

    prompt: PromptConfig = Field(default_factory=lambda: PromptConfig(), description="prompts")
    units: UnitConfig = Field(default_factory=lambda: UnitConfig(), description="one text")
    length: LengthConfig = Field(
        default_factory=lambda: LengthConfig(), description="no other length is asked for"
    )
    gold_ratio: Ratio = Field(
        default=0.5, description="share of requested mentions taken from gold"
    )
    sample: SampleConfig = Field(default_factory=lambda: SampleConfig(), description="sampling")

    @classmethod
    def from_recipe(cls, recipe: RecipeConfig) -> GenerationConfig:
        """How ``recipe`` asks for text; where a model is served says nothing of what it writes."""
        return cls(
            prompt=PromptConfig.from_recipe(recipe),
            units=part_of(recipe.sft, UnitConfig),
            length=part_of(recipe.filter, LengthConfig),
            gold_ratio=recipe.synthesize.names.gold_ratio,
            sample=recipe.sample.model_copy(update={"server": None}),
        )
