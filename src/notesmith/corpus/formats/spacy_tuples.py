"""spaCy's training tuples as JSON: ``[text, {"entities": [[start, end, label]]}]``.

They stand in one list, a tuple a line, or under ``annotations`` of NER Annotator's export, where a
skipped text is ``null``. ``spans`` of an annotation are groups of overlapping mentions, by name.
Sources: spaCy, ``spacy/training/example.pyx`` (``Example.from_dict``) and
https://github.com/tecoholic/ner-annotator/issues/44.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from notesmith.corpus.formats.json_records import (
    Record,
    iter_records,
    layout_of,
    shown_field,
    unread_field,
)
from notesmith.corpus.formats.json_values import check_text, check_values, count_unheld
from notesmith.corpus.formats.mentions import Mentions
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity
from notesmith.errors import CorpusError, shown_doc
from notesmith.files.write import atomic_write_text

_GROUP = "sc"
_KNOWN = frozenset({"entities", "spans", "cats"})


def read(path: Path, stem: str, tally: Tally) -> Iterator[Document]:
    """Read the documents of ``path``, named after ``stem`` and the number of line or record."""
    for record in iter_records(path, tally):
        if record.value is None:
            tally.note("texts that were skipped in annotation left out")
            continue
        name = f"{stem}-{record.number}"
        where = f"{record.where}: {shown_doc(name)}"
        with tally.dropping("document", where):
            yield _document(record, name, where, tally)


def _document(record: Record, name: str, where: str, tally: Tally) -> Document:
    layout = layout_of(record.value)
    if layout != "spacy-tuples":
        has = "" if layout is None else f", and this one has the layout of {layout}"
        raise CorpusError(f'a record must be [text, {{"entities": …}}]{has}; correct it')
    text, notes = record.value
    check_text(text)
    check_values(notes)
    entities, groups = notes.get("entities"), notes.get("spans") or {}
    if isinstance(entities, list) and any(isinstance(item, str) for item in entities):
        raise CorpusError("entities are tags, one a token; write them as [start, end, label]")
    if not isinstance(groups, dict) or not all(isinstance(x, list) for x in groups.values()):
        raise CorpusError("'spans' must be an object with a list for each group")
    if not groups and not isinstance(entities, list):
        unread = unread_field(notes, _KNOWN)
        held = "" if unread is None else f" ({shown_field(unread)} is not read)"
        raise CorpusError(f"no list 'entities'{held}; write the mentions there")
    mentions = Mentions(text, where, tally)
    mentions.add_all("entities", entities or [])
    for group, items in groups.items():
        # Mentions that do not overlap stand in both.
        outer = [[*ent.spans[0], ent.label] for ent in mentions.entities]
        mentions.add_all(f"spans[{shown_field(group)}]", [x for x in items if x not in outer])
    tally.note("labels of whole texts left out", bool(notes.get("cats")))
    tally.note("further fields of annotations left out", len(notes.keys() - _KNOWN))
    return Document(name, text, tuple(mentions.entities), masked=mentions.unknown())


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to ``path``, a list of tuples; returns what the format cannot hold, counted.

    spaCy refuses ``entities`` that overlap: where any do, the outermost are written there, and all
    of them as the span group ``sc``.
    """
    lost: Counter[str] = Counter()
    lines = []
    for doc in docs:
        count_unheld(doc, lost)
        lost["document ids left out"] += 1
        lost["documents whose metadata was left out"] += bool(doc.metadata)
        lost["relations left out"] += len(doc.relations)
        mentions = [[ent.start, ent.end, ent.label] for ent in doc.entities]
        outer = _outermost(doc.entities)
        notes: dict[str, Any] = {"entities": mentions}
        if len(outer) < len(mentions):
            notes = {"entities": outer, "spans": {_GROUP: mentions}}
        lines.append(json.dumps([doc.text, notes], ensure_ascii=False))
    atomic_write_text(path, "[\n" + ",\n".join(lines) + "\n]\n")
    return lost


def _outermost(entities: Sequence[Entity]) -> list[list[Any]]:
    ordered = sorted(entities, key=lambda ent: (ent.start, -ent.end))
    kept = ordered[:1]
    for _, ent in pairwise(ordered):
        if ent.start >= kept[-1].end:
            kept.append(ent)
    return [[ent.start, ent.end, ent.label] for ent in kept]
