"""The records that every stage takes and gives: documents, entities, relations, provenance.

Offsets are half-open ranges of Unicode code points into ``Document.text``, checked when a document
is made. Nothing here reads or writes files (``corpus/`` does).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from notesmith.errors import CorpusError, OffsetError, shown_doc, shown_id
from notesmith.marked import notebook_html

Span = tuple[int, int]
ProvenanceKind = Literal["gold", "silver", "synthetic", "augmented"]


@dataclass(frozen=True, slots=True)
class Entity:
    """A labelled mention.

    ``spans`` holds one or more sorted, disjoint ``[start, end)`` ranges; more than one makes the
    entity discontinuous. ``attributes`` are flags (``negated``) or ``NAME=VALUE`` strings, sorted
    and unique. ``normalized`` holds concept ids of a terminology.
    """

    id: str
    label: str
    spans: tuple[Span, ...]
    attributes: tuple[str, ...] = ()
    normalized: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.id or not self.label:
            raise CorpusError(f"entity {shown_id(self.id)}: id and label must not be empty")
        if not self.spans:
            raise OffsetError(f"entity {shown_id(self.id)}: no span")
        end_before = -1
        for start, end in self.spans:
            if start < 0 or start >= end:
                raise OffsetError(
                    f"entity {shown_id(self.id)}: [{start}, {end}) is empty or negative"
                )
            if start < end_before:
                raise OffsetError(
                    f"entity {shown_id(self.id)}: [{start}, {end}) overlaps or is unsorted"
                )
            end_before = end
        ordered = tuple(sorted(set(self.attributes)))
        if ordered != self.attributes:
            object.__setattr__(self, "attributes", ordered)

    @property
    def start(self) -> int:
        """First offset of the first range."""
        return self.spans[0][0]

    @property
    def end(self) -> int:
        """End offset of the last range."""
        return self.spans[-1][1]

    def mention(self, text: str) -> str:
        """Return the surface string; ranges of a discontinuous entity are joined by a space."""
        return " ".join(text[start:end] for start, end in self.spans)

    def shift(self, offset: int) -> Entity:
        """Return the entity moved by ``offset`` code points."""
        return replace(self, spans=tuple((s + offset, e + offset) for s, e in self.spans))


@dataclass(frozen=True, slots=True)
class Relation:
    """A labelled link between two entities of one document, by entity id."""

    id: str
    label: str
    head: str
    tail: str
    symmetric: bool = False


@dataclass(frozen=True, slots=True)
class ConceptRelation:
    """A link between two concepts, true of the document as a whole (BC5CDR's kind)."""

    label: str
    head: str
    tail: str


@dataclass(frozen=True, slots=True)
class Section:
    """A named part of the text, ``[start, end)``, heading included."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a document comes from: a team's annotators, or a stage with model and seed."""

    kind: ProvenanceKind = "gold"
    parents: tuple[str, ...] = ()
    model: str | None = None
    stage: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """One text with everything that is known about it.

    ``masked`` lists ranges whose labels are *unknown*: training leaves them out of the loss, so
    they count neither as entity nor as O. ``unknown`` lists labels that nobody looked for here,
    sorted: outside the entities a word may have one of them as well as none. ``metadata`` holds
    JSON values by name; ``patient`` and ``kind`` are read by splits and prompts. Treat it as
    read-only.

    Raises:
        OffsetError: a span, section or mask runs past the text.
        CorpusError: two entities share an id, or a relation names an unknown entity.
    """

    id: str
    text: str
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    concept_relations: tuple[ConceptRelation, ...] = ()
    sections: tuple[Section, ...] = ()
    masked: tuple[Span, ...] = ()
    unknown: tuple[str, ...] = ()
    provenance: Provenance = Provenance()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            raise CorpusError("a document has an empty id")
        n = len(self.text)
        ids: set[str] = set()
        for ent in self.entities:
            if ent.end > n:
                raise OffsetError(
                    f"{shown_doc(self.id)}: {shown_id(ent.id)} [{ent.start}, {ent.end}) is past "
                    f"end {n}"
                )
            if ent.id in ids:
                raise CorpusError(
                    f"{shown_doc(self.id)}: entity id {shown_id(ent.id)} stands twice"
                )
            ids.add(ent.id)
        for rel in self.relations:
            for end in (rel.head, rel.tail):
                if end not in ids:
                    raise CorpusError(
                        f"{shown_doc(self.id)}: relation {shown_id(rel.id)} names unknown "
                        f"{shown_id(end)}"
                    )
        for what, start, end_ in [("section", s.start, s.end) for s in self.sections] + [
            ("mask", s, e) for s, e in self.masked
        ]:
            if not 0 <= start <= end_ <= n:
                raise OffsetError(f"{shown_doc(self.id)}: {what} [{start}, {end_}) is past end {n}")
        if self.unknown:
            object.__setattr__(self, "unknown", tuple(sorted(set(self.unknown))))

    @property
    def labels(self) -> set[str]:
        """The entity labels that occur."""
        return {ent.label for ent in self.entities}

    @property
    def is_fully_labelled(self) -> bool:
        """Whether every word that is no mention is known to be none."""
        return not self.masked and not self.unknown

    def mentions(self) -> list[str]:
        """Surface strings of all entities, in order."""
        return [ent.mention(self.text) for ent in self.entities]

    def _repr_html_(self) -> str:
        """How a notebook shows it: the text with its mentions in colour."""
        n = len(self.entities)
        counted = f"{n} mention" if n == 1 else f"{n} mentions"
        return notebook_html(self, f"{self.id} · {self.provenance.kind} · {counted}")

    def with_entities(self, entities: Iterable[Entity]) -> Document:
        """Return the same text with other entities, and without the relations between old ones."""
        return replace(self, entities=tuple(entities), relations=())


def parents_in(doc: Document, ids: Set[str]) -> set[str]:
    """Those of ``ids`` that ``doc`` was made from.

    A parent may be a part or a copy of a document, whose id goes on after ``:`` or ``~``.
    """
    return {
        parent[:end]
        for parent in doc.provenance.parents
        for end in (*(m.start() for m in re.finditer("[:~]", parent)), len(parent))
    } & ids


def attribute_name(attribute: str) -> str:
    """The name of an attribute: a flag itself, what stands before ``=`` in ``NAME=VALUE``."""
    return attribute.partition("=")[0]


def attributes_in(docs: Iterable[Document]) -> dict[str, tuple[str, ...]]:
    """The attributes that mentions of ``docs`` have: values by name, both sorted."""
    found: dict[str, set[str]] = {}
    for doc in docs:
        for ent in doc.entities:
            for attribute in ent.attributes:
                found.setdefault(attribute_name(attribute), set()).add(attribute)
    return {name: tuple(sorted(values)) for name, values in sorted(found.items())}


def labels_of(docs: Iterable[Document]) -> tuple[str, ...]:
    """All entity labels of ``docs``, sorted."""
    return tuple(sorted({label for doc in docs for label in doc.labels}))
