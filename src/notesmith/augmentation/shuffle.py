"""Shuffling: token order within segments (a rival), and labels (the placebo).

Shuffle within segments follows Dai and Adel, COLING 2020: a segment is a mention or the stretch
between two mentions of a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from notesmith.augmentation.edits import Edit, apply_edits, only_words, plain_entities, words
from notesmith.augmentation.tokens import tags_of
from notesmith.config.filters import AugmentConfig
from notesmith.document import Document, Entity, Span
from notesmith.segments import cut, split


def shuffle_segments(
    docs: Sequence[Document], *, config: AugmentConfig, seed: int
) -> list[Document]:
    """Return ``config.copies`` copies of each sentence with token order shuffled inside segments.

    A segment is shuffled with probability ``config.shuffle_ratio``. Punctuation and white space
    stay where they are: words take each other's places.
    """
    rng = np.random.default_rng(seed)
    sents = [cut(doc, span) for doc in docs for span in split(doc, "sentence")]
    made: list[Document] = []
    for copy in range(config.copies):
        for doc in sents:
            spans = only_words(doc.text)
            tags = tags_of(doc, spans)
            order: list[int] = []
            for members in _segments(tags):
                if rng.random() < config.shuffle_ratio:
                    members = [members[i] for i in rng.permutation(len(members))]
                order += members
            edits = [
                Edit(start, end, doc.text[slice(*spans[source])])
                for (start, end), source in zip(spans, order, strict=True)
            ]
            made.append(
                apply_edits(doc, edits, doc_id=f"{doc.id}~s{copy}", stage="shuffle_segments")
            )
    return made


def _segments(tags: Sequence[str]) -> list[list[int]]:
    """Indices of neighbouring tokens that share a mention or lie outside all."""
    keys: list[int] = []
    n = 0
    for i, tag in enumerate(tags):
        if tag.startswith("B-") or (i and (tag == "O") != (tags[i - 1] == "O")):
            n += 1
        keys.append(n)
    return [list(group) for _, group in groupby(range(len(tags)), key=keys.__getitem__)]


def shuffle_labels(docs: Sequence[Document], *, seed: int) -> list[Document]:
    """Return the same texts with as many mentions of the same lengths in words, at random places.

    The placebo: text, density and mention lengths stay, and what the labels say is destroyed.
    """
    rng = np.random.default_rng(seed)
    return [_shuffled(doc, rng) for doc in docs]


def _shuffled(doc: Document, rng: np.random.Generator) -> Document:
    spans = words(doc.text)
    plain = plain_entities(doc)
    lengths = [sum(s < e.end and t > e.start for s, t in spans) or 1 for e in plain]
    free = len(spans) - sum(lengths)
    if not plain or free < 0:
        return replace(doc, entities=(), relations=(), masked=())
    # Spread the free words over the gaps before, between and after the mentions.
    cuts = np.sort(rng.integers(0, free + 1, size=len(plain)))
    order = rng.permutation(len(plain))
    entities: list[Entity] = []
    used = 0
    for k, i in enumerate(order):
        first = int(cuts[k]) + used
        span: Span = (spans[first][0], spans[first + lengths[i] - 1][1])
        entities.append(Entity(f"T{k + 1}", plain[i].label, (span,)))
        used += lengths[i]
    return replace(doc, entities=tuple(entities), relations=(), masked=())
