"""The stages of silver: notes as annotators label them.

Every annotator is a cell that labels the notes (``Annotator`` in ``draw.py``). ``silver`` averages
their distributions and decides what a student learns. ``silver-quality`` compares silver with the
labels that notes of train have, which no other stage reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from notesmith.annotation.silver import (
    mask_doubtful,
    mean_scores,
    ranges_of,
    with_attributes,
)
from notesmith.config.annotators import AnnotateConfig
from notesmith.config.corpus import ReadingConfig
from notesmith.config.fields import Config, part_of
from notesmith.config.recipe import ArmConfig, RecipeConfig
from notesmith.document import Document
from notesmith.evaluate.calibration import word_reliability
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Draw, Source
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import notes
from notesmith.experiment.stages.common import Made, describe, labels_in, read_parts
from notesmith.experiment.stages.teachers import SECONDS_A_NOTE, WITH_SCORES
from notesmith.findings import OUT_OF_DRAW, MadeSource
from notesmith.metrics import PRFScore, score
from notesmith.ner.decode import WordScores, label_documents, score_of
from notesmith.ner.soft import tempered

_NOT_ANNOTATORS = ("gold", "notes", "made", "silver")


class Settings(Config):
    """What a student is to learn, and below which probability a word is doubtful."""

    labels: Literal["hard", "masked", "soft"]
    doubtful: float
    temperature: float = 1.0

    @classmethod
    def of(cls, config: AnnotateConfig) -> Settings:
        """What ``config`` says of it."""
        temperature = config.temperature if config.labels == "soft" else 1.0
        return cls(labels=config.labels, doubtful=config.doubtful, temperature=temperature)


class Measured(Made):
    """Mentions by label, their mean score, and the share of words that are doubtful.

    ``confidence`` is 0 where there is no mention. The mentions are those found, masked or not.
    """

    mentions: dict[str, int]
    confidence: float
    doubtful: float


def cell(draw: Draw, arm: ArmConfig) -> Cell:
    """The notes of a draw with the labels of the arm's annotators."""
    return draw.cell(
        STAGE,
        Settings.of(arm.annotate),
        inputs={"gold": draw.gold, **_annotated(draw, arm)},
        seed=0,
        arm=arm.name,
    )


def _annotated(draw: Draw, arm: ArmConfig) -> dict[str, Cell]:
    found = notes.cell(draw, arm.annotate)
    by = {name: draw.annotators[name].cell(draw, arm, found) for name in arm.annotate.by}
    return {"notes": found, **by}


def annotators_in(inputs: Mapping[str, Path]) -> dict[str, Path]:
    """The folders of the annotators, by name."""
    return {name: inputs[name] for name in sorted(inputs) if name not in _NOT_ANNOTATORS}


def run(work: Work[Settings]) -> Measured:
    """Average what the annotators say of the notes, and decide what a student learns from it."""
    config, labels, said = work.config, labels_in(work), annotators_in(work.inputs)
    docs = files.load_docs(work.inputs["notes"])
    scores = mean_of(docs, said)
    by = ", ".join(said)
    found = list(label_documents(docs, scores, labels, model=by, decision=WITH_SCORES))
    found = [with_attributes(doc, each) for doc, *each in _beside(found, said)]
    confidence = [score_of(ent) or 0.0 for doc in found for ent in doc.entities]
    best = [float(p) for one in scores for p in one.probabilities.max(axis=1, initial=0)]
    made = found
    if config.labels == "masked":
        made = [
            mask_doubtful(doc, one, doubtful=config.doubtful)
            for doc, one in zip(found, scores, strict=True)
        ]
    files.save_docs(made, work.out)
    if config.labels == "soft":
        taught = {
            doc.id: tempered(one, config.temperature) for doc, one in zip(made, scores, strict=True)
        }
        files.save_scores(taught, work.out)
    return Measured(
        made=describe(made),
        mentions=dict(sorted(Counter(e.label for d in found for e in d.entities).items())),
        confidence=_mean(confidence),
        doubtful=_mean([p < config.doubtful for p in best]),
    )


def mean_of(docs: Sequence[Document], said: Mapping[str, Path]) -> list[WordScores]:
    """The mean of what the annotators whose folders are ``said`` think of ``docs``."""
    return mean_scores(
        docs,
        {name: files.load_scores(folder) for name, folder in said.items()},
        spoken={
            name: ranges_of(files.load_docs(folder))
            for name, folder in said.items()
            if files.tells_mentions_alone(folder)
        },
    )


def _beside(docs: Sequence[Document], said: Mapping[str, Path]) -> Iterable[tuple[Document, ...]]:
    """Each document with what every annotator's own cell made of it."""
    return zip(docs, *(files.load_docs(folder) for folder in said.values()), strict=True)


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 6) if values else 0.0


def cost(config: Config, cell: Cell, facts: CorpusStats) -> Amount:
    """Reading and writing the notes."""
    found = notes.expected(cell.inputs["notes"], facts)
    return Amount(seconds=0.3 + SECONDS_A_NOTE * found.documents)


STAGE = Stage("silver", version=1, config=Settings, metrics=Measured, run=run, cost=cost)
SOURCE = Source(
    MadeSource(
        name=STAGE.name,
        words="notes without labels, labelled by annotators",
        by="annotators",
    ),
    cell,
)


class QualitySettings(Config):
    """How train is read, and whether its labels are opened through the seal."""

    reading: ReadingConfig
    sealed: bool

    @classmethod
    def from_recipe(cls, recipe: RecipeConfig) -> QualitySettings:
        """As ``recipe`` reads train and seals it."""
        reading = part_of(recipe.corpus, ReadingConfig)
        return cls(reading=reading, sealed=recipe.evaluate.split == "test")


class Quality(Metrics):
    """Strict scores of silver on the notes whose labels are known, in points, all and by label.

    ``calibration_error`` is the expected calibration error of the words' decided tags, in
    probability, over ten bins; masked mentions count as not found.
    """

    documents: int
    precision: float
    recall: float
    f1: float
    by_label: dict[str, tuple[float, float, float]]
    calibration_error: float


def quality_cell(draw: Draw, arm: ArmConfig) -> Cell:
    """How good the arm's silver is on documents of train."""
    outside = draw.outside
    return draw.cell(
        QUALITY,
        QualitySettings.from_recipe(draw.config),
        inputs={"gold": draw.gold, **_annotated(draw, arm), "silver": cell(draw, arm)},
        fingerprints={"documents": outside.train, **outside.of_part("train")},
        seed=0,
        arm=arm.name,
    )


def open_train(work: Work[QualitySettings]) -> list[Document]:
    """Train with its labels, through the seal where it is sealed."""
    path = work.context.train
    if work.config.sealed:
        path = work.context.open_split(OUT_OF_DRAW)
    return read_parts({**work.context.parts, "train": path}, work.config.reading).docs["train"]


def quality(work: Work[QualitySettings]) -> Quality:
    """Compare silver with the labels that documents of train have; nothing learns from it."""
    truth = {(doc.id, doc.text): doc for doc in open_train(work)}
    labels = labels_in(work)
    silver = files.load_docs(work.inputs["silver"])
    scores = mean_of(silver, annotators_in(work.inputs))
    pairs = [
        (truth[doc.id, doc.text], doc, one)
        for doc, one in zip(silver, scores, strict=True)
        if (doc.id, doc.text) in truth
    ]
    gold, said, known = (list(each) for each in zip(*pairs, strict=True)) if pairs else ([],) * 3
    found = score(gold, said)
    return Quality(
        documents=len(gold),
        **dict(zip(("precision", "recall", "f1"), _points(found.micro), strict=True)),
        by_label={label: _points(one) for label, one in found.by_label().items()},
        calibration_error=round(word_reliability(gold, known, labels).calibration_error, 6),
    )


def _points(one: PRFScore) -> tuple[float, float, float]:
    return round(100 * one.precision, 3), round(100 * one.recall, 3), round(100 * one.f1, 3)


QUALITY = Stage(
    "silver-quality",
    version=1,
    config=QualitySettings,
    metrics=Quality,
    run=quality,
    cost=cost,
    text_free=True,
)
STAGES = (STAGE, QUALITY)
