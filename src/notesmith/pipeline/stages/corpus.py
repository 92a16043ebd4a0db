"""Stages that read the corpus: hashes of what is held out, and draws of gold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from notesmith.corpus.files import atomic_write_text
from notesmith.corpus.splits import folds
from notesmith.document import Document, labels_of
from notesmith.errors import StageError
from notesmith.filters import fingerprints
from notesmith.ner.attributes import attributes_in
from notesmith.pipeline import artefacts as files
from notesmith.pipeline.engine import Work
from notesmith.pipeline.stages.common import (
    HASHES,
    INFO,
    Surroundings,
    describe,
    gold_in,
    info_in,
    read,
)

_GROUP = "notesmith fold"


def held_out(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """Hash dev and test, so that filters can find repeats without seeing a text.

    A document of dev or test that stands in train too is an error: scores would mean nothing. In
    cross-fit it is a fold that is held out.
    """
    if "documents" in work.inputs:
        return _keep_hashes([doc.text for doc in files.load_docs(work.inputs["documents"])], work)
    train = {" ".join(doc.text.split()): doc.id for doc in read(around.train, work.config).docs}
    texts: list[str] = []
    for split, path in around.held_out.items():
        docs = read(path, work.config).docs
        shared = [doc.id for doc in docs if " ".join(doc.text.split()) in train]
        if shared:
            raise StageError(
                f"{len(shared)} documents of {split} stand in train too, the first {shared[0]!r}; "
                "take them out of one"
            )
        texts += [doc.text for doc in docs]
    return _keep_hashes(texts, work)


def _keep_hashes(texts: Sequence[str], work: Work) -> Mapping[str, Any]:
    hashes = sorted(fingerprints(texts))
    atomic_write_text(work.out / HASHES, json.dumps(hashes))
    return {"documents": len(texts), "hashes": len(hashes)}


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
    """A number for each document, the same where a patient or a text is shared."""
    group = list(range(len(docs)))
    first: dict[tuple[str, str], int] = {}
    for i, doc in enumerate(docs):
        patient = doc.metadata.get("patient")
        shared = [("text", " ".join(doc.text.split()))]
        shared += [] if patient is None else [("patient", str(patient))]
        for key in shared:
            old, new = group[first.setdefault(key, i)], group[i]
            if old != new:
                group = [min(old, new) if g in (old, new) else g for g in group]
    return group
