"""Stages of the student: training, scoring, and what made text covers of the test set."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from notesmith.config import NerConfig
from notesmith.document import Document
from notesmith.evaluate.scores import (
    CellScores,
    add_students,
    join_folds,
    score_cell,
)
from notesmith.experiment import artefacts as files
from notesmith.experiment.contents import METRICS
from notesmith.experiment.engine import Work
from notesmith.experiment.stages.common import (
    PREDICTIONS,
    SCORES,
    Surroundings,
    describe,
    folded_mentions,
    gold_in,
    info_in,
    labels_in,
    load_scores,
    read,
)
from notesmith.experiment.stages.corpus import not_out_of_draw, sampled
from notesmith.files.write import atomic_write_text
from notesmith.findings import OUT_OF_DRAW
from notesmith.metrics import fold_mention
from notesmith.ner.attributes import attributes_in, check_attributes


def ner(work: Work) -> Mapping[str, Any]:
    """Train the student on gold and what the arm adds."""
    from notesmith.ner.train import train_ner

    gold = gold_in(work)
    made = [
        doc
        for name, folder in sorted(work.inputs.items())
        if name != "gold"
        for doc in files.load_docs(folder)
    ]
    result = train_ner(
        gold,
        made,
        config=_of_draw(NerConfig.model_validate(work.config["ner"]), gold, work),
        labels=labels_in(work),
        seed=work.cell.seed,
        on_progress=work.on_progress,
    )
    result.model.save(work.out / files.MODEL)
    return {
        "tokens": result.tokens,
        "training_seconds": round(result.seconds, 3),
        "history": list(result.history),
        "flattened": dict(result.counts),
        "encoder": {
            "name": result.model.name,
            "parameters": sum(p.numel() for p in result.model.model.parameters()),
        },
    }


def _of_draw(config: NerConfig, gold: Sequence[Document], work: Work) -> NerConfig:
    """``config`` with those attributes that the draw has: a small one may lack a rare one.

    Raises:
        ConfigError: train as a whole lacks one.
    """
    if not config.attributes:
        return config
    have = attributes_in(gold)
    of_train = info_in(work).get("attributes", ())
    check_attributes(config.attributes, dict.fromkeys([*of_train, *have]))
    return config.model_copy(
        update={"attributes": tuple(x for x in config.attributes if x in have) or None}
    )


@dataclass(frozen=True, slots=True)
class _Opened:
    """Labelled documents of a split, and the positions of those that are not scored."""

    docs: list[Document]
    left_out: tuple[int, ...] = ()

    @property
    def scored(self) -> list[Document]:
        out = set(self.left_out)
        return [doc for i, doc in enumerate(self.docs) if i not in out]


def _open(work: Work, around: Surroundings) -> _Opened:
    split = str(work.config["split"])
    if "documents" in work.inputs:
        # A fold: the plan is sealed all the same, before its first score.
        around.open_split(split)
        return _Opened(files.load_docs(work.inputs["documents"]))
    docs = read(around.open_split(split), work.config).docs
    n = int(work.config["documents"])
    if split != OUT_OF_DRAW:
        return _Opened(docs[: n or None])
    chosen = set(sampled(len(docs), n, seed=int(work.config["chosen_by"])))
    chosen -= not_out_of_draw(docs, gold_in(work))
    return _Opened(docs, tuple(i for i in range(len(docs)) if i not in chosen))


Predict = Callable[[Work, Sequence[Document]], list[Document]]


def _predict(work: Work, docs: Sequence[Document]) -> list[Document]:
    from notesmith.ner.model import load_ner

    model = load_ner(work.inputs["model"] / files.MODEL)
    return model.predict(docs, on_progress=work.on_progress)


def score(work: Work, around: Surroundings, predict: Predict = _predict) -> Mapping[str, Any]:
    """Predict the documents of a split and count; the only stage that a test document reaches.

    So do the labels of train documents outside the draw. Their score stands over all of train, with
    no counts where a document is left out, so that draws can be put together.
    """
    opened = _open(work, around)
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
        seed=work.cell.seed,
        split=str(work.config["split"]),
        attributes=work.config.get("attributes", ()),
    )
    scores = replace(scores, left_out=opened.left_out)
    atomic_write_text(work.out / SCORES, json.dumps(scores.to_json()))
    spans = {
        doc.id: [[ent.label, *map(list, ent.spans)] for ent in doc.entities] for doc in predicted
    }
    atomic_write_text(work.out / PREDICTIONS, json.dumps(spans))
    return {
        "split": work.config["split"],
        "f1": round(100 * scores.f1, 3),
        "corpus": describe(docs),
    }


def pool(work: Work) -> Mapping[str, Any]:
    """Add up the counts of the students of one arm and draw; the first one's predictions stay."""
    folders = [folder for name, folder in work.inputs.items() if name != "gold"]
    found = [load_scores(folder) for folder in folders]
    scores = add_students(found)
    atomic_write_text(work.out / SCORES, json.dumps(scores.to_json()))
    shutil.copyfile(folders[0] / PREDICTIONS, work.out / PREDICTIONS)
    first = json.loads((folders[0] / METRICS).read_text(encoding="utf-8"))
    return {
        "split": scores.split,
        "f1": round(100 * scores.f1, 3),
        "f1_of_students": [round(100 * cell.f1, 3) for cell in found],
        "corpus": first["corpus"],
    }


def gather(work: Work) -> Mapping[str, Any]:
    """Put the scores of the folds together: one over all documents."""
    docs = gold_in(work)
    folds: list[tuple[list[str], CellScores]] = []
    predicted: dict[str, Any] = {}
    for name, folder in work.inputs.items():
        if name != "gold":
            spans = json.loads((folder / PREDICTIONS).read_text(encoding="utf-8"))
            folds.append((list(spans), load_scores(folder)))
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
    return {"split": scores.split, "f1": round(100 * scores.f1, 3), "corpus": describe(docs)}


def coverage(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """How many test mentions that gold lacks stand in made text: known only after the fact."""
    docs = _open(work, around).docs
    gold, made = (
        folded_mentions(gold_in(work)),
        folded_mentions(files.load_docs(work.inputs["made"])),
    )
    unseen = [
        mention
        for doc in docs
        for mention in map(fold_mention, doc.mentions())
        if mention not in gold
    ]
    proposed = {
        fold_mention(name)
        for found in files.load_names(work.inputs["names"]).names.values()
        for name in found
    }
    n = max(1, len(unseen))
    return {
        "split": work.config["split"],
        "unseen_mentions": len(unseen),
        "unseen_names": len(set(unseen)),
        "covered_by_made": sum(mention in made for mention in unseen) / n,
        "covered_by_proposals": sum(mention in proposed for mention in unseen) / n,
    }
