"""Add what a side table knows about documents: patient, kind, date or any other column.

Formats such as brat and PubTator have no place for these; splits by patient need them. A table is
read as spreadsheets and databases write it: separated by commas, semicolons, tabs or bars, with a
byte order mark or none, its columns named in many ways.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from notesmith.corpus.problems import Tally
from notesmith.document import Document
from notesmith.errors import (
    ConfigError,
    CorpusError,
    shown_doc,
    shown_heading,
    shown_id,
    shown_name,
)
from notesmith.files.read import read_bytes

if TYPE_CHECKING:
    from _csv import Reader

# Names of columns, without case, spaces and signs; the first that there is is taken.
_IDS = (
    *("id", "docid", "documentid", "document", "doc", "noteid"),
    *("fileid", "filename", "file", "rowid"),
)
_PATIENTS = (
    *("patient", "patientid", "subjectid", "subject", "personid", "person", "mrn", "pid"),
    *("patientnumber", "patientno", "patientnr", "patientidentifier"),
)
_KINDS = ("kind",)
# A column whose name holds one of these and is not known must not pass for another field.
_OF_A_PATIENT = re.compile(r"patient|subject|person|mrn")
_DELIMITERS = ",;\t|"
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Endings that a table of file names has and the ids of documents have not.
_ENDINGS = frozenset({".txt", ".ann", ".xml", ".json", ".conll", ".tsv", ".html", ".text"})


@dataclass(frozen=True, slots=True)
class Table:
    """The filled cells of a table by column name, by document id.

    ``column`` is the name of the column with the ids.
    """

    path: Path
    column: str
    rows: Mapping[str, Mapping[str, str]]


def read_metadata(path: Path, *, encoding: str = "utf-8") -> Table:
    """Read a table of documents with a heading.

    The column of ids and that of patients are found by their names as people write them (``ID``,
    ``note_id``, ``file name``; ``Patient``, ``subject_id``); the patient is then ``patient``.
    Spaces around names and cells go. Lines may end as on any system, and a quoted cell may hold
    line ends.

    Args:
        path: the table.
        encoding: of a table without a byte order mark.

    Raises:
        CorpusError: no column holds ids, or one looks like that of patients and is not known by its
            name; an id is missing or stands twice; or it is no such table.
        ConfigError: there is no such encoding.
    """
    text = _decoded(path, encoding)
    # A line that Excel writes and reads: which sign stands between cells.
    sign = re.match(r"sep=([,;\t|])\r?\n", text, re.IGNORECASE)
    text = text[sign.end() :] if sign else text
    delimiter = sign[1] if sign else _delimiter(text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    before = 1 if sign else 0
    try:
        return _table(path, rows, before)
    except csv.Error as error:
        raise CorpusError(
            f"{path}:{rows.line_num + before}: not CSV ({error}); quote the cells, or write them "
            "anew"
        ) from None


def _decoded(path: Path, encoding: str) -> str:
    data = read_bytes(path)
    if data.startswith(b"PK\x03\x04"):
        raise CorpusError(f"{path}: a workbook, not a table of text; save the sheet as CSV (UTF-8)")
    own = next((name for bom, name in _BOMS.items() if data.startswith(bom)), encoding)
    try:
        return data.decode(own)
    except LookupError:
        raise ConfigError(f"encoding {encoding!r} is unknown; name one such as cp1252") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{path}:{line}: byte {error.start} is not {own}; name the table's encoding with "
            "--encoding, such as cp1252, or save it as UTF-8"
        ) from None


def _delimiter(text: str) -> str:
    """The sign that divides the heading into the most cells."""
    heading = text.partition("\n")[0]
    return max(_DELIMITERS, key=lambda sign: len(next(csv.reader([heading], delimiter=sign), [])))


def _table(path: Path, rows: Reader, before: int) -> Table:
    names = [name.strip() for name in next(rows, [])]
    column = _columns(path, names)
    table: dict[str, dict[str, str]] = {}
    for cells in rows:
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue  # what spreadsheets leave at the end
        where = f"{path}:{rows.line_num + before}"
        if len(cells) > len(names):
            raise CorpusError(f"{where}: more cells than columns; quote the cells")
        row = {name: cell for name, cell in zip(names, cells, strict=False) if cell}
        doc_id = row.pop(column.ids, "")
        if not doc_id:
            raise CorpusError(f"{where}: no id; name the document, or remove the line")
        if doc_id in table:
            raise CorpusError(f"{where}: {shown_doc(doc_id)} stands twice; remove one")
        table[doc_id] = {column.renamed.get(name, name): cell for name, cell in row.items()}
    return Table(path, column.ids, table)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The column of ids, and what others are called here."""

    ids: str
    renamed: Mapping[str, str]


def _columns(path: Path, names: Sequence[str]) -> _Columns:
    there = ", ".join(map(shown_heading, names)) or "none"
    if twice := [name for name, n in Counter(filter(None, names)).items() if n > 1]:
        raise CorpusError(f"{path}:1: column {shown_name(twice[0])} stands twice; rename one")
    ids = _found(names, _IDS)
    if ids is None:
        raise CorpusError(
            f"{path}:1: no column of document ids among its columns ({there}); call it id"
        )
    rest = [name for name in names if name != ids]
    patient, kind = _found(rest, _PATIENTS), _found(rest, _KINDS)
    alike = [name for name in rest if _OF_A_PATIENT.search(_plain(name))]
    if patient is None and alike:
        raise CorpusError(
            f"{path}:1: no column is known to be that of patients ({there}); call it patient"
        )
    named = {"patient": patient, "kind": kind}
    return _Columns(ids, {name: known for known, name in named.items() if name is not None})


def _plain(name: str) -> str:
    """A name without case, spaces and signs."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _found(names: Sequence[str], known: Sequence[str]) -> str | None:
    by_name = {_plain(name): name for name in reversed(names)}
    return next((by_name[name] for name in known if name in by_name), None)


def add_metadata(docs: Sequence[Document], table: Table, tally: Tally) -> list[Document]:
    """Return ``docs`` with the cells of ``table`` added to their metadata; the table wins.

    Where ids differ by leading zeros that a spreadsheet took away, or by the endings of file names,
    they are matched if that finds one line for each document without doubt, and it is counted.

    Raises:
        CorpusError: a document has no line. With ``on_problem`` ``count`` it is counted instead,
            unless no document has one.
    """
    rows = table.rows
    ids = [doc.id for doc in docs]
    lines = {doc_id: doc_id for doc_id in ids if doc_id in rows}
    if len(lines) < len(docs):
        for what, form in _FORMS.items():
            if (found := _matched(ids, rows, form)) is not None:
                tally.note(f"documents matched with the metadata table {what}", len(docs))
                lines = found
                break
        else:
            error = _unmatched(ids, table)
            if not lines or tally.on_problem == "raise":
                raise error
            tally.note("documents without a line in the metadata table", len(docs) - len(lines))
    tally.note(
        "lines of the metadata table without a document", len(rows) - len(set(lines.values()))
    )
    return [
        replace(doc, metadata={**doc.metadata, **rows[lines[doc.id]]}) if doc.id in lines else doc
        for doc in docs
    ]


def _without_ending(doc_id: str) -> str:
    path = PurePath(doc_id.replace("\\", "/"))
    return str(path.with_suffix("")) if path.suffix.lower() in _ENDINGS else str(path)


def _without_zeros(doc_id: str) -> str:
    return (doc_id.lstrip("0") or "0") if doc_id.isdecimal() else doc_id


_FORMS: Mapping[str, Callable[[str], str]] = {
    "without the endings of file names": _without_ending,
    "without leading zeros": _without_zeros,
}


def _matched(
    ids: Sequence[str], rows: Mapping[str, object], form: Callable[[str], str]
) -> dict[str, str] | None:
    """The line of every document by a form of the ids; None where one has none, or two could be."""
    n_docs, n_rows = Counter(map(form, ids)), Counter(map(form, rows))
    if any(n_docs[key] > 1 or n_rows[key] != 1 for key in n_docs):
        return None
    by_form = {form(doc_id): doc_id for doc_id in rows}
    return {doc_id: by_form[form(doc_id)] for doc_id in ids}


def _unmatched(ids: Sequence[str], table: Table) -> CorpusError:
    rows = table.rows
    absent = [doc_id for doc_id in ids if doc_id not in rows]
    unused = list(rows.keys() - set(ids))
    zeros = Counter(map(_without_zeros, {*ids, *rows}))
    of_zeros = any(zeros[_without_zeros(doc_id)] > 1 for doc_id in absent)
    like = f", such as {shown_id(min(unused))}" if unused else ""
    return CorpusError(
        f"{table.path}: {len(absent)} of {len(ids)} documents have no line, such as "
        f"{shown_doc(absent[0])}; {len(unused)} of its {len(rows)} lines have no document{like} "
        f"(column {shown_name(table.column)}); "
        + (
            "leading zeros were lost, and it is in doubt which line is whose: write the ids as text"
            if of_zeros
            else "write the ids of the documents, or call their column id"
        )
    )


def add_patients(docs: Sequence[Document], pattern: str, tally: Tally) -> list[Document]:
    """Return ``docs`` with the patient that each one's id tells; what is known already wins.

    Args:
        docs: documents.
        pattern: a regular expression that is searched in the id; its first group, or the whole
            match where it has none, is the patient.
        tally: counts ids that do not match.

    Raises:
        ConfigError: the pattern is no regular expression, or matches no id.
    """
    try:
        found = [re.search(pattern, doc.id) for doc in docs]
    except re.error as error:
        raise ConfigError(f"patient-from {pattern!r}: {error}; correct it") from None
    if docs and not any(found):
        raise ConfigError(f"patient-from {pattern!r} matches none of {len(docs)} ids; correct it")
    tally.note("documents whose id tells no patient", sum(match is None for match in found))
    return [
        doc
        if match is None or not (patient := match[1 if match.re.groups else 0])
        else replace(doc, metadata={"patient": patient, **doc.metadata})
        for doc, match in zip(docs, found, strict=True)
    ]
