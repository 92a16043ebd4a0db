"""JSON values of annotation tools, checked: what their readers and writers share.

Messages name fields, lines and offsets, never what the values hold.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from notesmith.corpus.problems import Tally
from notesmith.document import Document, Span
from notesmith.errors import CorpusError

UNKNOWN = "unknown"
"""Annotator of an annotation that names none."""

ID_FIELDS = ("doc_id", "id")
"""Fields that may hold the id of a document, the first that is filled counts."""


@dataclass(frozen=True, slots=True)
class NoteFields:
    """The fields (columns) in which other programs keep a note's text and its id."""

    text: str | None = None
    id: str | None = None


def parse_json(text: str, *, is_line: bool = False) -> Any:
    """The value that ``text`` holds.

    Raises:
        CorpusError: it is not JSON; the message gives line and column, never the text. ``is_line``
            leaves the line to the caller, who knows its number in the file.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if is_line else f"line {error.lineno}, column {error.colno}"
        raise CorpusError(f"not JSON ({error.msg}, {place}); is it cut off?") from None
    except RecursionError:
        raise CorpusError("JSON nested too deeply") from None
    except CorpusError:
        raise
    except ValueError:  # A number of thousands of digits.
        raise CorpusError("JSON with a number too long to read") from None


def _refuse(name: str) -> None:
    raise CorpusError(f"{name} is not JSON; write null or a number")


def check_text(text: str) -> None:
    """Refuse text that UTF-8 cannot hold.

    Raises:
        CorpusError: half of a surrogate pair stands in ``text``.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CorpusError(f"lone surrogate at offset {error.start}; write the text anew") from None


_MAX_DEPTH = 64
_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")


def has_surrogates(source: str) -> bool:
    """Whether JSON spells any half of a surrogate pair; most pairs are whole."""
    return _ESCAPED.search(source) is not None


def check_values(value: Any) -> None:
    """Refuse what cannot be written again, at any depth of a JSON value.

    Raises:
        CorpusError: half of a surrogate pair stands in a string, a number is infinite, or lists
            and objects are nested beyond ``_MAX_DEPTH``.
    """
    level = [value]
    for _ in range(_MAX_DEPTH):
        below: list[Any] = []
        for part in level:
            if isinstance(part, str) and not part.isascii():
                check_text(part)
            elif isinstance(part, float) and not math.isfinite(part):
                raise CorpusError("a number is too large; write it anew")
            elif isinstance(part, dict):
                below += [*part, *part.values()]
            elif isinstance(part, list):
                below += part
        if not below:
            return
        level = below
    raise CorpusError(f"nested deeper than {_MAX_DEPTH} levels; flatten it")


def take_id(sources: Iterable[dict[str, Any]]) -> str | None:
    """Remove and return the first ``doc_id`` or ``id`` of ``sources``, a string or number."""
    for source in sources:
        for name in ID_FIELDS:
            value = source.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                del source[name]
                return str(value)
    return None


def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are strings, numbers, true, false or null."""
    return {
        name: value
        for name, value in fields.items()
        if value is None
        or isinstance(value, str | int)
        or (isinstance(value, float) and math.isfinite(value))
    }


def plain_fields(fields: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
    """The plain ones of ``fields``; the others, lists and objects, are counted."""
    kept = plain(fields)
    tally.note("nested metadata fields left out", len(fields) - len(kept))
    return kept


def offsets(value: Mapping[str, Any]) -> Span:
    """``start`` and ``end`` of a JSON object.

    Raises:
        CorpusError: one is absent or no whole number.
    """
    start, end = value.get("start"), value.get("end")
    if not is_whole(start) or not is_whole(end):
        raise CorpusError("'start' and 'end' must be whole numbers")
    return start, end


def listed(value: Any) -> list[Any]:
    """A list as it is, any other value as the only one of a list."""
    return value if isinstance(value, list) else [value]


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a JSON value is a whole number; JSON's true is an int to Python."""
    return isinstance(value, int) and not isinstance(value, bool)


def count_lost(doc: Document, lost: Counter[str]) -> None:
    """Count what annotation tools with one range a span have no place for."""
    lost["discontinuous mentions written whole"] += sum(len(ent.spans) > 1 for ent in doc.entities)
    lost["concept relations left out"] += len(doc.concept_relations)
    lost["documents whose sections or masks were left out"] += bool(doc.sections or doc.masked)


def count_unheld(doc: Document, lost: Counter[str]) -> None:
    """Count what tools with labelled spans and directed relations alone have no place for."""
    count_lost(doc, lost)
    lost["concept ids left out"] += sum(len(ent.normalized) for ent in doc.entities)
    lost["attributes left out"] += sum(len(ent.attributes) for ent in doc.entities)
    lost["entity ids numbered anew"] += sum(
        ent.id != f"T{i}" for i, ent in enumerate(doc.entities, 1)
    )
    lost["documents whose provenance was left out"] += doc.provenance.kind != "gold"


def count_directed(doc: Document, lost: Counter[str]) -> None:
    """Count what relations lose that have no id and always a direction."""
    lost["relation ids numbered anew"] += sum(
        rel.id != f"R{i}" for i, rel in enumerate(doc.relations, 1)
    )
    lost["symmetric relations written as directed"] += sum(rel.symmetric for rel in doc.relations)
