"""Mention replacement: the same sentence with other names of the same label.

The rival to beat (Dai and Adel, "An Analysis of Simple Data Augmentation for Named Entity
Recognition", COLING 2020). Names come from gold or are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from notesmith.augmentation.edits import Edit, apply_edits, plain_entities
from notesmith.config.filters import AugmentConfig
from notesmith.document import Document


def gold_names(docs: Sequence[Document]) -> dict[str, tuple[str, ...]]:
    """Distinct surface strings of each label, in order of first occurrence."""
    names: dict[str, dict[str, None]] = {}
    for doc in docs:
        for ent in doc.entities:
            if len(ent.spans) == 1:
                names.setdefault(ent.label, {})[ent.mention(doc.text)] = None
    return {label: tuple(found) for label, found in sorted(names.items())}


def replace_mentions(
    docs: Sequence[Document],
    names: Mapping[str, Sequence[str]],
    *,
    config: AugmentConfig,
    seed: int,
) -> list[Document]:
    """Return ``config.copies`` copies of each document with mentions replaced.

    Each mention that can be replaced (one range, touching no other entity) is, with probability
    ``config.replace_ratio``, by a name of its label drawn uniformly; a label without names keeps
    its mentions. Attributes, relations and sections survive with offsets re-derived. Documents
    without any mention are left out: their copies would be repeats of gold.
    """
    rng = np.random.default_rng(seed)
    made: list[Document] = []
    for copy in range(config.copies):
        for doc in docs:
            edits = [
                Edit(ent.start, ent.end, _like(doc.text[ent.start : ent.end], choice))
                for ent in plain_entities(doc)
                if names.get(ent.label)
                and rng.random() < config.replace_ratio
                and (choice := names[ent.label][int(rng.integers(len(names[ent.label])))])
            ]
            if edits:
                made.append(
                    apply_edits(doc, edits, doc_id=f"{doc.id}~r{copy}", stage="replace_mentions")
                )
    return made


def _like(old: str, new: str) -> str:
    """Give ``new`` an initial capital where ``old`` has one and goes on in lower case."""
    if old[:1].isupper() and old[1:2].islower() and new[:1].islower():
        return new[0].upper() + new[1:]
    return new
