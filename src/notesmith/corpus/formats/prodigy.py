"""Prodigy's JSON lines (also spaCy's): a text a line with ``spans``, ``relations`` and ``answer``.

Only accepted lines are annotations: rejected and ignored ones are left out, counted, and so is a
yes-or-no question about one span (``_is_binary``, view ``ner``), which says nothing of the rest of
its text. ``head`` and ``child`` of a relation number the *last* token of a span; ``head_span`` and
``child_span`` name it by offsets. Lines have no id: it is ``doc_id`` or ``id`` of ``meta``, else
the hash of the text that Prodigy gave, else the line's number; texts that share an id (sentences of
one note) are numbered. Fields that begin with ``_`` are Prodigy's own and not kept.
Sources: https://prodi.gy/docs/api-interfaces, https://prodi.gy/docs/dependencies-relations and
explosion/projects, ``tutorials/rel_component/scripts/parse_data.py``.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from notesmith.corpus.formats.json_values import (
    ID_FIELDS,
    UNKNOWN,
    check_text,
    check_values,
    count_lost,
    has_surrogates,
    is_whole,
    offsets,
    parse_json,
    plain,
    plain_fields,
    take_id,
)
from notesmith.corpus.formats.pubtator import check_mention
from notesmith.corpus.problems import Tally, iter_lines
from notesmith.document import Document, Entity, Relation, Span
from notesmith.errors import CorpusError, OffsetError, shown_doc, shown_name
from notesmith.files.write import atomic_write_text

# Runs of letters and digits, and every other mark by itself.
_WORD = re.compile(r"[^\W_]+|\S")
_ANSWERS = ("accept", "reject", "ignore")
_SIGNS = ("spans", "answer", "tokens", "relations", "_input_hash", "_task_hash", "_view_id")
_LINE_FIELDS = frozenset({*_SIGNS, "text", "meta", "id", "doc_id"})
_SPAN_FIELDS = frozenset(
    "start end label token_start token_end text type color source input_hash pattern score".split()
)


def claims(path: Path, head: str) -> bool:
    """Whether the JSON lines that begin with ``head`` are Prodigy's, told by the first line."""
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        return False
    first = next((line for line in head.split("\n") if line.strip()), "")
    try:
        record = json.loads(first)
    except (ValueError, RecursionError):
        # Longer than the head. No string holds these quotes, they would be escaped there.
        keys = set(re.findall(r'"(schema|text)"\s*:', first))
        return first.lstrip().startswith("{") and keys == {"text"}
    return (
        isinstance(record, dict)
        and "text" in record
        and "schema" not in record
        and any(sign in record for sign in _SIGNS)
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """An accepted line."""

    where: str
    number: int
    fields: dict[str, Any]
    text: str
    annotator: str


def read(
    path: Path, stem: str, tally: Tally, *, annotator: str | None = None
) -> Iterator[Document]:
    """Read the accepted lines of ``path``; ``stem`` begins the ids of lines that name none.

    Args:
        path: the file.
        stem: path below the corpus folder, without suffix.
        tally: counts, and what to do with a bad line.
        annotator: whose lines to read (``_annotator_id``, else ``_session_id``); needed where
            several have annotated one text.

    Raises:
        CorpusError: a text has several annotators and none is chosen.
    """
    lines = list(_accepted(path, tally))
    chosen = [line for line in lines if annotator in (None, line.annotator)]
    names = ", ".join(sorted({shown_name(line.annotator) for line in lines}))
    if annotator is not None and not chosen:
        raise CorpusError(f"{path}: no annotator {annotator!r}; there are {names or 'none'}")
    if len({(x.text, x.annotator) for x in chosen}) > len({x.text for x in chosen}):
        raise CorpusError(
            f"{path}: texts with several annotators; choose one with --annotator: {names}"
        )
    tally.note("lines of other annotators left out", len(lines) - len(chosen))
    ids = _ids(lines, stem)
    yield from (doc for x in chosen for doc in _documents(x, ids[x.number], tally))


def read_each(path: Path, stem: str, tally: Tally) -> dict[str, list[Document]]:
    """The documents of each annotator by name, to measure how well they agree."""
    lines = list(_accepted(path, tally))
    ids = _ids(lines, stem)
    docs: dict[str, list[Document]] = {name: [] for name in sorted({x.annotator for x in lines})}
    for line in lines:
        docs[line.annotator] += _documents(line, ids[line.number], tally)
    return docs


def _accepted(path: Path, tally: Tally) -> Iterator[_Line]:
    for line in iter_lines(path, tally):
        if line.text is None or not line.text.strip():
            continue
        where = f"{path}:{line.number}"
        with tally.dropping("record", where):
            fields = parse_json(line.text)
            if not isinstance(fields, dict) or not isinstance(fields.get("text"), str):
                raise CorpusError("a line must be an object with 'text'; is it Prodigy's?")
            check_text(fields["text"])
            if has_surrogates(line.text):
                check_values(fields)
            answer = fields.get("answer")
            if answer is not None and answer not in _ANSWERS:
                raise CorpusError(f"'answer' must be one of {', '.join(_ANSWERS)}")
            tally.note("lines without an answer (taken as accepted)", answer is None)
            if answer in ("reject", "ignore"):
                tally.note(f"lines left out: answer {answer}")
                continue
            if fields.get("_is_binary") is True or fields.get("_view_id") == "ner":
                raise CorpusError(
                    "a yes-or-no question about one span, the rest of its text is not annotated; "
                    "export a dataset of ner.manual, ner.correct or spans.manual"
                )
            who = fields.get("_annotator_id") or fields.get("_session_id") or UNKNOWN
            yield _Line(where, line.number, fields, fields["text"], str(who))


def _ids(lines: Iterable[_Line], stem: str) -> dict[int, str]:
    """The document ids by number of line: equal for one text, whoever has annotated it."""
    texts: dict[str, dict[str, int]] = {}
    places: dict[int, tuple[str, int]] = {}
    for line in lines:
        base = _line_id(line, stem)
        known = texts.setdefault(base, {})
        places[line.number] = base, known.setdefault(line.text, len(known) + 1)
    return {
        number: f"{base}-{n}" if len(texts[base]) > 1 else base
        for number, (base, n) in places.items()
    }


def _documents(line: _Line, doc_id: str, tally: Tally) -> Iterator[Document]:
    """The document of a line, if it was not dropped."""
    with tally.dropping("document", f"{line.where}: {shown_doc(doc_id)}"):
        yield _document(line, doc_id, tally)


def _line_id(line: _Line, stem: str) -> str:
    meta = line.fields.get("meta")
    found = take_id([dict(meta) if isinstance(meta, dict) else {}, dict(line.fields)])
    if found is None and isinstance(line.fields.get("_input_hash"), int):
        found = str(line.fields["_input_hash"])
    return found or f"{stem}-{line.number}"


def _document(line: _Line, doc_id: str, tally: Tally) -> Document:
    meta = line.fields.get("meta") or {}
    if not isinstance(meta, dict):
        raise CorpusError("'meta' must be an object")
    meta = dict(meta)
    take_id([meta])
    where = f"{line.where}: {shown_doc(doc_id)}"
    entities, at_token = _entities(line, where, tally)
    at_place: dict[tuple[Span, ...], dict[str | None, str]] = {}
    for ent in entities:
        there = at_place.setdefault(ent.spans, {None: ent.id})
        there.setdefault(ent.label, ent.id)
    relations: list[Relation] = []
    for i, item in enumerate(_objects(line.fields, "relations")):
        with tally.dropping("relation", f"{where}: relations[{i}]"):
            ends = [_end(item, name, at_place, at_token) for name in ("head", "child")]
            if not isinstance(item.get("label"), str):
                raise CorpusError("a relation needs a 'label'")
            if None in ends:
                tally.note("relations of tokens that are no labelled span left out")
                continue
            relations.append(
                Relation(f"R{len(relations) + 1}", item["label"], str(ends[0]), str(ends[1]))
            )
    others = [name for name in line.fields if name not in _LINE_FIELDS and name[:1] != "_"]
    tally.note("further fields of lines left out", len(others))
    metadata = plain_fields(meta, tally)
    if line.annotator != UNKNOWN:
        metadata["annotator"] = line.annotator
    return Document(doc_id, line.text, tuple(entities), tuple(relations), metadata=metadata)


def _entities(line: _Line, where: str, tally: Tally) -> tuple[list[Entity], dict[int, str]]:
    """The labelled spans, and the entity that ends with each token."""
    entities: list[Entity] = []
    at_token: dict[int, str] = {}
    tokens = [token.get("start") for token in _objects(line.fields, "tokens")]
    starts = [start for start in tokens if is_whole(start)]
    for i, span in enumerate(_objects(line.fields, "spans")):
        with tally.dropping("mention", f"{where}: spans[{i}]"):
            start, end = offsets(span)
            if span.get("label") is None:
                tally.note("spans without a label left out")
                continue
            if not isinstance(span["label"], str):
                raise CorpusError("'label' must be a string")
            name = f"[{start}, {end})"
            if end > len(line.text):
                raise OffsetError(f"{name} is past end {len(line.text)}; correct the offsets")
            entity = Entity(f"T{len(entities) + 1}", span["label"], ((start, end),))
            if isinstance(span.get("text"), str):
                check_mention(line.text[start:end], span["text"], name, tally)
            tally.note("further fields of spans left out", len(span.keys() - _SPAN_FIELDS))
            entities.append(entity)
            last = span.get("token_end", bisect_left(starts, end) - 1)
            if is_whole(last) and last >= 0:
                at_token.setdefault(last, entity.id)
    return entities, at_token


def _end(
    relation: Mapping[str, Any],
    name: str,
    at_place: Mapping[tuple[Span, ...], Mapping[str | None, str]],
    at_token: Mapping[int, str],
) -> str | None:
    """The entity at one end of a relation: of several at a place the one of its label, or first."""
    span = relation.get(f"{name}_span")
    if isinstance(span, dict):
        place = (offsets(span),)
        there = at_place.get(place, {})
        label = span.get("label")
        return there.get(label if isinstance(label, str) else None) or there.get(None)
    if not is_whole(relation.get(name)):
        raise CorpusError(f"a relation needs {name!r}, the number of a token")
    return at_token.get(relation[name])


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to ``path``, a line each; returns what the format cannot hold, counted.

    Gold documents are accepted answers, all others are tasks to be answered.
    """
    lost: Counter[str] = Counter()
    lines = [json.dumps(_record(doc, lost), ensure_ascii=False, allow_nan=False) for doc in docs]
    atomic_write_text(path, "".join(f"{line}\n" for line in lines))
    return lost


def _record(doc: Document, lost: Counter[str]) -> dict[str, Any]:
    count_lost(doc, lost)
    lost["concept ids left out"] += sum(len(ent.normalized) for ent in doc.entities)
    lost["attributes left out"] += sum(len(ent.attributes) for ent in doc.entities)
    lost["entity ids numbered anew"] += sum(
        ent.id != f"T{i}" for i, ent in enumerate(doc.entities, 1)
    )
    lost["relation ids numbered anew"] += sum(
        rel.id != f"R{i}" for i, rel in enumerate(doc.relations, 1)
    )
    lost["symmetric relations written as directed"] += sum(rel.symmetric for rel in doc.relations)
    lost["documents whose provenance was left out"] += doc.provenance.kind != "gold"
    fields = plain(doc.metadata)
    kept = {name: value for name, value in fields.items() if name not in ID_FIELDS}
    lost["metadata fields left out"] += len(doc.metadata) - len(kept)
    tokens = _tokens(doc.text, [(ent.start, ent.end) for ent in doc.entities])
    spans = {ent.id: _span(ent, tokens) for ent in doc.entities}
    relations = [
        {
            "head": spans[rel.head]["token_end"],
            "child": spans[rel.tail]["token_end"],
            "head_span": spans[rel.head],
            "child_span": spans[rel.tail],
            "label": rel.label,
        }
        for rel in doc.relations
    ]
    return {
        "text": doc.text,
        "meta": {"id": doc.id, **kept},
        "tokens": tokens,
        "spans": list(spans.values()),
        **({"relations": relations} if relations else {}),
        **({"answer": "accept"} if doc.provenance.kind == "gold" else {}),
    }


def _tokens(text: str, mentions: Iterable[Span]) -> list[dict[str, Any]]:
    """Words and white space as Prodigy shows them; a mention begins and ends with a token.

    As in spaCy, one space after a token belongs to it (``ws``), further white space is a token.
    """
    mentions = list(mentions)
    begins = {start for start, _ in mentions}
    bounds = {0, len(text)}.union(*(m.span() for m in _WORD.finditer(text)), *mentions)
    tokens: list[dict[str, Any]] = []
    for start, end in pairwise(sorted(bounds)):
        if text[start] == " " and start not in begins and tokens and tokens[-1]["end"] == start:
            tokens[-1]["ws"] = True
            start += 1
        if start < end:
            token = {"text": text[start:end], "start": start, "end": end}
            tokens.append({**token, "id": len(tokens), "ws": False})
    return tokens


def _span(ent: Entity, tokens: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "start": ent.start,
        "end": ent.end,
        "token_start": bisect_right(tokens, ent.start, key=lambda token: token["start"]) - 1,
        "token_end": bisect_left(tokens, ent.end, key=lambda token: token["start"]) - 1,
        "label": ent.label,
    }


def _objects(fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    values = fields.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise CorpusError(f"{name!r} must be a list of objects")
    return values
