"""A whole experiment: arms, their comparison, and how arms change the tables of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from notesmith.config.annotators import AnnotateConfig
from notesmith.config.corpus import CorpusConfig, DrawConfig
from notesmith.config.fields import Config, Positive
from notesmith.config.filters import AugmentConfig, FilterConfig
from notesmith.config.generator import LmConfig, SampleConfig, SftConfig, SynthesizeConfig
from notesmith.config.rewards import RL_METHODS, GrpoConfig, RewardConfig, RlConfig
from notesmith.config.student import AdaptRecipeConfig, NerConfig
from notesmith.rules import CONFIDENCE


class ArmConfig(Config):
    """One way to train the student, compared with the others."""

    name: str = Field(description="short name, unique in the recipe")
    made: tuple[str, ...] = Field(
        default=(), description="sources of made documents that join gold"
    )
    ner: NerConfig = Field(
        default_factory=lambda: NerConfig(), description="its student: changes to [ner]"
    )
    annotate: AnnotateConfig = Field(
        default_factory=lambda: AnnotateConfig(),
        description="its annotators, where it learns from notes: changes to [annotate]",
    )
    sizes: tuple[Positive, ...] = Field(
        default=(), description="gold sizes it runs at; all if empty"
    )
    rl: RlConfig | None = Field(
        default=None,
        description="its generator learns from rewards after fine-tuning: changes to [rl]",
    )
    amount: float = Field(
        default=1.0,
        gt=0,
        description="text asked for and kept, as a multiple of what the recipe says",
    )
    tuned: bool = Field(
        default=True, description="false: the base model writes, shown gold examples"
    )
    best_of: Positive = Field(
        default=1, description="texts written for each request, of which the reward chooses one"
    )
    votes: Positive = Field(
        default=1,
        description="students whose averaged word probabilities are the arm's one answer in a "
        "draw; 1: each of draws.students answers for itself",
    )
    adapted: bool = Field(
        default=False,
        description="its students begin from the encoder after that has read text without labels, "
        "as [adapt] says",
    )

    @property
    def is_rewarded(self) -> bool:
        """Whether its generator's text is chosen, or learnt to be written, by rewards."""
        return self.rl is not None or self.best_of > 1

    @property
    def is_gold_alone(self) -> bool:
        """Whether its students learn from nothing but gold."""
        return not self.made and not self.adapted

    @model_validator(mode="after")
    def _generator_is_one(self) -> ArmConfig:
        if self.is_rewarded and not self.tuned:
            raise ValueError(f"arm {self.name!r} is not tuned, so it can have no rl or best_of")
        return self


class EvaluateConfig(Config):
    """The comparison."""

    comparator: str = Field(default="gold", description="arm that the others are compared with")
    against: dict[str, str] = Field(
        default_factory=dict, description="arm to the arm it is compared with besides"
    )
    candidate: str = Field(
        default="", description="arm the verdict is about; the one with most made sources if empty"
    )
    resamples: Positive = Field(default=10000, description="bootstrap resamples")
    confidence: float = Field(default=CONFIDENCE, gt=0.5, lt=1, description="of the intervals")
    split: Literal["test", "dev"] = Field(default="test", description="dev while choices are made")
    protocol: Literal["held-out", "cross-fit"] = Field(
        default="held-out",
        description="score dev and test documents; or, without a test set, every document of "
        "train by models that never saw its fold",
    )
    folds: Annotated[int, Field(ge=2)] = Field(
        default=5, description="folds by patient (cross-fit)"
    )
    minutes_per_note: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="annotator's minutes for one note: worth is then given in hours too",
    )


class RecipeConfig(Config):
    """A whole experiment: ``notesmith run`` reads one of these.

    In a file, tables ``ner``, ``annotate`` and ``rl`` of an arm are changes to those of the recipe.
    They are laid over them as the recipe is read, so an arm holds whole tables, and are written as
    changes again.
    """

    name: str = Field(description="name of the run in its report")
    hub: bool = Field(default=False, description="may fetch the models it names from a model hub")
    corpus: CorpusConfig = Field(description="documents")
    draws: DrawConfig = Field(default_factory=lambda: DrawConfig(), description="replicates")
    ner: NerConfig = Field(default_factory=lambda: NerConfig(), description="student")
    lm: LmConfig = Field(default_factory=lambda: LmConfig(), description="language model")
    sft: SftConfig = Field(default_factory=lambda: SftConfig(), description="fine-tuning")
    synthesize: SynthesizeConfig = Field(
        default_factory=lambda: SynthesizeConfig(), description="requests"
    )
    rl: RlConfig = Field(
        default_factory=lambda: GrpoConfig(), description="learning from rewards, of arms that ask"
    )
    reward: RewardConfig = Field(default_factory=lambda: RewardConfig(), description="rewards")
    sample: SampleConfig = Field(default_factory=lambda: SampleConfig(), description="sampling")
    filter: FilterConfig = Field(default_factory=lambda: FilterConfig(), description="filters")
    augment: AugmentConfig = Field(default_factory=lambda: AugmentConfig(), description="rivals")
    annotate: AnnotateConfig = Field(
        default_factory=lambda: AnnotateConfig(), description="labels for notes without labels"
    )
    adapt: AdaptRecipeConfig = Field(
        default_factory=lambda: AdaptRecipeConfig(),
        description="what encoders read before students of adapted arms learn, and how",
    )
    arm: tuple[ArmConfig, ...] = Field(description="arms, 'gold' among them")
    evaluate: EvaluateConfig = Field(
        default_factory=lambda: EvaluateConfig(), description="comparison"
    )

    @model_validator(mode="before")
    @classmethod
    def _lay_arms_over(cls, values: Any) -> Any:
        arms = values.get("arm") if isinstance(values, Mapping) else None
        if not isinstance(arms, list | tuple):
            return values
        base = {name: _as_mapping(values.get(name, {})) for name in _OF_ARMS}
        return {**values, "arm": [_laid_over_each(base, arm) for arm in arms]}

    @model_serializer(mode="wrap")
    def _write_arms_as_changes(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        for arm, written in zip(self.arm, values.get("arm", ()), strict=False):
            for name in _OF_ARMS:
                if (own := getattr(arm, name)) is not None:
                    base = getattr(self, name).model_dump(mode="json")
                    written[name] = changes_to(base, own.model_dump(mode="json"))
            if not written.get("annotate"):
                written.pop("annotate", None)
        return values

    @model_validator(mode="after")
    def _arms_are_named(self) -> RecipeConfig:
        names = [arm.name for arm in self.arm]
        if len(set(names)) != len(names):
            raise ValueError("two arms share a name")
        wanted = {self.evaluate.comparator, *self.evaluate.against, *self.evaluate.against.values()}
        wanted |= {self.evaluate.candidate} - {""}
        if unknown := sorted(wanted - set(names)):
            raise ValueError(f"[evaluate] names unknown arms: {unknown}")
        return self

    @model_validator(mode="after")
    def _cross_fit_has_no_test_set(self) -> RecipeConfig:
        if self.evaluate.protocol == "cross-fit":
            if self.evaluate.split == "dev":
                raise ValueError("cross-fit has no dev set; leave out evaluate.split")
            if self.draws.unlabelled_documents:
                raise ValueError(
                    "cross-fit scores every document of train, so none of them can be a note "
                    "without labels: give notes with corpus.unlabelled instead of "
                    "draws.unlabelled_documents"
                )
            if self.draws.of == "topic":
                raise ValueError("cross-fit draws no gold of one topic; leave out draws.of")
            for split in ("dev", "test"):
                if getattr(self.corpus, split):
                    raise ValueError(
                        f"cross-fit scores the documents of train; leave out corpus.{split}, or "
                        "set evaluate.protocol to 'held-out'"
                    )
        return self


# Tables of the recipe that an arm may change.
_OF_ARMS = ("ner", "annotate", "rl")


def _laid_over_each(base: Mapping[str, Any], arm: Any) -> Any:
    """``arm`` with whole tables; what is no table stays, for validation to say so."""
    if not isinstance(arm, Mapping):
        return arm
    whole = {
        name: lay_over(base[name], arm.get(name) or {})
        for name in _OF_ARMS
        if isinstance(base[name], Mapping)
        and isinstance(arm.get(name, {}), Mapping)
        and (name in arm or name != "rl")
    }
    if "rl" in whole and "method" in arm["rl"]:
        # An arm of another method leaves behind the options of [rl] that its own does not have.
        kind = RL_METHODS.get(str(arm["rl"]["method"]))
        known = {*arm["rl"], *(kind.model_fields if kind else whole["rl"])}
        whole["rl"] = {option: value for option, value in whole["rl"].items() if option in known}
    return {**arm, **whole}


def _as_mapping(table: Any) -> Any:
    return table.model_dump() if isinstance(table, Config) else table


def lay_over(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with ``changes``, table by table."""
    laid = dict(values)
    for name, change in changes.items():
        below = laid.get(name)
        if isinstance(change, Mapping) and isinstance(below, Mapping):
            laid[name] = lay_over(below, change)
        else:
            laid[name] = change
    return laid


def changes_to(values: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be laid over ``values`` to have ``changed``, but for fields that this lacks."""
    found: dict[str, Any] = {}
    for name, value in changed.items():
        before = values.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inside := changes_to(before, value):
                found[name] = inside
        elif value != before:
            found[name] = value
    return found
