"""CoNLL columns: a token a line, a blank line between sentences, tags IOB1, IOB2 or BIOES.

Tokens are joined by spaces and sentences by line ends. ``-DOCSTART-`` lines begin documents; in a
file without them every sentence is a document of its own. Written are two columns with IOB2 tags,
and the document's id after ``-DOCSTART-``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from notesmith.config import ReadingConfig
from notesmith.corpus.formats.iob import (
    TagScheme,
    Token,
    flat,
    mentions,
    recognise,
    tagged,
    tokens_of,
)
from notesmith.corpus.problems import Line, Tally, iter_lines
from notesmith.document import Document, Entity, Span
from notesmith.errors import CorpusError, shown_doc
from notesmith.files.write import atomic_write_text
from notesmith.segments import join_over_entities, split

SUFFIXES = frozenset({".conll", ".iob", ".iob2", ".bio", ".bioes", ".tsv"})
TOKENS = "tokens"  # metadata: "spaces" where the text is tokens joined by spaces
_DOCSTART = "-DOCSTART-"
_FILLER = re.compile(r"(?:-X-|O|_|\s)*")


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a CoNLL file keeps what, counted from 0 (from the end if negative).

    ``scheme`` is recognised from the tags of a file if None.
    """

    token: int = 0
    tag: int = -1
    scheme: TagScheme | None = None


def columns_of(options: ReadingConfig) -> Columns:
    """Where the files to read keep what."""
    return Columns(options.token_column, options.tag_column, options.tags)


@dataclass(slots=True)
class _Sentences:
    """Sentences of one document while they are read."""

    id: str
    sentences: list[list[Token]] = field(default_factory=lambda: [[]])
    named: bool = False
    broken: bool = False


def read(
    path: Path,
    stem: str,
    tally: Tally,
    *,
    columns: Columns = Columns(),
) -> Iterator[Document]:
    """Read the documents of one file."""
    groups = list(_groups(path, stem, tally, columns))
    scheme = columns.scheme or recognise(s for group in groups for s in group.sentences)
    tally.note(f"files with {scheme.upper()} tags")
    for group in groups:
        if group.broken:
            tally.note("dropped: document with an unreadable line")
            continue
        with tally.dropping("document", f"{path}: {shown_doc(group.id)}"):
            yield _document(group, scheme, path, tally)


def _groups(path: Path, stem: str, tally: Tally, columns: Columns) -> Iterator[_Sentences]:
    lines = list(_without_gaps(iter_lines(path, tally)))
    whole = any(line.text is not None and line.text.startswith(_DOCSTART) for line in lines)
    n = 1
    group = _Sentences(f"{stem}-{n}")
    for line in lines:
        if line.text is None:
            group.broken = True
        elif line.text.startswith(_DOCSTART):
            if any(group.sentences) or group.named or group.broken:
                yield group
                n += 1
            name = _named(line.text)
            group = _Sentences(name or f"{stem}-{n}", named=bool(name))
        elif not line.text.strip():
            if not group.sentences[-1]:
                continue
            if whole:
                group.sentences.append([])
            else:
                yield group
                n += 1
                group = _Sentences(f"{stem}-{n}")
        else:
            where = f"{path}:{line.number}: {shown_doc(group.id)}"
            try:
                group.sentences[-1].append(_token(line.number, line.text, columns))
            except CorpusError as error:
                tally.drop("line", CorpusError(f"{where}: {error}"))
                group.broken = True
    if any(group.sentences) or group.named or group.broken:
        yield group


def _without_gaps(lines: Iterable[Line]) -> Iterator[Line]:
    """``lines`` with one blank line in place of several."""
    blank = False
    for line in lines:
        before, blank = blank, line.text is not None and not line.text.strip()
        if not (before and blank):
            yield line


def _named(line: str) -> str:
    name = line.removeprefix(_DOCSTART).split("\t")[0].strip()
    return "" if _FILLER.fullmatch(name) else name


def _token(number: int, line: str, columns: Columns) -> Token:
    cells = line.split("\t") if "\t" in line else line.split()
    try:
        token, tag = cells[columns.token], cells[columns.tag]
    except IndexError:
        raise CorpusError(f"{len(cells)} columns are too few; is the file cut off?") from None
    if len(cells) < 2 or not token.strip():
        raise CorpusError("a token line needs a token and a tag; is the file cut off?")
    return tagged(number, token, tag)


def _document(group: _Sentences, scheme: TagScheme, path: Path, tally: Tally) -> Document:
    text: list[str] = []
    entities: list[Entity] = []
    at = 0
    for tokens in group.sentences:
        if not tokens:
            continue
        offsets: list[Span] = []
        for token in tokens:
            offsets.append((at, at + len(token.text)))
            at += len(token.text) + 1
        text.append(" ".join(token.text for token in tokens))
        for first, last in mentions(tokens, scheme, group.id, path, tally):
            span = (offsets[first][0], offsets[last][1])
            entities.append(Entity(f"T{len(entities) + 1}", tokens[first].label, (span,)))
    return Document(group.id, "\n".join(text), tuple(entities), metadata={TOKENS: "spaces"})


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to one file with IOB2 tags; returns what the format cannot hold, counted."""
    lost: Counter[str] = Counter()
    lines: list[str] = []
    for doc in docs:
        name = doc.id
        if name != name.strip() or re.search(r"[\t\r\n]", name) or _FILLER.fullmatch(name):
            raise CorpusError(
                f"{shown_doc(name)}: the id cannot stand after {_DOCSTART}; use jsonl"
            )
        lines += [f"{_DOCSTART} {name}\tO", "", *_lines(doc, lost)]
    atomic_write_text(path, "".join(f"{line}\n" for line in lines))
    return lost


def _lines(doc: Document, lost: Counter[str]) -> Iterator[str]:
    entities = flat(doc, lost)
    spaced = doc.metadata.get(TOKENS) == "spaces"
    if spaced:
        rows = [m.span() for m in re.finditer(r"[^\n]+", doc.text)]
        sentences = join_over_entities(rows, doc)
    else:
        sentences = split(doc, "sentence")
        lost["documents whose white space was lost"] += 1
    borders = sorted({at for ent in entities for at in (ent.start, ent.end)})
    held: set[str] = set()
    left = iter(entities)
    ent = next(left, None)
    for sentence in sentences:
        for start, end in tokens_of(doc.text, sentence, borders, spaced=spaced):
            while ent is not None and ent.end <= start:
                ent = next(left, None)
            tag = "O"
            if ent is not None and ent.start <= start:
                tag = f"{'I' if ent.id in held else 'B'}-{ent.label}"
                held.add(ent.id)
            if doc.text[start:end].startswith(_DOCSTART):
                raise CorpusError(
                    f"{shown_doc(doc.id)}: [{start}, {end}) is {_DOCSTART}; use jsonl"
                )
            yield f"{doc.text[start:end]}\t{tag}"
        yield ""
    lost["mentions of white space left out"] += len(entities) - len(held)
    lost["attributes left out"] += sum(len(ent.attributes) for ent in doc.entities)
    lost["concept ids left out"] += sum(len(ent.normalized) for ent in doc.entities)
    lost["relations left out"] += len(doc.relations) + len(doc.concept_relations)
    rest = any(name != TOKENS for name in doc.metadata)
    lost["documents whose metadata, sections or provenance were left out"] += bool(
        rest or doc.masked or doc.sections or doc.provenance.kind != "gold"
    )
