"""The configuration of every stage: one pydantic model a stage, as a recipe's TOML tables.

Every field has a type, a bound, a default and one line with its unit. Defaults are what the
measurements in ``docs/results.md`` support.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from notesmith.rules import CONFIDENCE
from notesmith.segments import Unit

Ratio = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]

Template = Literal["scratch", "neighbour", "infill"]

LONGEST_DESCRIPTION = 200
"""Characters of a label's description: it stands in every prompt that asks for the label."""


class Config(BaseModel):
    """A table of a recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


C = TypeVar("C", bound=Config)


def part_of(table: Config, kind: type[C]) -> C:
    """Those fields of ``table`` that ``kind`` has, as a ``kind``."""
    return kind.model_validate({name: getattr(table, name) for name in kind.model_fields})


def _names_alone(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not name.strip() or "=" in name:
            raise ValueError(f"{name!r} is no name: give a flag, or NAME without =VALUE")
        if name == "score":
            raise ValueError("'score' is what predictions carry; it cannot be learnt")
    if len(set(value)) < len(value):
        raise ValueError("one name stands twice")
    return value


AttributeNames = Annotated[tuple[str, ...], AfterValidator(_names_alone)]


class ReadingConfig(Config):
    """How labelled documents are read."""

    format: str | None = Field(
        default=None, description="format name; found from the files if absent"
    )
    annotator: str | None = Field(
        default=None,
        description="whose labels, where a file has those of several (label-studio, prodigy)",
    )
    layer: str | None = Field(default=None, description="layer of mentions (uima); found if absent")
    feature: str | None = Field(
        default=None,
        description="feature, infon or column of the label (uima, bioc, table); found if absent",
    )
    label_map: dict[str, str] = Field(
        default_factory=dict, description="label in the files to label used; '' drops; '*' the rest"
    )
    on_problem: Literal["raise", "count"] = Field(
        default="raise", description="a bad record ends the run, or is dropped and counted"
    )
    tags: Literal["iob1", "iob2", "bioes"] | None = Field(
        default=None, description="tag scheme (conll); recognised if absent"
    )
    token_column: int = Field(
        default=0, description="column of the token, from 0, or from the end if negative (conll)"
    )
    tag_column: int = Field(default=-1, description="column of the tag, likewise (conll)")
    predictions: bool = Field(
        default=False,
        description="read machine-made labels, not those of annotators (label-studio)",
    )
    tasks: str | None = Field(
        default=None,
        description="file with the texts where labels stand without them (label-studio)",
    )
    text_key: str | None = Field(
        default=None,
        description="field of a task that holds the text, or TAG=FIELD to read one of several "
        "(label-studio); found if absent",
    )
    documents: Literal["marked", "file", "sentence"] | None = Field(
        default=None,
        description="what is a document (conll): as marked in the file, the whole file, or a "
        "sentence; found if absent",
    )
    encoding: str = Field(default="utf-8", description="encoding of text files without a BOM")
    ignore: tuple[str, ...] = Field(
        default=(), description="files of a folder to leave out: names or patterns with '*'"
    )
    without_mentions: bool = Field(
        default=False, description="a corpus in which no document has a mention is meant so"
    )
    unknown: tuple[str, ...] = Field(
        default=(),
        description="labels that a document without any mention of them may have unmarked: they "
        "came into the guideline later",
    )


class CorpusConfig(ReadingConfig):
    """Where the labelled documents are."""

    train: str = Field(description="file or folder of labelled documents to draw gold from")
    dev: str | None = Field(default=None, description="file or folder for choices")
    test: str | None = Field(default=None, description="file or folder, sealed until evaluation")
    unlabelled: str | None = Field(
        default=None,
        description="file or folder of notes that annotators label: plain texts, JSON lines, "
        "Parquet or any corpus; labels in it are not read",
    )
    unlabelled_format: str | None = Field(
        default=None,
        description="format of unlabelled, 'text' for plain texts; found from the files if absent",
    )
    unlabelled_text_field: str | None = Field(
        default=None,
        description="field or column of the text, where unlabelled is JSON lines or Parquet; found "
        "if absent",
    )
    kind: str = Field(
        default="", description="what the documents are, for prompts: 'abstract', 'note'"
    )
    label_descriptions: dict[str, str] = Field(
        default_factory=dict,
        description="one line on a label, for prompts and the dataset card, by label",
    )

    @field_validator("label_descriptions")
    @classmethod
    def _one_line_each(cls, value: dict[str, str]) -> dict[str, str]:
        for label, said in value.items():
            if not said.strip() or len(said.splitlines()) > 1 or len(said) > LONGEST_DESCRIPTION:
                raise ValueError(
                    f"of {label!r} must be one line of 1 to {LONGEST_DESCRIPTION} characters"
                )
        return value


class DrawConfig(Config):
    """How gold subsets are drawn from train, each one replicate."""

    sizes: tuple[Positive, ...] = Field(default=(50,), description="gold documents a draw")
    of: Literal["train", "topic"] = Field(
        default="train",
        description="gold is drawn by lot from all of train, or of one topic: a document by lot "
        "and those whose words are most like its own",
    )
    replicates: Positive = Field(
        default=5, description="draws of each size, each with its own seeds"
    )
    replicates_by_size: dict[str, Positive] = Field(
        default_factory=dict, description="replicates of a size that differs, by size"
    )
    students: Positive = Field(
        default=1,
        description="students of an arm and draw that differ in their seed; counts are added up",
    )
    curve: tuple[Positive, ...] = Field(
        default=(), description="more sizes at which only 'gold' is trained, for the learning curve"
    )
    dev_documents: Count = Field(
        default=100, description="dev documents used, chosen by the seed; 0 for all"
    )
    test_documents: Count = Field(
        default=0, description="test documents used, the first; 0 for all"
    )
    # A student reads as many abstracts in half the time that it takes to train; twice as many
    # would lessen the noise of a difference by a tenth at most.
    out_of_draw_documents: Count = Field(
        default=500,
        description="train documents among which those outside a draw are scored too, the same "
        "for all draws, chosen by the seed; 0 for none",
    )
    unlabelled_documents: Count = Field(
        default=0,
        description="train documents after each draw whose text alone is used, as notes to label; "
        "none of them is scored out of draw",
    )
    seed: Count = Field(default=13, description="root of all seeds")


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


class RewardConfig(Config):
    """What the generator is rewarded for; a weight of 0 leaves a part out."""

    agreement: float = Field(
        default=1.0, ge=0, description="weight: spans nobody asked for agree with the NER committee"
    )
    agreement_cap: Ratio = Field(
        default=0.8,
        description="agreement above this is worth no more: full agreement rewards easy text",
    )
    fluency: float = Field(
        default=0.5, ge=0, description="weight: log-probability a token within gold's own band"
    )
    fluency_band: tuple[Ratio, Ratio] = Field(
        default=(0.05, 0.95), description="quantiles of gold's log-probability that bound the band"
    )
    density: float = Field(
        default=0.5, ge=0, description="weight: as many mentions a word as was asked"
    )
    coverage: Literal["gate", "part"] = Field(
        default="gate", description="a missing requested mention is a failed gate, or a graded part"
    )
    coverage_weight: float = Field(
        default=1.0, ge=0, description="weight of coverage where it is a part"
    )
    novelty: Ratio = Field(
        default=0.5,
        description="how far context novelty scales the rest: 0 not at all, 1 a copy earns nothing",
    )
    diversity: Ratio = Field(
        default=0.5, description="how far distance to the group's other texts scales the rest"
    )
    archive: Count = Field(
        default=2000, description="earlier completions that novelty is measured against"
    )
    members: Positive = Field(
        default=3, description="students in the committee, each blind to its own fold"
    )
    user: tuple[str, ...] = Field(
        default=(), description="own rewards: 'module:function' or 'file.py:function'"
    )
    user_weight: float = Field(default=1.0, ge=0, description="weight of each own reward")


class Learning(Config):
    """How the generator learns from rewards after fine-tuning, whatever the method."""

    steps: Positive = Field(
        default=100, description="optimizer steps; of a round, where there are rounds"
    )
    completions: Annotated[int, Field(ge=2)] = Field(default=8, description="completions a prompt")
    max_new_tokens: Positive = Field(default=64, description="tokens a completion at most")
    temperature: float = Field(default=1.0, gt=0, description="softmax temperature of rollouts")
    rollouts: Literal["own", "vllm"] = Field(
        default="own",
        description="what writes completions: this process, or vLLM beside it on the GPU, which "
        "needs sample.constrain = 'none'",
    )
    vllm_memory_ratio: Ratio = Field(default=0.3, description="share of GPU memory that vLLM takes")
    learning_rate: float = Field(default=5e-6, gt=0, description="peak rate of AdamW")
    lora_rank: Count = Field(default=0, description="rank of LoRA; 0 trains all weights")
    held_out: Positive = Field(
        default=64, description="prompts kept for choosing the best checkpoint"
    )
    collapse: Ratio = Field(
        default=0.5,
        description="stop where names, length or density leave what SFT had and what is asked for "
        "by this share",
    )
    save_every: Positive = Field(default=10, description="steps between states to resume from")
    placebo: bool = Field(
        default=False, description="shuffle rewards within the batch: must not help"
    )


class GrpoConfig(Learning):
    """Follow the gradient of the reward, drawing anew before each step."""

    method: Literal["grpo"] = Field(default="grpo", description="the method")
    prompts: Positive = Field(default=8, description="prompts a step")
    kl: float = Field(default=0.04, gt=0, description="weight of the KL to the fine-tuned model")
    normalise: Literal["mean", "std", "parts"] = Field(
        default="mean",
        description="advantage: less the group's mean; over its deviation; each part apart",
    )
    evaluate_every: Positive = Field(
        default=20, description="steps between looks at held-out prompts"
    )


class InRounds(Learning):
    """Draw for many prompts, learn from chosen completions, and so on."""

    rounds: Positive = Field(default=2, description="times it samples anew")
    prompts_per_round: Positive = Field(default=256, description="prompts a round")
    batch_size: Positive = Field(default=16, description="completions a step")


class BestOfNConfig(InRounds):
    """Fine-tune on the best completion of each prompt."""

    method: Literal["best-of-n"] = Field(default="best-of-n", description="the method")


class DpoConfig(InRounds):
    """Prefer the best completion of each prompt to the worst."""

    method: Literal["dpo"] = Field(default="dpo", description="the method")
    dpo_beta: float = Field(default=0.1, gt=0, description="strength of the pull to the reference")
    dpo_nll: float = Field(
        default=0.2,
        ge=0,
        description="weight of the preferred text's own loss, which keeps it likely",
    )


def _method(values: Any) -> Any:
    found = values.get("method", "grpo") if isinstance(values, Mapping) else None
    return getattr(values, "method", found)


RlConfig = Annotated[
    Annotated[GrpoConfig, Tag("grpo")]
    | Annotated[BestOfNConfig, Tag("best-of-n")]
    | Annotated[DpoConfig, Tag("dpo")],
    Discriminator(
        _method,
        custom_error_type="method",
        custom_error_message="Input should be a table whose method is 'grpo', 'best-of-n' or 'dpo'",
    ),
]
RL_METHODS: dict[str, type[GrpoConfig | BestOfNConfig | DpoConfig]] = {
    "grpo": GrpoConfig,
    "best-of-n": BestOfNConfig,
    "dpo": DpoConfig,
}


class LengthConfig(Config):
    """How long made text may be; none of another length is asked for."""

    min_words: Count = Field(default=4, description="shorter text is dropped")
    max_words: Positive = Field(default=400, description="longer text is dropped")


class FilterConfig(LengthConfig):
    """What made text is dropped for."""

    max_loop: Positive = Field(
        default=4, description="a phrase repeated this often in a row is a loop"
    )
    near_duplicate: Ratio = Field(
        default=0.8, description="Jaccard similarity of word 3-grams to drop at"
    )
    copy_ratio: Ratio = Field(
        default=0.8, description="share of 8-grams found in one gold unit to drop at"
    )
    inside_words: Ratio = Field(
        default=0.02,
        description="text with a mention that begins or ends inside a word is dropped, unless more "
        "than this share of gold's mentions do (1: never)",
    )
    match_density: bool = Field(
        default=False, description="thin text without mentions until its share is that of gold"
    )
    require_requested: bool = Field(
        default=False, description="drop text without all requested mentions and their attributes"
    )
    max_repeats: Count | None = Field(
        default=None,
        description="text that marks requested mentions more often than asked, by more than this, "
        "is dropped; no bound if not given",
    )
    keep_per_gold: float | None = Field(
        default=None, gt=0, description="texts kept at most, the first, as a multiple of gold units"
    )


class AugmentConfig(Config):
    """Rivals that need no language model."""

    copies: Positive = Field(default=3, description="changed copies of each gold unit")
    replace_ratio: Ratio = Field(default=1.0, description="share of mentions replaced")
    token_ratio: Ratio = Field(default=0.3, description="share of tokens redrawn (LwTR)")
    shuffle_ratio: Ratio = Field(default=0.5, description="share of segments shuffled")
    proposed_ratio: Ratio = Field(
        default=1.0,
        description="share of replacements drawn from proposed names, where those are used",
    )
    mined_ratio: Ratio = Field(
        default=0.5,
        description="share of replacements drawn from names mined from notes, where those are used",
    )


class DictionaryConfig(Config):
    """The dictionary that annotates: which names are looked for, and how."""

    term_lists: dict[str, str] = Field(
        default_factory=dict,
        description="text file of names, one a line, by label; they join the names of gold",
    )
    exact_characters: Count = Field(
        default=4,
        description="names this short, and names in capitals, match as they are written; others "
        "whatever their case, white space and hyphens",
    )
    min_precision: Ratio = Field(
        default=0.5,
        description="names are left out whose matches in gold are mentions more seldom than this",
    )
    listed_score: Ratio = Field(
        default=0.8,
        description="share of matches of listed names that are taken to be mentions before gold "
        "shows how many are",
    )


class TaggerConfig(Config):
    """A tagger that exists already, which annotates."""

    kind: Literal["file", "spacy", "transformers", "gliner2", "gliner"] = Field(
        default="file",
        description="what path names: predictions made elsewhere, in any format of a corpus; a "
        "pipeline of spaCy (folder or package); the folder of a token classifier of transformers, "
        "of a GLiNER2 or of a GLiNER model",
    )
    path: str = Field(default="", description="the file, folder or package")
    label_map: dict[str, str] = Field(
        default_factory=dict,
        description="the tagger's label to that of train; '' drops. GLiNER is asked for these by "
        "name, and for each label of train that none is mapped to",
    )
    score: Ratio | None = Field(
        default=None,
        description="score of mentions that carry none; if absent, the precision of the label in "
        "gold",
    )
    threshold: Ratio = Field(
        default=0.5, description="mentions of a lower score are not found (gliner2, gliner)"
    )
    spans_key: str = Field(
        default="", description="group of spans that is read in the place of entities (spacy)"
    )
    reading: ReadingConfig = Field(
        default_factory=lambda: ReadingConfig(predictions=True, without_mentions=True),
        description="how a file of predictions is read",
    )


class LmAnnotateConfig(Config):
    """The language model that annotates: what it reads and writes, and how its answers are drawn.

    Tuning is as [sft] says, but for ``unit`` and ``epochs``.
    """

    unit: Unit | None = Field(
        default=None, description="what it reads at a time; that of [sft] if absent"
    )
    epochs: float | None = Field(
        default=None, gt=0, description="passes over gold at most; those of [sft] if absent"
    )
    form: Literal["json", "inline"] = Field(
        default="json",
        description="what the annotator 'prompted' writes: a list of mentions or a marked copy",
    )
    shots: Positive = Field(
        default=6, description="gold examples that are shown to the annotator 'prompted'"
    )
    context_words: Positive = Field(
        default=2, description="words beside a mention in JSON; more where its place is not unique"
    )
    attributes: AttributeNames = Field(
        default=(), description="attributes of mentions that it is to find"
    )
    constrain: bool = Field(
        default=True,
        description="only well-formed answers about the text can be written; a server needs false",
    )
    confidence: Literal["tokens", "agreement", "none"] = Field(
        default="tokens",
        description="score of a mention: the mean probability of the tokens that name it; the "
        "share of several samples that have it; or none, so that it counts as sure",
    )
    samples: Annotated[int, Field(ge=2)] = Field(
        default=5, description="answers drawn for each unit (agreement)"
    )
    temperature: float = Field(
        default=0.7, gt=0, description="softmax temperature of these samples"
    )
    max_new_tokens: Positive = Field(default=384, description="tokens an answer at most")
    batch_size: Positive = Field(default=64, description="units read together")


class MinedConfig(Config):
    """Names mined from notes: mentions of silver that annotators were sure of, more than once."""

    min_count: Positive = Field(
        default=2, description="mentions of a name that there must be in the notes"
    )
    min_confidence: Ratio = Field(default=0.97, description="lowest mean score of its mentions")


class AnnotateConfig(Config):
    """Who labels notes without labels, and how the student learns from that."""

    by: tuple[str, ...] = Field(
        default=("students",),
        min_length=1,
        description="annotators; the distributions of several are averaged with equal weight",
    )
    teachers: tuple[str, ...] = Field(
        default=("gold",),
        description="arms whose students vote; an arm that learns from silver makes a second round",
    )
    students: Positive = Field(default=5, description="students of each teacher that vote")
    labels: Literal["hard", "masked", "soft"] = Field(
        default="soft",
        description="what is learnt: the mentions; the mentions, doubtful words left out; or a "
        "distribution over tags for each word",
    )
    doubtful: Ratio = Field(
        default=0.6,
        description="a word whose most probable tag has less than this probability is doubtful",
    )
    temperature: float = Field(
        default=1.0,
        gt=0,
        description="soft labels are raised to the power 1/temperature: below 1 sharper",
    )
    teaches: tuple[Literal["notes", "made", "gold"], ...] = Field(
        default=("notes",),
        description="what the student learns distributions of: the notes, its other made text "
        "(whose own mentions stay), gold (by students that did not see the document)",
    )
    hard_ratio: Ratio = Field(
        default=0.5, description="share of gold's own labels in the distributions of gold"
    )
    notes_per_gold: float | None = Field(
        default=None,
        gt=0,
        description="notes at most, as a multiple of gold documents; all if absent",
    )
    dictionary: DictionaryConfig = Field(
        default_factory=lambda: DictionaryConfig(), description="the annotator 'dictionary'"
    )
    tagger: TaggerConfig = Field(
        default_factory=lambda: TaggerConfig(), description="the annotator 'tagger'"
    )
    lm: LmAnnotateConfig = Field(
        default_factory=lambda: LmAnnotateConfig(),
        description="the annotators 'lm-json', 'lm-inline' and 'prompted'",
    )
    mined: MinedConfig = Field(
        default_factory=lambda: MinedConfig(), description="names mined from the notes"
    )


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
