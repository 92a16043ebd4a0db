"""Notes to label, read as a stream: as often as asked, never all in memory.

Folders of plain texts, JSON lines and Parquet are streams; a corpus of another format is read
whole. Texts keep their order: files by path, records as they stand. Every file of a folder is a
note, or is named in an error, unless the caller ignores it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.formats import FORMATS, NAMES, Source, i2b2_2010, jsonl, parquet_notes
from notesmith.corpus.formats.json_values import NoteFields
from notesmith.corpus.problems import Tally, read_text
from notesmith.corpus.reading import CorpusRead, read_corpus
from notesmith.corpus.recognition import (
    find_sources,
    fitting,
    recognise,
    refuse_unread,
    source_of,
    walk,
)
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError, shown_doc
from notesmith.progress import OnProgress, Progress, silent

Notes = Callable[[Tally], Iterator[Document]]
"""Reads the notes once more, from the first."""

_TEXT = "text"
_TEXT_SUFFIXES = (".txt", ".text")
_READERS = {"jsonl": jsonl.read_notes, "parquet": parquet_notes.read_notes}
_REPORT_EVERY = 1000
# Formats that keep their labels in a file beside the text, and what such files are called.
_BESIDE = frozenset({"brat", "i2b2-2010"})
_LABEL_FILES = ("*.ann", "*.con", "*.ast", "*.rel")
_CLOSE_MARK = "</>"
_TABLES = "; a table of notes is read as Parquet or JSON lines (--text-field)"
# A title and an abstract of one id.
_PUBTATOR = re.compile(r"\s*([^|\s]+)\|t\|[^\n]*\n\1\|a\|")
_HEADER_ID = re.compile(r"^id:[ \t]*(\S[^\r\n]*?)[ \t]*\r?$", re.MULTILINE)


def find_notes(
    path: Path,
    options: ReadingConfig = ReadingConfig(),
    *,
    fields: NoteFields | None = None,
) -> Notes:
    """The notes of ``path``: plain texts (``.txt``, ``.text``), or a corpus.

    Args:
        path: a file, or a folder that is searched with its subfolders.
        options: how files become documents; its format may be ``text`` for plain texts. Where they
            are read as a stream, the reader's tally says what becomes of a bad record.
        fields: where JSON lines or Parquet of other programs keep text and id.

    Raises:
        CorpusError: nothing is there, formats are mixed, plain texts could also be a corpus, or a
            file would not be read.
        ConfigError: ``fields`` are named for another format.
    """
    format = options.format
    if fields is not None and fields != NoteFields():
        return _of_fields(path, options, fields)
    if format == _TEXT or (format is None and _holds_texts(path, options)):
        return _texts_of(path, options)
    if format in (None, "jsonl"):
        counts: Counter[str] = Counter()
        sources = find_sources(path, options, counts)
        if sources and all(_may_be_lines(source) for source in sources):
            return _stream(sources, "jsonl", NoteFields(), counts)
    found = recognise(path, options, names=(_TEXT, *NAMES), hint=_TABLES)
    name = found.format.name
    if name in _READERS:
        return _stream(found.sources, name, NoteFields(), found.counts)
    return partial(_whole, read_corpus(path, options, expect_mentions=False))


def _may_be_lines(source: Source) -> bool:
    """Whether ``source`` is JSON lines that no other format claims: records or plain notes."""
    is_lines = source.path.name.lower().endswith(jsonl.SUFFIXES)
    return is_lines and set(fitting(source)) <= {"jsonl"}


def _of_fields(path: Path, options: ReadingConfig, fields: NoteFields) -> Notes:
    """Records of other programs, whose text and id the caller names."""
    counts: Counter[str] = Counter()
    kinds: dict[str, list[Source]] = {}
    others: list[Path] = []
    for source in find_sources(path, options, counts):
        suffix = next(
            (s for s in (*jsonl.SUFFIXES, ".parquet") if source.path.name.lower().endswith(s)), None
        )
        if suffix is None:
            others.append(source.path)
        else:
            kinds.setdefault("parquet" if suffix == ".parquet" else "jsonl", []).append(source)
    if not kinds or options.format not in (None, *_READERS):
        raise ConfigError(
            f"{path}: fields of text and id are for JSON lines and Parquet; leave them out"
        )
    if len(kinds) > 1 and options.format is None:
        raise CorpusError(f"{path}: several formats: jsonl, parquet; name one with --format")
    name = options.format or next(iter(kinds))
    if name not in kinds:
        raise CorpusError(f"{path}: holds no {name} files; name another format or path")
    refuse_unread(path, others, FORMATS[name])
    counts["files of other formats passed over"] += sum(
        len(sources) for kind, sources in kinds.items() if kind != name
    )
    return _stream(kinds[name], name, fields, counts)


def _stream(sources: list[Source], name: str, fields: NoteFields, counts: Counter[str]) -> Notes:
    # The beginnings that told the format are not needed any more.
    places = [(s.path, s.stem.removesuffix(".jsonl")) for s in sources]

    def notes(tally: Tally) -> Iterator[Document]:
        tally.counts.update(+counts)
        yield from _records(places, name, fields, tally)

    return notes


def _whole(corpus: CorpusRead, tally: Tally) -> Iterator[Document]:
    tally.counts.update(corpus.counts)
    yield from corpus.docs


def _holds_texts(path: Path, options: ReadingConfig) -> bool:
    """Whether ``path`` holds plain texts, of which not each is surely a note of one corpus format.

    Raises:
        CorpusError: each could be a plain text and a note of a format that changes the text.
    """
    fit: set[str] | None = None
    sure: set[str] = set()
    any_mark = False
    for file in _text_files(path, options):
        source = source_of(file, path, options)
        found = set(fitting(source))
        certain = {name for name in found if _is_certain(name, source)}
        sure = certain if fit is None else sure & certain
        fit = found if fit is None else fit & found
        any_mark |= _CLOSE_MARK in source.head
        if not fit:
            return True
    if fit is None or sure:
        return False
    # A header and a line of dashes, and no mark behind them, are a note as a hospital writes it.
    unlike = _BESIDE if any_mark else _BESIDE | {"inline"}
    if other := sorted(fit - unlike):
        raise CorpusError(
            f"{path}: could be plain text or {other[0]}; name one with --format text or --format "
            f"{other[0]}"
        )
    return True


def _is_certain(name: str, source: Source) -> bool:
    """Whether a file that the format ``name`` claims can hardly be a plain text.

    A note of a hospital may begin with a header and a line of dashes, or with ``12|t|``, and lie
    beside one that has an ``.ann`` file.
    """
    if name == "brat":
        return source.path.with_suffix(".ann").exists()
    if name == "i2b2-2010":
        return i2b2_2010.has_concepts(source.path)
    if name == "pubtator":
        return _PUBTATOR.match(source.head) is not None
    if name == "inline":
        said = _HEADER_ID.search(source.head.partition("\n---")[0])
        return said is not None and said[1].rpartition("/")[2] == source.path.stem
    return True


def _text_files(path: Path, options: ReadingConfig) -> Iterator[Path]:
    """The files of ``path`` whose names are those of plain texts."""
    files = walk(path, options, Counter()) if path.is_dir() else iter([path])
    return (file for file in files if file.suffix.lower() in _TEXT_SUFFIXES)


def _texts_of(path: Path, options: ReadingConfig) -> Notes:
    """The plain texts of ``path``; every other file there must be one of labels, or is refused."""
    counts: Counter[str] = Counter()
    if path.is_dir():
        _check_texts(path, options, counts)
    elif not path.exists():
        raise CorpusError(f"{path}: not found; name a text file or folder")

    def notes(tally: Tally) -> Iterator[Document]:
        tally.counts.update(counts)
        # A single file is taken at the caller's word, whatever its name.
        files = _text_files(path, options) if path.is_dir() else [path]
        root = path if path.is_dir() else path.parent
        for file in files:
            text = read_text(file, tally)
            if text is not None:
                doc_id = file.relative_to(root).with_suffix("").as_posix()
                yield from _note(file, doc_id, text.removeprefix("\ufeff"), tally)

    return notes


def _note(file: Path, doc_id: str, text: str, tally: Tally) -> Iterator[Document]:
    at = text.find("\0")
    if at < 0:
        yield Document(doc_id, text)
    else:
        error = f"{file}: holds a NUL character at {at}; name its encoding, such as --encoding"
        tally.drop("file that holds NUL characters", CorpusError(f"{error} utf-16-le"))


def _check_texts(folder: Path, options: ReadingConfig, counts: Counter[str]) -> None:
    """Refuse files that are no texts, and two texts of one id; count files of labels."""
    others: list[Path] = []
    known: dict[str, str] = {}
    home: Path | None = None
    n_texts = 0
    for file in walk(folder, options, counts):
        if file.suffix.lower() not in _TEXT_SUFFIXES:
            if any(fnmatchcase(file.name, pattern) for pattern in _LABEL_FILES):
                counts["files of labels beside the texts, not read"] += 1
            elif not fnmatchcase(file.name, "*.conf"):
                others.append(file)
            continue
        if file.parent != home:
            home, known = file.parent, {}
        other = known.setdefault(file.stem, file.name)
        if other != file.name:
            raise CorpusError(
                f"{file}: would have the id of {other}; rename one, or leave it out with "
                f"--ignore '{file.name}'"
            )
        n_texts += 1
    if not n_texts:
        raise CorpusError(f"{folder}: holds no .txt or .text file; name another path")
    refuse_unread(folder, others, hint="the notes are the files that end in .txt or .text; ")


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
    ``options`` are how they were read, and must be read again.
    """

    n_docs: int
    n_chars: int
    digest: str
    labels: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    options: ReadingConfig = field(default_factory=ReadingConfig)


def survey(
    notes: Notes, options: ReadingConfig = ReadingConfig(), *, on_progress: OnProgress = silent
) -> Survey:
    """Read all notes once, so that a bad one is found before the work rather than in it.

    Raises:
        CorpusError: a note cannot be read (unless those are dropped and counted), or there is none.
    """
    tally, digest = Tally.of(options), Digest()
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
    return Survey(n_docs, n_chars, digest.hex(), labels, tally.counts, options)


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
