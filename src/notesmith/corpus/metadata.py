"""Add what a side table knows about documents: patient, kind, date or any other column.

Formats such as brat and PubTator have no place for these; splits by patient need them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from notesmith.corpus.problems import Tally, read_text
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError, shown_doc

Table = Mapping[str, Mapping[str, str]]


def read_metadata(path: Path) -> Table:
    """Read a table of documents: tab-separated if ``.tsv``, else comma-separated, with a heading.

    Lines may end as on any system, and a quoted cell may hold line ends.

    Returns:
        the filled cells by column name, by document id (the column ``id``).

    Raises:
        CorpusError: there is no column ``id``, an id is missing or stands twice, or it is no CSV.
    """
    text = (read_text(path, Tally()) or "").removeprefix("\ufeff")
    rows = csv.DictReader(
        io.StringIO(text, newline=""), delimiter="\t" if path.suffix == ".tsv" else ",", strict=True
    )
    try:
        return _table(path, rows)
    except csv.Error as error:
        raise CorpusError(
            f"{path}:{rows.line_num}: not CSV ({error}); quote the cells, or write them anew"
        ) from None


def _table(path: Path, rows: csv.DictReader[str]) -> Table:
    if "id" not in (rows.fieldnames or ()):
        raise CorpusError(f"{path}:1: no column 'id'; the first line names the columns")
    table: dict[str, dict[str, str]] = {}
    for row in rows:
        doc_id = row.pop("id")
        if not doc_id:
            raise CorpusError(
                f"{path}:{rows.line_num}: no id; name the document, or remove the line"
            )
        if doc_id in table:
            raise CorpusError(
                f"{path}:{rows.line_num}: {shown_doc(doc_id)} stands twice; remove one"
            )
        if None in row:
            raise CorpusError(f"{path}:{rows.line_num}: more cells than columns; quote the cells")
        table[doc_id] = {name: value for name, value in row.items() if value}
    return table


def add_metadata(docs: Sequence[Document], table: Table, tally: Tally) -> list[Document]:
    """Return ``docs`` with the cells of ``table`` added to their metadata; the table wins."""
    ids = {doc.id for doc in docs}
    tally.note("documents without a line in the metadata table", len(ids - table.keys()))
    tally.note("lines of the metadata table without a document", len(table.keys() - ids))
    return [
        replace(doc, metadata={**doc.metadata, **table[doc.id]}) if doc.id in table else doc
        for doc in docs
    ]


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
