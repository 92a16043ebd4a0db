"""The stages of scores: of a student or a vote, of several of one draw, of all folds together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from notesmith.config.corpus import ReadingConfig
from notesmith.config.fields import Config, part_of
from notesmith.config.recipe import ArmConfig
from notesmith.corpus.queued import is_chosen
from notesmith.document import Document
from notesmith.evaluate.scores import (
    CellScores,
    add_students,
    join_folds,
    score_cell,
)
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, NoConfig, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import fold, ner, votes
from notesmith.experiment.stages.common import (
    PREDICTIONS,
    SCORES,
    describe,
    gold_in,
    load_scores,
    read_parts,
    texts_of,
)
from notesmith.experiment.stages.gold import (
    after_draw,
    dev_seed,
    not_out_of_draw,
    out_of_draw_seed,
    sampled,
)
from notesmith.files.write import atomic_write_text
from notesmith.findings import OUT_OF_DRAW
from notesmith.metrics import count_unscored
from notesmith.results import CorpusCounts

_READ_SECONDS = 0.003


class ScoredDocuments(Config):
    """The documents of a split that are scored: so many, or all if 0.

    Of test these are the first. Of dev, and out of draw of train, it is a sample, ``chosen_by`` a
    seed, without the draw and the ``unlabelled`` others that are used as notes. In
    cross-fit the documents are an input, and nothing is read.
    """

    split: str
    reading: ReadingConfig | None = None
    documents: int = 0
    chosen_by: int | None = None
    unlabelled: int = 0

    @classmethod
    def of(cls, draw: Draw, split: str) -> ScoredDocuments:
        """Those of ``split`` that a recipe scores."""
        if draw.documents is not None:
            return cls(split=split)
        draws = draw.config.draws
        reading = part_of(draw.config.corpus, ReadingConfig)
        if split == OUT_OF_DRAW:
            n, seed = draws.out_of_draw_documents, out_of_draw_seed(draws.seed)
            # The learning curve is of gold alone.
            notes = draws.unlabelled_documents if draw.size in draws.sizes else 0
            return cls(split=split, reading=reading, documents=n, chosen_by=seed, unlabelled=notes)
        if split == "test":
            return cls(split=split, reading=reading, documents=draws.test_documents)
        n = draws.dev_documents
        return cls(
            split=split, reading=reading, documents=n, chosen_by=dev_seed(draws.seed) if n else None
        )


class Settings(Config):
    """What is scored; attributes are those that the student is to learn."""

    scored: ScoredDocuments
    attributes: tuple[str, ...] = ()


class Measured(Metrics):
    """Strict F1 in points on the documents of a split, and how many these are.

    Mentions that touch masked text are not scored: ``unscored_gold`` and ``unscored_predictions``.
    """

    split: str
    f1: float
    corpus: CorpusCounts
    unscored_gold: int
    unscored_predictions: int


class Pooled(Measured):
    """The F1 of all students together, and of each."""

    f1_of_students: tuple[float, ...]


def cell(draw: Draw, arm: ArmConfig, split: str) -> Cell:
    """The arm's scores on a split: of its students' vote, or of all its students together."""
    if arm.votes > 1:
        return _of_models(draw, arm, split, votes.members(draw, arm))
    scores = [
        _of_models(draw, arm, split, {"model": ner.cell(draw, arm, n)}, n)
        for n in range(draw.config.draws.students)
    ]
    if len(scores) == 1:
        return scores[0]
    students = {f"student-{n + 1}": cell for n, cell in enumerate(scores)}
    inputs = {"gold": draw.gold, **students}
    return draw.cell(POOL, NoConfig(), inputs=inputs, seed=0, arm=arm.name)


def _of_models(
    draw: Draw, arm: ArmConfig, split: str, models: Mapping[str, Cell], number: int = 0
) -> Cell:
    own, fingerprints = outside_of(draw, split)
    return draw.cell(
        STAGE,
        Settings(scored=ScoredDocuments.of(draw, split), attributes=arm.ner.attributes),
        inputs={"gold": draw.gold, **models, **own},
        fingerprints=fingerprints,
        seed=ner.seed_of(draw, number),
        arm=arm.name,
        student=number,
    )


def outside_of(draw: Draw, split: str) -> tuple[dict[str, Cell], dict[str, str]]:
    """Where the scored documents are: the fold as an input, or a fingerprint of the split."""
    if draw.documents is not None:
        return {"documents": draw.documents}, {}
    outside = draw.outside
    known = {"dev": outside.dev, "test": outside.test, OUT_OF_DRAW: outside.train}
    return {}, {"documents": known[split], **outside.of_part(split)}


def gathered(
    whole: Draw, parts: Sequence[Cell], arm: ArmConfig, *, size: int, replicate: int
) -> Cell:
    """The arm's scores on all documents; ``parts`` are those of each fold."""
    folds = {f"fold-{i + 1}": part for i, part in enumerate(parts)}
    return Cell(
        GATHER,
        inputs={"gold": whole.gold, **folds},
        arm=arm.name,
        size=size,
        replicate=replicate,
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """Labelled documents of a split, and the positions of those that are not scored."""

    docs: list[Document]
    left_out: tuple[int, ...] = ()

    @property
    def scored(self) -> list[Document]:
        """Those that are."""
        out = set(self.left_out)
        return [doc for i, doc in enumerate(self.docs) if i not in out]


def open_documents(work: Work[Any], config: ScoredDocuments) -> Opened:
    """The documents of ``config``, opened through the seal."""
    if config.reading is None:
        # A fold: the plan is sealed all the same, before its first score.
        work.context.open_split(config.split)
        return Opened(files.load_docs(work.inputs["documents"]))
    name = "train" if config.split == OUT_OF_DRAW else config.split
    paths = {**work.context.parts, name: work.context.open_split(config.split)}
    docs = read_parts(paths, config.reading, first=name).docs[name]
    if config.chosen_by is None:
        return Opened(docs[: config.documents or None])
    places = sampled(len(docs), config.documents, seed=config.chosen_by)
    if config.split != OUT_OF_DRAW:
        return Opened([docs[i] for i in places])
    gold, seed = gold_in(work), work.cell.inputs["gold"].seed
    notes = [docs[i] for i in after_draw(docs, gold, seed=seed, n=config.unlabelled)]
    scored = set(places) - not_out_of_draw(docs, [*gold, *notes])
    scored -= {i for i, doc in enumerate(docs) if is_chosen(doc)}
    return Opened(docs, tuple(i for i in range(len(docs)) if i not in scored))


Predict = Callable[[Work[Settings], Sequence[Document]], list[Document]]


def _predict(work: Work[Settings], docs: Sequence[Document]) -> list[Document]:
    from notesmith.ner.model import load_ner
    from notesmith.ner.votes import Votes

    models = [load_ner(work.inputs[name] / files.MODEL) for name in models_in(work.cell)]
    student = models[0] if len(models) == 1 else Votes(tuple(models))
    return student.predict(docs, on_progress=work.on_progress)


def run(work: Work[Settings], predict: Predict = _predict) -> Measured:
    """Predict the documents of a split and count; the only stage that a test document reaches.

    So do the labels of train documents outside the draw. Their score stands over all of train, with
    no counts where a document is left out, so that draws can be put together.
    """
    split = work.config.scored.split
    opened = open_documents(work, work.config.scored)
    docs = opened.scored
    predicted = predict(work, docs) if docs else []
    named = {doc.id: doc for doc in predicted}
    bare = [doc.with_entities(()) for doc in opened.docs]
    scores = score_cell(
        [doc if doc.id in named else bare[i] for i, doc in enumerate(opened.docs)],
        [named.get(doc.id, bare[i]) for i, doc in enumerate(opened.docs)],
        {mention for doc in gold_in(work) for mention in doc.mentions()},
        arm=work.cell.arm,
        size=work.cell.size,
        replicate=work.cell.replicate,
        seed=work.seed,
        split=split,
        attributes=work.config.attributes,
    )
    scores = replace(scores, left_out=opened.left_out)
    atomic_write_text(work.out / SCORES, json.dumps(scores.to_json()))
    spans = {
        doc.id: [[ent.label, *map(list, ent.spans)] for ent in doc.entities] for doc in predicted
    }
    atomic_write_text(work.out / PREDICTIONS, json.dumps(spans))
    unscored = count_unscored(docs, predicted)
    return Measured(
        split=split,
        f1=round(100 * scores.f1, 3),
        corpus=describe(docs),
        unscored_gold=unscored.gold,
        unscored_predictions=unscored.predicted,
    )


def pool(work: Work[NoConfig]) -> Pooled:
    """Add up the counts of the students of one arm and draw; the first one's predictions stay."""
    folders = list(texts_of(work.inputs).values())
    found = [load_scores(folder) for folder in folders]
    measured = [Measured.read(folder) for folder in folders]
    scores = add_students(found)
    atomic_write_text(work.out / SCORES, json.dumps(scores.to_json()))
    shutil.copyfile(folders[0] / PREDICTIONS, work.out / PREDICTIONS)
    return Pooled(
        split=scores.split,
        f1=round(100 * scores.f1, 3),
        f1_of_students=tuple(round(100 * cell.f1, 3) for cell in found),
        corpus=measured[0].corpus,
        unscored_gold=measured[0].unscored_gold,
        unscored_predictions=sum(one.unscored_predictions for one in measured),
    )


def gather(work: Work[NoConfig]) -> Measured:
    """Put the scores of the folds together: one over all documents."""
    docs = gold_in(work)
    folds: list[tuple[list[str], CellScores]] = []
    measured: list[Measured] = []
    predicted: dict[str, Any] = {}
    for name, folder in texts_of(work.inputs).items():
        spans = json.loads((folder / PREDICTIONS).read_text(encoding="utf-8"))
        folds.append((list(spans), load_scores(folder)))
        # Of one student, or of several together.
        measured.append(work.cell.inputs[name].stage.metrics.read(folder))
        predicted |= spans
    scores = replace(
        join_folds(docs, folds),
        arm=work.cell.arm,
        size=work.cell.size,
        replicate=work.cell.replicate,
    )
    atomic_write_text(work.out / SCORES, json.dumps(scores.to_json()))
    in_order = {doc.id: predicted[doc.id] for doc in docs}
    atomic_write_text(work.out / PREDICTIONS, json.dumps(in_order))
    return Measured(
        split=scores.split,
        f1=round(100 * scores.f1, 3),
        corpus=describe(docs),
        unscored_gold=sum(one.unscored_gold for one in measured),
        unscored_predictions=sum(one.unscored_predictions for one in measured),
    )


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """Each student reads the documents; as many are out of draw as train has beside the draw."""
    split = facts.held_out.get(config.scored.split)
    n_documents, words = (split.n_documents, split.n_words) if split else (0, 0)
    if config.scored.split == OUT_OF_DRAW:
        share = 1 - fold.share_of_train(cell, facts)
        n_documents, words = round(n_documents * share), round(words * share)
    if "documents" in cell.inputs:
        n_folds = fold.OUT.config_of(cell.inputs["documents"]).folds
        n_documents, words = n_documents // n_folds, words // n_folds
    n = len(models_in(cell)) if words else 0
    return Amount(read=n * words, students=n, seconds=0.3 + _READ_SECONDS * n_documents)


STAGE = Stage(
    "score",
    version=2,
    config=Settings,
    metrics=Measured,
    run=run,
    cost=cost,
    text_free=True,
    peak="predicting",
)
POOL = Stage("pool", version=2, config=NoConfig, metrics=Pooled, run=pool, text_free=True)
GATHER = Stage("gather", version=1, config=NoConfig, metrics=Measured, run=gather, text_free=True)


def is_score(cell: Cell) -> bool:
    """Whether ``cell`` holds scores."""
    return cell.stage in (STAGE, POOL, GATHER)


def models_in(cell: Cell) -> dict[str, Cell]:
    """The inputs of a score that are students; several vote."""
    return {name: read for name, read in cell.inputs.items() if read.stage == ner.STAGE}


def students_of(scored: Cell) -> list[Cell]:
    """The students behind a score: one, those that vote, or those of all folds and seeds."""
    if scored.stage == STAGE:
        return list(models_in(scored).values())
    scores = [cell for cell in scored.inputs.values() if is_score(cell)]
    return [student for cell in scores for student in students_of(cell)]
