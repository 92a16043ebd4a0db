"""The stages that divide gold into folds: what a fold's models learn from, and what they score."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from notesmith.config.fields import Config
from notesmith.corpus.splits import folds
from notesmith.document import Document
from notesmith.errors import StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import CorpusStats
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages.common import INFO, describe, gold_in, info_in
from notesmith.experiment.stages.gold import same_group
from notesmith.files.write import atomic_write_text
from notesmith.results import CorpusCounts

_GROUP = "notesmith fold"


class Settings(Config):
    """Which of how many folds is held out.

    For a point of the learning curve only ``kept`` of ``of`` documents are learnt from, in
    proportion.
    """

    folds: int
    fold: int
    of: int | None = None
    kept: int | None = None


class Drawn(Metrics):
    """The gold that was divided, and what a fold's models learn from."""

    corpus: CorpusCounts
    drawn: CorpusCounts


class HeldOut(Metrics):
    """The documents of a fold."""

    corpus: CorpusCounts


def run(work: Work[Settings]) -> Drawn:
    """What a fold's models learn from: the gold of the other folds, or a part of it."""
    config, gold = work.config, gold_in(work)
    out = {id(doc) for doc in _folds(gold, work)[config.fold]}
    docs = [doc for doc in gold if id(doc) not in out]
    if config.kept is not None and config.of is not None:
        n = round(len(docs) * config.kept / config.of)
        order = np.random.default_rng(work.seed).permutation(len(docs))
        docs = [docs[int(i)] for i in order[:n]]
    files.save_docs(docs, work.out)
    atomic_write_text(work.out / INFO, json.dumps(info_in(work)))
    return Drawn(corpus=describe(gold), drawn=describe(docs))


def run_out(work: Work[Settings]) -> HeldOut:
    """The documents of a fold, which its models are scored on."""
    docs = _folds(gold_in(work), work)[work.config.fold]
    files.save_docs(docs, work.out)
    return HeldOut(corpus=describe(docs))


STAGE = Stage("fold", version=1, config=Settings, metrics=Drawn, run=run)
OUT = Stage("fold-out", version=1, config=Settings, metrics=HeldOut, run=run_out)


def share_of_train(cell: Cell, facts: CorpusStats) -> float:
    """The share of train's documents that the gold of ``cell`` holds."""
    share = min(1.0, cell.size / max(1, facts.train.split.n_documents))
    gold = cell.inputs.get("gold")
    if gold is not None and gold.stage == STAGE:
        # What the other folds hold.
        share *= 1 - 1 / STAGE.config_of(gold).folds
    return share


def _folds(gold: Sequence[Document], work: Work[Settings]) -> list[list[Document]]:
    """Folds of about one size; documents of a patient, or of one text, are in the same.

    Raises:
        StageError: there are fewer patients than folds.
    """
    n = work.config.folds
    groups = same_group(gold)
    if len(set(groups)) < n:
        raise StageError(
            f"{len(set(groups))} patients or documents cannot make {n} folds; lower evaluate.folds"
        )
    grouped = [
        replace(doc, metadata={**doc.metadata, _GROUP: str(group)})
        for doc, group in zip(gold, groups, strict=True)
    ]
    own = {doc.id: doc for doc in gold}
    parts = folds(grouped, n, by=_GROUP, seed=work.seed)
    return [[own[doc.id] for doc in part] for part in parts]
