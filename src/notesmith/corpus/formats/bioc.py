"""BioC, XML and JSON: collections of documents with passages, annotations and relations.

A mention is an annotation with one or more locations. Its label is the infon ``type`` (or the one
named as the feature), its concept ids are infons such as ``identifier`` and ``MESH``, and its other
infons are attributes, but for what tools keep for themselves (``annotator``, ``updated_at``). A
relation of two annotations is a relation; one that names two concepts, as those of BC5CDR, BioRED
and PubTator do, is a concept relation.

Traps: offsets count from the document's beginning, in bytes by the specification and in characters
in most files; the texts of the annotations tell, once for a file. PubTator spells Greek letters of
an annotation's text in ASCII. BC5CDR adds the parts of a composite mention as annotations of their
own. Sources: BioC.dtd; bionlplab/bioc and its test files; issues 2 and 5 of lfurrer/bconv.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from notesmith.corpus.formats import jsonl
from notesmith.corpus.formats.bioc_files import Record, json_documents, xml_documents
from notesmith.corpus.formats.bioc_records import (
    Annotation,
    Parsed,
    agrees_at,
    infons_of,
    objects,
    place,
    way_of,
)
from notesmith.corpus.formats.bioc_text import (
    UNITS,
    Layout,
    Way,
    differs_in_space,
    is_spelt_in_ascii,
)
from notesmith.corpus.formats.json_values import listed, plain_fields
from notesmith.corpus.formats.unread import Unread, masks
from notesmith.corpus.problems import Tally
from notesmith.document import ConceptRelation, Document, Entity, Relation, Section, Span
from notesmith.errors import CorpusError, OffsetError, shown_id, shown_name

OWN = "notesmith"
"""The infon of a document that holds, as JSON, what BioC has no place for."""
LABEL = "type"
CONCEPT = "identifier"
HEAD, TAIL, MEMBER = "head", "tail", "member"
_CONCEPTS = frozenset(
    "identifier identifiers mesh omim ncbigene ncbigeneidentifier geneid ncbitaxonomy cui umls "
    "umlscui conceptid snomed snomedct dbsnp cellosaurus icd10 hpo hpoid chebi".split()
)
# What tools note of an annotation for themselves.
_NOTED = frozenset(
    "annotator updatedat createdat date database normalized normalizedid valid biotype name "
    "accession score confidence note comment ncbihomologene compositerole novel".split()
)
_RELATION_LABELS = (LABEL, "relation", "relationtype")
_CONCEPT_PAIRS = (("entity1", "entity2"), ("role1", "role2"), ("concept1", "concept2"))
_NO_CONCEPT = frozenset({"", "-", "-1", "none", "null"})
_VARIANT = re.compile(
    r"(?:^|:)[cgmnpr]\|[A-Za-z]+\|"
)  # tmVar's ids hold the sign that divides ids.
_NUMBERED = re.compile(r"identifier [0-9]+")


def read_xml(path: Path, tally: Tally, *, feature: str | None = None) -> Iterator[Document]:
    """Read the documents of a BioC XML file; ``feature`` is the infon that is the label."""
    with tally.dropping("file", str(path)):
        yield from _read(path, xml_documents(path, tally), tally, feature)


def read_json(path: Path, tally: Tally, *, feature: str | None = None) -> Iterator[Document]:
    """Read the documents of a BioC JSON file; ``feature`` is the infon that is the label."""
    with tally.dropping("file", str(path)):
        yield from _read(path, json_documents(path, tally), tally, feature)


def _read(
    path: Path, records: list[Record], tally: Tally, feature: str | None
) -> Iterator[Document]:
    parsed: list[Parsed] = []
    for number, record in enumerate(records, 1):
        with tally.dropping("document", f"{place(path, record)}: document {number}"):
            parsed.append(Parsed.of(path, record))
    way, is_known = way_of(parsed)
    tally.note(f"files whose offsets count {way.unit}", way.unit != UNITS[0])
    tally.note("files whose offsets begin anew in each passage", way.is_relative)
    for doc in parsed:
        with tally.dropping("document", doc.where):
            yield from _Reading(doc, way, is_known, tally, feature).document()


def _plain_key(key: str) -> str:
    return re.sub(r"[\W_]", "", key).lower()


@dataclass(slots=True)
class _Reading:
    """One document while it is read."""

    doc: Parsed
    way: Way
    is_known: bool
    tally: Tally
    feature: str | None
    entities: dict[str, Entity] = field(default_factory=dict)
    unread: list[Unread] = field(default_factory=list)
    unread_ids: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)
    concepts: list[ConceptRelation] = field(default_factory=list)
    relations: dict[str, Relation] = field(default_factory=dict)

    def document(self) -> Iterator[Document]:
        layout = self.doc.layout(self.way.unit)
        self.tally.note("passages whose offsets overlap, joined by line ends", layout.n_overlaps)
        self.tally.note("long gaps between passages shortened", layout.n_shortened)
        self.tally.note("infons of passages left out", self.doc.n_infons)
        for ann in self.doc.annotations:
            try:
                self._annotation(ann, layout)
            except CorpusError as error:
                self.tally.mask("mention", type(error)(f"{ann.where}: {error}"))
                self._unread(ann, layout)
        masked = masks(layout.text, self.unread, tuple(self.entities.values()))
        if masked is None:
            raise CorpusError("an annotation may stand anywhere in the text; correct it")
        for where, record in self.doc.relations:
            with self.tally.dropping("relation", where):
                self._relation(record)
        infons = dict(infons_of(self.doc.record))
        own = infons.pop(OWN, None)
        doc = Document(
            id=self.doc.id,
            text=layout.text,
            entities=tuple(self.entities.values()),
            relations=tuple(self.relations.values()),
            concept_relations=tuple(self.concepts),
            sections=self._sections(layout),
            masked=masked,
            metadata=plain_fields(infons, self.tally),
        )
        yield doc if own is None else _with_own(doc, own)

    def _sections(self, layout: Layout) -> tuple[Section, ...]:
        found = []
        ends = [first for _, first in self.doc.passages[1:]] + [len(self.doc.pieces)]
        for (name, first), after in zip(self.doc.passages, ends, strict=True):
            if name and after > first:
                end = layout.starts[after - 1] + len(layout.pieces[after - 1].text)
                found.append(Section(name, layout.starts[first], end))
        return tuple(found)

    def _annotation(self, ann: Annotation, layout: Layout) -> None:
        infons = infons_of(ann.record)
        roles = [value for key, value in infons.items() if _plain_key(key) == "compositerole"]
        if roles == ["IndividualMention"]:
            self.tally.note("parts of composite mentions left out")
            return
        if not ann.ranges(self.way) and not ann.text.strip():
            self.tally.note("annotations of whole documents left out")
            return
        ent_id = self._id(ann)
        what = shown_id(ent_id)
        spans = ann.spans(layout, self.way)
        if not spans:
            raise OffsetError(
                f"{what} has a location outside the text, or none; correct its offset and length"
            )
        self._check(ann, spans, layout, what)
        self.entities[ent_id] = self._entity(ent_id, spans, infons)

    def _id(self, ann: Annotation) -> str:
        """The annotation's id, or a number of our own where that is absent or taken."""
        value = ann.record.get("id")
        named = str(value) if isinstance(value, str | int) and value is not True else ""
        if named and named not in self.entities and named not in self.unread_ids:
            return named
        if named:
            self.repeated.add(named)
            self.tally.note("annotation ids that stood twice, numbered anew")
        n = len(self.entities) + 1
        while f"T{n}" in self.entities:
            n += 1
        return f"T{n}"

    def _check(self, ann: Annotation, spans: tuple[Span, ...], layout: Layout, what: str) -> None:
        """Refuse spans that are not those of the annotation's text, or that nothing confirms."""
        place = f"{what} [{spans[0][0]}, {spans[-1][1]})"
        text = layout.text
        if not ann.text:
            others = {ann.spans(self.doc.layout(u), replace(self.way, unit=u)) for u in UNITS}
            if len(others) > 1 and not self.is_known:
                raise OffsetError(
                    f"{place} has no text, and nothing tells whether its offset counts characters "
                    "or bytes; add the texts of the annotations"
                )
            self.tally.note("annotations without a text (offsets not checked)")
        elif not agrees_at(text, spans, ann.text):
            found = [text[start:end] for start, end in spans]
            if differs_in_space(found, ann.text):
                self.tally.note("annotation texts that differ in white space (offsets kept)")
            elif is_spelt_in_ascii(" ".join(found), ann.text):
                self.tally.note("annotation texts that spell other letters in ASCII (offsets kept)")
            else:
                raise OffsetError(f"{place}: its text differs from the text there; correct one")

    def _entity(self, ent_id: str, spans: tuple[Span, ...], infons: Mapping[str, Any]) -> Entity:
        at = next((key for key in infons if key == self.feature), None)
        if self.feature is None:
            at = next((key for key in infons if key.lower() == LABEL), None)
        if at is None:
            names = ", ".join(shown_name(key) for key in infons) or "none"
            raise CorpusError(
                f"{shown_id(ent_id)} has no infon {self.feature or LABEL!r}; name the label's with "
                f"--feature, one of: {names}"
            )
        labels = [str(value).strip() for value in listed(infons[at])]
        if len(labels) != 1 or not labels[0]:
            raise CorpusError(f"{shown_id(ent_id)} has {len(labels)} labels, or an empty one")
        attributes: list[str] = []
        concepts: list[str] = []
        for key, value in infons.items():
            name = _plain_key(key)
            if key == at:
                continue
            if name in _CONCEPTS or _NUMBERED.fullmatch(key):
                is_one = _NUMBERED.fullmatch(key) is not None
                found = concepts_of(value, is_one=is_one)
                # Tools repeat in a second infon what the first says.
                concepts += [c for c in found if is_one or not concepts or c not in concepts]
            elif name in _NOTED:
                self.tally.note("infons that tools keep for themselves left out")
            else:
                attributes += [f"{key}={v}" if v else key for v in _values(value)]
        return Entity(ent_id, labels[0], spans, tuple(attributes), tuple(concepts))

    def _unread(self, ann: Annotation, layout: Layout) -> None:
        """Keep where an annotation that cannot be read may stand, for it is unknown, not absent."""
        try:
            spans = ann.spans(layout, self.way) or ()
        except CorpusError:
            spans = ()
        self.unread.append(Unread(spans, ann.text))
        self.unread_ids.add(str(ann.record.get("id")))

    def _relation(self, record: Record) -> None:
        infons = dict(infons_of(record))
        nodes = objects(record, "nodes")
        refs = [str(node.get("refid")) for node in nodes]
        at = next((key for key in infons if _plain_key(key) in _RELATION_LABELS), None)
        label = str(infons.pop(at)).strip() if at else ""
        known = {*self.entities, *self.unread_ids}
        pair = _concept_pair(infons)
        if nodes and set(refs) <= known:
            if set(refs) & self.repeated:
                raise CorpusError("a relation names an id that stands twice; number one anew")
            if set(refs) & self.unread_ids:
                self.tally.note("relations of masked mentions left out")
            elif len(refs) != 2:
                self.tally.note("relations of other than two mentions left out")
            else:
                self._pair(record, label, refs, [str(node.get("role")) for node in nodes])
                self.tally.note("infons of relations left out", len(infons))
        elif pair:
            if not label:
                raise CorpusError("a relation of two concepts has no infon 'type'; name it")
            self.concepts.append(ConceptRelation(label, *pair))
            self.tally.note("infons of relations left out", len(infons) - 2)
        elif set(refs) & {str(other.get("id")) for _, other in self.doc.relations}:
            self.tally.note("relations of relations left out")
        else:
            raise CorpusError("a relation names what is no annotation of the document; remove it")

    def _pair(self, record: Record, label: str, refs: list[str], roles: list[str]) -> None:
        rel_id, n = str(record.get("id") or ""), len(self.relations) + 1
        while not rel_id or rel_id in self.relations:
            rel_id, n = f"R{n}", n + 1
        self.tally.note("relations without a type, named 'relation'", not label)
        head, tail = refs
        symmetric = roles[0] == roles[1]
        self.relations[rel_id] = Relation(rel_id, label or "relation", head, tail, symmetric)


def comes_back(name: str, value: str, *, is_flag: bool) -> bool:
    """Whether an attribute that is written as an infon is the same attribute when it is read."""
    key = _plain_key(name)
    reserved = _CONCEPTS | _NOTED | {LABEL}
    is_value = value not in ("", "true", "false")
    return bool(name) and key not in reserved and "=" not in name and (is_flag or is_value)


def _values(value: Any) -> list[str]:
    """The values of an infon, ``""`` for one that is true."""
    found = []
    for item in listed(value):
        if item is True or item == "true":
            found.append("")
        elif (
            isinstance(item, str | int | float) and item is not False and item not in ("", "false")
        ):
            found.append(str(item))
    return found


def concepts_of(value: Any, *, is_one: bool = False) -> list[str]:
    """The concept ids of an infon, which may divide several by ``|``, ``,`` or ``;``."""
    texts = [str(v) for v in listed(value) if isinstance(v, str | int) and not isinstance(v, bool)]
    if is_one:
        return texts
    found: list[str] = []
    for part in (part for text in texts for part in re.split("[;,]", text)):
        found += [part] if _VARIANT.search(part) else part.split("|")
    return [part.strip() for part in found if part.strip().lower() not in _NO_CONCEPT]


def _concept_pair(infons: Mapping[str, Any]) -> tuple[str, str] | None:
    """The two concepts that a relation's infons name."""
    named = {_plain_key(key): value for key, value in infons.items()}
    keys = next((pair for pair in _CONCEPT_PAIRS if all(key in named for key in pair)), None)
    if keys is None:
        rest = tuple(key for key in named if key not in _NOTED)
        keys = (rest[0], rest[1]) if len(rest) == 2 else None
    if keys is None:
        return None
    head, tail = (_concept(key, named[key]) for key in keys)
    return (head, tail) if head and tail else None


def _concept(key: str, value: Any) -> str:
    """A concept id; PubTator writes ``{"identifier": ID}`` or ``TYPE|ID`` as a role."""
    if isinstance(value, dict):
        value = value.get(CONCEPT)
    if not isinstance(value, str | int) or isinstance(value, bool):
        return ""
    if key.startswith("role") and (match := re.match(r"[A-Za-z]{2,}\|(.+)", str(value))):
        return match.group(1).strip()
    return str(value).strip()


def _with_own(doc: Document, own: Any) -> Document:
    """``doc`` with what notesmith wrote of it beside BioC."""
    try:
        record = json.loads(str(own))
        order = record.pop("order", [])
        kept = jsonl.from_record({"schema": jsonl.SCHEMA, "id": doc.id, "text": doc.text, **record})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        why = str(error) if isinstance(error, CorpusError) else type(error).__name__
        raise CorpusError(
            f"the infon {OWN!r} does not fit the document ({why}); remove it"
        ) from None
    by_id = {ent.id: ent for ent in doc.entities}
    if Counter(map(str, order)) == Counter(by_id):
        doc = replace(doc, entities=tuple(by_id[name] for name in order))
    return replace(
        doc,
        sections=kept.sections or doc.sections,
        masked=kept.masked + tuple(span for span in doc.masked if span not in kept.masked),
        provenance=kept.provenance,
        metadata={**doc.metadata, **kept.metadata},
    )
