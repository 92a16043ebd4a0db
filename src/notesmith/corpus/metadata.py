"""Add what a side table knows about documents: patient, kind, date or any other column.

Formats such as brat and PubTator have no place for these; splits by patient need them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from notesmith.corpus.problems import Tally, read_lines
from notesmith.document import Document
from notesmith.errors import CorpusError

Table = Mapping[str, Mapping[str, str]]


def read_metadata(path: Path) -> Table:
    """Read a table of documents: tab-separated if ``.tsv``, else comma-separated, with a heading.

    Returns:
        the filled cells by column name, by document id (the column ``id``).

    Raises:
        CorpusError: there is no column ``id``, or an id stands twice.
    """
    lines = [line.text or "" for line in read_lines(path, Tally())]
    rows = csv.DictReader(lines, delimiter="\t" if path.suffix == ".tsv" else ",")
    if "id" not in (rows.fieldnames or ()):
        raise CorpusError(f"{path}:1: no column 'id'; the first line names the columns")
    table: dict[str, dict[str, str]] = {}
    for row in rows:
        doc_id = row.pop("id")
        if doc_id in table:
            raise CorpusError(f"{path}:{rows.line_num}: doc {doc_id!r} stands twice; remove one")
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
