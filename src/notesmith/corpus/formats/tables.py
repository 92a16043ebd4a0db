"""Delimited tables of mentions (CSV, TSV) beside their texts.

A row is a mention: document, start, end (or length), label, and mostly the mention's text and the
code of a concept. The texts are ``.txt`` files named as the documents, or a table of ids and texts,
in the folder or named with ``--tasks``. Offsets may count from 0 or 1, the end may belong to the
mention or not, line ends may count one or two: the mentions' texts tell, once for a file; without
them the borders of words do, or the file is refused. Shapes: DisTEMIST and MedProcNER (``filename
mark label off0 off1 span code``), ProfNER (``tweet_id begin end type extraction``), the entity
linking benchmark of SNOMED CT (``note_id start end concept_id``), and those of spreadsheets.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from notesmith.corpus.formats.bioc_text import UNITS, Layout, Piece, Unit, spaced
from notesmith.corpus.formats.pubtator import check_mention
from notesmith.corpus.formats.table_files import (
    SUFFIXES,
    Row,
    Table,
    Texts,
    doc_id_of,
    is_mentions,
    is_notes,
    mention_columns,
    read_table,
    tables_below,
)
from notesmith.corpus.formats.unread import Unread, masks
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Span
from notesmith.errors import CorpusError, OffsetError, shown_doc, shown_name
from notesmith.files.write import atomic_folder, write_part

_NUMBER = re.compile(r"([0-9]{1,9})(?:\.0+)?")
_EMPTY = frozenset({"", "-", "na", "nan", "n/a", "none", "null"})
_HEADING = ("doc_id", "ann_id", "start", "end", "label", "text", "code")
_SURE = 0.9
_MARGIN = 0.2


def claims(path: Path, root: Path, head: str, *, alone: bool) -> bool:
    """Whether a file is a table of mentions, or a text or table of texts below one's folder."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES and is_mentions(head):
        return True
    is_text = suffix in (".txt", ".text") or (suffix in SUFFIXES and is_notes(head))
    return is_text and not alone and bool(tables_below(root))


def read(
    path: Path,
    root: Path,
    tally: Tally,
    *,
    tasks: Path | None = None,
    label: str | None = None,
    alone: bool = False,
) -> Iterator[Document]:
    """Read the documents of a table of mentions; a text beside one gives none of its own.

    A text that no table of the folder names is a document without mentions. It is left out where
    the table alone was named.

    Args:
        path: the file.
        root: the folder that is read, or that of the file.
        tally: counts, and what to do with a bad row.
        tasks: the texts: a folder, or a table of ids and texts.
        label: the heading of the label's column.
        alone: whether the table was named itself.
    """
    if not alone and path not in tables_below(root):
        return
    with tally.dropping("file", str(path)):
        table = _mentions(path, tally, label)
        if table is None:
            return
        texts = Texts(root if tasks is None else tasks, tally)
        by_doc: dict[str, list[Row]] = {}
        for row in table.rows:
            by_doc.setdefault(doc_id_of(row.cells[table.columns["document"]]), []).append(row)
        drafts = []
        for doc_id, rows in by_doc.items():
            with tally.dropping("document", f"{path}:{rows[0].number}: {shown_doc(doc_id)}"):
                drafts.append(_Draft(doc_id, texts.text(doc_id), rows))
        way = _way(table, drafts, tally)
        for draft in drafts:
            with tally.dropping("document", f"{path}: {shown_doc(draft.id)}"):
                yield _Reading(table, draft, way, tally).document()
        yield from _rest(path, root, texts, by_doc, tally, every=tasks is not None, alone=alone)


def _rest(
    path: Path,
    root: Path,
    texts: Texts,
    by_doc: Mapping[str, object],
    tally: Tally,
    *,
    every: bool,
    alone: bool,
) -> Iterator[Document]:
    """Documents of the texts that no table names, if this is the table that gives them."""
    named = {texts.name(doc_id) for doc_id in by_doc}
    others = () if every else tuple(other for other in tables_below(root) if other != path)
    for other in others:
        if (table := _mentions(other, Tally("count"), None)) is not None:
            column = table.columns["document"]
            named |= {texts.name(doc_id_of(row.cells[column])) for row in table.rows}
    rest = [name for name in texts.names() if name not in named]
    if alone and not every:
        tally.note("texts without a row in the table, left out", len(rest))
    elif every or path == tables_below(root)[0]:
        tally.note("texts without a row in a table, read as without mentions", len(rest))
        for name in rest:
            yield Document(name, texts.text(name))


def _mentions(path: Path, tally: Tally, label: str | None) -> Table | None:
    table = read_table(path, tally)
    if table is None:
        return None
    columns = mention_columns(table.headings, label)
    missing = [kind for kind in ("document", "start", "label") if kind not in columns]
    missing += [] if columns.keys() & {"end", "length"} else ["end"]
    if label is not None and columns.get("label", "") not in table.headings:
        missing.append("label")
    if missing:
        raise CorpusError(
            f"no column for {', '.join(missing)} among: {table.listed()}; rename one (doc_id, "
            "start, end, label, text), or name the label's with --feature"
        )
    return replace(table, columns=columns)


@dataclass(slots=True)
class _Draft:
    """A document to be: its text and its rows."""

    id: str
    text: str
    rows: list[Row]
    layouts: dict[tuple[Unit, bool], Layout] = field(default_factory=dict)

    def layout(self, way: _Way) -> Layout:
        """The text as the offsets of ``way`` count it."""
        key = (way.unit, way.is_lf)
        if key not in self.layouts:
            text = self.text.replace("\r\n", "\n") if way.is_lf else self.text
            self.layouts[key] = Layout([Piece(0, text)], way.unit)
        return self.layouts[key]


@dataclass(frozen=True, slots=True)
class _Way:
    """How a table counts: unit, first offset, whether the end is inside, and line ends as one."""

    unit: Unit = UNITS[0]
    first: int = 0
    inside: int = 0
    is_lf: bool = False


_WAYS = tuple(
    _Way(unit, first, inside, is_lf)
    for is_lf in (False, True)
    for unit in UNITS
    for first in (0, 1)
    for inside in (0, 1)
)


def _range(table: Table, row: Row) -> Span | None:
    """The offsets of a row as they stand; None where the row says that there is no mention."""
    columns = table.columns
    last = columns.get("end", columns.get("length", ""))
    cells = [row.cells[columns["start"]].strip(), row.cells[last].strip()]
    if all(cell.lower() in _EMPTY for cell in cells):
        return None
    numbers = [_NUMBER.fullmatch(cell) for cell in cells]
    if numbers[0] is None or numbers[1] is None:
        raise OffsetError(f"start and {shown_name(last)} must be whole numbers; correct the row")
    start, end = int(numbers[0].group(1)), int(numbers[1].group(1))
    return (start, end) if "end" in columns else (start, start + end)


def _span(table: Table, row: Row, draft: _Draft, way: _Way) -> Span | None:
    try:
        found = _range(table, row)
    except CorpusError:
        return None
    if found is None:
        return None
    inside = way.inside if "end" in table.columns else 0
    start, end = found[0] - way.first, found[1] - way.first + inside
    return draft.layout(way).span(start, end, (0,)) if start >= 0 else None


def _written(table: Table, row: Row) -> str:
    return row.cells.get(table.columns.get("text", ""), "")


def _way(table: Table, drafts: Sequence[_Draft], tally: Tally) -> _Way:
    """How a table counts, by the texts of its mentions or, without them, by borders of words.

    Raises:
        CorpusError: there are no texts, and the borders of words do not tell.
    """
    rows = [(draft, row) for draft in drafts for row in draft.rows]
    told = [(draft, row) for draft, row in rows if _written(table, row).strip()]

    def n_agreeing(way: _Way) -> int:
        return sum(
            (span := _span(table, row, draft, way)) is not None
            and spaced(draft.layout(way).text[slice(*span)]) == spaced(_written(table, row))
            for draft, row in told
        )

    if told:
        best, n_best = _WAYS[0], n_agreeing(_WAYS[0])
        for way in _WAYS[1:] if n_best < len(told) else ():
            if (n := n_agreeing(way)) > n_best:
                best, n_best = way, n
    else:
        best = _by_borders(table, rows)
        tally.note("tables without texts of mentions, read by borders of words", bool(rows))
    tally.note(f"tables whose offsets count {best.unit}", best.unit != UNITS[0])
    tally.note("tables whose offsets count from 1", best.first)
    tally.note("tables whose end offset is inside the mention", best.inside)
    tally.note(r"tables whose offsets count \r\n as one (text read so)", best.is_lf)
    return best


def _by_borders(table: Table, rows: Sequence[tuple[_Draft, Row]]) -> _Way:
    scores: dict[tuple[Span | None, ...], tuple[int, _Way]] = {}
    n_rows = 0
    for way in _WAYS:
        spans = tuple(_span(table, row, draft, way) for draft, row in rows)
        texts = [draft.layout(way).text for draft, _ in rows]
        n = sum(
            span is not None and _is_word(text, *span)
            for text, span in zip(texts, spans, strict=True)
        )
        n_rows = max(n_rows, sum(span is not None for span in spans))
        # Ways that give the same mentions are one.
        scores.setdefault(spans, (n, way))
    ranked = sorted(scores.values(), key=lambda score: -score[0])
    n_best, best = ranked[0]
    second = ranked[1][0] if len(ranked) > 1 else 0
    if rows and (n_best < _SURE * n_rows or n_best - second < _MARGIN * n_rows):
        raise CorpusError(
            "has no column with the texts of the mentions, and nothing else tells whether an end "
            "offset is the last character or the one after it; add a column 'text'"
        )
    return best


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether a range begins and ends with a letter or digit, and cuts no word."""
    around = (text[start - 1 : start] if start else "", text[end : end + 1])
    inner = (text[start], text[end - 1])
    return all(char.isalnum() for char in inner) and not any(char.isalnum() for char in around)


@dataclass(slots=True)
class _Reading:
    """One document while it is read."""

    table: Table
    draft: _Draft
    way: _Way
    tally: Tally
    entities: dict[tuple[str, Span], Entity] = field(default_factory=dict)
    unread: list[Unread] = field(default_factory=list)

    def document(self) -> Document:
        text = self.draft.layout(self.way).text
        for row in self.draft.rows:
            try:
                self._row(row, text)
            except CorpusError as error:
                where = f"{self.table.path}:{row.number}: {shown_doc(self.draft.id)}"
                self.tally.mask("mention", type(error)(f"{where}: {error}"))
                span = _span(self.table, row, self.draft, self.way)
                self.unread.append(Unread((span,) if span else (), _written(self.table, row)))
        entities = tuple(self.entities.values())
        masked = masks(text, self.unread, entities)
        if masked is None:
            raise CorpusError("a mention may stand anywhere in the text; correct its row")
        return Document(self.draft.id, text, entities, masked=masked)

    def _row(self, row: Row, text: str) -> None:
        columns = self.table.columns
        others = {heading for heading, cell in row.cells.items() if cell.strip()}
        for heading in sorted(others - set(columns.values())):
            self.tally.note(f"cells of column {shown_name(heading)} left out")
        label = row.cells[columns["label"]].strip()
        if _range(self.table, row) is None:
            if (
                label.lower() not in _EMPTY
                or _written(self.table, row).strip().lower() not in _EMPTY
            ):
                raise OffsetError("a row has a label or text and no offsets; correct it")
            self.tally.note("rows that say that a document has no mention")
            return
        span = _span(self.table, row, self.draft, self.way)
        if span is None:
            raise OffsetError(
                f"its offsets are past end {len(text)}, empty or inside a character; correct them"
            )
        place = f"[{span[0]}, {span[1]})"
        if label.lower() in _EMPTY:
            raise CorpusError(f"{place} has no label; name it")
        if written := _written(self.table, row).strip():
            check_mention(text[slice(*span)], written, place, self.tally)
        else:
            self.tally.note("mentions without a text (offsets not checked)")
        code = row.cells.get(columns.get("concept", ""), "").strip()
        codes = [c.strip() for c in code.split("|") if c.strip().lower() not in _EMPTY]
        known = self.entities.get((label, span))
        if known is None:
            ent_id = self._id(row.cells.get(columns.get("id", ""), "").strip())
            known = Entity(ent_id, label, (span,), normalized=tuple(codes))
        else:
            self.tally.note("rows of one mention joined")
            more = tuple(c for c in codes if c not in known.normalized)
            known = replace(known, normalized=known.normalized + more)
        self.entities[label, span] = known

    def _id(self, cell: str) -> str:
        taken = {ent.id for ent in self.entities.values()}
        n = len(taken) + 1
        while not cell or cell in taken:
            cell, n = f"T{n}", n + 1
        return cell


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write a folder of two tables: ``notes.csv`` and ``mentions.csv``; returns what is lost."""
    lost: Counter[str] = Counter()
    rows: list[Sequence[object]] = [_HEADING]
    for doc in docs:
        for ent in doc.entities:
            codes = [code for code in ent.normalized if "|" not in code]
            cells = (doc.id, ent.id, ent.start, ent.end, ent.label, doc.text[ent.start : ent.end])
            rows.append((*cells, "|".join(codes)))
            lost["discontinuous mentions written whole"] += len(ent.spans) > 1
            lost["attributes left out"] += len(ent.attributes)
            lost["concept ids with '|' left out"] += len(ent.normalized) - len(codes)
        lost["relations left out"] += len(doc.relations) + len(doc.concept_relations)
        lost["documents whose metadata, sections or provenance were left out"] += bool(
            doc.metadata or doc.masked or doc.sections or doc.provenance.kind != "gold"
        )
    with atomic_folder(path) as folder:
        write_part(folder / "notes.csv", _csv([("id", "text"), *((d.id, d.text) for d in docs)]))
        write_part(folder / "mentions.csv", _csv(rows))
    return lost


def _csv(rows: Sequence[Sequence[object]]) -> str:
    made = io.StringIO(newline="")
    csv.writer(made, lineterminator="\n").writerows(rows)
    return made.getvalue()
