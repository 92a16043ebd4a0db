"""Texts of a Parquet file, a few rows at a time: notes without labels, in whatever columns.

The text is the column ``text``, or one that is named; where a file has tokens alone they are
joined, as ``parquet`` joins them. Labels are not looked at. A message names a place as
``FILE:ROW``, counted from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from notesmith.corpus.formats import conll
from notesmith.corpus.formats.json_values import NoteFields, check_text
from notesmith.corpus.formats.parquet import Table, layout, unreadable, unreadable_errors
from notesmith.corpus.formats.parquet_bounds import check
from notesmith.corpus.problems import Tally
from notesmith.document import Document
from notesmith.errors import CorpusError, shown_name
from notesmith.files.read import Budget, open_arrow

_BATCH = 128
_TOKENS = ("tokens", "offsets", "spaces")


def read_notes(path: Path, stem: str, tally: Tally, fields: NoteFields) -> Iterator[Document]:
    """The texts of ``path``, in order; rows without an id are named after ``stem``."""
    with tally.dropping("file", str(path)), open_arrow(path) as data:
        file = _open(data)
        names = file.schema_arrow.names
        text, id_ = _columns(names, fields)
        wanted = [name for name in (text, id_, *_TOKENS) if name is not None and name in names]
        if text is None and fields.id is None and id_ is not None and _is_counted(file):
            id_ = None
        _check(data, file, wanted)
        number = -1
        for table in _batches(file, wanted):
            for row in range(table.n_rows):
                number += 1
                with tally.dropping("document", f"{path}:{number}"):
                    doc_id = f"{stem}-{number}" if id_ is None else _id(table.value(id_, row), id_)
                    yield _document(table, row, doc_id, text)


def _open(data: Any) -> Any:
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(data)
    except unreadable_errors() as error:
        raise unreadable(error) from None


def _check(data: Any, file: Any, columns: Sequence[str]) -> None:
    try:
        # A stream: rows may be many as long as they are fair.
        check(data, file, columns, Budget.unpacking("", data.size(), whole=False))
    except CorpusError:
        raise
    except unreadable_errors() as error:
        raise unreadable(error) from None


def _columns(names: Sequence[str], fields: NoteFields) -> tuple[str | None, str | None]:
    """The columns of text and id; no text where tokens are to be joined.

    Raises:
        CorpusError: a named column is absent, or there is neither text nor tokens.
    """
    listed = ", ".join(map(shown_name, names[:20]))
    for name in (fields.text, fields.id):
        if name is not None and name not in names:
            raise CorpusError(f"no column {name!r}; it has {listed}")
    text = fields.text or ("text" if "text" in names else None)
    if text is None and "tokens" not in names:
        raise CorpusError(f"no column 'text'; name the one of the text, it has {listed}")
    return text, fields.id or ("id" if "id" in names else None)


def _batches(file: Any, columns: Sequence[str]) -> Iterator[Table]:
    try:
        for batch in file.iter_batches(batch_size=_BATCH, columns=list(columns)):
            found = {name: batch.column(name) for name in batch.schema.names}
            yield Table(found, None, batch.num_rows)
    except unreadable_errors() as error:
        raise unreadable(error) from None


def _is_counted(file: Any) -> bool:
    """Whether ids are numbers of rows, which begin anew in every split and name no document."""
    number = 0
    for table in _batches(file, ["id"]):
        for row in range(table.n_rows):
            if str(table.value("id", row)) != str(number):
                return False
            number += 1
    return True


def _id(value: Any, column: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise CorpusError(f"{column} is no string and no number; name the document")
    return str(value)


def _document(table: Table, row: int, doc_id: str, column: str | None) -> Document:
    text = table.value(column, row) if column is not None else None
    if isinstance(text, str):
        check_text(text)
        return Document(doc_id, text)
    if text is not None:
        raise CorpusError(f"column {column} is no string; convert it")
    if "tokens" not in table.columns:
        raise CorpusError(f"column {column} is null; fill it or leave the row out")
    tokens = table.values("tokens", row)
    if not all(isinstance(token, str) for token in tokens):
        raise CorpusError("column tokens must hold strings; convert it")
    spaced = not {column, "spaces"} & table.columns.keys()
    spaced = spaced and not any(map(str.isspace, "".join(tokens)))
    return Document(
        doc_id,
        layout(table, row, tokens)[0],
        metadata={conll.TOKENS: "spaces"} if spaced else {},
    )
