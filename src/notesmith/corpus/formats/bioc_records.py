"""Parse the documents of a BioC file, and tell how the file counts its offsets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notesmith.corpus.formats.bioc_files import Record
from notesmith.corpus.formats.bioc_text import UNITS, WAYS, Layout, Piece, Unit, Way, agree
from notesmith.document import Span
from notesmith.errors import CorpusError, shown_doc


def place(path: Path, record: Record) -> str:
    """Where an object stands: the file, and its line in XML."""
    line = record.get("line")
    return f"{path}:{line}" if isinstance(line, int) else str(path)


@dataclass(frozen=True, slots=True)
class Annotation:
    """An annotation, the numbers of the pieces it stands with, and the offset of its passage."""

    record: Record
    where: str
    own: Sequence[int]
    base: int

    @property
    def text(self) -> str:
        value = self.record.get("text")
        return value if isinstance(value, str) else ""

    def ranges(self, way: Way) -> list[Span]:
        """Its locations, sorted, counted from the document's beginning."""
        base = self.base if way.is_relative else 0
        found = []
        for location in objects(self.record, "locations"):
            start = number_of(location, "offset") + base
            found.append((start, start + number_of(location, "length")))
        return sorted(found)

    def spans(self, layout: Layout, way: Way) -> tuple[Span, ...] | None:
        """Its ranges in the document's text; None if one is not in it."""
        found = [layout.span(start, end, self.own) for start, end in self.ranges(way)]
        return None if None in found else tuple(span for span in found if span)

    def agrees(self, layout: Layout, way: Way) -> bool:
        """Whether its text is that at its ranges."""
        try:
            spans = self.spans(layout, way)
        except CorpusError:
            return False
        return bool(spans) and agrees_at(layout.text, spans or (), self.text)


def agrees_at(text: str, spans: Sequence[Span], written: str) -> bool:
    """Whether an annotation's text is that at ``spans``; see ``agree``."""
    found = [text[start:end] for start, end in spans]
    return agree(found, text[spans[0][0] : spans[-1][1]], written)


@dataclass(slots=True)
class Parsed:
    """One document of a file: its pieces of text, and what stands in each."""

    id: str
    where: str
    record: Record
    pieces: list[Piece] = field(default_factory=list)
    passages: list[tuple[str, int]] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    relations: list[tuple[str, Record]] = field(default_factory=list)
    layouts: dict[Unit, Layout] = field(default_factory=dict)
    n_infons: int = 0

    @classmethod
    def of(cls, path: Path, record: Record) -> Parsed:
        doc_id = record.get("id")
        if isinstance(doc_id, bool) or not isinstance(doc_id, str | int) or not str(doc_id).strip():
            raise CorpusError("has no id; name it")
        doc = cls(str(doc_id).strip(), "", record)
        doc.where = f"{place(path, record)}: {shown_doc(doc.id)}"
        for passage in objects(record, "passages"):
            doc._passage(path, passage)
        doc._standing(path, record, range(len(doc.pieces)), 0)
        return doc

    def _passage(self, path: Path, record: Record) -> None:
        infons = infons_of(record)
        base, first = number_of(record, "offset"), len(self.pieces)
        kind = str(infons.get("type") or "")
        name = kind if kind.lower() in ("title", "abstract") else infons.get("section_type") or kind
        self.passages.append((str(name), first))
        self.n_infons += len(infons.keys() - {"type", "section_type"})
        sentences = objects(record, "sentences")
        text = record.get("text") or ""
        if not isinstance(text, str):
            raise CorpusError("a passage's text is no string; correct it")
        if text or not sentences:
            self.pieces.append(Piece(base, text))
        for sentence in sentences:
            offset, string = number_of(sentence, "offset"), sentence.get("text") or ""
            if not isinstance(string, str):
                raise CorpusError("a sentence's text is no string; correct it")
            if not text:
                self.pieces.append(Piece(offset, string))
            self._standing(path, sentence, range(len(self.pieces) - 1, len(self.pieces)), offset)
        self._standing(path, record, range(first, len(self.pieces)), base)

    def _standing(self, path: Path, record: Record, own: Sequence[int], base: int) -> None:
        """Take up the annotations and relations of a document, passage or sentence."""
        for item in objects(record, "annotations"):
            where = f"{place(path, item)}: {shown_doc(self.id)}"
            self.annotations.append(Annotation(item, where, own, base))
        for item in objects(record, "relations"):
            self.relations.append((f"{place(path, item)}: {shown_doc(self.id)}", item))

    def layout(self, unit: Unit) -> Layout:
        """The text in one unit."""
        if unit not in self.layouts:
            self.layouts[unit] = Layout(self.pieces, unit)
        return self.layouts[unit]


def objects(record: Record, name: str) -> list[Record]:
    """The objects of a list that may be absent."""
    found = record.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise CorpusError(f"{name!r} is no list of objects; is it BioC?")
    return found


def infons_of(record: Record) -> Mapping[str, Any]:
    """The infons of an object, which may be absent."""
    found = record.get("infons")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CorpusError("'infons' is no object; is it BioC?")
    return found


def number_of(record: Record, name: str) -> int:
    """A whole number of an object, which XML has as a string."""
    value = record.get(name)
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,12}\s*", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**12:
        raise CorpusError(f"{name!r} is no whole number; correct it")
    return value


def way_of(docs: Sequence[Parsed]) -> tuple[Way, bool]:
    """How the file counts, by most of its annotations' texts, and whether they tell the unit."""
    told = [(doc, ann) for doc in docs for ann in doc.annotations if ann.text]

    def n_agreeing(way: Way) -> int:
        return sum(ann.agrees(doc.layout(way.unit), way) for doc, ann in told)

    scores = {way: n_agreeing(way) for way in WAYS[: len(UNITS)]}
    best = max(scores, key=lambda way: scores[way])
    if scores[best] < len(told):
        scores |= {way: n_agreeing(way) for way in WAYS[len(UNITS) :]}
        best = max(scores, key=lambda way: scores[way])
    rivals = [n for way, n in scores.items() if way.is_relative == best.is_relative]
    return best, rivals.count(scores[best]) == 1
