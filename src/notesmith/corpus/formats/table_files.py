"""Open delimited tables (CSV, TSV): their cells, and what each column holds by its heading.

The heading is matched as people write it: case, spaces and underscores do not count. The sign that
divides the cells is the one with which most columns have a heading that is known.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from notesmith.corpus.problems import Tally, read_text
from notesmith.errors import CorpusError, shown_doc, shown_heading
from notesmith.files.read import LINE_BYTES, read_head

SUFFIXES = frozenset({".csv", ".tsv", ".tab"})
_DELIMITERS = "\t,;|"
_HEAD_BYTES = 4096
# What a column may hold, and its headings, the first that occurs counts.
_DOCUMENT = (
    "docid documentid document doc noteid fileid filename file articleid article reportid textid "
    "recordid tweetid tweetsid pmid"
).split()
COLUMNS: Mapping[str, Sequence[str]] = {
    "document": _DOCUMENT,
    "start": (
        "start begin startoffset beginoffset offsetstart offsetbegin startchar charstart startspan "
        "spanstart startpos startposition startindex off0"
    ).split(),
    "end": (
        "end stop endoffset offsetend endchar charend endspan spanend endpos endposition endindex "
        "off1"
    ).split(),
    "length": ["length", "len"],
    "label": (
        "label type entitytype entitylabel category class tag semantictype entity concept"
    ).split(),
    "text": (
        "text mention span mentiontext entitytext coveredtext surface surfaceform extraction term "
        "string entity"
    ).split(),
    "concept": (
        "conceptid conceptcode cui umlscui code identifier snomed snomedid icd10 mesh concept"
    ).split(),
    "id": "annid annotationid mentionid entityid mark id".split(),
}
_NOTE_TEXT = "text notetext documenttext content body note report transcription".split()


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: its number in the file and its cells by heading."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file, and the heading of each kind of column that it has."""

    path: Path
    headings: Sequence[str]
    columns: Mapping[str, str]
    rows: Sequence[Row]

    def listed(self) -> str:
        """The headings, for a message."""
        return ", ".join(shown_heading(heading) for heading in self.headings) or "none"


def plain(heading: str) -> str:
    """A heading without case, spaces and signs."""
    return re.sub(r"[\W_]", "", heading).lower()


def mention_columns(headings: Sequence[str], label: str | None = None) -> dict[str, str]:
    """The heading of each kind of column of a table of mentions.

    Args:
        headings: the cells of the first line.
        label: the heading of the label's column, where it is named.
    """
    free = {plain(heading): heading for heading in reversed(headings)}
    found: dict[str, str] = {}
    if label is not None and plain(label) in free:
        found["label"] = free.pop(plain(label))
    for kind, names in COLUMNS.items():
        if kind not in found and (name := next((n for n in names if n in free), None)):
            found[kind] = free.pop(name)
    if "document" not in found and "id" in found and plain(found["id"]) == "id":
        found["document"] = found.pop("id")
    # "offset" and "length" are a pair.
    if "start" not in found and "length" in found and "offset" in free:
        found["start"] = free["offset"]
    return found


def note_columns(headings: Sequence[str]) -> dict[str, str]:
    """The headings of id and text of a table of notes; empty if it is none."""
    free = {plain(heading): heading for heading in reversed(headings)}
    text = next((free[name] for name in _NOTE_TEXT if name in free), None)
    names = (*_DOCUMENT, "id", "rowid", "note")
    id_ = next((free[name] for name in names if name in free and free[name] != text), None)
    return {"document": id_, "text": text} if id_ and text else {}


def is_mentions(head: str) -> bool:
    """Whether a file that begins with ``head`` is a table of mentions with offsets."""
    found = mention_columns(_headings(head))
    has_range = "start" in found and ("end" in found or "length" in found)
    return has_range and len(found.keys() & {"document", "label", "text", "concept"}) > 1


def is_notes(head: str) -> bool:
    """Whether a file that begins with ``head`` is a table of notes: an id and a text."""
    return bool(note_columns(_headings(head))) and not is_mentions(head)


def _headings(head: str) -> list[str]:
    return _cells_of_first(head, _delimiter(head))


def _cells_of_first(head: str, delimiter: str) -> list[str]:
    line = re.split(r"\r\n|\n|\r", head.removeprefix("\ufeff"), maxsplit=1)[0]
    return [cell.strip().strip('"').strip() for cell in line.split(delimiter)]


def _delimiter(head: str) -> str:
    def n_known(delimiter: str) -> tuple[int, int]:
        cells = _cells_of_first(head, delimiter)
        return max(len(mention_columns(cells)), len(note_columns(cells))), len(cells)

    return max(_DELIMITERS, key=n_known)


def read_table(path: Path, tally: Tally, columns: Mapping[str, str] | None = None) -> Table | None:
    """Read a table; None if it was dropped.

    Args:
        path: the file.
        tally: what becomes of a line with too many or too few cells.
        columns: the heading of each kind of column; none are known if None.

    Raises:
        CorpusError: it has no heading, or cannot be divided into cells.
    """
    raw = read_text(path, tally)
    if raw is None:
        return None
    raw = raw.removeprefix("\ufeff")
    delimiter = _delimiter(raw)
    try:
        lines = list(_lines(raw, delimiter, csv.QUOTE_MINIMAL))
        is_ragged = len({len(cells) for _, cells in lines}) > 1
    except csv.Error as error:
        lines, is_ragged = [], True
        if delimiter != "\t":
            raise CorpusError(f"{path}: not CSV ({error}); quote the cells") from None
    if is_ragged and delimiter == "\t":
        # Tools that write tabs often do not quote.
        lines = list(_lines(raw, delimiter, csv.QUOTE_NONE))
    if not lines:
        raise CorpusError(f"{path}: empty; a table needs a heading")
    headings = [cell.strip() for cell in lines[0][1]]
    rows = []
    for number, cells in lines[1:]:
        if len(cells) != len(headings):
            error_ = f"{len(cells)} cells, the heading has {len(headings)}; quote the cells"
            tally.drop("row", CorpusError(f"{path}:{number}: {error_}"))
            continue
        rows.append(Row(number, dict(zip(headings, cells, strict=True))))
    return Table(path, headings, columns or {}, rows)


def _lines(raw: str, delimiter: str, quoting: Literal[0, 3]) -> Iterator[tuple[int, list[str]]]:
    """Lines that are not empty, with their numbers."""
    limit = csv.field_size_limit(LINE_BYTES)
    try:
        reader = csv.reader(
            io.StringIO(raw, newline=""), delimiter=delimiter, quoting=quoting, strict=True
        )
        number = 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield number, cells
            number = reader.line_num + 1
    finally:
        csv.field_size_limit(limit)


def tables_below(folder: Path) -> tuple[Path, ...]:
    """The tables of mentions below a folder; looked up once while the folder stays as it is."""
    return _tables_below(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _tables_below(folder: Path, changed: int) -> tuple[Path, ...]:
    return tuple(
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file() and is_mentions(_head(path))
    )


def notes_below(folder: Path) -> list[Path]:
    """The files below a folder that may hold texts: ``.txt`` files and tables of notes."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.name.startswith(".")
        and (
            path.suffix.lower() in (".txt", ".text")
            or (path.suffix.lower() in SUFFIXES and is_notes(_head(path)))
        )
    ]


def _head(path: Path) -> str:
    return read_head(path, _HEAD_BYTES).decode("utf-8", errors="replace")


def doc_id_of(cell: str) -> str:
    """The id that a cell names, which may be the name of a file."""
    return re.sub(r"\.(?:txt|text)\Z", "", cell.strip(), flags=re.IGNORECASE)


@dataclass(slots=True)
class Texts:
    """The texts of a folder or of a table of notes, read when they are asked for."""

    source: Path
    tally: Tally
    files: dict[str, Path] = field(default_factory=dict)
    cells: dict[str, str] = field(default_factory=dict)
    short: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        folder = self.source if self.source.is_dir() else self.source.parent
        for path in notes_below(folder) if self.source.is_dir() else [self.source]:
            if path.suffix.lower() in SUFFIXES:
                self._table(path)
            else:
                self.files[path.relative_to(folder).with_suffix("").as_posix()] = path
        for name in (*self.files, *self.cells):
            self.short.setdefault(name.rpartition("/")[2], []).append(name)

    def _table(self, path: Path) -> None:
        table = read_table(path, self.tally)
        if table is None:
            return
        columns = note_columns(table.headings)
        if not columns:
            raise CorpusError(
                f"{path}: no columns for id and text among: {table.listed()}; rename them (id, "
                "text)"
            )
        for row in table.rows:
            doc_id, text = doc_id_of(row.cells[columns["document"]]), row.cells[columns["text"]]
            if self.cells.setdefault(doc_id, text) != text:
                raise CorpusError(
                    f"{path}:{row.number}: {shown_doc(doc_id)} stands twice with different texts; "
                    "remove one"
                )

    def names(self) -> list[str]:
        """All names, tables first."""
        return [*self.cells, *(name for name in self.files if name not in self.cells)]

    def name(self, doc_id: str) -> str:
        """The name of a document's text: the id, or a path that ends in it."""
        found = self.short.get(doc_id.rpartition("/")[2], [])
        fits = [name for name in found if name == doc_id or name.endswith(f"/{doc_id}")]
        return fits[0] if len(fits) == 1 else doc_id

    def text(self, doc_id: str) -> str:
        """The text of a document.

        Raises:
            CorpusError: there is none, or it was dropped.
        """
        name = self.name(doc_id)
        if name in self.cells:
            return self.cells[name]
        if name not in self.files:
            raise CorpusError(
                "no text of this id; name the folder of .txt files, or a table of ids and texts, "
                "with --tasks"
            )
        text = read_text(self.files[name], self.tally)
        if text is None:
            raise CorpusError("its text cannot be read")
        return text.removeprefix("\ufeff")
