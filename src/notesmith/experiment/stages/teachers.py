"""The stage of teachers: students of other arms vote on notes. They are the first annotator.

``label_notes`` is what a cell of every annotator does that can be used like a student (``Student``
in ``ner/protocol.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from notesmith.config.recipe import ArmConfig
from notesmith.document import Document
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Annotator, Draw
from notesmith.experiment.graph import Cell, NoConfig, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import ner, notes
from notesmith.files.write import make_folder
from notesmith.ner.decode import Decision, WordScores, label_documents
from notesmith.ner.protocol import Student
from notesmith.progress import OnProgress, Progress

WITH_SCORES = Decision({}, scores=True)
NOTES = "notes"
"""The input with the texts to label."""

SECONDS_A_NOTE = 0.002
_SHARD = 500


class Measured(Metrics):
    """How much was labelled; ``resumed`` notes were labelled before a kill."""

    documents: int
    words: int
    resumed: int


def cell(draw: Draw, arm: ArmConfig, found: Cell) -> Cell:
    """What the students of the arm's teachers say of the notes in ``found``."""
    config = arm.annotate
    students = [
        ner.cell(draw, draw.arm(teacher), number)
        for teacher in config.teachers
        for number in range(config.students)
    ]
    inputs = {f"student-{i + 1:03d}": student for i, student in enumerate(students)}
    return draw.cell(STAGE, NoConfig(), inputs={NOTES: found, **inputs}, seed=0, arm=arm.name)


def run(work: Work[NoConfig]) -> Measured:
    """Let the students vote on the notes: the mean of their word probabilities."""
    from notesmith.ner.model import load_ner
    from notesmith.ner.votes import Votes

    folders = [folder for name, folder in work.inputs.items() if name != NOTES]
    members = tuple(load_ner(folder / files.MODEL) for folder in folders)
    return label_notes(work, Votes(members) if len(members) > 1 else members[0])


def label_notes(work: Work[Any], student: Student) -> Measured:
    """Label the notes of a cell's input, five hundred at a time, going on after a kill.

    What labels and masks the texts carry is not looked at.
    """
    docs = files.load_docs(work.inputs[NOTES])
    labelled: list[Document] = []
    scores: list[WordScores] = []
    began, resumed = perf_counter(), 0
    for start in range(0, len(docs), _SHARD):
        shard = docs[start : start + _SHARD]
        folder = make_folder(work.scratch / f"from-{start}")
        # Scores are written last, so where they are the shard is whole.
        if files.has_scores(folder):
            resumed += len(shard)
        else:
            told = _of_all(work.on_progress, start, len(shard), len(docs), began)
            _label(shard, student, folder, told)
        labelled += files.load_docs(folder)
        scores += files.load_scores(folder).values()
    keep_labelled(work, labelled, scores)
    if getattr(student, "mentions_alone", False):
        files.mark_mentions_alone(work.out)
    return Measured(
        documents=len(docs),
        words=sum(len(one.words) for one in scores),
        resumed=resumed,
    )


def _label(docs: Sequence[Document], student: Student, folder: Path, told: OnProgress) -> None:
    found = student.predict_scores(docs, on_progress=told)
    labelled = label_documents(
        docs,
        found,
        student.labels,
        model=student.name,
        decision=WITH_SCORES,
        attributes=student.attributes,
    )
    files.save_docs(labelled, folder)
    files.save_scores({doc.id: one for doc, one in zip(docs, found, strict=True)}, folder)


def _of_all(told: OnProgress, start: int, n: int, total: int, began: float) -> OnProgress:
    """Progress of one shard as a part of that of all notes."""

    def tell(progress: Progress) -> None:
        done = start + round(n * progress.done / max(1, progress.total))
        seconds = perf_counter() - began
        told(replace(progress, done=done, total=total, unit="notes", seconds=seconds))

    return tell


def keep_labelled(work: Work[Any], docs: Sequence[Document], scores: Sequence[WordScores]) -> None:
    """Leave behind what every annotator does: the notes labelled, and the scores of their words."""
    files.save_docs(docs, work.out)
    files.save_scores({doc.id: one for doc, one in zip(docs, scores, strict=True)}, work.out)


def cost(config: NoConfig, cell: Cell, facts: CorpusStats) -> Amount:
    """Every student reads all notes."""
    n = len(cell.inputs) - 1
    found = notes.expected(cell.inputs[NOTES], facts)
    seconds = 0.3 + SECONDS_A_NOTE * found.documents
    return Amount(read=n * found.words, students=n, seconds=seconds)


STAGE = Stage(
    "teachers",
    version=1,
    config=NoConfig,
    metrics=Measured,
    run=run,
    cost=cost,
    peak="predicting",
)
ANNOTATOR = Annotator("students", "the votes of students", cell)
