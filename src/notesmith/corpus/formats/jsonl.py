"""JSON lines, notesmith's own format: one document a line, every field kept, schema 1.

A line is an object with ``schema``, ``id`` and ``text``; the other fields of ``Document`` follow
where they are not empty. Unknown fields and other schemas are errors.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from notesmith.corpus.formats.json_records import (
    LINES,
    WRITE_THEM,
    layout_of,
    shown_field,
    unread_field,
)
from notesmith.corpus.formats.json_values import NoteFields, check_text, check_values, parse_json
from notesmith.corpus.problems import Tally, iter_lines
from notesmith.document import (
    ConceptRelation,
    Document,
    Entity,
    Provenance,
    ProvenanceKind,
    Relation,
    Section,
    Span,
)
from notesmith.errors import CorpusError, shown_doc
from notesmith.files.write import atomic_write_text

SCHEMA = 1
SUFFIXES = LINES


def read(path: Path, tally: Tally) -> Iterator[Document]:
    """Read the documents of ``path``, one a line; blank lines are skipped."""
    for line in iter_lines(path, tally):
        if line.text is None or not line.text.strip():
            continue
        with tally.dropping("record", f"{path}:{line.number}"):
            yield _parse(line.text)


def read_notes(path: Path, stem: str, tally: Tally, fields: NoteFields) -> Iterator[Document]:
    """The notes of ``path``: records of this format, or plain ones of other programs.

    An object without ``schema`` (or any, where ``fields`` names its text) is a plain note: its
    text is the field ``text`` or the one named, its id ``id`` or the one named, else ``STEM-LINE``.
    Other fields of it are left out.
    """
    for line in iter_lines(path, tally, whole=False):
        if line.text is None or not line.text.strip():
            continue
        with tally.dropping("record", f"{path}:{line.number}"):
            record = parse_json(line.text, is_line=True)
            if fields.text is None and isinstance(record, dict) and "schema" in record:
                yield from_record(record)
            else:
                yield _note(record, f"{stem}-{line.number}", fields)


def _note(record: object, name: str, fields: NoteFields) -> Document:
    if not isinstance(record, dict):
        raise CorpusError("a record must be a JSON object")
    column = fields.text or "text"
    text = record.get(column)
    if not isinstance(text, str):
        raise CorpusError(f"no string {column!r}; name the field that holds the text")
    check_text(text)
    doc_id = record.get(fields.id or "id", None if fields.id else name)
    check_values(doc_id)
    if isinstance(doc_id, bool) or not isinstance(doc_id, str | int) or doc_id == "":
        raise CorpusError(f"no string or number {fields.id or 'id'!r}; name the note")
    return Document(str(doc_id), text)


def _parse(line: str) -> Document:
    return from_record(parse_json(line, is_line=True))


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to ``path``; nothing is lost."""
    lines = [dumps(doc) for doc in docs]
    atomic_write_text(path, "".join(f"{line}\n" for line in lines))
    return Counter()


def dumps(doc: Document) -> str:
    """One document as a line of JSON, without the line end."""
    try:
        return json.dumps(to_record(doc), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{shown_doc(doc.id)}: metadata is not JSON ({error})") from error


def loads(line: str) -> Document:
    """The document of one line of JSON; the inverse of ``dumps``.

    Raises:
        CorpusError: it is no record of this schema.
    """
    return _parse(line)


def to_record(doc: Document) -> dict[str, Any]:
    """``doc`` as JSON values; empty fields are left out."""
    record: dict[str, Any] = {
        "entities": [_entity_record(ent) for ent in doc.entities],
        "relations": [
            {"id": r.id, "label": r.label, "head": r.head, "tail": r.tail}
            | ({"symmetric": True} if r.symmetric else {})
            for r in doc.relations
        ],
        "concept_relations": [
            {"label": c.label, "head": c.head, "tail": c.tail} for c in doc.concept_relations
        ],
        "sections": [{"name": s.name, "start": s.start, "end": s.end} for s in doc.sections],
        "masked": [list(span) for span in doc.masked],
        "unknown": list(doc.unknown),
        "provenance": _provenance_record(doc.provenance),
        "metadata": dict(doc.metadata),
    }
    filled = {name: value for name, value in record.items() if value}
    return {"schema": SCHEMA, "id": doc.id, "text": doc.text, **filled}


def _entity_record(ent: Entity) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": ent.id,
        "label": ent.label,
        "spans": [list(span) for span in ent.spans],
    }
    if ent.attributes:
        record["attributes"] = list(ent.attributes)
    if ent.normalized:
        record["normalized"] = list(ent.normalized)
    return record


def _provenance_record(origin: Provenance) -> dict[str, Any]:
    record: dict[str, Any] = {
        "kind": origin.kind,
        "parents": list(origin.parents),
        "model": origin.model,
        "stage": origin.stage,
        "seed": origin.seed,
    }
    return {name: value for name, value in record.items() if value not in (None, [])}


def from_record(record: object) -> Document:
    """The document that JSON values describe.

    Raises:
        CorpusError: a field is absent, unknown or of another type, or the document is not sound.
    """
    if not isinstance(record, dict):
        raise CorpusError("a record must be a JSON object")
    if "schema" not in record:
        raise CorpusError(f"no 'schema'{_other_layout(record)}")
    fields = _Fields(record, "record")
    schema = fields.take("schema", int)
    if schema != SCHEMA:
        raise CorpusError(
            f"schema {schema} is not {SCHEMA}, the one this version reads; upgrade notesmith"
        )
    doc_id = fields.take("id", str)
    fields.name = f"{shown_doc(doc_id)}"
    text = fields.take("text", str)
    doc = Document(
        id=doc_id,
        text=text,
        entities=fields.each("entities", _entity),
        relations=fields.each("relations", _relation),
        concept_relations=fields.each("concept_relations", _concept_relation),
        sections=fields.each("sections", _section),
        masked=_spans(fields.take("masked", list, []), fields.name),
        unknown=fields.strings("unknown"),
        provenance=_provenance(fields.take("provenance", dict, {}), fields.name),
        metadata=fields.take("metadata", dict, {}),
    )
    fields.check(dict(doc.metadata))
    fields.finish()
    return doc


def _other_layout(record: dict[str, Any]) -> str:
    """What a record of another tool seems to be, and what to do with it."""
    layout = layout_of(record)
    if layout is not None:
        return (
            f", and the record has the layout of {layout}; put such records in a file of their own"
        )
    unread = unread_field(record, frozenset())
    if unread is not None:
        return f", and the layout of {shown_field(unread)} is not one that is read; {WRITE_THEM}"
    return (
        f" and no field of mentions; where there are some, {WRITE_THEM}; plain notes are for "
        "notesmith predict"
    )


class _Fields:
    """The fields of one JSON object, taken one by one with their types checked."""

    def __init__(self, record: dict[str, Any], name: str) -> None:
        self.left = dict(record)
        self.name = name

    def take(self, field: str, kind: type, default: Any = ...) -> Any:
        """Remove and return a field; ``default`` where it is absent."""
        value = self.left.pop(field, default)
        if value is ...:
            raise CorpusError(f"{self.name}: no {field!r}")
        # JSON's true is an int to Python.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise CorpusError(f"{self.name}: {field!r} must be {_JSON_NAMES[kind]}")
        if isinstance(value, str) and not value.isascii():
            self.check(value)
        return value

    def check(self, value: Any) -> None:
        """Refuse what cannot be written again."""
        try:
            check_values(value)
        except CorpusError as error:
            raise CorpusError(f"{self.name}: {error}") from None

    def each(self, field: str, make: Callable[[_Fields], Any]) -> tuple[Any, ...]:
        """Make a value of each object in a list."""
        made = []
        for i, record in enumerate(self.take(field, list, [])):
            if not isinstance(record, dict):
                raise CorpusError(f"{self.name}: {field}[{i}] must be an object")
            inner = _Fields(record, f"{self.name}: {field}[{i}]")
            made.append(make(inner))
            inner.finish()
        return tuple(made)

    def strings(self, field: str) -> tuple[str, ...]:
        """Take a list of strings."""
        values = self.take(field, list, [])
        if not all(isinstance(value, str) for value in values):
            raise CorpusError(f"{self.name}: {field!r} must be a list of strings")
        self.check(values)
        return tuple(values)

    def finish(self) -> None:
        """Raise if fields are left."""
        if self.left:
            # A mangled record may carry note text where a name should stand: count, do not quote.
            raise CorpusError(f"{self.name}: {len(self.left)} unknown field(s); remove them")


_JSON_NAMES: dict[type, str] = {
    int: "a whole number",
    str: "a string",
    list: "a list",
    dict: "an object",
    bool: "true or false",
}


def _entity(fields: _Fields) -> Entity:
    return Entity(
        id=fields.take("id", str),
        label=fields.take("label", str),
        spans=_spans(fields.take("spans", list), fields.name),
        attributes=fields.strings("attributes"),
        normalized=fields.strings("normalized"),
    )


def _relation(fields: _Fields) -> Relation:
    return Relation(
        id=fields.take("id", str),
        label=fields.take("label", str),
        head=fields.take("head", str),
        tail=fields.take("tail", str),
        symmetric=fields.take("symmetric", bool, False),
    )


def _concept_relation(fields: _Fields) -> ConceptRelation:
    return ConceptRelation(
        label=fields.take("label", str),
        head=fields.take("head", str),
        tail=fields.take("tail", str),
    )


def _section(fields: _Fields) -> Section:
    return Section(
        name=fields.take("name", str),
        start=fields.take("start", int),
        end=fields.take("end", int),
    )


def _spans(values: Iterable[object], name: str) -> tuple[Span, ...]:
    spans: list[Span] = []
    for value in values:
        if not (
            isinstance(value, list)
            and len(value) == 2
            and all(isinstance(at, int) and not isinstance(at, bool) for at in value)
        ):
            raise CorpusError(f"{name}: a span must be [start, end]")
        spans.append((value[0], value[1]))
    return tuple(spans)


def _provenance(record: dict[str, Any], name: str) -> Provenance:
    fields = _Fields(record, f"{name}: provenance")
    kind = fields.take("kind", str, "gold")
    if kind not in get_args(ProvenanceKind):
        raise CorpusError(
            f"{fields.name}: 'kind' must be one of {', '.join(get_args(ProvenanceKind))}"
        )
    made = Provenance(
        kind=cast(ProvenanceKind, kind),
        parents=fields.strings("parents"),
        model=fields.take("model", str) if "model" in record else None,
        stage=fields.take("stage", str) if "stage" in record else None,
        seed=fields.take("seed", int) if "seed" in record else None,
    )
    fields.finish()
    return made
