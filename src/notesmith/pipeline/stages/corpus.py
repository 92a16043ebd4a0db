"""Stages that read the corpus: hashes of what is held out, and draws of gold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from notesmith.corpus.files import atomic_write_text
from notesmith.document import labels_of
from notesmith.errors import StageError
from notesmith.filters import fingerprints
from notesmith.pipeline import artefacts as files
from notesmith.pipeline.engine import Work
from notesmith.pipeline.stages.common import HASHES, INFO, Surroundings, describe, read


def held_out(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """Hash dev and test, so that filters can find repeats without seeing a text.

    A document of dev or test that stands in train too is an error: scores would mean nothing.
    """
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
    info = {"labels": labels_of(corpus.docs)}
    atomic_write_text(work.out / INFO, json.dumps(info))
    return {"corpus": describe(corpus.docs), "drawn": describe(docs), "reading": corpus.counts}
