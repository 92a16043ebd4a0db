"""Write a UIMA CAS that INCEpTION imports: a folder of XMI files and the TypeSystem.xml they share.

INCEpTION tests what it imports and refuses a file whose annotations begin or end with white space
or outside sentences, or whose relations do not stand where their end does. Mentions are therefore
written without outer white space, with sentences that cut none and tokens that begin and end where
mentions do. A project takes in only layers and features that it has: the ones written (the generic
``custom.Span`` and ``custom.Relation``) come into being when TypeSystem.xml is imported among its
layers. See ``inception-diag`` and the user guide's appendix on formats.
"""

from __future__ import annotations

import keyword
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from notesmith.corpus.formats import iob
from notesmith.corpus.formats.uima import ANCHORS, CONCEPTS, DKPRO, FEATURES, LAYERS, META
from notesmith.corpus.formats.uima_files import require_cassis
from notesmith.document import Document, Entity
from notesmith.errors import CorpusError, shown_doc
from notesmith.files.write import atomic_folder, file_name, write_part
from notesmith.segments import split

_SPAN = LAYERS[0]
_RELATION = "custom.Relation"
_TOKEN = f"{DKPRO}segmentation.type.Token"
_SENTENCE = f"{DKPRO}segmentation.type.Sentence"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# INCEpTION takes these for white space too.
_INVISIBLE = frozenset(
    map(chr, [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)])
)
_FEATURE_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
_NO_ATTRIBUTES = frozenset({*ANCHORS, *CONCEPTS, "label", "self_", "type_", "xmiID"})


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to the folder ``path``: an XMI each, and the TypeSystem.xml that they share.

    Returns:
        counts of what INCEpTION cannot hold.

    Raises:
        MissingExtraError: dkpro-cassis is absent.
        CorpusError: an id cannot be a file name, or a label holds what XML cannot.
    """
    cassis = require_cassis()
    lost: Counter[str] = Counter()
    features = _feature_types(docs)
    with warnings.catch_warnings(action="ignore"):  # Of names that cassis changes for itself.
        types = _made_types(cassis, features)
    names = [file_name(doc.id) for doc in docs]
    with atomic_folder(path) as folder:
        for parent in {folder, *((folder / name).parent for name in names)}:
            write_part(parent / "TypeSystem.xml", types.to_xml())
        for doc, name in zip(docs, names, strict=True):
            try:
                xmi = _Writing(cassis.Cas(types), doc, features, lost).xmi()
            except ValueError as error:
                raise CorpusError(
                    f"{shown_doc(doc.id)}: an id, label, attribute or concept holds a character "
                    "that "
                    "XML cannot; use jsonl"
                ) from error
            write_part(folder / f"{name}.xmi", xmi)
    return lost


def _feature_values(ent: Entity) -> dict[str, list[str]]:
    """The values of each feature: ``""`` for a flag; attributes that cannot be one are left out."""
    values: dict[str, list[str]] = {}
    for attribute in ent.attributes:
        name, sign, value = attribute.partition("=")
        is_name = _FEATURE_NAME.fullmatch(name) and not keyword.iskeyword(name)
        if is_name and name not in _NO_ATTRIBUTES and bool(sign) == bool(value):
            values.setdefault(name, []).append(value)
    if ent.normalized:
        values[CONCEPTS[0]] = list(ent.normalized)
    return values


def _feature_types(docs: Iterable[Document]) -> dict[str, str]:
    """The type of each feature: a boolean if all are flags, an array if a mention has several."""
    found: dict[str, set[str]] = {}
    for ent in (ent for doc in docs for ent in doc.entities):
        for name, values in _feature_values(ent).items():
            kind = "StringArray" if len(values) > 1 else "String" if values[0] else "Boolean"
            found.setdefault(name, set()).add(kind)
    order = ("StringArray", "String", "Boolean")
    return {name: next(k for k in order if k in kinds) for name, kinds in sorted(found.items())}


def _made_types(cassis: Any, features: Mapping[str, str]) -> Any:
    """The type system of INCEpTION's generic layers, with ``features`` on the one for spans."""
    types = cassis.TypeSystem()
    types.create_type(_SENTENCE)
    types.create_type(_TOKEN)
    meta = types.create_type(META, "uima.tcas.DocumentAnnotation")
    span = types.create_type(_SPAN)
    relation = types.create_type(_RELATION)
    for name in ("documentTitle", "documentId"):
        types.create_feature(meta, name, "uima.cas.String")
    for name, kind in {FEATURES[0]: "String", **features}.items():
        types.create_feature(span, name, f"uima.cas.{kind}")
    for name, kind in (("Dependent", span), ("Governor", span), (FEATURES[0], "uima.cas.String")):
        types.create_feature(relation, name, kind)
    return types


@dataclass(slots=True)
class _Writing:
    """One document while it becomes a CAS that passes the tests of INCEpTION's import."""

    cas: Any
    doc: Document
    features: Mapping[str, str]
    lost: Counter[str]

    def xmi(self) -> str:
        text = _NOT_XML.sub(" ", self.doc.text)
        changed = sum(a != b for a, b in zip(text, self.doc.text, strict=True))
        self.lost["characters that XML cannot hold written as spaces"] += changed
        self.cas.sofa_string, self.cas.sofa_mime = text, "text"
        named = {"documentTitle": self.doc.id, "documentId": self.doc.id}
        self._add(META, 0, len(text), language="x-unspecified", **named)
        entities = self._trimmed(text)
        borders = sorted({at for ent in entities for at in (ent.start, ent.end)})
        for sentence in split(
            replace(self.doc, text=text, entities=tuple(entities), relations=()), "sentence"
        ):
            if span := _trim(text, *sentence):
                self._add(_SENTENCE, *span)
                for token in iob.tokens_of(text, span, borders, spaced=False):
                    if word := _trim(text, *token):
                        self._add(_TOKEN, *word)
        self.lost["documents without a word, which INCEpTION does not import"] += not any(
            True for _ in self.cas.select(_TOKEN)
        )
        spans = {ent.id: self._mention(ent) for ent in entities}
        self._relate(spans)
        self._count(entities)
        return str(self.cas.to_xmi())

    def _add(self, kind: str, begin: int, end: int, /, **features: Any) -> Any:
        fs = self.cas.typesystem.get_type(kind)(begin=begin, end=end, **features)
        self.cas.add(fs)
        return fs

    def _trimmed(self, text: str) -> list[Entity]:
        """The mentions as one range each, without outer white space."""
        entities = []
        for ent in self.doc.entities:
            span = _trim(text, ent.start, ent.end)
            self.lost["discontinuous mentions written whole"] += len(ent.spans) > 1
            self.lost["mentions of white space left out"] += span is None
            if span:
                trimmed = span != (ent.start, ent.end)
                self.lost["mentions written without their outer white space"] += trimmed
                entities.append(replace(ent, spans=(span,)))
        return entities

    def _mention(self, ent: Entity) -> Any:
        values = _feature_values(ent)
        n_kept = sum(len(vs) for name, vs in values.items() if name != CONCEPTS[0])
        self.lost["attributes left out"] += len(ent.attributes) - n_kept
        array = self.cas.typesystem.get_type("uima.cas.StringArray")
        features: dict[str, Any] = {}
        for name, found in values.items():
            kind = self.features[name]
            self.lost["flags written as NAME=true"] += found.count("") * (kind != "Boolean")
            texts = [value or "true" for value in found]
            # cassis names these two otherwise.
            key = f"{name}_" if name in ("self", "type") else name
            features[key] = {"Boolean": True, "String": texts[0]}.get(kind, array(elements=texts))
        return self._add(_SPAN, ent.start, ent.end, label=ent.label, **features)

    def _relate(self, spans: Mapping[str, Any]) -> None:
        for i, rel in enumerate(self.doc.relations, 1):
            head, tail = spans.get(rel.head), spans.get(rel.tail)
            if head is None or tail is None:
                self.lost["relations of mentions left out"] += 1
                continue
            self.lost["relation ids numbered anew"] += rel.id != f"R{i}"
            self.lost["symmetric relations written as directed"] += rel.symmetric
            # A relation stands where its end does.
            ends = {"Governor": head, "Dependent": tail}
            self._add(_RELATION, tail.begin, tail.end, label=rel.label, **ends)

    def _count(self, entities: Sequence[Entity]) -> None:
        anew = sum(ent.id != f"T{i}" for i, ent in enumerate(entities, 1))
        self.lost["entity ids numbered anew"] += anew
        self.lost["concept relations left out"] += len(self.doc.concept_relations)
        self.lost["documents whose metadata, sections or provenance were left out"] += bool(
            self.doc.metadata
            or self.doc.masked
            or self.doc.sections
            or self.doc.provenance.kind != "gold"
        )


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    """``[start, end)`` without outer white space as INCEpTION knows it; None if nothing is left."""
    while start < end and _is_space(text[start]):
        start += 1
    while start < end and _is_space(text[end - 1]):
        end -= 1
    return (start, end) if start < end else None


def _is_space(character: str) -> bool:
    return character.isspace() or character in _INVISIBLE
