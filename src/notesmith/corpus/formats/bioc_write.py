"""Write BioC, XML or JSON: the same objects in both, offsets in code points.

A document's sections are its passages. What BioC has no place for (masks, provenance, metadata that
is no string, sections that overlap) stands as JSON in the infon ``notesmith`` of the document, so
that the same document is read again.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from notesmith.corpus.formats import jsonl
from notesmith.corpus.formats.bioc import (
    CONCEPT,
    HEAD,
    LABEL,
    MEMBER,
    OWN,
    TAIL,
    comes_back,
    concepts_of,
)
from notesmith.corpus.formats.bioc_files import Record
from notesmith.corpus.formats.json_values import listed
from notesmith.document import Document, Entity, Provenance, Section
from notesmith.errors import CorpusError, shown_doc
from notesmith.files.write import atomic_write_text

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_xml(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` as BioC XML; returns what it cannot hold, counted."""
    lost: Counter[str] = Counter()
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE collection SYSTEM "BioC.dtd">\n',
        "<collection><source>notesmith</source><date></date><key></key>\n",
    ]
    for doc in docs:
        text = _NOT_XML.sub(" ", doc.text)
        lost["characters that XML cannot hold written as spaces"] += sum(
            a != b for a, b in zip(text, doc.text, strict=True)
        )
        parts += [*_xml("document", _record(doc, text, lost)), "\n"]
    whole = "".join([*parts, "</collection>\n"])
    if _NOT_XML.search(whole):
        raise CorpusError("an id, label, attribute or concept holds what XML cannot; use jsonl")
    atomic_write_text(path, whole)
    return lost


def write_json(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` as BioC JSON; returns what it cannot hold, counted."""
    lost: Counter[str] = Counter()
    documents = [_record(doc, doc.text, lost) for doc in docs]
    whole = {"source": "notesmith", "date": "", "key": "", "infons": {}, "documents": documents}
    atomic_write_text(path, json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
    return lost


def _record(doc: Document, text: str, lost: Counter[str]) -> Record:
    """A document as BioC JSON has it."""
    passages, sections = _passages(doc, text)
    written: list[str] = []
    for i, passage in enumerate(passages):
        after = passages[i + 1]["offset"] if i + 1 < len(passages) else len(text) + 1
        here = [ent for ent in doc.entities if passage["offset"] <= ent.start < after]
        passage["annotations"] = [_annotation(ent, text, lost) for ent in here]
        written += [ent.id for ent in here]
    order = [ent.id for ent in doc.entities]
    record = jsonl.to_record(doc)
    own: Record = {"masked": record["masked"]} if doc.masked else {}
    own |= {"provenance": record["provenance"]} if doc.provenance != Provenance() else {}
    own |= {"order": order} if order != written else {}
    own |= {"sections": record["sections"]} if sections != doc.sections else {}
    infons = {
        key: value
        for key, value in doc.metadata.items()
        if isinstance(value, str) and key and key != OWN and not _NOT_XML.search(key + value)
    }
    if rest := {key: value for key, value in doc.metadata.items() if key not in infons}:
        own["metadata"] = rest
    if own:
        try:
            infons[OWN] = json.dumps(own, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise CorpusError(f"{shown_doc(doc.id)}: metadata is not JSON ({error})") from error
    relations: list[Record] = []
    for rel in doc.relations:
        roles = (MEMBER, MEMBER) if rel.symmetric else (HEAD, TAIL)
        ends = zip((rel.head, rel.tail), roles, strict=True)
        nodes = [{"refid": end, "role": role} for end, role in ends]
        relations.append({"id": rel.id, "infons": {LABEL: rel.label}, "nodes": nodes})
    for n, concept in enumerate(doc.concept_relations):
        named = {"entity1": concept.head, "entity2": concept.tail, LABEL: concept.label}
        relations.append({"id": f"C{n}", "infons": named, "nodes": []})
    return {
        "id": doc.id,
        "infons": infons,
        "passages": passages,
        "annotations": [],
        "relations": relations,
    }


def _passages(doc: Document, text: str) -> tuple[list[Record], tuple[Section, ...]]:
    """The passages that cover the text, and the sections that a reader finds in them."""
    cuts: list[Section] = []
    at = 0
    for section in doc.sections:
        if section.start < at or section.end <= section.start or not section.name.strip():
            return [_passage(Section("", 0, len(text)), text)], ()
        if section.start > at and not (at and text[at : section.start] == " "):
            cuts.append(Section("", at, section.start))
        cuts.append(section)
        at = section.end
    if at < len(text) or not cuts:
        cuts.append(Section("", at, len(text)))
    inside = all(
        any(cut.start <= ent.start and ent.end <= cut.end for cut in cuts) for ent in doc.entities
    )
    if not inside or cuts[0].start:
        return [_passage(Section("", 0, len(text)), text)], ()
    return [_passage(cut, text) for cut in cuts], tuple(cut for cut in cuts if cut.name)


def _passage(cut: Section, text: str) -> Record:
    return {
        "offset": cut.start,
        "infons": {LABEL: cut.name} if cut.name else {},
        "text": text[cut.start : cut.end],
        "sentences": [],
        "annotations": [],
        "relations": [],
    }


def _annotation(ent: Entity, text: str, lost: Counter[str]) -> Record:
    infons: dict[str, Any] = {LABEL: ent.label}
    joined = "|".join(ent.normalized)
    if concepts_of(joined) != list(ent.normalized):
        infons |= {f"{CONCEPT} {n}": concept for n, concept in enumerate(ent.normalized, 1)}
    elif ent.normalized:
        infons[CONCEPT] = joined
    for attribute in ent.attributes:
        name, sign, value = attribute.partition("=")
        if comes_back(name, value, is_flag=not sign):
            new = value if sign else "true"
            infons[name] = [*listed(infons[name]), new] if name in infons else new
        else:
            lost["attributes left out"] += 1
    return {
        "id": ent.id,
        "infons": infons,
        "text": ent.mention(text),
        "locations": [{"offset": start, "length": end - start} for start, end in ent.spans],
    }


def _xml(name: str, record: Record) -> Iterator[str]:
    """An object of BioC JSON as an element."""
    kept = ("id",) if name in ("annotation", "relation") else ("offset", "length", "refid", "role")
    own = kept if name in ("annotation", "relation", "location", "node") else ()
    yield f"<{name}" + "".join(f" {k}={quoteattr(str(record[k]))}" for k in own if k in record)
    yield ">"
    if name == "document":
        yield f"<id>{_escaped(record['id'])}</id>"
    for key, value in record.get("infons", {}).items():
        for item in value if isinstance(value, list) else [value]:
            yield f"<infon key={quoteattr(key)}>{_escaped(item)}</infon>"
    if name == "passage":
        yield f"<offset>{record['offset']}</offset><text>{_escaped(record['text'])}</text>"
    for many, one in (("locations", "location"), ("nodes", "node")):
        for item in record.get(many, ()):
            yield from _xml(one, item)
    if name == "annotation":
        yield f"<text>{_escaped(record['text'])}</text>"
    for many, one in (
        ("passages", "passage"),
        ("annotations", "annotation"),
        ("relations", "relation"),
    ):
        for item in record.get(many, ()):
            yield from _xml(one, item)
    yield f"</{name}>"


def _escaped(value: str) -> str:
    # XML makes a line end of a bare carriage return.
    return escape(value, {"\r": "&#13;"})
