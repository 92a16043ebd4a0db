"""The rows of a CoNLL file: which lines are rows, what divides them, and where token and tag stand.

Documents begin at ``-DOCSTART-``, ``###MEDLINE:ID`` (JNLPBA) or ``# newdoc id = ID`` (CoNLL-U).
Comment lines of CoNLL-U are skipped; a token ``#`` is a token.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from notesmith.corpus.formats import iob
from notesmith.corpus.problems import Line
from notesmith.errors import CorpusError

DOCSTART = "-DOCSTART-"
WEBANNO = "#FORMAT=WebAnno"
_FEW_ROWS = 5
FILLER = re.compile(r"(?:-X-|O|_|\s)*")
_MEDLINE = re.compile(r"###MEDLINE:(\S+)")
_NEWDOC = re.compile(r"#\s*newdoc(?:\s+id\s*=\s*(.+))?")
_PAIR = re.compile(r"#\s*[A-Za-z_][\w.:]*(?: id)?\s*=(?:\s.*)?")
_COMMENT = re.compile(r"#\s*(?:newpar|id\s+\S.*)")
_SPACES = re.compile(r"[ \t]+")
_INDEX = re.compile(r"[0-9]+")
_RANGE = re.compile(r"[0-9]+[-.][0-9]+")  # CoNLL-U: words of one token, words that are not there


@dataclass(frozen=True, slots=True)
class Row:
    """A line of cells, and its number in the file."""

    number: int
    cells: tuple[str, ...]


@dataclass(slots=True)
class Sentence:
    """Rows between blank lines; ``undecoded`` is the number of a line that is no text, else 0."""

    rows: list[Row] = field(default_factory=list)
    undecoded: int = 0

    def __bool__(self) -> bool:
        return bool(self.rows or self.undecoded)


@dataclass(slots=True)
class Part:
    """What stands between two marks: the name that its mark gives, None before the first mark."""

    name: str | None
    sentences: list[Sentence] = field(default_factory=lambda: [Sentence()])


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a CoNLL file keeps what, counted from 0 (from the end if negative).

    ``scheme`` is recognised from the tags of a file if None.
    """

    token: int = 0
    tag: int = -1
    scheme: iob.TagScheme | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A file as rows: its parts, its usual number of columns, and how they are read."""

    parts: list[Part]
    width: int
    columns: Columns
    notation: iob.Notation
    n_comments: int
    is_numbered: bool

    def token(self, row: Row) -> iob.Token:
        """The token of a row.

        Raises:
            CorpusError: columns are missing, or the tag is none.
        """
        cells = row.cells
        if len(cells) < 2:
            raise CorpusError("a token line needs a token and a tag; is the file cut off?")
        if len(cells) != self.width and not self._is_wide_enough(cells):
            raise CorpusError(
                f"{len(cells)} columns where the file has {self.width}; correct the line"
            )
        if not self.text(row):
            raise CorpusError("the token is empty; give it a text, or remove the line")
        return iob.tagged(row.number, self.text(row), cells[self.columns.tag], self.notation)

    def _is_wide_enough(self, cells: Sequence[str]) -> bool:
        first = min(self.columns.token, self.columns.tag)
        return first >= 0 and len(cells) > max(self.columns.token, self.columns.tag)

    def text(self, row: Row) -> str:
        """The token's text, empty where the row has none."""
        at, n = self.columns.token, len(row.cells)
        return row.cells[at] if -n <= at < n and (n > 1 or at != 0) else ""


def looks_tagged(head: str, columns: Columns) -> bool:
    """Whether a file that begins with ``head`` holds rows of tokens and tags and nothing else.

    Some rows must begin a mention, and five rows or a mark are needed: a line of a note may end
    in *B-12*.
    """
    lines = [line.removesuffix("\r") for line in head.split("\n")]
    parts, _ = _divided([Line(n, text) for n, text in enumerate(lines[:-1] or lines, 1)])
    rows = [row.cells for sentence in sentences_of(parts) for row in sentence.rows]
    if not rows or (len(rows) < _FEW_ROWS and parts[0].name is None):
        return False
    n = len(rows[0])
    if n < 2 or not -n <= columns.tag < n or any(len(cells) != n for cells in rows):
        return False
    return iob.are_tags({cells[columns.tag] for cells in rows})


def half_tagged(head: str) -> bool:
    """Whether at least half of the lines hold a tag in some column."""
    rows = [re.split("[\t ]", line.strip()) for line in head.split("\n") if line.strip()]
    n = sum(any(map(iob.is_any_tag, cells)) for cells in rows)
    return bool(rows) and 2 * n >= len(rows)


def read_table(lines: Iterable[Line], columns: Columns) -> Table:
    """The rows of a file.

    Raises:
        CorpusError: it is of another format, or the tags stand in another column.
    """
    lines = list(lines)
    if lines and (lines[0].text or "").startswith(WEBANNO):
        raise CorpusError(
            "WebAnno TSV, not CoNLL; end its name in .tsv, and it is read in the format uima"
        )
    parts, n_comments = _divided(lines)
    is_numbered = columns.token == 0 and _is_numbered(parts)
    if is_numbered:
        columns = Columns(1, columns.tag, columns.scheme)
        for sentence in sentences_of(parts):
            sentence.rows = [r for r in sentence.rows if not _RANGE.fullmatch(r.cells[0])]
    rows = [row.cells for sentence in sentences_of(parts) for row in sentence.rows]
    width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    whole = [cells for cells in rows if len(cells) == width]
    notation = _notation(whole, width, columns)
    return Table(parts, width, columns, notation, n_comments, is_numbered)


def _notation(rows: Sequence[Sequence[str]], width: int, columns: Columns) -> iob.Notation:
    """The notation of the tags.

    Raises:
        CorpusError: there are none, and they stand in another column.
    """
    for name, at in (("token", columns.token), ("tag", columns.tag)):
        if width > 1 and not -width <= at < width:
            raise CorpusError(
                f"no column {at} in rows of {width}; give another --{name}-column, from 0"
            )
    if width < 2:
        return "prefix"
    tag = columns.tag % width
    notation = iob.notation_of({cells[tag] for cells in rows})
    if notation in ("plain", None):
        for at in range(width):
            if at != tag and iob.are_tags({cells[at] for cells in rows}):
                token = columns.token % width if columns.token % width != at else 0 if at else 1
                raise CorpusError(
                    f"column {tag} holds no tags such as B-LABEL, column {at} does; name "
                    f"the columns with --token-column {token} --tag-column {at}"
                )
    return notation or "prefix"


def _is_numbered(parts: Sequence[Part]) -> bool:
    """Whether the first column counts the tokens of each sentence, as CoNLL-U does."""
    sentences = [sentence.rows for sentence in sentences_of(parts) if sentence.rows]
    for rows in sentences:
        numbers = [row.cells[0] for row in rows if not _RANGE.fullmatch(row.cells[0])]
        if any(len(row.cells) < 3 for row in rows) or not all(map(_INDEX.fullmatch, numbers)):
            return False
        first = int(numbers[0]) if numbers else 0
        if first > 1 or [int(n) for n in numbers] != list(range(first, first + len(numbers))):
            return False
    return bool(sentences)


def _divided(lines: Sequence[Line]) -> tuple[list[Part], int]:
    """The parts of a file, and the number of its comment lines."""
    texts = [line.text for line in lines if line.text and line.text.strip()]
    rows = [text for text in texts if not text.startswith(("#", DOCSTART))]
    has_tabs = 2 * sum("\t" in text for text in rows) > len(rows)
    has_comments = any(_NEWDOC.fullmatch(text.rstrip()) or _PAIR.fullmatch(text) for text in texts)
    parts = [Part(None)]
    n_comments = 0
    for line in lines:
        text = line.text
        if text is None:
            parts[-1].sentences[-1].undecoded = line.number
        elif (name := mark(text)) is not None:
            parts.append(Part(name))
        elif not text.strip():
            parts[-1].sentences.append(Sentence())
        elif text.startswith("#") and _is_comment(text, has_tabs, has_comments):
            n_comments += 1
        else:
            parts[-1].sentences[-1].rows.append(Row(line.number, _cells(text, has_tabs)))
    for part in parts:
        part.sentences = list(filter(None, part.sentences))
    if len(parts) > 1 and not parts[0].sentences:
        del parts[0]
    return parts, n_comments


def mark(text: str) -> str | None:
    """The name that a line gives to the document it begins, empty if none; None for other lines."""
    if text.startswith(DOCSTART):
        name = text.removeprefix(DOCSTART).split("\t")[0].strip()
        return "" if FILLER.fullmatch(name) else name
    match = _MEDLINE.fullmatch(text.rstrip()) or _NEWDOC.fullmatch(text.rstrip())
    return (match.group(1) or "") if match else None


def _is_comment(text: str, has_tabs: bool, has_comments: bool) -> bool:
    """Whether a line that begins with ``#`` is no row, in a file that ``has_comments`` or not."""
    if has_tabs and "\t" not in text:
        return has_comments or _PAIR.fullmatch(text) is not None or bool(_COMMENT.fullmatch(text))
    if not has_tabs and _PAIR.fullmatch(text):
        return True
    if iob.is_any_tag(_cells(text, has_tabs)[-1]):
        return False
    return has_comments or _COMMENT.fullmatch(text) is not None


def _cells(text: str, has_tabs: bool) -> tuple[str, ...]:
    # Not ``strip()``: a token may be a space of another kind.
    if has_tabs:
        return tuple(cell.strip(" ") for cell in text.rstrip(" \t").split("\t"))
    return tuple(_SPACES.split(text.strip(" \t")))


def sentences_of(parts: Iterable[Part]) -> Iterator[Sentence]:
    """All sentences, in order."""
    for part in parts:
        yield from part.sentences
