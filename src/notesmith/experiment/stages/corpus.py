"""Stages that read the corpus: draws of gold, and their folds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from notesmith.corpus.splits import folds
from notesmith.document import Document, labels_of
from notesmith.errors import StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.engine import Work
from notesmith.experiment.stages.common import (
    INFO,
    Surroundings,
    describe,
    gold_in,
    info_in,
    read,
)
from notesmith.files.write import atomic_write_text
from notesmith.ner.attributes import attributes_in

_GROUP = "notesmith fold"


def draw(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """Draw gold documents; a smaller draw of the same seed is the start of a larger one."""
    corpus = read(around.train, work.config)
    n = int(work.config["documents"])
    if n > len(corpus.docs):
        raise StageError(
            f"a draw of {n} documents was asked for and train holds {len(corpus.docs)}; "
            "lower draws.sizes or draws.curve"
        )
    order = np.random.default_rng(work.cell.seed).permutation(len(corpus.docs))
    docs = [corpus.docs[int(i)] for i in order[:n]]
    files.save_docs(docs, work.out)
    # The label set is part of the annotation scheme, so a small draw knows all of it.
    info = {"labels": labels_of(corpus.docs), "attributes": list(attributes_in(corpus.docs))}
    atomic_write_text(work.out / INFO, json.dumps(info))
    return {"corpus": describe(corpus.docs), "drawn": describe(docs), "reading": corpus.counts}


def fold(work: Work) -> Mapping[str, Any]:
    """What a fold's models learn from: the gold of the other folds, or a part of it."""
    gold = gold_in(work)
    out = {id(doc) for doc in _folds(gold, work)[int(work.config["fold"])]}
    docs = [doc for doc in gold if id(doc) not in out]
    if "kept" in work.config:
        n = round(len(docs) * int(work.config["kept"]) / int(work.config["of"]))
        order = np.random.default_rng(work.cell.seed).permutation(len(docs))
        docs = [docs[int(i)] for i in order[:n]]
    files.save_docs(docs, work.out)
    atomic_write_text(work.out / INFO, json.dumps(info_in(work)))
    return {"corpus": describe(gold), "drawn": describe(docs)}


def fold_out(work: Work) -> Mapping[str, Any]:
    """The documents of a fold, which its models are scored on."""
    docs = _folds(gold_in(work), work)[int(work.config["fold"])]
    files.save_docs(docs, work.out)
    return {"corpus": describe(docs)}


def _folds(gold: Sequence[Document], work: Work) -> list[list[Document]]:
    """Folds of about one size; documents of a patient, or of one text, are in the same.

    Raises:
        StageError: there are fewer patients than folds.
    """
    n = int(work.config["folds"])
    groups = _same_group(gold)
    if len(set(groups)) < n:
        raise StageError(
            f"{len(set(groups))} patients or documents cannot make {n} folds; lower evaluate.folds"
        )
    grouped = [
        replace(doc, metadata={**doc.metadata, _GROUP: str(group)})
        for doc, group in zip(gold, groups, strict=True)
    ]
    own = {doc.id: doc for doc in gold}
    parts = folds(grouped, n, by=_GROUP, seed=work.cell.seed)
    return [[own[doc.id] for doc in part] for part in parts]


def _same_group(docs: Sequence[Document]) -> list[int]:
    """A number for each document, the same where a text is shared, or whose or what it is of.

    That is the patient of a note, and the document that a sentence stands in.
    """
    parent = list(range(len(docs)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, doc in enumerate(docs):
        known = {name: doc.metadata.get(name) for name in ("patient", "document")}
        shared = [("text", " ".join(doc.text.split()))]
        shared += [(name, str(value)) for name, value in known.items() if value is not None]
        for key in shared:
            one, other = root(first.setdefault(key, i)), root(i)
            parent[max(one, other)] = min(one, other)
    return [root(i) for i in range(len(docs))]


def sampled(n_documents: int, most: int, *, seed: int) -> list[int]:
    """Positions of ``most`` of so many documents, chosen by ``seed``; all where there are fewer."""
    order = np.random.default_rng(seed).permutation(n_documents)
    return sorted(int(i) for i in order[:most])


def not_out_of_draw(train: Sequence[Document], gold: Sequence[Document]) -> set[int]:
    """Positions of the documents of train that a draw holds: themselves, or by text or patient."""
    drawn = {doc.id for doc in gold}
    groups = _same_group(train)
    held = {group for doc, group in zip(train, groups, strict=True) if doc.id in drawn}
    return {i for i, group in enumerate(groups) if group in held}
