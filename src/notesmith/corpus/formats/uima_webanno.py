"""Read WebAnno TSV 3, another export of INCEpTION: a token a line, and columns for each layer.

The header names the layers and their features. A cell holds the values of a feature, divided by
``|`` where annotations are stacked; ``[N]`` after a value makes lines with that number one
annotation. ``_`` is no annotation and ``*`` one without a value. Offsets count UTF-16 units. A part
of a token has a line of its own (``1-2.1``), and a relation stands with its dependent and names the
line of its governor. Chains and slots are left out. Source: INCEpTION's user guide (WebAnno TSV
3.3) and ``Tsv3XDeserializer.java``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from notesmith.corpus.formats.bioc_text import Layout, Piece
from notesmith.corpus.formats.uima_types import shown_layer
from notesmith.corpus.formats.unread import Unread, masks
from notesmith.corpus.problems import Tally, iter_lines
from notesmith.document import Document, Entity, Relation, Span
from notesmith.errors import CorpusError, OffsetError, shown_doc

_FORMAT = "#FORMAT=WebAnno TSV 3"
_SPANS, _RELATIONS, _CHAINS = "#T_SP=", "#T_RL=", "#T_CH="
_BASE, _ROLE = "BT_", "ROLE_"
_LONGEST_GAP = 10_000
_UNIT = re.compile(r"([0-9]+)-([0-9]+(?:\.[0-9]+)?)")
_RANGE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
_STACKED = re.compile(r"((?:\\.|[^|\\])*)(?:\||\Z)")
_NUMBERED = re.compile(r"(.*)(?<!\\)\[([0-9]+)\]", re.DOTALL)
_SOURCE = re.compile(r"([0-9]+-[0-9]+(?:\.[0-9]+)?)(?:\[([0-9]+)_([0-9]+)\])?")
_ESCAPED = re.compile(r"\\(->|.)", re.DOTALL)
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "b": "\b"}


def claims(path: Path, head: str) -> bool:
    """Whether the ``.tsv`` file that begins with ``head`` is WebAnno TSV 3."""
    return path.suffix.lower() == ".tsv" and head.startswith(_FORMAT)


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer of the header: its name, and its features from the column ``first`` on."""

    name: str
    kind: str
    features: Sequence[str]
    first: int


@dataclass(slots=True)
class _Annotation:
    """A span or relation: where it stands, and its values by feature."""

    layer: str
    line: int
    unit: str
    start: int
    end: int
    values: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _File:
    """What a file holds: layers, sentences, and annotations by layer and number or place."""

    layers: list[_Layer] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    tokens: list[tuple[int, int, int, str]] = field(default_factory=list)
    spans: dict[tuple[str, str], _Annotation] = field(default_factory=dict)
    relations: list[_Annotation] = field(default_factory=list)
    n_links: int = 0


@dataclass(frozen=True, slots=True)
class Names:
    """The layers of mentions and features of labels to look for, and features of concept ids."""

    layers: Sequence[str]
    features: Sequence[str]
    concepts: Sequence[str]


def read(path: Path, doc_id: str, tally: Tally, names: Names) -> Iterator[Document]:
    """Read the document of one file; ``names`` tells its mentions and labels."""
    where = f"{path}: {shown_doc(doc_id)}"
    with tally.dropping("document", where):
        yield _Reading(path, doc_id, tally, names, _parse(path, tally)).document()


def _unescaped(value: str) -> str:
    return _ESCAPED.sub(lambda match: _ESCAPES.get(match[1], match[1]), value)


def _parse(path: Path, tally: Tally) -> _File:
    file = _File()
    texts: list[str] = []
    column = 3
    for line in iter_lines(path, tally):
        if line.text is None:
            raise CorpusError(f"line {line.number} cannot be decoded")
        if line.text.startswith((_SPANS, _RELATIONS, _CHAINS)):
            name, *features = [part for part in line.text[6:].split("|") if part]
            file.layers.append(_Layer(name, line.text[:6], features, column))
            column += max(len(features), 1)
        elif line.text.startswith("#Text="):
            texts.append(_unescaped(line.text[6:]))
        elif line.text.strip() and not line.text.startswith("#"):
            _row(file, line.number, line.text, texts, column)
    if texts:
        raise CorpusError("the last sentence has no tokens; is the file cut off?")
    return file


def _row(file: _File, number: int, text: str, texts: list[str], n_columns: int) -> None:
    """Take up a line of a token, and before the first of a sentence its text."""
    cells = text.split("\t")
    unit, place = _UNIT.fullmatch(cells[0]), _RANGE.fullmatch(cells[1] if len(cells) > 1 else "")
    if unit is None or place is None or len(cells) < n_columns:
        raise CorpusError(f"line {number}: no line of a token; is the file cut off?")
    start, end = int(place[1]), int(place[2])
    if texts:
        _sentence(file, number, start, "\n".join(texts))
        texts.clear()
    file.tokens.append((number, start, end, _unescaped(cells[2])))
    for layer in file.layers:
        _cells(file, layer, cells, _Annotation(layer.name, number, cells[0], start, end))


def _sentence(file: _File, number: int, start: int, text: str) -> None:
    """Take up a sentence; a line end and spaces stand between two, as INCEpTION puts them there."""
    if file.pieces:
        last = file.pieces[-1]
        gap = start - last.offset - len(last.text.encode("utf-16-le", "surrogatepass")) // 2
        if not 0 <= gap <= _LONGEST_GAP:
            raise OffsetError(f"line {number}: the offset of a sentence does not follow the last")
        filler = "\n".ljust(gap) if gap else ""
        file.pieces[-1] = Piece(last.offset, last.text + filler)
    file.pieces.append(Piece(start, text))


def _cells(file: _File, layer: _Layer, cells: Sequence[str], here: _Annotation) -> None:
    """Take up the annotations of a layer that stand in a line."""
    columns = range(layer.first, layer.first + max(len(layer.features), 1))
    filled = [i for i in columns if cells[i] not in ("_", "")]
    if not filled:
        return
    if layer.kind == _CHAINS:
        file.n_links += 1
        return
    made: dict[int, _Annotation] = {}
    for i in filled:
        feature = layer.features[i - layer.first] if layer.features else ""
        before = layer.features[i - layer.first - 1] if i > layer.first else ""
        # A role is followed by its target; neither is a value of the annotation.
        is_role, is_target = feature.startswith(_ROLE), before.startswith(_ROLE)
        for n, value in enumerate(_stacked(cells[i])):
            is_plain = is_target or feature.startswith(_BASE)
            match = None if is_plain else _NUMBERED.fullmatch(value)
            value, number = (match[1], match[2]) if match else (value, "")
            if n not in made or (number and layer.kind == _SPANS):
                made[n] = _at(file, layer, here, n, number)
            if is_role:
                file.n_links += value not in ("_", "*")
            elif value != "*" and not is_target:
                made[n].values[feature] = _unescaped(value)


def _stacked(cell: str) -> list[str]:
    found = [match[1] for match in _STACKED.finditer(cell)]
    # The pattern fits once more, empty, at the end of a cell.
    return found[:-1] if len(found) > 1 and not cell.endswith("|") else found


def _at(file: _File, layer: _Layer, here: _Annotation, n: int, number: str) -> _Annotation:
    """The annotation of a line that is the ``n``-th of its layer, or has the number ``number``."""
    new = _Annotation(layer.name, here.line, here.unit, here.start, here.end)
    if layer.kind == _RELATIONS:
        file.relations.append(new)
        return new
    key = (layer.name, f"[{number}]" if number else f"{here.unit}/{n}")
    known = file.spans.setdefault(key, new)
    known.start, known.end = min(known.start, here.start), max(known.end, here.end)
    return known


@dataclass(slots=True)
class _Reading:
    """One document while it is read."""

    path: Path
    doc_id: str
    tally: Tally
    names: Names
    file: _File
    entities: dict[tuple[str, str], Entity] = field(default_factory=dict)
    unread: list[Unread] = field(default_factory=list)

    def document(self) -> Document:
        layout = Layout(self.file.pieces, "units of UTF-16")
        every = range(len(self.file.pieces))
        for number, start, end, token in self.file.tokens:
            span = layout.span(start, end, every)
            found = "" if start == end else span and layout.text[slice(*span)]
            if found != token:
                raise OffsetError(
                    f"line {number}: the token is not the text at [{start}, {end}); export the "
                    "file again"
                )
        chosen = self._layer()
        for key, ann in self.file.spans.items():
            if ann.layer != chosen:
                self.tally.note("annotations of other layers left out")
                continue
            where = f"{self.path}:{ann.line}: {shown_doc(self.doc_id)}"
            place = layout.span(ann.start, ann.end, every)
            if place is None:  # Its lines are in the text, so it has no length.
                error = f"{where}: [{ann.start}, {ann.end}) is empty; remove it"
                self.tally.drop("mention", OffsetError(error))
                continue
            try:
                self.entities[key] = self._entity(ann, place)
            except CorpusError as bad:
                self.tally.mask("mention", type(bad)(f"{where}: {bad}"))
                self.unread.append(Unread((place,)))
        relations: list[Relation] = []
        for ann in self.file.relations:
            where = f"{self.path}:{ann.line}: {shown_doc(self.doc_id)}"
            with self.tally.dropping("relation", where):
                relations += self._relation(ann, f"R{len(relations) + 1}", chosen)
        self.tally.note("links of slots and chains left out", self.file.n_links)
        entities = tuple(self.entities.values())
        masked = masks(layout.text, self.unread, entities) or ()
        return Document(self.doc_id, layout.text, entities, tuple(relations), masked=masked)

    def _layer(self) -> str | None:
        """The layer of mentions; None where no layer of the document is annotated."""
        counts: dict[str, int] = {}
        for ann in self.file.spans.values():
            counts[ann.layer] = counts.get(ann.layer, 0) + 1
        known = {layer.name for layer in self.file.layers if layer.kind == _SPANS}
        found = [name for name in self.names.layers if name in counts]
        declared = [name for name in self.names.layers if name in known]
        if len(found) == 1:
            return found[0]
        if not counts or (declared and not found):
            return declared[0] if declared else None
        listed = ", ".join(f"{shown_layer(name)} ({n})" for name, n in sorted(counts.items()))
        what = " and ".join(found) if found else f"no {' or '.join(self.names.layers)}"
        raise CorpusError(f"{what}; name one of the layers that are annotated (--layer): {listed}")

    def _entity(self, ann: _Annotation, span: Span) -> Entity:
        label = next((ann.values[name] for name in self.names.features if name in ann.values), "")
        if not label:
            raise CorpusError(
                f"[{span[0]}, {span[1]}) has no {' or '.join(self.names.features)}; label it, or "
                "name another feature (--feature)"
            )
        attributes: list[str] = []
        concepts: list[str] = []
        at = next(name for name in self.names.features if name in ann.values)
        for name, value in ann.values.items():
            if name in self.names.concepts:
                concepts.append(value)
            elif name != at and value != "false":
                attributes.append(name if value == "true" else f"{name}={value}")
        name = f"T{len(self.entities) + 1}"
        return Entity(name, label, (span,), tuple(attributes), tuple(concepts))

    def _relation(self, ann: _Annotation, name: str, chosen: str | None) -> Iterator[Relation]:
        layer = next(layer for layer in self.file.layers if layer.name == ann.layer)
        base = next((f.removeprefix(_BASE) for f in layer.features if f.startswith(_BASE)), "")
        source = _SOURCE.fullmatch(ann.values.pop(f"{_BASE}{base}", ""))
        if base != chosen:
            self.tally.note("relations between other annotations left out")
            return
        if source is None:
            raise CorpusError("a relation does not name the line of its governor")
        head = self._end(base, source[1], source[2])
        tail = self._end(base, ann.unit, source[3])
        if head is None or tail is None:
            raise CorpusError("a relation names what is no mention of the document; remove it")
        label = next((ann.values[f] for f in self.names.features if f in ann.values), "")
        self.tally.note("relations without a label, named after their layer", not label)
        rest: Mapping[str, str] = {k: v for k, v in ann.values.items() if v != label}
        self.tally.note("attributes of relations left out", len(rest))
        yield Relation(name, label or ann.layer.rpartition(".")[2], head, tail)

    def _end(self, layer: str, unit: str, number: str | None) -> str | None:
        """The mention of a line, by its number where it has one."""
        if number and number != "0":
            found = self.entities.get((layer, f"[{number}]"))
            return found.id if found else None
        here = [
            ent.id
            for key, ent in self.entities.items()
            if key[0] == layer and (key[1] == f"{unit}/0" or self.file.spans[key].unit == unit)
        ]
        return here[0] if len(here) == 1 else None
