"""The configuration of every stage: one pydantic model a stage, as a recipe's TOML tables.

Every field has a type, a bound, a default and one line with its unit. Defaults are what the
measurements in ``docs/results.md`` support.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from notesmith.rules import CONFIDENCE
from notesmith.segments import Unit

Ratio = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]

LONGEST_DESCRIPTION = 200
"""Characters of a label's description: it stands in every prompt that asks for the label."""


class Config(BaseModel):
    """A table of a recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusConfig(Config):
    """Where the labelled documents are."""

    train: str = Field(description="file or folder of labelled documents to draw gold from")
    dev: str | None = Field(None, description="file or folder for choices")
    test: str | None = Field(None, description="file or folder, sealed until evaluation")
    format: str | None = Field(None, description="format name; found from the files if absent")
    annotator: str | None = Field(
        None, description="whose labels, where a file has those of several (label-studio, prodigy)"
    )
    layer: str | None = Field(None, description="layer of mentions (uima); found if absent")
    feature: str | None = Field(
        None, description="feature of the layer that is the label (uima); found if absent"
    )
    label_map: dict[str, str] = Field(
        default_factory=dict, description="label in the files to label used; '' drops; '*' the rest"
    )
    on_problem: Literal["raise", "count"] = Field(
        "raise", description="a bad record ends the run, or is dropped and counted"
    )
    kind: str = Field("", description="what the documents are, for prompts: 'abstract', 'note'")
    # None and not {}: what is None is left out of keys, so recipes without it keep theirs.
    label_descriptions: dict[str, str] | None = Field(
        None, description="one line on a label, for prompts and the dataset card, by label"
    )

    @field_validator("label_descriptions")
    @classmethod
    def _one_line_each(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        for label, said in (value or {}).items():
            if not said.strip() or len(said.splitlines()) > 1 or len(said) > LONGEST_DESCRIPTION:
                raise ValueError(
                    f"of {label!r} must be one line of 1 to {LONGEST_DESCRIPTION} characters"
                )
        return value or None


class DrawConfig(Config):
    """How gold subsets are drawn from train, each one replicate."""

    sizes: tuple[Positive, ...] = Field((50,), description="gold documents a draw")
    replicates: Positive = Field(5, description="draws of each size, each with its own seeds")
    replicates_by_size: dict[str, Positive] = Field(
        default_factory=dict, description="replicates of a size that differs, by size"
    )
    students: Positive = Field(
        1, description="students of an arm and draw that differ in their seed; counts are added up"
    )
    curve: tuple[Positive, ...] = Field(
        (), description="more sizes at which only 'gold' is trained, for the learning curve"
    )
    dev_documents: Count = Field(100, description="dev documents used, the first; 0 for all")
    test_documents: Count = Field(0, description="test documents used, the first; 0 for all")
    # A student reads as many abstracts in half the time that it takes to train; twice as many
    # would lessen the noise of a difference by a tenth at most.
    out_of_draw_documents: Count = Field(
        500,
        description="train documents among which those outside a draw are scored too, the same "
        "for all draws, chosen by the seed; 0 for none",
    )
    seed: Count = Field(13, description="root of all seeds")


class IntegrationConfig(Config):
    """How made documents join gold in training the NER model."""

    how: Literal["mix", "ratio", "pretrain-then-gold", "mix-then-gold"] = Field(
        "mix-then-gold", description="the way"
    )
    made_ratio: Ratio = Field(0.5, description="share of made units in a batch (ratio)")
    gold_last: Ratio = Field(
        0.25, description="share of the steps on gold alone at the end (…-then-gold)"
    )


class NerConfig(Config):
    """The student: an encoder with a linear head on words."""

    encoder: str = Field("minilm", description="preset, folder, or a hub's ORG/NAME[@COMMIT]")
    unit: Unit = Field("sentence", description="what one training example is")
    steps: Positive = Field(300, description="optimizer steps")
    batch_size: Positive = Field(24, description="units a step")
    learning_rate: float = Field(2e-4, gt=0, description="peak rate of AdamW")
    head_learning_rate: float = Field(1e-3, gt=0, description="peak rate of the new head")
    warmup_ratio: Ratio = Field(0.1, description="share of the steps that warm up")
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay")
    max_tokens: Positive = Field(256, description="word pieces a window; longer units get windows")
    stride: Positive = Field(64, description="word pieces that neighbouring windows share")
    bf16: Literal["auto", "yes", "no"] = Field("auto", description="bfloat16 autocast")
    pieces: Literal["first", "mean"] = Field(
        "first", description="what stands for a word: its first piece or the mean of its pieces"
    )
    dropout: Ratio = Field(0.1, description="dropout of the encoder and the head in training")
    clip_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this norm")
    # None where empty: what is None is left out of keys, so recipes without it keep theirs.
    attributes: tuple[str, ...] | None = Field(
        None,
        description="attributes of mentions to learn: flags ('negated') or names of NAME=VALUE",
    )
    integration: IntegrationConfig = Field(
        default_factory=lambda: IntegrationConfig(), description="how made documents join"
    )

    @field_validator("attributes")
    @classmethod
    def _names_alone(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in value or ():
            if not name.strip() or "=" in name:
                raise ValueError(f"{name!r} is no name: give a flag, or NAME without =VALUE")
            if name == "score":
                raise ValueError("'score' is what predictions carry; it cannot be learnt")
        if len(set(value or ())) < len(value or ()):
            raise ValueError("one name stands twice")
        return value or None

    def mentions_only(self) -> NerConfig:
        """The same without attributes, for students whose mentions alone are asked for."""
        return self.model_copy(update={"attributes": None})


class LmConfig(Config):
    """The local language model."""

    model: str = Field(
        "gemma3-270m-offline", description="preset, folder, or a hub's ORG/NAME[@COMMIT]"
    )
    trim: bool = Field(True, description="cut the vocabulary to biomedical English")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="weights in memory")


class SftConfig(Config):
    """Supervised fine-tuning on gold units."""

    unit: Unit = Field("sentence", description="what the model learns to write")
    passage_sentences: Positive = Field(3, description="sentences of a passage")
    max_unit_tokens: Positive = Field(256, description="longer units are split at sentences")
    epochs: float = Field(2.0, gt=0, description="passes over the examples at most")
    batch_size: Positive = Field(16, description="examples a step")
    learning_rate: float = Field(5e-5, gt=0, description="peak rate of AdamW")
    warmup_ratio: Ratio = Field(0.05, description="share of the steps that warm up")
    lora_rank: Count = Field(0, description="rank of LoRA; 0 trains all weights")
    dev_ratio: Ratio = Field(0.1, description="share of gold documents held out for early stopping")
    patience: Positive = Field(2, description="evaluations without gain before it stops")
    evaluations_per_epoch: Positive = Field(2, description="times an epoch the loss is measured")
    replaced_copies: Count = Field(2, description="mention-replaced copies of each unit added")
    mark_words: bool = Field(
        False,
        description="marks that are spare tokens begin as the words of their labels: for many "
        "labels, which a few hundred steps do not tell apart",
    )


class NamesConfig(Config):
    """Where the mentions to ask for come from."""

    proposals: Count = Field(1500, description="names the base model is asked to propose a label")
    keep_ratio: Ratio = Field(0.4, description="share of proposals kept, best type score first")
    gold_ratio: Ratio = Field(0.5, description="share of requested mentions taken from gold")
    term_lists: dict[str, str] = Field(
        default_factory=dict, description="text file of names, one a line, by label"
    )


class SampleConfig(Config):
    """Sampling from the language model."""

    batch_size: Positive = Field(256, description="rows generated together")
    max_new_tokens: Positive = Field(256, description="tokens a sample at most")
    temperature: float = Field(0.9, gt=0, description="softmax temperature")
    top_k: Count = Field(64, description="keep this many tokens first; 0 keeps all")
    top_p: Ratio = Field(0.95, description="then keep this probability mass")
    constrain: Literal["none", "marks", "licensed", "requested"] = Field(
        "marks",
        description="marks anywhere, in legal places, around approved or around requested names",
    )
    bf16: Literal["auto", "yes", "no"] = Field(
        "auto", description="bfloat16 weights while sampling; auto where the processor has it"
    )


class SynthesizeConfig(Config):
    """What is asked of the generator, and how its labels are decided."""

    units: Positive = Field(1500, description="units asked for")
    units_per_gold: float | None = Field(
        None, gt=0, description="units asked for as a multiple of gold units; overrides units"
    )
    prompt: Literal["scratch", "neighbour", "continue", "infill"] = Field(
        "scratch", description="template: from nothing, with a gold neighbour, or grounded in gold"
    )
    shots: Positive = Field(6, description="gold examples shown to a model that is not tuned")
    agreement: bool = Field(
        False, description="unrequested marks count where a cross-fitted committee agrees"
    )
    names: NamesConfig = Field(default_factory=lambda: NamesConfig(), description="names")


class RewardConfig(Config):
    """What the generator is rewarded for; a weight of 0 leaves a part out."""

    agreement: float = Field(
        1.0, ge=0, description="weight: spans nobody asked for agree with the NER committee"
    )
    agreement_cap: Ratio = Field(
        0.8, description="agreement above this is worth no more: full agreement rewards easy text"
    )
    fluency: float = Field(
        0.5, ge=0, description="weight: log-probability a token within gold's own band"
    )
    fluency_band: tuple[Ratio, Ratio] = Field(
        (0.05, 0.95), description="quantiles of gold's log-probability that bound the band"
    )
    density: float = Field(0.5, ge=0, description="weight: as many mentions a word as was asked")
    coverage: Literal["gate", "part"] = Field(
        "gate", description="a missing requested mention is a failed gate, or a graded part"
    )
    coverage_weight: float = Field(1.0, ge=0, description="weight of coverage where it is a part")
    novelty: Ratio = Field(
        0.5,
        description="how far context novelty scales the rest: 0 not at all, 1 a copy earns nothing",
    )
    diversity: Ratio = Field(
        0.5, description="how far distance to the group's other texts scales the rest"
    )
    archive: Count = Field(2000, description="earlier completions that novelty is measured against")
    members: Positive = Field(
        3, description="students in the committee, each blind to its own fold"
    )
    user: tuple[str, ...] = Field(
        (), description="own rewards: 'module:function' or 'file.py:function'"
    )
    user_weight: float = Field(1.0, ge=0, description="weight of each own reward")


class RlConfig(Config):
    """How the generator learns from rewards after fine-tuning."""

    method: Literal["best-of-n", "weighted", "dpo", "grpo"] = Field(
        "grpo",
        description="fine-tune on the best, on all by weight, on pairs, or follow the gradient",
    )
    steps: Positive = Field(100, description="optimizer steps (grpo); of a round (the others)")
    rounds: Positive = Field(2, description="times it samples anew (all but grpo)")
    prompts: Positive = Field(8, description="prompts a step (grpo)")
    prompts_per_round: Positive = Field(256, description="prompts a round (all but grpo)")
    completions: Annotated[int, Field(ge=2)] = Field(8, description="completions a prompt")
    max_new_tokens: Positive = Field(64, description="tokens a completion at most")
    temperature: float = Field(1.0, gt=0, description="softmax temperature of rollouts")
    rollouts: Literal["own", "vllm"] = Field(
        "own",
        description="what writes completions: this process, or vLLM beside it on the GPU, which "
        "needs sample.constrain = 'none'",
    )
    vllm_memory_ratio: Ratio = Field(0.3, description="share of GPU memory that vLLM takes")
    learning_rate: float = Field(5e-6, gt=0, description="peak rate of AdamW")
    batch_size: Positive = Field(16, description="completions a step (all but grpo)")
    kl: float = Field(0.04, gt=0, description="weight of the KL to the fine-tuned model (grpo)")
    normalise: Literal["mean", "std", "parts"] = Field(
        "mean",
        description="advantage (grpo): less the group's mean; over its deviation; each part apart",
    )
    weight_temperature: float = Field(
        0.2, gt=0, description="reward difference that makes a weight e times larger (weighted)"
    )
    dpo_beta: float = Field(0.1, gt=0, description="strength of the pull to the reference (dpo)")
    dpo_nll: float = Field(
        0.2,
        ge=0,
        description="weight of the preferred text's own loss, which keeps it likely (dpo)",
    )
    lora_rank: Count = Field(0, description="rank of LoRA; 0 trains all weights")
    evaluate_every: Positive = Field(20, description="steps between looks at held-out prompts")
    held_out: Positive = Field(64, description="prompts kept for choosing the best checkpoint")
    collapse: Ratio = Field(
        0.5,
        description="stop where names, length or density leave what SFT had and what is asked for "
        "by this share",
    )
    save_every: Positive = Field(10, description="steps between states to resume from")
    placebo: bool = Field(False, description="shuffle rewards within the batch: must not help")


class FilterConfig(Config):
    """What made text is dropped for."""

    min_words: Count = Field(4, description="shorter text is dropped")
    max_words: Positive = Field(400, description="longer text is dropped")
    max_loop: Positive = Field(4, description="a phrase repeated this often in a row is a loop")
    near_duplicate: Ratio = Field(0.8, description="Jaccard similarity of word 3-grams to drop at")
    copy_ratio: Ratio = Field(0.8, description="share of 8-grams found in one gold unit to drop at")
    inside_words: Ratio = Field(
        0.02,
        description="text with a mention that begins or ends inside a word is dropped, unless more "
        "than this share of gold's mentions do (1: never)",
    )
    match_density: bool = Field(
        False, description="thin text without mentions until its share is that of gold"
    )
    require_requested: bool = Field(False, description="drop text without all requested mentions")
    max_repeats: Count | None = Field(
        None,
        description="text that marks requested mentions more often than asked, by more than this, "
        "is dropped; no bound if not given",
    )
    keep_per_gold: float | None = Field(
        None, gt=0, description="texts kept at most, the first, as a multiple of gold units"
    )


class AugmentConfig(Config):
    """Rivals that need no language model."""

    copies: Positive = Field(3, description="changed copies of each gold unit")
    replace_ratio: Ratio = Field(1.0, description="share of mentions replaced")
    token_ratio: Ratio = Field(0.3, description="share of tokens redrawn (LwTR)")
    shuffle_ratio: Ratio = Field(0.5, description="share of segments shuffled")
    proposed_ratio: Ratio = Field(
        1.0, description="share of replacements drawn from proposed names, where those are used"
    )


Source = Literal[
    "replaced",
    "replaced-proposed",
    "lwtr",
    "shuffled",
    "synthetic",
    "synthetic-unfiltered",
    "synthetic-relabelled",
    "synthetic-shuffled-labels",
]


class ArmConfig(Config):
    """One way to train the student, compared with the others."""

    name: str = Field(description="short name, unique in the recipe")
    made: tuple[Source, ...] = Field((), description="made documents that join gold")
    ner: dict[str, Any] = Field(default_factory=dict, description="changes to [ner] for this arm")
    sizes: tuple[Positive, ...] = Field((), description="gold sizes it runs at; all if empty")
    rl: dict[str, Any] | None = Field(
        None, description="its generator learns from rewards after fine-tuning: changes to [rl]"
    )
    amount: float = Field(
        1.0, gt=0, description="text asked for and kept, as a multiple of what the recipe says"
    )
    tuned: bool = Field(True, description="false: the base model writes, shown gold examples")
    best_of: Positive = Field(
        1, description="texts written for each request, of which the reward chooses one"
    )

    @model_validator(mode="after")
    def _generator_is_one(self) -> ArmConfig:
        own = self.rl is not None or self.best_of > 1
        if own and not self.tuned:
            raise ValueError(f"arm {self.name!r} is not tuned, so it can have no rl or best_of")
        if (own or not self.tuned) and not any(s.startswith("synthetic") for s in self.made):
            raise ValueError(f"arm {self.name!r} names a generator and trains on no synthetic text")
        return self


class EvaluateConfig(Config):
    """The comparison."""

    comparator: str = Field("gold", description="arm that the others are compared with")
    against: dict[str, str] = Field(
        default_factory=dict, description="arm to the arm it is compared with besides"
    )
    candidate: str = Field(
        "", description="arm the verdict is about; the one with most made sources if empty"
    )
    resamples: Positive = Field(10000, description="bootstrap resamples")
    confidence: float = Field(CONFIDENCE, gt=0.5, lt=1, description="of the intervals")
    split: Literal["test", "dev"] = Field("test", description="dev while choices are made")
    protocol: Literal["held-out", "cross-fit"] = Field(
        "held-out",
        description="score dev and test documents; or, without a test set, every document of "
        "train by models that never saw its fold",
    )
    folds: Annotated[int, Field(ge=2)] = Field(5, description="folds by patient (cross-fit)")
    minutes_per_note: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="annotator's minutes for one note: worth is then given in hours too",
    )


class RecipeConfig(Config):
    """A whole experiment: ``notesmith run`` reads one of these."""

    name: str = Field(description="name of the run in its report")
    hub: bool = Field(False, description="may fetch the models it names from a model hub")
    corpus: CorpusConfig = Field(description="documents")
    draws: DrawConfig = Field(default_factory=lambda: DrawConfig(), description="replicates")
    ner: NerConfig = Field(default_factory=lambda: NerConfig(), description="student")
    lm: LmConfig = Field(default_factory=lambda: LmConfig(), description="language model")
    sft: SftConfig = Field(default_factory=lambda: SftConfig(), description="fine-tuning")
    synthesize: SynthesizeConfig = Field(
        default_factory=lambda: SynthesizeConfig(), description="requests"
    )
    rl: RlConfig = Field(
        default_factory=lambda: RlConfig(), description="learning from rewards, of arms that ask"
    )
    reward: RewardConfig = Field(default_factory=lambda: RewardConfig(), description="rewards")
    sample: SampleConfig = Field(default_factory=lambda: SampleConfig(), description="sampling")
    filter: FilterConfig = Field(default_factory=lambda: FilterConfig(), description="filters")
    augment: AugmentConfig = Field(default_factory=lambda: AugmentConfig(), description="rivals")
    arm: tuple[ArmConfig, ...] = Field(description="arms, 'gold' among them")
    evaluate: EvaluateConfig = Field(
        default_factory=lambda: EvaluateConfig(), description="comparison"
    )

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
            for split in ("dev", "test"):
                if getattr(self.corpus, split):
                    raise ValueError(
                        f"cross-fit scores the documents of train; leave out corpus.{split}, or "
                        "set evaluate.protocol to 'held-out'"
                    )
        return self
