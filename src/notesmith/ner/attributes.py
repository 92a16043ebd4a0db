"""Attributes of mentions (negated, Certainty=low …) as choices between classes.

Pure functions; no torch here, so that a student that runs elsewhere (ONNX) decides with the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from notesmith.document import Document, Entity, attribute_name, attributes_in
from notesmith.errors import ConfigError
from notesmith.words import IGNORED


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: class 0 is a mention without it, class k one with ``values[k - 1]``.

    ``values`` are spelt as ``Entity.attributes`` has them: ``("negated",)`` of a flag,
    ``("Certainty=high", "Certainty=low")`` of a name with values.
    """

    name: str
    values: tuple[str, ...]

    @property
    def n_classes(self) -> int:
        """Its values and none of them."""
        return len(self.values) + 1

    def class_of(self, ent: Entity) -> int:
        """The class of ``ent``; ``IGNORED`` where it has several values, or one not known here."""
        own = [x for x in ent.attributes if attribute_name(x) == self.name]
        if not own:
            return 0
        known = len(own) == 1 and own[0] in self.values
        return self.values.index(own[0]) + 1 if known else IGNORED


def check_attributes(
    names: Sequence[str], found: Mapping[str, object], *, option: str = "ner.attributes"
) -> None:
    """Raise if gold has no mention with one of ``names``, which ``option`` of a recipe gives.

    Raises:
        ConfigError: so it is; the names that gold has are said.
    """
    if missing := [name for name in names if name not in found]:
        have = ", ".join(found) or "none at all"
        raise ConfigError(
            f"{option} names {missing[0]!r}, which no gold mention has; gold has {have}"
        )


def choose_attributes(gold: Iterable[Document], names: Sequence[str]) -> tuple[Attribute, ...]:
    """The attributes ``names`` with the values that they have in ``gold``.

    Raises:
        ConfigError: no mention of ``gold`` has one of them.
    """
    found = attributes_in(gold) if names else {}
    check_attributes(names, found)
    return tuple(Attribute(name, found[name]) for name in names)


def classes_to_learn(
    docs: Sequence[Document], attributes: Sequence[Attribute]
) -> list[dict[str, tuple[int, ...]]]:
    """For each document the classes of its mentions, by entity id: one an attribute.

    Text that a language model or a dictionary labelled has no attributes by construction, and there
    their absence says nothing. So documents are taken by how they were made (kind, model and stage
    of their provenance): where none of a kind has an attribute, it is ``IGNORED`` in all of them.
    """
    carried = {
        (_made_by(doc), attribute_name(x))
        for doc in docs
        for ent in doc.entities
        for x in ent.attributes
    }
    return [
        {
            ent.id: tuple(
                a.class_of(ent) if (_made_by(doc), a.name) in carried else IGNORED
                for a in attributes
            )
            for ent in doc.entities
        }
        for doc in docs
    ]


def _made_by(doc: Document) -> tuple[str, str | None, str | None]:
    return doc.provenance.kind, doc.provenance.model, doc.provenance.stage


def best_values(logits: NDArray[np.float32], attributes: Sequence[Attribute]) -> tuple[str, ...]:
    """The values of one mention: of each attribute the likeliest class, left out where it is none.

    Args:
        logits: of all classes of all attributes, side by side; one row a word of the mention. Their
            mean is what the head gives for the mean state of the words, for it is linear.
        attributes: whose classes these are.
    """
    mean = logits.mean(axis=0)
    found: list[str] = []
    first = 0
    for attribute in attributes:
        best = int(mean[first : first + attribute.n_classes].argmax())
        found += attribute.values[best - 1 : best] if best else ()
        first += attribute.n_classes
    return tuple(found)
