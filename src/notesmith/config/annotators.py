"""Who labels notes without labels, and what the student learns of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from notesmith.config.corpus import ReadingConfig
from notesmith.config.fields import AttributeNames, Config, Count, Positive, Ratio
from notesmith.segments import Unit


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
