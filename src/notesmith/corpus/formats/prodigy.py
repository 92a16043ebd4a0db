"""Prodigy's JSON lines (db-out): a text a line with ``spans``, ``relations`` and ``answer``.

Only accepted lines are annotations; rejected, ignored and unanswered ones are left out, counted. A
line of an interface that marks no mentions (``choice``) is left out too. A yes-or-no question
about one span (``_is_binary``, views ``ner`` and ``spans``) says nothing of the rest of its text,
which is masked. Tasks of one text by one annotator become one document (``prodigy_tasks``).
``head`` and ``child`` of a relation number the *last* token of a span; ``head_span`` and
``child_span`` name it by offsets. Lines have no id: it is ``doc_id`` or ``id`` of ``meta``, else
the hash of the text that Prodigy gave, else the line's number; texts that share an id (sentences of
one note) are numbered. Fields that begin with ``_`` are Prodigy's own and not kept.
Sources: https://prodi.gy/docs/api-interfaces, https://prodi.gy/docs/dependencies-relations,
explosion/projects, ``tutorials/rel_component/scripts/parse_data.py``, and
https://support.prodi.gy/t/ner-train-number-of-examples/641 (questions about one span).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notesmith.corpus.formats.json_records import (
    Record,
    iter_records,
    layout_of,
    mention_field,
    shown_field,
    unread_field,
)
from notesmith.corpus.formats.json_values import (
    UNKNOWN,
    check_text,
    check_values,
    is_whole,
    offsets,
    plain_fields,
    take_id,
)
from notesmith.corpus.formats.mentions import Mentions
from notesmith.corpus.formats.prodigy_tasks import Task, joined_tasks
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Relation, Span
from notesmith.errors import CorpusError, shown_doc, shown_name

_ANSWERS = ("accept", "reject", "ignore")
_MANUAL = frozenset({"ner_manual", "spans_manual", "relations", "blocks", "review"})
_BINARY = frozenset({"ner", "spans"})
_OTHER = frozenset(
    "choice classification text text_input html compare diff image image_manual audio "
    "audio_manual pos pos_manual dep".split()
)
_LINE_FIELDS = frozenset({"spans", "answer", "tokens", "relations", "text", "meta", "id", "doc_id"})
_SPAN_FIELDS = frozenset(
    "start end label token_start token_end text type color source input_hash pattern score "
    "answer".split()
)
_LEFT_OUT = "lines left out"


@dataclass(frozen=True, slots=True)
class _Line:
    """An accepted line; ``is_partial`` if it answers a question about one span."""

    where: str
    number: int
    fields: dict[str, Any]
    text: str
    annotator: str
    is_partial: bool


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
    yield from _documents(chosen, _ids(lines, stem), tally)


def read_each(path: Path, stem: str, tally: Tally) -> dict[str, list[Document]]:
    """The documents of each annotator by name, to measure how well they agree."""
    lines = list(_accepted(path, tally))
    ids = _ids(lines, stem)
    return {
        name: list(_documents([x for x in lines if x.annotator == name], ids, tally))
        for name in sorted({x.annotator for x in lines})
    }


def _accepted(path: Path, tally: Tally) -> Iterator[_Line]:
    before = sum(n for what, n in tally.counts.items() if what.startswith(_LEFT_OUT))
    n_lines = 0
    for record in iter_records(path, tally):
        with tally.dropping("record", record.where):
            line = _line(record, tally)
            if line is not None:
                n_lines += 1
                yield line
    reasons = [what for what in tally.counts if what.startswith(_LEFT_OUT)]
    if not n_lines and sum(tally.counts[what] for what in reasons) > before:
        why = "; ".join(sorted(what.removeprefix(f"{_LEFT_OUT}: ") for what in reasons))
        tally.drop(
            "file without annotations",
            CorpusError(
                f"{path}: every line is left out ({why}); export a dataset of ner.manual, "
                "ner.correct or spans.manual"
            ),
        )


def _line(record: Record, tally: Tally) -> _Line | None:
    """The line if it says where mentions are; None if it was left out, counted."""
    fields = record.value
    if not isinstance(fields, dict) or not isinstance(fields.get("text"), str):
        raise CorpusError("a line must be an object with 'text'; is it Prodigy's?")
    layout = layout_of(fields)
    if layout not in ("prodigy", None) and mention_field(fields) != "spans":
        raise CorpusError(f"the line has the layout of {layout}; put it in a file of its own")
    check_text(fields["text"])
    check_values(fields)
    answer, view = fields.get("answer", "accept"), _view(fields)
    if answer is not None and answer not in _ANSWERS:
        raise CorpusError(f"'answer' must be one of {', '.join(_ANSWERS)}")
    is_partial = _is_partial(fields)
    why = ""
    if view in _OTHER:
        why = f"view {view} marks no mentions"
    elif answer != "accept":
        why = "no answer" if answer is None else f"answer {answer}"
        why = f"{why} to a question about one span" if is_partial else why
    elif view not in _MANUAL and not any(
        isinstance(fields.get(name), list) for name in ("spans", "tokens")
    ):
        why = "neither spans nor tokens"
    if why:
        tally.note(f"{_LEFT_OUT}: {why}")
        return None
    tally.note("lines without an answer (taken as accepted)", "answer" not in fields)
    who = fields.get("_annotator_id") or fields.get("_session_id") or UNKNOWN
    return _Line(record.where, record.number, fields, fields["text"], str(who), is_partial)


def _view(fields: Mapping[str, Any]) -> str:
    """The interface in which the line was answered; empty if it names none."""
    view = fields.get("_view_id")
    return view if isinstance(view, str) else ""


def _is_partial(fields: Mapping[str, Any]) -> bool:
    """Whether the line is a question about one span: by its interface, or by a model's score."""
    if fields.get("_is_binary") is True or _view(fields) in _BINARY:
        return True
    meta = fields.get("meta")
    scored = isinstance(meta, dict) and "score" in meta
    return scored and "_view_id" not in fields and "tokens" not in fields


def _ids(lines: Iterable[_Line], stem: str) -> dict[int, str]:
    """The document ids by number of line: equal for one text, whoever has annotated it."""
    texts: dict[str, dict[str, int]] = {}
    places: dict[int, tuple[str, int]] = {}
    firsts: dict[str, int] = {}
    for line in lines:
        number = firsts.setdefault(line.text, line.number)
        base = _given_id(line) or _hash(line) or f"{stem}-{number}"
        known = texts.setdefault(base, {})
        places[line.number] = base, known.setdefault(line.text, len(known) + 1)
    return {
        number: f"{base}-{n}" if len(texts[base]) > 1 else base
        for number, (base, n) in places.items()
    }


def _given_id(line: _Line) -> str | None:
    meta = line.fields.get("meta")
    return take_id([dict(meta) if isinstance(meta, dict) else {}, dict(line.fields)])


def _hash(line: _Line) -> str | None:
    value = line.fields.get("_input_hash")
    return str(value) if is_whole(value) else None


def _documents(lines: Sequence[_Line], ids: Mapping[int, str], tally: Tally) -> Iterator[Document]:
    """The documents of lines: one for each text and id, if it was not dropped."""
    groups: dict[tuple[str | None, str, str], list[_Line]] = {}
    for line in lines:
        groups.setdefault((_given_id(line), line.text, line.annotator), []).append(line)
    for group in groups.values():
        doc_id = ids[group[0].number]
        tasks: list[Task] = []
        for line in group:
            where = f"{line.where}: {shown_doc(doc_id)}"
            with tally.dropping("document", where):
                doc = _document(line, doc_id, where, tally)
                nests = _view(line.fields) == "spans_manual"
                tasks.append(Task(line.where, doc, line.is_partial, nests))
        if len(tasks) == len(group):
            yield joined_tasks(tasks, tally)


def _document(line: _Line, doc_id: str, where: str, tally: Tally) -> Document:
    meta = line.fields.get("meta") or {}
    if not isinstance(meta, dict):
        raise CorpusError("'meta' must be an object")
    meta = dict(meta)
    take_id([meta])
    mentions = Mentions(line.text, where, tally)
    at_token = _read_spans(line, mentions)
    at_place: dict[tuple[Span, ...], dict[str | None, str]] = {}
    for ent in mentions.entities:
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
    others = {
        name: value
        for name, value in line.fields.items()
        if name not in _LINE_FIELDS and name[:1] != "_"
    }
    unread = unread_field(others, frozenset({"versions"}))
    if unread is not None:
        raise CorpusError(
            f"mentions are read from 'spans', but {shown_field(unread)} holds some too; "
            "remove one of the two fields"
        )
    tally.note("further fields of lines left out", len(others))
    metadata = plain_fields(meta, tally)
    if line.annotator != UNKNOWN:
        metadata["annotator"] = line.annotator
    return Document(
        doc_id,
        line.text,
        tuple(mentions.entities),
        tuple(relations),
        masked=mentions.unknown(),
        metadata=metadata,
    )


def _read_spans(line: _Line, mentions: Mentions) -> dict[int, str]:
    """Add the labelled spans to ``mentions``; returns the entity that ends with each token."""
    at_token: dict[int, str] = {}
    tokens = _objects(line.fields, "tokens")
    starts = [start for start in (token.get("start") for token in tokens) if is_whole(start)]
    for i, span in enumerate(_objects(line.fields, "spans")):
        if span.get("label") is None:
            mentions.tally.note("spans without a label left out")
            continue
        place = _place(span, tokens)
        mentions.tally.note("further fields of spans left out", len(span.keys() - _SPAN_FIELDS))
        if span.get("answer", "accept") != "accept":
            mentions.mask(place, "spans that were not accepted masked")
            continue
        entity = mentions.add(f"spans[{i}]", place, span["label"], written=span.get("text"))
        if entity is None:
            continue
        last = span.get("token_end", bisect_left(starts, entity.end) - 1)
        if is_whole(last) and last >= 0:
            at_token.setdefault(last, entity.id)
    return at_token


def _place(span: Mapping[str, Any], tokens: Sequence[Mapping[str, Any]]) -> tuple[object, object]:
    """Start and end of a span, by its own offsets or those of its tokens, the last included."""
    if "start" in span or "end" in span:
        return span.get("start"), span.get("end")
    first, last = span.get("token_start"), span.get("token_end")
    if is_whole(first) and is_whole(last) and 0 <= first <= last < len(tokens):
        return tokens[first].get("start"), tokens[last].get("end")
    return None, None


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


def _objects(fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    values = fields.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise CorpusError(f"{name!r} must be a list of objects")
    return values
