"""Label-wise token replacement (LwTR): each token may become another seen under the same tag.

Dai and Adel, COLING 2020. Tags are B and I of each label, and O. Only words are redrawn, by words:
a word in the place of a comma would grow together with its neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from notesmith.augmentation.edits import Edit, apply_edits, only_words
from notesmith.config.filters import AugmentConfig
from notesmith.document import Document, Span


def tags_of(doc: Document, tokens: Sequence[Span]) -> list[str]:
    """BIO tag of each token; the first entity in order of offset wins where two overlap."""
    tags = ["O"] * len(tokens)
    for ent in sorted(doc.entities, key=lambda e: (e.start, -e.end)):
        inside = [
            i
            for i, (start, end) in enumerate(tokens)
            if any(start < e and end > s for s, e in ent.spans) and tags[i] == "O"
        ]
        for rank, i in enumerate(inside):
            tags[i] = ("B-" if rank == 0 else "I-") + ent.label
    return tags


def replace_tokens(docs: Sequence[Document], *, config: AugmentConfig, seed: int) -> list[Document]:
    """Return ``config.copies`` copies of each document, ``config.token_ratio`` of words redrawn.

    The new token is drawn from those that carry the same tag in ``docs``, as often as they do.
    """
    rng = np.random.default_rng(seed)
    tokenized = [(doc, spans := only_words(doc.text), tags_of(doc, spans)) for doc in docs]
    pools: dict[str, list[str]] = {}
    for doc, spans, tags in tokenized:
        for (start, end), tag in zip(spans, tags, strict=True):
            pools.setdefault(tag, []).append(doc.text[start:end])
    made: list[Document] = []
    for copy in range(config.copies):
        for doc, spans, tags in tokenized:
            draw = rng.random(len(spans)) < config.token_ratio
            edits = [
                Edit(start, end, pools[tag][int(rng.integers(len(pools[tag])))])
                for (start, end), tag, chosen in zip(spans, tags, draw, strict=True)
                if chosen
            ]
            made.append(apply_edits(doc, edits, doc_id=f"{doc.id}~t{copy}", stage="replace_tokens"))
    return made
