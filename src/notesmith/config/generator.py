"""The language model that writes: fine-tuning, names, requests and sampling."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from notesmith.config.fields import AttributeNames, Config, Count, Positive, Ratio
from notesmith.segments import Unit

Template = Literal["scratch", "neighbour", "infill"]


class LmConfig(Config):
    """The local language model."""

    model: str = Field(
        default="smollm2-135m-offline", description="preset, folder, or a hub's ORG/NAME[@COMMIT]"
    )
    trim: bool = Field(default=True, description="cut the vocabulary to biomedical English")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="weights in memory"
    )


class UnitConfig(Config):
    """What the generator writes at a time, and how gold is cut for it."""

    unit: Unit = Field(default="sentence", description="what the model learns to write")
    passage_sentences: Positive = Field(default=3, description="sentences of a passage")
    max_unit_tokens: Positive = Field(
        default=256, description="longer units are split at sentences"
    )


class SftConfig(UnitConfig):
    """Supervised fine-tuning on gold units."""

    min_words: Count = Field(
        default=4, description="shorter units, such as headings, are not learnt from"
    )
    epochs: float = Field(default=2.0, gt=0, description="passes over the examples at most")
    batch_size: Positive = Field(default=16, description="examples a step")
    learning_rate: float = Field(
        default=5e-5,
        gt=0,
        description="peak rate of AdamW; if absent, that of the preset, where it has one",
    )
    warmup_ratio: Ratio = Field(default=0.05, description="share of the steps that warm up")
    lora_rank: Count = Field(default=0, description="rank of LoRA; 0 trains all weights")
    dev_ratio: Ratio = Field(
        default=0.1, description="share of gold documents held out for early stopping"
    )
    patience: Positive = Field(default=2, description="evaluations without gain before it stops")
    evaluations_per_epoch: Positive = Field(
        default=2, description="times an epoch the loss is measured"
    )
    replaced_copies: Count = Field(
        default=2, description="mention-replaced copies of each unit added"
    )
    mark_words: bool = Field(
        default=False,
        description="marks that are spare tokens begin as the words of their labels: for many "
        "labels, which a few hundred steps do not tell apart",
    )


class NamesConfig(Config):
    """Where the mentions to ask for come from."""

    proposals: Count = Field(
        default=1500, description="names the base model is asked to propose a label"
    )
    keep_ratio: Ratio = Field(
        default=0.4, description="share of proposals kept, best type score first"
    )
    gold_ratio: Ratio = Field(
        default=0.5, description="share of requested mentions taken from gold"
    )
    term_lists: dict[str, str] = Field(
        default_factory=dict, description="text file of names, one a line, by label"
    )
    mined: bool = Field(
        default=False,
        description="ask for names mined from notes without labels too, which the annotators of "
        "[annotate] label",
    )


class SampleConfig(Config):
    """Sampling from the language model."""

    batch_size: Positive = Field(default=256, description="rows generated together")
    max_new_tokens: Positive = Field(default=256, description="tokens a sample at most")
    temperature: float = Field(default=0.9, gt=0, description="softmax temperature")
    top_k: Count = Field(default=64, description="keep this many tokens first; 0 keeps all")
    top_p: Ratio = Field(default=0.95, description="then keep this probability mass")
    constrain: Literal["none", "marks", "licensed"] = Field(
        default="marks", description="marks anywhere, in legal places, or around approved names"
    )
    bf16: Literal["auto", "yes", "no"] = Field(
        default="auto",
        description="bfloat16 weights while sampling; auto where the processor has it",
    )
    server: str | None = Field(
        default=None,
        min_length=1,
        description="address of an OpenAI-compatible server that writes for arms that are not "
        "tuned, as in 'http://127.0.0.1:8000/v1'; needs server_model and constrain = 'none'",
    )
    server_model: str | None = Field(
        default=None, min_length=1, description="name of the model on that server"
    )


class SteeringConfig(Config):
    """What requests are steered to; all else of a request is as in gold.

    The numbers are of each draw, whatever an arm's ``amount``.
    """

    quota: dict[str, Count] = Field(
        default_factory=dict,
        description="texts asked for that hold the label, exactly, by label; other labels are "
        "asked for as often as gold has them",
    )
    per_concept: Positive = Field(
        default=20, description="texts asked for that hold each listed concept"
    )
    concept_texts: Positive | None = Field(
        default=None,
        description="texts asked for that hold a listed concept, spread evenly over the concepts "
        "of all labels; overrides per_concept",
    )


class SynthesizeConfig(SteeringConfig):
    """What is asked of the generator, and how its labels are decided."""

    units: Positive = Field(
        default=1500, description="units asked for; more where quota and concepts need more"
    )
    units_per_gold: float | None = Field(
        default=None,
        gt=0,
        description="units asked for as a multiple of gold units; overrides units",
    )
    prompt: Template = Field(
        default="scratch",
        description="template: from nothing, with a gold neighbour, or grounded in gold",
    )
    shots: Positive = Field(
        default=6, description="gold examples shown to a model that is not tuned"
    )
    agreement: bool = Field(
        default=False, description="unrequested marks count where a cross-fitted committee agrees"
    )
    attributes: AttributeNames = Field(
        default=(),
        description="attributes of mentions that are asked for and marked: flags ('negated') or "
        "names of NAME=VALUE",
    )
    concepts: dict[str, str] = Field(
        default_factory=dict,
        description="text file of concepts to be asked for by name, one a line, by label",
    )
    names: NamesConfig = Field(default_factory=lambda: NamesConfig(), description="names")

    @model_validator(mode="after")
    def _template_can_be_steered(self) -> SynthesizeConfig:
        if self.prompt == "infill" and (self.quota or self.concepts):
            raise ValueError(
                "prompt 'infill' asks for the names that gold has: quota and concepts need "
                "'scratch' or 'neighbour'"
            )
        if self.concept_texts is not None and not self.concepts:
            raise ValueError("concept_texts needs concepts")
        return self
