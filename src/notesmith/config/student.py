"""The student: how it trains, how made documents join gold, how its encoder adapts to notes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from notesmith.config.fields import AttributeNames, Config, Positive, Ratio
from notesmith.segments import Unit


class IntegrationConfig(Config):
    """How made documents join gold in training the NER model."""

    how: Literal["mix", "ratio", "pretrain-then-gold", "mix-then-gold"] = Field(
        default="mix-then-gold", description="the way"
    )
    made_ratio: Ratio = Field(default=0.5, description="share of made units in a batch (ratio)")
    gold_last: Ratio = Field(
        default=0.25, description="share of the steps on gold alone at the end (…-then-gold)"
    )
    loss: Literal["plain", "noise-aware"] = Field(
        default="plain",
        description="loss of made words; noise-aware: weighted by how sure their labels are",
    )
    complete: Literal["no", "before", "midway"] = Field(
        default="no",
        description="whether mentions that made documents lack are added: before the training, by "
        "a student of gold alone; or midway, by the student itself",
    )
    complete_score: Ratio = Field(
        default=0.9,
        description="least score of a mention that is added; those of a lower score are masked",
    )
    complete_at: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="share of the steps with made documents before they are completed (midway)",
    )


class NerConfig(Config):
    """The student: an encoder with a linear head on words."""

    encoder: str = Field(
        default="minilm", description="preset, folder, or a hub's ORG/NAME[@COMMIT]"
    )
    unit: Unit = Field(default="sentence", description="what one training example is")
    steps: Positive = Field(default=300, description="optimizer steps")
    batch_size: Positive = Field(default=24, description="units a step")
    learning_rate: float = Field(default=2e-4, gt=0, description="peak rate of AdamW")
    head_learning_rate: float = Field(default=1e-3, gt=0, description="peak rate of the new head")
    warmup_ratio: Ratio = Field(default=0.1, description="share of the steps that warm up")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW weight decay")
    max_tokens: Positive = Field(
        default=256, description="word pieces a window; longer units get windows"
    )
    stride: Positive = Field(default=64, description="word pieces that neighbouring windows share")
    bf16: Literal["auto", "yes", "no"] = Field(default="auto", description="bfloat16 autocast")
    pieces: Literal["first", "mean"] = Field(
        default="first",
        description="what stands for a word: its first piece or the mean of its pieces",
    )
    dropout: Ratio = Field(
        default=0.1, description="dropout of the encoder and the head in training"
    )
    clip_norm: float = Field(
        default=1.0, gt=0, description="gradients are scaled down to this norm"
    )
    attributes: AttributeNames = Field(
        default=(),
        description="attributes of mentions to learn: flags ('negated') or names of NAME=VALUE",
    )
    integration: IntegrationConfig = Field(
        default_factory=lambda: IntegrationConfig(), description="how made documents join"
    )

    def mentions_only(self) -> NerConfig:
        """The same without attributes, for students whose mentions alone are asked for."""
        return self.model_copy(update={"attributes": ()})


class AdaptConfig(Config):
    """Masked language modelling of an encoder on notes; how long is said in one of three ways."""

    epochs: float = Field(default=3.0, gt=0, description="passes over the notes")
    tokens: Positive | None = Field(
        default=None, description="word pieces to learn from, in the place of epochs"
    )
    hours: float | None = Field(
        default=None, gt=0, description="time to learn, in the place of epochs"
    )
    block_tokens: int = Field(
        default=128, ge=8, description="word pieces that the encoder sees together"
    )
    batch_tokens: Positive = Field(default=4096, description="word pieces a step")
    mask_ratio: float = Field(
        default=0.15, gt=0, lt=1, description="share of the words to be predicted"
    )
    whole_words: bool = Field(default=True, description="mask all pieces of a word or none")
    learning_rate: float = Field(default=5e-4, gt=0, description="peak rate of AdamW")
    head_learning_rate: float = Field(default=1e-3, gt=0, description="peak rate of a new head")
    head_first: float = Field(
        default=0.1, ge=0, lt=1, description="share of the time in which a new head learns alone"
    )
    warmup_ratio: Ratio = Field(default=0.06, description="share of the steps that warm up")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW weight decay")
    clip_norm: float = Field(
        default=1.0, gt=0, description="gradients are scaled down to this norm"
    )
    held_out_ratio: float = Field(
        default=0.05, gt=0, lt=1, description="share of the notes that the loss is measured on"
    )
    bf16: Literal["auto", "yes", "no"] = Field(default="auto", description="bfloat16 autocast")

    @model_validator(mode="after")
    def _one_length(self) -> AdaptConfig:
        if self.tokens is not None and self.hours is not None:
            raise ValueError("tokens and hours both say how long to learn; give one of them")
        return self


class AdaptRecipeConfig(AdaptConfig):
    """How the encoder of adapted arms reads text without labels, before their students learn.

    It reads the notes without labels of the draw, the texts of its gold documents, and ``notes``.
    """

    notes: str | None = Field(
        default=None,
        description="file or folder of more notes that the encoder reads: plain texts, JSON lines, "
        "Parquet or any corpus; labels in it are not read",
    )
    notes_format: str | None = Field(
        default=None,
        description="format of notes, 'text' for plain texts; found from the files if absent",
    )
    notes_text_field: str | None = Field(
        default=None,
        description="field or column of the text, where notes is JSON lines or Parquet; found if "
        "absent",
    )
    most_notes: Positive | None = Field(
        default=None, description="notes read of it at most, the first; all if absent"
    )

    @model_validator(mode="after")
    def _is_repeatable(self) -> AdaptRecipeConfig:
        if self.hours is not None:
            raise ValueError(
                "a recipe cannot say hours, as its scores would depend on how fast the machine "
                "is; give epochs or tokens"
            )
        return self
