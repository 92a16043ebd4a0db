"""Notes to label, read as a stream: as often as asked, never all in memory.

Folders of ``.txt`` files, JSON lines and Parquet are streams; a corpus of another format is read
whole. Texts keep their order: files by path, records as they stand.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from notesmith.config import ReadingConfig
from notesmith.corpus.formats import FORMATS, Source, jsonl, parquet_notes
from notesmith.corpus.formats.json_values import NoteFields
from notesmith.corpus.problems import OnProblem, Tally, read_text
from notesmith.corpus.reading import CorpusRead, choose_format, find_sources, read_corpus
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError, shown_doc
from notesmith.files.read import read_head, unreadable
from notesmith.progress import OnProgress, Progress, silent

Notes = Callable[[Tally], Iterator[Document]]
"""Reads the notes once more, from the first."""

_HEAD = 4096
_TEXT = "text"
_READERS = {"jsonl": jsonl.read_notes, "parquet": parquet_notes.read_notes}
_REPORT_EVERY = 1000


def find_notes(
    path: Path,
    options: ReadingConfig = ReadingConfig(),
    *,
    fields: NoteFields | None = None,
) -> Notes:
    """The notes of ``path``: ``.txt`` files that are of no corpus format, or a corpus.

    Args:
        path: a file, or a folder that is searched with its subfolders.
        options: how files become documents; its format may be ``text`` for plain texts. Where they
            are read as a stream, the reader's tally says what becomes of a bad record.
        fields: where JSON lines or Parquet of other programs keep text and id.

    Raises:
        CorpusError: nothing is there, or formats are mixed.
        ConfigError: ``fields`` are named for another format.
    """
    format = options.format
    named = fields is not None and fields != NoteFields()
    if not named and format in (None, _TEXT):
        if _holds_texts(path, sure=format == _TEXT):
            return lambda tally: _texts(path, tally)
        if format == _TEXT:
            raise CorpusError(f"{path}: holds no .txt file")
    sources = find_sources(path, options)
    if named:
        suffixes = (*jsonl.SUFFIXES, ".parquet")
        sources = [s for s in sources if s.path.name.lower().endswith(suffixes)]
        if not sources or format not in (None, *_READERS):
            raise ConfigError(
                f"{path}: fields of text and id are for JSON lines and Parquet; leave them out"
            )
        kinds = {"parquet" if s.path.suffix.lower() == ".parquet" else "jsonl" for s in sources}
        if len(kinds) > 1 and format is None:
            raise CorpusError(f"{path}: several formats: jsonl, parquet; name one with --format")
        name = format or kinds.pop()
        # Of JSON lines any will do: other fields are left out.
        chosen = [
            s for s in sources if (s.path.suffix.lower() == ".parquet") is (name == "parquet")
        ]
    else:
        fmt, chosen = choose_format(path, sources, format)
        name = fmt.name
    if name not in _READERS:
        return partial(_whole, read_corpus(path, options))
    # The beginnings that told the format are not needed any more.
    places = [(s.path, s.stem.removesuffix(".jsonl")) for s in chosen]
    return lambda tally: _records(places, name, fields or NoteFields(), tally)


def _whole(corpus: CorpusRead, tally: Tally) -> Iterator[Document]:
    tally.counts.update(corpus.counts)
    yield from corpus.docs


def _holds_texts(path: Path, *, sure: bool) -> bool:
    """Whether there are ``.txt`` files, none of them of a corpus format unless it is ``sure``."""
    root = path if path.is_dir() else path.parent
    found = False
    for file in _text_files(path):
        found = True
        if sure:
            break
        head = Source(file, root, _beginning(file))
        if any(fmt.claims(head) for fmt in FORMATS.values()):
            return False
    return found


def _beginning(file: Path) -> str:
    return read_head(file, 4 * _HEAD).decode("utf-8", errors="replace")[:_HEAD]


def _text_files(path: Path) -> Iterator[Path]:
    """The ``.txt`` files of ``path`` by name, folder by folder."""
    if path.is_file():
        if path.suffix == ".txt":
            yield path
        return
    if not path.is_dir():
        return
    try:
        with os.scandir(path) as entries:
            inside = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in entries)
    except OSError as error:
        raise unreadable(path, error) from error
    for name, is_folder in inside:
        if is_folder:
            yield from _text_files(path / name)
        elif name.endswith(".txt") and (file := path / name).is_file():
            yield file


def _texts(path: Path, tally: Tally) -> Iterator[Document]:
    root = path if path.is_dir() else path.parent
    for file in _text_files(path):
        text = read_text(file, tally)
        if text is not None:
            yield Document(file.relative_to(root).with_suffix("").as_posix(), text)


def _records(
    places: list[tuple[Path, str]], name: str, fields: NoteFields, tally: Tally
) -> Iterator[Document]:
    """Notes of all files; those with one id and the same content are given once."""
    seen: dict[int, int] = {}
    for path, stem in places:
        for doc in _READERS[name](path, stem, tally, fields):
            key, content = _number(doc.id), _number(jsonl.dumps(doc))
            if key not in seen:
                seen[key] = content
                yield doc
            elif seen[key] == content:
                tally.note("identical records collapsed")
            else:
                error = f"{path}: {shown_doc(doc.id)} stands twice with different content"
                tally.drop("second record of an id", CorpusError(f"{error}; rename or remove one"))


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first reading says: how much there is, what it holds, what was left out.

    ``digest`` tells these notes from all others; ``labels`` counts the mentions that they carry;
    ``on_problem`` is how they were read, and must be read again.
    """

    n_docs: int
    n_chars: int
    digest: str
    labels: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    on_problem: OnProblem = "raise"


def survey(
    notes: Notes, *, on_problem: OnProblem = "raise", on_progress: OnProgress = silent
) -> Survey:
    """Read all notes once, so that a bad one is found before the work rather than in it.

    Raises:
        CorpusError: a note cannot be read (unless those are dropped and counted), or there is none.
    """
    tally, digest = Tally(on_problem), Digest()
    labels: Counter[str] = Counter()
    n_docs = n_chars = 0
    for doc in notes(tally):
        n_docs += 1
        n_chars += len(doc.text)
        digest.add(doc)
        labels.update(ent.label for ent in doc.entities)
        if n_docs % _REPORT_EVERY == 0:
            on_progress(Progress("read", n_docs, n_docs, "notes"))
    if not n_docs:
        raise CorpusError("there is no note to label; name another path")
    return Survey(n_docs, n_chars, digest.hex(), labels, tally.counts, on_problem)


class Digest:
    """A running digest of notes in order. State: the hash."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, doc: Document) -> None:
        """Take one more note."""
        self._hash.update(jsonl.dumps(doc).encode())
        self._hash.update(b"\n")

    def hex(self) -> str:
        """The digest of what was added."""
        return self._hash.hexdigest()
