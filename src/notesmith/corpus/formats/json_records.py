"""Records of JSON files, one a line or in one list, and the tool whose layout a record has.

A layout is told by what only it has. Its name is that of the format that reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from notesmith.corpus.formats.iob import is_tag
from notesmith.corpus.formats.json_values import is_whole, parse_json
from notesmith.corpus.problems import Tally, iter_lines, read_text
from notesmith.errors import CorpusError
from notesmith.files.read import LINE_BYTES, raw_lines, read_head

Layout = Literal["jsonl", "prodigy", "doccano", "offsets", "spacy-tuples", "hf-tokens", "gliner"]

LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.xz")
"""Endings of files that hold a record a line; a ``.json`` file may hold lines or one value."""
MENTION_FIELDS = ("label", "labels", "entities", "spans", "ents")
"""Fields that may hold the mentions of a text, by offsets."""
TAG_FIELDS = ("ner_tags", "tags", "ner", "labels")
"""Fields that may hold a tag for each of ``tokens``; the first that is there counts."""
WRITE_THEM = 'write them as "spans": [{"start": 0, "end": 4, "label": "Drug"}]'

_PRODIGY = frozenset("_input_hash _task_hash _view_id _is_binary _session_id _annotator_id".split())
_FIELD = re.compile(r"[a-z][A-Za-z0-9_]{0,39}")
_FIRST = 20
_DEPTH = 4
_BEGIN = re.compile(r"start|begin|offset|from", re.IGNORECASE)
_END = re.compile(r"end|stop|length|len$|to$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Record:
    """A value of a file: ``where`` for messages, and its number (of line or record) from 1."""

    where: str
    number: int
    value: Any


def iter_records(path: Path, tally: Tally) -> Iterator[Record]:
    """The records of ``path``, one after another; a bad one is raised, or dropped and counted."""
    if path.name.lower().endswith(LINES):
        yield from _lines(path, tally)
        return
    text = read_text(path, tally)
    if text is None:
        return
    if _holds_lines(text):
        yield from _lines(path, tally)
        return
    with tally.dropping("file", str(path)):
        for number, value in enumerate(_items(parse_json(text.removeprefix("\ufeff"))), 1):
            yield Record(f"{path}: record {number}", number, value)


def _lines(path: Path, tally: Tally) -> Iterator[Record]:
    for line in iter_lines(path, tally):
        if line.text is None or not line.text.strip():
            continue
        where = f"{path}:{line.number}"
        with tally.dropping("record", where):
            yield Record(where, line.number, parse_json(line.text, is_line=True))


def _holds_lines(text: str) -> bool:
    """Whether the first of several lines is a value by itself."""
    first, _, rest = text.removeprefix("\ufeff").lstrip().partition("\n")
    return bool(rest.strip()) and _parsed(first) is not None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _items(value: Any) -> list[Any]:
    """The records of one JSON value: a list of them, NER Annotator's object, or one alone."""
    if (
        isinstance(value, dict)
        and "classes" in value
        and isinstance(value.get("annotations"), list)
    ):
        return list(value["annotations"])
    return value if isinstance(value, list) and layout_of(value) is None else [value]


def layout_of_file(path: Path) -> Layout | None:
    """The layout of the first records of a file; None where it is unknown, or no JSON."""
    if not path.name.lower().endswith((*LINES, ".json")):
        return None
    state = path.stat()
    return _layout_of_file(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)  # Each format of the table asks.
def _layout_of_file(path: Path, _size: int, _changed: int) -> Layout | None:
    known = [layout for layout in map(layout_of, _first(path)) if layout is not None]
    # An empty list of entities is in both, and one record of doccano's own decides.
    if known and known[0] == "offsets" and "doccano" in known:
        return "doccano"
    return known[0] if known else None


def _first(path: Path) -> list[Any]:
    """The first records of a file, as far as they can be read."""
    if not path.name.lower().endswith(LINES):
        for n in (1 << 16, LINE_BYTES):
            text = read_head(path, n).decode("utf-8-sig", errors="replace").lstrip()
            if found := _first_of_text(text):
                return found
        return []
    found = []
    try:
        for data in islice(raw_lines(path, whole=False), _FIRST):
            value = _parsed(data.decode("utf-8", errors="replace"))
            if value is not None:
                found.append(value)
    except CorpusError:  # The reader says why.
        pass
    return found


def _first_of_text(text: str) -> list[Any]:
    if _holds_lines(text):
        lines = text.split("\n", _FIRST)[:_FIRST]
        return [value for value in map(_parsed, lines) if value is not None]
    if (value := _parsed(text)) is not None:
        return _items(value)[:_FIRST]
    try:
        start = re.match(r"\[\s*", text)
        return [json.JSONDecoder().raw_decode(text, start.end() if start else 0)[0]]
    except (ValueError, RecursionError):
        return []


def layout_of(value: Any) -> Layout | None:
    """The layout of one record; None for a note without mentions, and for what is unknown."""
    if isinstance(value, list):
        is_pair = len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict)
        return "spacy-tuples" if is_pair else None
    if not isinstance(value, dict):
        return None
    if "schema" in value:
        return "jsonl"
    if "tokenized_text" in value:
        return "gliner"
    if _is_tagged(value):
        return "hf-tokens"
    if _is_prodigy(value):
        return "prodigy"
    if text_of(value) is None or "annotation_id" in value:  # The latter is Label Studio's.
        return None
    name = mention_field(value)
    if name is None:
        return None
    items = value[name]
    is_doccano = (
        (name in ("label", "labels") and not (items and isinstance(items[0], dict)))
        or (items and isinstance(items[0], dict) and "start_offset" in items[0])
        or (name == "entities" and not {"relations", "Comments", "cats"}.isdisjoint(value))
    )
    return "doccano" if is_doccano else "offsets"


def _is_tagged(value: Mapping[str, Any]) -> bool:
    tokens = value.get("tokens")
    return (
        isinstance(tokens, list)
        and all(isinstance(token, str) for token in tokens)
        and any(isinstance(value.get(name), list) for name in TAG_FIELDS)
    )


def _is_prodigy(value: Mapping[str, Any]) -> bool:
    if not _PRODIGY.isdisjoint(value):
        return True
    if "text" in value and value.get("answer", "") in ("accept", "reject", "ignore", None):
        return True
    tokens = value.get("tokens")
    return (
        isinstance(tokens, list)
        and "spans" in value
        and all(isinstance(token, dict) and {"text", "id"} <= token.keys() for token in tokens)
    )


def text_of(value: Mapping[str, Any]) -> str | None:
    """The text of a record; doccano named the field ``data`` for some years."""
    for name in ("text", "data"):
        if isinstance(value.get(name), str):
            return str(value[name])
    return None


def mention_field(value: Mapping[str, Any]) -> str | None:
    """The field that holds the mentions of a record by offsets; the first one that is filled."""
    there = [name for name in MENTION_FIELDS if _are_mentions(value.get(name))]
    filled = [name for name in there if value[name]]
    return next(iter(filled or there), None)


def _are_mentions(items: object) -> bool:
    if not isinstance(items, list):
        return False
    if not items:
        return True
    first = items[0]
    if isinstance(first, dict):
        # Label Studio's mentions have a list of labels.
        return not {"start", "start_offset", "token_start"}.isdisjoint(first) and not isinstance(
            first.get("labels"), list
        )
    return isinstance(first, list) and len(first) >= 3 and all(map(is_whole, first[:2]))


def unread_field(fields: Mapping[str, Any], known: frozenset[str]) -> str | None:
    """The first field beyond ``known`` that holds what looks like mentions or tags."""
    return next(
        (
            name
            for name, value in fields.items()
            if name not in known and isinstance(value, list | dict) and _holds_mentions(value)
        ),
        None,
    )


def unread_field_of_file(path: Path) -> str | None:
    """The field of a ``.json`` file's first records with a text that looks like mentions or tags.

    None where there is none, or where the file is no JSON.
    """
    if not path.name.lower().endswith(".json"):
        return None
    records = (value for value in _first(path) if isinstance(value, dict))
    found = (unread_field(value, frozenset()) for value in records if text_of(value) is not None)
    return next((name for name in found if name is not None), None)


def shown_field(name: str) -> str:
    """``name`` quoted if it looks like a field's; in a mangled line a name may stand there."""
    known = name.casefold() in (*MENTION_FIELDS, "annotations", "mentions")
    return repr(name) if known or _FIELD.fullmatch(name) else "(not shown)"


def _holds_mentions(value: object, depth: int = _DEPTH) -> bool:
    """Whether ranges with a label, or tags, stand anywhere in a value."""
    if depth == 0 or not isinstance(value, list | dict) or not value:
        return False
    if isinstance(value, dict):
        begins = {name for name, at in value.items() if is_whole(at) and _BEGIN.search(name)}
        ends = {name for name, at in value.items() if is_whole(at) and _END.search(name)}
        if depth < _DEPTH and begins and ends and len(begins | ends) > 1:
            return True
        inside = list(value.values())
        if inside and all(_are_ranges(part) for part in inside):
            return True
        return any(_holds_mentions(part, depth - 1) for part in inside)
    if len(value) >= 3 and is_whole(value[0]) and is_whole(value[1]) and isinstance(value[2], str):
        return True
    if all(isinstance(part, str) for part in value):
        return all(map(is_tag, value)) and any(part != "O" for part in value)
    return any(_holds_mentions(part, depth - 1) for part in value[:_FIRST])


def _are_ranges(value: object) -> bool:
    """Whether a value is a list of pairs of whole numbers."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(part, list) and len(part) == 2 and all(map(is_whole, part)) for part in value
        )
    )
