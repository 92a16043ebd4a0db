"""Documents: how they are read, where they are, and how gold is drawn from them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from notesmith.config.fields import Config, Count, Positive

LONGEST_DESCRIPTION = 200
"""Characters of a label's description: it stands in every prompt that asks for the label."""


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
        description="file or folder of notes that annotators label and adapted encoders read: "
        "plain texts, JSON lines, Parquet or any corpus; labels in it are not read",
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
        description="train documents outside each draw whose text alone is used, as notes; none "
        "of them is scored out of draw",
    )
    seed: Count = Field(default=13, description="root of all seeds")
