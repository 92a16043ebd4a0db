"""The stage that draws gold, and which documents of train a draw does not hold."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Literal

import numpy as np

from notesmith.config.corpus import ReadingConfig
from notesmith.config.fields import Config, part_of
from notesmith.config.recipe import RecipeConfig
from notesmith.corpus.alike import most_alike
from notesmith.corpus.parts import folded
from notesmith.document import Document, attributes_in, labels_of
from notesmith.errors import StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.graph import Cell, Stage, Work, seed_for
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages.common import INFO, describe, read_parts
from notesmith.files.write import atomic_write_text
from notesmith.results import CorpusCounts


class Settings(Config):
    """How many documents are drawn, and how; and how train is read."""

    reading: ReadingConfig
    documents: int
    of: Literal["train", "topic"] = "train"


class Measured(Metrics):
    """The whole of train, what was drawn of it, and what reading collapsed, skipped or dropped.

    ``left_out`` are sentences on what stands in two parts.
    """

    corpus: CorpusCounts
    drawn: CorpusCounts
    reading: dict[str, int]
    left_out: tuple[str, ...]


def cell(config: RecipeConfig, outside: Fingerprints, *, size: int, replicate: int) -> Cell:
    """Gold documents of train."""
    return Cell(
        STAGE,
        Settings(reading=part_of(config.corpus, ReadingConfig), documents=size, of=config.draws.of),
        fingerprints={"train": outside.train, **outside.of_part("train")},
        # The same for all sizes, so that a smaller draw is the start of a larger one.
        seed=seed_for(config.draws.seed, "draw", replicate),
        size=size,
        replicate=replicate,
    )


def run(work: Work[Settings]) -> Measured:
    """Draw gold documents; a smaller draw of the same seed is the start of a larger one.

    What stands in dev or test too is no document of train.
    """
    parts = read_parts(work.context.parts, work.config.reading)
    train, n = parts.docs["train"], work.config.documents
    if n > len(train):
        raise StageError(
            f"a draw of {n} documents was asked for and train holds {len(train)}; "
            "lower draws.sizes or draws.curve"
        )
    order = _order(len(train), work.seed)
    if work.config.of == "topic":
        order = most_alike([doc.text for doc in train], order[0])
    docs = [train[i] for i in order[:n]]
    files.save_docs(docs, work.out)
    # The label set is part of the annotation scheme, so a small draw knows all of it.
    info = {"labels": labels_of(train), "attributes": list(attributes_in(train))}
    atomic_write_text(work.out / INFO, json.dumps(info))
    return Measured(
        corpus=describe(train),
        drawn=describe(docs),
        reading=dict(parts.reads["train"].counts),
        left_out=tuple(parts.apart.sentences),
    )


def _order(n_documents: int, seed: int) -> list[int]:
    """Positions of all documents of train by lot, as a draw takes them if not of one topic."""
    return [int(i) for i in np.random.default_rng(seed).permutation(n_documents)]


STAGE = Stage("draw", version=2, config=Settings, metrics=Measured, run=run)


def out_of_draw_seed(root: int) -> int:
    """Chooses which train documents are scored out of draw: the same ones for all draws."""
    return seed_for(root, "out-of-draw")


def dev_seed(root: int) -> int:
    """Chooses which dev documents are used, where not all are."""
    return seed_for(root, "dev")


def same_group(docs: Sequence[Document]) -> list[int]:
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
        shared = [("text", folded(doc.text))]
        shared += [(name, str(value)) for name, value in known.items() if value is not None]
        for key in shared:
            one, other = root(first.setdefault(key, i)), root(i)
            parent[max(one, other)] = min(one, other)
    return [root(i) for i in range(len(docs))]


def sampled(n_documents: int, most: int, *, seed: int) -> list[int]:
    """Positions of ``most`` of so many documents, chosen by ``seed``; all where there are fewer."""
    order = np.random.default_rng(seed).permutation(n_documents)
    return sorted(int(i) for i in order[:most])


def after_draw(
    train: Sequence[Document], gold: Sequence[Document], *, seed: int, n: int
) -> list[int]:
    """Positions of ``n`` documents of ``train`` by lot, outside of the draw ``gold`` of ``seed``.

    Those that share a text or a patient with the draw are passed over.
    """
    held = not_out_of_draw(train, gold)
    after = (i for i in _order(len(train), seed) if i not in held)
    return list(itertools.islice(after, n))


def not_out_of_draw(train: Sequence[Document], gold: Sequence[Document]) -> set[int]:
    """Positions of the documents of train that a draw holds: themselves, or by text or patient."""
    drawn = {doc.id for doc in gold}
    groups = same_group(train)
    held = {group for doc, group in zip(train, groups, strict=True) if doc.id in drawn}
    return {i for i, group in enumerate(groups) if group in held}
