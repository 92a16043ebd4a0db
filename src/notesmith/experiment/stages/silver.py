"""The stages of silver: notes labelled by annotators, the arms' students among them.

Every annotator is a cell that labels the notes (``Annotator`` in ``draw.py``); ``teachers`` is that
of students. ``silver`` averages their distributions and decides what a student learns.
``silver-quality`` compares silver with the labels that notes of train have, which no other stage
reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from notesmith.annotation.silver import calibration_error, mask_doubtful, mean_scores
from notesmith.config import (
    AnnotateConfig,
    ArmConfig,
    Config,
    ReadingConfig,
    RecipeConfig,
    part_of,
)
from notesmith.document import Document
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Annotator, Draw, Source
from notesmith.experiment.graph import Cell, NoConfig, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import ner, notes
from notesmith.experiment.stages.common import Made, describe, labels_in, read_parts
from notesmith.findings import OUT_OF_DRAW, MadeSource
from notesmith.metrics import PRFScore, score
from notesmith.ner.decode import SCORE, Decision, WordScores, label_documents, score_of
from notesmith.ner.soft import tempered

_WITH_SCORES = Decision({}, scores=True)
_NOT_ANNOTATORS = ("gold", "notes", "silver")
_SECONDS_A_NOTE = 0.002


class Read(Metrics):
    """How many students read how much."""

    students: int
    documents: int
    words: int


def teachers_cell(draw: Draw, arm: ArmConfig, found: Cell) -> Cell:
    """What the students of the arm's teachers say of the notes in ``found``."""
    config = arm.annotate
    students = [
        ner.cell(draw, draw.arm(teacher), number)
        for teacher in config.teachers
        for number in range(config.students)
    ]
    inputs = {f"student-{i + 1:03d}": student for i, student in enumerate(students)}
    return draw.cell(TEACHERS, NoConfig(), inputs={"notes": found, **inputs}, seed=0, arm=arm.name)


def run_teachers(work: Work[NoConfig]) -> Read:
    """Let the students vote on the notes: the mean of their word probabilities."""
    from notesmith.ner.model import load_ner
    from notesmith.ner.protocol import Student
    from notesmith.ner.votes import Votes

    docs = files.load_docs(work.inputs["notes"])
    folders = [folder for name, folder in work.inputs.items() if name != "notes"]
    members = tuple(load_ner(folder / files.MODEL) for folder in folders)
    student: Student = Votes(members) if len(members) > 1 else members[0]
    scores = student.predict_scores(docs, on_progress=work.on_progress)
    labelled = label_documents(
        docs,
        scores,
        student.labels,
        model=student.name,
        decision=_WITH_SCORES,
        attributes=student.attributes,
    )
    keep_labelled(work, labelled, scores)
    words = sum(len(one.words) for one in scores)
    return Read(students=len(members), documents=len(docs), words=words)


def keep_labelled(
    work: Work[Any], docs: Iterable[Document], scores: Sequence[WordScores]
) -> list[Document]:
    """Leave behind what every annotator does: the notes labelled, and the scores of their words."""
    kept = list(docs)
    files.save_docs(kept, work.out)
    by_id = {doc.id: one for doc, one in zip(kept, scores, strict=True)}
    files.save_scores(by_id, work.out)
    return kept


def teachers_cost(config: NoConfig, cell: Cell, facts: CorpusStats) -> Amount:
    """Every student reads all notes."""
    n = len(cell.inputs) - 1
    found = notes.expected(cell.inputs["notes"], facts)
    seconds = 0.3 + _SECONDS_A_NOTE * found.documents
    return Amount(read=n * found.words, students=n, seconds=seconds)


TEACHERS = Stage(
    "teachers",
    version=1,
    config=NoConfig,
    metrics=Read,
    run=run_teachers,
    cost=teachers_cost,
    peak="predicting",
)
STUDENTS = Annotator("students", "the votes of students", teachers_cell)


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
    found = notes.cell(draw, arm)
    by = {name: draw.annotators[name].cell(draw, arm, found) for name in arm.annotate.by}
    return {"notes": found, **by}


def _said(inputs: Mapping[str, Path]) -> dict[str, Path]:
    """The folders of the annotators, by name."""
    return {name: inputs[name] for name in sorted(inputs) if name not in _NOT_ANNOTATORS}


def run(work: Work[Settings]) -> Measured:
    """Average what the annotators say of the notes, and decide what a student learns from it."""
    config, labels, said = work.config, labels_in(work), _said(work.inputs)
    docs = files.load_docs(work.inputs["notes"])
    scores = _mean_of(docs, said)
    by = ", ".join(said)
    found = list(label_documents(docs, scores, labels, model=by, decision=_WITH_SCORES))
    found = [_with_attributes(doc, each) for doc, *each in _beside(found, said)]
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


def _mean_of(docs: Sequence[Document], said: Mapping[str, Path]) -> list[WordScores]:
    return mean_scores(docs, {name: files.load_scores(folder) for name, folder in said.items()})


def _beside(docs: Sequence[Document], said: Mapping[str, Path]) -> Iterable[tuple[Document, ...]]:
    """Each document with what every annotator's own cell made of it."""
    return zip(docs, *(files.load_docs(folder) for folder in said.values()), strict=True)


def _with_attributes(doc: Document, others: Sequence[Document]) -> Document:
    """The attributes that the first annotator to have the same mention gave it, beside its score.

    Attributes are not averaged, as not every annotator knows them.
    """
    known: dict[tuple[object, ...], tuple[str, ...]] = {}
    for other in others:
        for ent in other.entities:
            own = tuple(x for x in ent.attributes if not x.startswith(SCORE))
            known.setdefault((ent.label, ent.spans), own)
    given = (
        replace(ent, attributes=(*ent.attributes, *known.get((ent.label, ent.spans), ())))
        for ent in doc.entities
    )
    return replace(doc, entities=tuple(given))


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 6) if values else 0.0


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """Reading and writing the notes."""
    found = notes.expected(cell.inputs["notes"], facts)
    return Amount(seconds=0.3 + _SECONDS_A_NOTE * found.documents)


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

    ``calibration_error`` is the expected calibration error of the words' most probable tags, in
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
    scores = _mean_of(silver, _said(work.inputs))
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
        calibration_error=round(calibration_error(gold, known, labels), 6),
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
STAGES = (TEACHERS, STAGE, QUALITY)
