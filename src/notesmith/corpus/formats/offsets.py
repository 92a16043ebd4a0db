"""JSON of a text and its mentions by offsets: doccano's dialects, and ``spans`` or ``entities``.

A record has one field of mentions: ``label`` or ``labels`` (doccano's ``[start, end, label]``),
``entities``, ``spans`` or ``ents``; each item is such a list, or an object with ``start`` and
``end`` (doccano: ``start_offset``, ``end_offset``) and ``label``. Offsets count code points, the
end exclusive. doccano's ``relations`` (``from_id``, ``to_id``, ``type``) are read; its comments
and labels of whole texts are left out, counted. Sources: doccano,
``backend/data_export/models.py`` (``ExportedSpan``, ``ExportedRelation``),
``backend/data_export/pipeline/formatters.py`` and ``backend/data_import/pipeline/label.py``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from notesmith.corpus.formats.json_records import (
    WRITE_THEM,
    Record,
    iter_records,
    layout_of,
    mention_field,
    shown_field,
    text_of,
    unread_field,
)
from notesmith.corpus.formats.json_values import (
    check_text,
    check_values,
    count_directed,
    count_unheld,
    plain,
    plain_fields,
    take_id,
)
from notesmith.corpus.formats.mentions import Mentions
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Relation
from notesmith.errors import CorpusError, shown_doc
from notesmith.files.write import atomic_write_text

_NOTED = {
    "Comments": "comments left out",
    "comments": "comments left out",
    "cats": "labels of whole texts left out",
}
_DIVISIONS = frozenset({"tokens", "sents"})  # Of the text, in spaCy's Doc.to_json.
_KNOWN = frozenset({"text", "data", "meta", "relations", *_NOTED})
# Names that a record's own fields have, or by which another layout would be recognised.
_TAKEN = _KNOWN | frozenset(
    "schema id doc_id label labels entities spans ents tokens sents tokenized_text answer "
    "username annotation_id".split()
)


def read(path: Path, stem: str, tally: Tally) -> Iterator[Document]:
    """Read the documents of ``path``; ``stem`` begins the ids of records that name none."""
    field: str | None = None
    for record in iter_records(path, tally):
        with tally.dropping("record", record.where):
            name = _field(record, field)
            field = field or name
            yield from _documents(record, name, stem, tally)


def _field(record: Record, before: str | None) -> str:
    """The field that holds the mentions: the same in every record of a file.

    Raises:
        CorpusError: there is none, or another than in the records before.
    """
    fields = record.value
    layout = layout_of(fields)
    if layout not in ("doccano", "offsets", None):
        raise CorpusError(f"the record has the layout of {layout}; put it in a file of its own")
    if not isinstance(fields, dict) or text_of(fields) is None:
        raise CorpusError("a record must be an object with a string 'text'; correct it")
    if before is not None and isinstance(fields.get(before), list):
        return before
    name = mention_field(fields)
    if before is not None:
        other = "no such field" if name is None else repr(name)
        raise CorpusError(
            f"mentions stand in {before!r} in the records before, and here in {other}; write "
            "them in one field, as an empty list where a text has none"
        )
    if name is None:
        unread = unread_field(fields, _KNOWN)
        held = "" if unread is None else f" ({shown_field(unread)} is not one that is read)"
        raise CorpusError(f"no field of mentions{held}; {WRITE_THEM}")
    return name


def _documents(record: Record, name: str, stem: str, tally: Tally) -> Iterator[Document]:
    """The document of a record, if it was not dropped."""
    left = dict(record.value)
    check_values(left)
    meta = left.pop("meta", None) or {}
    if not isinstance(meta, dict):
        raise CorpusError("'meta' must be an object")
    meta = dict(meta)
    doc_id = take_id([meta, left]) or f"{stem}-{record.number}"
    where = f"{record.where}: {shown_doc(doc_id)}"
    with tally.dropping("document", where):
        yield _document(left, meta, name, doc_id, where, tally)


def _document(
    left: dict[str, Any], meta: dict[str, Any], name: str, doc_id: str, where: str, tally: Tally
) -> Document:
    text = text_of(left) or ""
    left.pop("text" if isinstance(left.get("text"), str) else "data")
    check_text(text)
    mentions = Mentions(text, where, tally)
    mentions.add_all(name, left.pop(name))
    relations = _relations(left.pop("relations", None) or [], mentions)
    for field, what in _NOTED.items():
        tally.note(what, bool(left.pop(field, None)))
    unread = unread_field(left, _DIVISIONS)
    if unread is not None:
        raise CorpusError(
            f"mentions are read from {name!r}, but {shown_field(unread)} holds some too; "
            "remove one of the two fields"
        )
    who = left.pop("username", None)
    metadata = plain_fields(meta | left, tally)
    if isinstance(who, str) and who:
        metadata["annotator"] = who
    return Document(
        doc_id,
        text,
        tuple(mentions.entities),
        tuple(relations),
        masked=mentions.unknown(),
        metadata=metadata,
    )


def _relations(items: object, mentions: Mentions) -> list[Relation]:
    if not isinstance(items, list):
        raise CorpusError("'relations' must be a list")
    relations: list[Relation] = []
    for i, item in enumerate(items):
        with mentions.tally.dropping("relation", f"{mentions.where}: relations[{i}]"):
            if not isinstance(item, dict) or not isinstance(item.get("type"), str):
                raise CorpusError("a relation needs 'from_id', 'to_id' and a string 'type'")
            ends = [item.get("from_id"), item.get("to_id")]
            if not all(isinstance(end, str | int) and end in mentions.ids for end in ends):
                raise CorpusError("'from_id' and 'to_id' must be ids of mentions; correct them")
            head, tail = (mentions.ids[end] for end in ends if isinstance(end, str | int))
            if head is None or tail is None:
                mentions.tally.note("relations of masked mentions left out")
                continue
            relations.append(Relation(f"R{len(relations) + 1}", item["type"], head, tail))
    return relations


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to ``path``, ``spans`` of a text a line; returns what is lost, counted."""
    lost: Counter[str] = Counter()
    records = []
    for doc in docs:
        lost["relations left out"] += len(doc.relations)
        spans = [{"start": e.start, "end": e.end, "label": e.label} for e in doc.entities]
        records.append(_record(doc, {"spans": spans}, lost))
    _write_lines(records, path)
    return lost


def write_doccano(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` as doccano imports them; returns what the format cannot hold, counted.

    Without relations they are for a project of sequence labelling (``label``), with relations for
    one that uses relations (``entities`` and ``relations``, numbered through the file).
    """
    lost: Counter[str] = Counter()
    related = any(doc.relations for doc in docs)
    records = []
    n = 0
    for doc in docs:
        count_directed(doc, lost)
        fields: dict[str, Any] = {"label": [[e.start, e.end, e.label] for e in doc.entities]}
        if related:
            ids = {ent.id: n + i for i, ent in enumerate(doc.entities, 1)}
            n += len(ids)
            fields = {
                "entities": [
                    {
                        "id": ids[e.id],
                        "start_offset": e.start,
                        "end_offset": e.end,
                        "label": e.label,
                    }
                    for e in doc.entities
                ],
                "relations": [
                    {"from_id": ids[r.head], "to_id": ids[r.tail], "type": r.label}
                    for r in doc.relations
                ],
            }
        records.append(_record(doc, fields, lost))
    _write_lines(records, path)
    return lost


def _record(doc: Document, fields: dict[str, Any], lost: Counter[str]) -> dict[str, Any]:
    count_unheld(doc, lost)
    kept = {
        name: value
        for name, value in plain(doc.metadata).items()
        if name not in _TAKEN and name[:1] != "_"
    }
    lost["metadata fields left out"] += len(doc.metadata) - len(kept)
    return {"doc_id": doc.id, "text": doc.text, **fields, **kept}


def _write_lines(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records]
    atomic_write_text(path, "".join(f"{line}\n" for line in lines))
