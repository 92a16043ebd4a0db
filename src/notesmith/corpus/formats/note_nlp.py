"""Write what a student found as rows of the table NOTE_NLP of the OMOP common data model, 5.4.

A row is a mention. ``note_id`` is the document's id, which must be an integer; rows are numbered
from 1. Nothing here knows concepts, so the concept ids are 0 (no matching concept), and the label
stands in ``term_modifiers`` beside the attributes (``label=Problem,negated=true``) for a later
mapping. ``term_exists`` and ``term_temporal`` follow the conventions of the table: N for what is
negated, another person's, conditional or ruled out; ``past`` for history.
Sources: OHDSI/CommonDataModel, ``inst/csv/OMOP_CDMv5.4_Field_Level.csv``;
https://ohdsi.github.io/CommonDataModel/cdm54.html#note_nlp.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import count
from pathlib import Path

from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity
from notesmith.errors import CorpusError, shown_doc
from notesmith.files.write import atomic_file

SUFFIX = ".csv"
COLUMNS = (
    "note_nlp_id",
    "note_id",
    "section_concept_id",
    "snippet",
    "offset",
    "lexical_variant",
    "note_nlp_concept_id",
    "note_nlp_source_concept_id",
    "nlp_system",
    "nlp_date",
    "nlp_datetime",
    "term_exists",
    "term_temporal",
    "term_modifiers",
)
_NO_CONCEPT = 0
_MAX_TEXT = 250
_MAX_MODIFIERS = 2000
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_ABSENT = frozenset(
    "absent negated negation conditional hypothetical family rule_out ruled_out "
    "associated_with_someone_else".split()
)
_PAST = frozenset({"historical", "history", "past"})
_NO = frozenset({"no", "false", "none", "0"})


def with_integer_ids(
    notes: Callable[[Tally], Iterator[Document]],
) -> Callable[..., Iterator[Document]]:
    """The same notes, where one whose id cannot be a ``note_id`` is a bad record."""

    def read(tally: Tally) -> Iterator[Document]:
        for doc in notes(tally):
            if _INTEGER.fullmatch(doc.id):
                yield doc
            else:
                tally.drop(
                    "note whose id is no integer",
                    CorpusError(
                        f"{shown_doc(doc.id)}: NOTE_NLP needs an integer as note_id; name "
                        "its field with --id-field, rename the files, or end --out in .jsonl"
                    ),
                )

    return read


def write_stream(docs: Iterable[Document], path: Path, system: str, at: datetime) -> Counter[str]:
    """Write the mentions of ``docs`` to ``path`` as they come, and count what was cut.

    Args:
        docs: documents whose ids are integers, see ``with_integer_ids``.
        path: the CSV file, with a line of column names.
        system: name and version of what found the mentions.
        at: the time of processing, local.

    Raises:
        FileError: the disk is full, or the file may not be written.
    """
    lost: Counter[str] = Counter()
    numbers = count(1)
    processed = (at.date().isoformat(), at.isoformat(" ", "seconds"))
    with atomic_file(path) as file:
        file.write(_encoded([COLUMNS]))
        for doc in docs:
            rows: list[tuple[object, ...]] = []
            for ent in doc.entities:
                mention, modifiers = ent.mention(doc.text), _modifiers(ent)
                lost[f"mentions cut to {_MAX_TEXT} characters"] += len(mention) > _MAX_TEXT
                lost[f"modifiers cut to {_MAX_MODIFIERS} characters"] += (
                    len(modifiers) > _MAX_MODIFIERS
                )
                exists = "N" if any(map(_is_absent, ent.attributes)) else "Y"
                time = "past" if any(map(_is_past, ent.attributes)) else ""
                rows.append(
                    (
                        *(next(numbers), doc.id, _NO_CONCEPT, _snippet(doc.text, ent), ent.start),
                        *(mention[:_MAX_TEXT], _NO_CONCEPT, _NO_CONCEPT, system, *processed),
                        *(exists, time, modifiers[:_MAX_MODIFIERS]),
                    )
                )
            file.write(_encoded(rows))
    return lost


def _encoded(rows: Iterable[Iterable[object]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()


def _snippet(text: str, ent: Entity) -> str:
    """The mention with as much of the text around it as the column holds, on one line."""
    around = max(_MAX_TEXT - (ent.end - ent.start), 0)
    start = max(min(ent.start - around // 2, len(text) - _MAX_TEXT), 0)
    return re.sub(r"\s", " ", text[start : start + _MAX_TEXT])


def _modifiers(ent: Entity) -> str:
    flags = (x if "=" in x else f"{x}=true" for x in ent.attributes)
    return ",".join((f"label={ent.label}", *flags))


def _is_absent(attribute: str) -> bool:
    """Whether an attribute says that the patient does not have what is named."""
    name, is_pair, value = attribute.lower().partition("=")
    if name in ("subject", "experiencer"):
        return value != "patient"
    if name == "polarity":
        return value.startswith(("neg", "-"))
    return _is_one_of(_ABSENT, name, value if is_pair else None)


def _is_past(attribute: str) -> bool:
    name, is_pair, value = attribute.lower().partition("=")
    return _is_one_of(_PAST, name, value if is_pair else None)


def _is_one_of(names: frozenset[str], name: str, value: str | None) -> bool:
    """Whether a flag, a pair of a flag and yes, or a value is one of ``names``."""
    return value in names or (name in names and value not in _NO)
