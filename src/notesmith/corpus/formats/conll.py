"""CoNLL columns: a token a line, a blank line between sentences, tags IOB1, IOB2 or BIOES.

Tokens are joined by spaces and sentences by line ends. What a document is, the file says by marks
(``conll_rows``), or it is the file, or each sentence. Written are two columns with IOB2 tags, and
the document's id after ``-DOCSTART-``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.formats.conll_rows import (
    DOCSTART,
    FILLER,
    WEBANNO,
    Columns,
    Sentence,
    Table,
    half_tagged,
    looks_tagged,
    read_table,
    sentences_of,
)
from notesmith.corpus.formats.iob import TagScheme, Token, flat, mentions, recognise, tokens_of
from notesmith.corpus.problems import Tally, iter_lines
from notesmith.document import Document, Entity, Span
from notesmith.errors import CorpusError, shown_doc
from notesmith.files.write import atomic_write_text
from notesmith.segments import join_over_entities, split

Unit = Literal["marked", "file", "sentence"]

SUFFIXES = frozenset({".conll", ".conllu", ".iob", ".iob2", ".bio", ".bioes", ".bilou"})
TOKENS = "tokens"  # metadata: "spaces" where the text is tokens joined by spaces
_PARTS = frozenset(
    {"train", "training", "dev", "devel", "development", "val", "valid", "validation", "test"}
    | {"testing", "eval", "evaluation"}
)
_MOST_PARTS = 8
_COLUMNS = Columns()
_SAID = {
    "file": "files read as one document each (--documents)",
    "sentence": "sentences read as documents (--documents)",
}
_NOTATIONS = {
    "underscore": "files with tags such as B_LABEL",
    "suffix": "files with tags such as LABEL-B",
    "plain": "files with labels without prefix: neighbours of one label read as one mention",
}


def columns_of(options: ReadingConfig) -> Columns:
    """Where the files to read keep what."""
    return Columns(options.token_column, options.tag_column, options.tags)


def claims(path: Path, head: str, columns: Columns = _COLUMNS) -> bool:
    """Whether a file is CoNLL by its name, or as a ``.tsv`` or ``.txt`` file by what it holds."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix == ".tsv":
        return half_tagged(head) and not head.startswith(WEBANNO)
    return suffix == ".txt" and looks_tagged(head, columns)


@dataclass(slots=True)
class _Sound:
    """A sentence as tokens; ``error`` says what is wrong with its first line that is bad."""

    tokens: list[Token]
    error: CorpusError | None = None


@dataclass(slots=True)
class _Draft:
    """A document to be: its id, and its sentences."""

    id: str
    sentences: list[_Sound] = field(default_factory=list)


def read(
    path: Path,
    stem: str,
    tally: Tally,
    *,
    columns: Columns = _COLUMNS,
    documents: Unit | None = None,
    alone: bool = True,
) -> Iterator[Document]:
    """Read the documents of one file.

    Args:
        path: the file.
        stem: the id of the document, or what the ids of unnamed ones begin with.
        tally: what becomes of problems.
        columns: where token and tag stand.
        documents: what a document is. If None, the documents that the file marks; the file where
            it marks none and lies in a folder of notes; else each sentence.
        alone: whether the file was named itself rather than found in a folder.
    """
    with tally.dropping("file", str(path)):
        table = _table(path, tally, columns)
        unit = documents or _unit(table, path, alone)
        if unit == "marked" and table.parts[0].name is None and len(table.parts) == 1:
            raise CorpusError(
                "no -DOCSTART-, ###MEDLINE or # newdoc line begins a document; "
                "give --documents file or sentence, or leave it out"
            )
        drafts = [_draft(*place, table, path) for place in _places(table, unit, stem)]
        scheme = columns.scheme or recognise(
            sentence.tokens
            for draft in drafts
            for sentence in draft.sentences
            if sentence.error is None
        )
        if table.notation == "plain":
            scheme = "iob1"
        else:
            tally.note(f"files with {scheme.upper()} tags")
        if table.notation in _NOTATIONS:
            tally.note(_NOTATIONS[table.notation])
        if unit in _SAID:
            tally.note(_SAID[unit], len(drafts))
        for draft in drafts:
            where = f"{path}: {shown_doc(draft.id)}"
            with tally.dropping("document", where):
                yield from _documents(draft, unit, scheme, path, tally)


def _table(path: Path, tally: Tally, columns: Columns) -> Table:
    table = read_table(iter_lines(path, tally), columns)
    tally.note("comment lines passed over", table.n_comments)
    tally.note("files whose first column counts tokens, the second read", table.is_numbered)
    return table


def _unit(table: Table, path: Path, alone: bool) -> Unit:
    """What a document of the file is.

    A single mark without a name at the top divides nothing: Label Studio writes one for a whole
    project.
    """
    names = [part.name for part in table.parts if part.name is not None]
    if any(names) or len(names) > 1 or len(table.parts) > len(names) > 0:
        return "marked"
    return "file" if not alone and _is_note(path) else "sentence"


def _is_note(path: Path) -> bool:
    """Whether a file of a folder is a note, not a part of a corpus such as ``train.tsv``."""
    n = _n_files(path.parent, path.suffix, path.parent.stat().st_mtime_ns)
    is_part = not _PARTS.isdisjoint(re.split("[^a-z]+", path.stem.lower()))
    return n > _MOST_PARTS or (n > 1 and not is_part)


@lru_cache(maxsize=16)
def _n_files(folder: Path, suffix: str, changed: int) -> int:
    """How many files of this kind a folder holds; looked up once, not for each of them."""
    return sum(1 for _ in folder.glob(f"*{suffix}"))


def _places(table: Table, unit: Unit, stem: str) -> Iterator[tuple[str, list[Sentence]]]:
    """The id of each document and its sentences."""
    if unit == "file":
        sentences = list(sentences_of(table.parts))
        if sentences:
            yield stem, sentences
        return
    n = 0
    for part in table.parts:
        if unit == "marked":
            if part.sentences or part.name:
                n += 1
                yield part.name or f"{stem}-{n}", part.sentences
            continue
        for k, sentence in enumerate(part.sentences, 1):
            n += 1
            yield f"{part.name}-{k}" if part.name else f"{stem}-{n}", [sentence]


def _draft(doc_id: str, sentences: Sequence[Sentence], table: Table, path: Path) -> _Draft:
    draft = _Draft(doc_id)
    for sentence in sentences:
        sound = _Sound([])
        if sentence.undecoded:
            where = f"{path}:{sentence.undecoded}: {shown_doc(doc_id)}"
            sound.error = CorpusError(f"{where}: a line that cannot be decoded")
        for row in sentence.rows:
            try:
                sound.tokens.append(table.token(row))
            except CorpusError as error:
                where = f"{path}:{row.number}: {shown_doc(doc_id)}"
                sound.error = sound.error or CorpusError(f"{where}: {error}")
                if text := table.text(row):
                    sound.tokens.append(Token(row.number, text, "O", ""))
        draft.sentences.append(sound)
    return draft


def _documents(
    draft: _Draft, unit: Unit, scheme: TagScheme, path: Path, tally: Tally
) -> Iterator[Document]:
    """The document of ``draft``; a sentence with a bad line is masked, or dropped if it is all."""
    text: list[str] = []
    entities: list[Entity] = []
    masked: list[Span] = []
    at = 0
    for sentence in draft.sentences:
        tokens = sentence.tokens
        if sentence.error and unit == "sentence":
            tally.drop("sentence with an unreadable line", sentence.error)
            return
        if sentence.error:
            tally.mask("sentence with an unreadable line", sentence.error)
        if not tokens:
            continue
        offsets: list[Span] = []
        for token in tokens:
            offsets.append((at, at + len(token.text)))
            at += len(token.text) + 1
        text.append(" ".join(token.text for token in tokens))
        if sentence.error:
            masked.append((offsets[0][0], offsets[-1][1]))
            continue
        for first, last in mentions(tokens, scheme, draft.id, path, tally):
            span = (offsets[first][0], offsets[last][1])
            entities.append(Entity(f"T{len(entities) + 1}", tokens[first].label, (span,)))
        unseen = sum(not any(map(str.isprintable, token.text)) for token in tokens)
        tally.note("tokens without a visible character, kept", unseen)
    yield Document(
        draft.id,
        "\n".join(text),
        tuple(entities),
        masked=tuple(masked),
        metadata={TOKENS: "spaces"},
    )


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to one file with IOB2 tags; returns what the format cannot hold, counted."""
    lost: Counter[str] = Counter()
    lines: list[str] = []
    for doc in docs:
        name = doc.id
        if name != name.strip() or re.search(r"[\t\r\n]", name) or FILLER.fullmatch(name):
            raise CorpusError(f"{shown_doc(name)}: the id cannot stand after {DOCSTART}; use jsonl")
        lines += [f"{DOCSTART} {name}\tO", "", *_lines(doc, lost)]
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
            if doc.text[start:end].startswith(DOCSTART):
                raise CorpusError(f"{shown_doc(doc.id)}: [{start}, {end}) is {DOCSTART}; use jsonl")
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
