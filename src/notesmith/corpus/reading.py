"""Read a corpus from a file or folder and write one, whatever the format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from notesmith.config import ReadingConfig
from notesmith.corpus.formats import FORMATS, READABLE, Format, Source
from notesmith.corpus.metadata import add_metadata, add_patients, read_metadata
from notesmith.corpus.problems import Tally
from notesmith.corpus.unknown import mark_unknown
from notesmith.document import Document, Entity, Span, labels_of
from notesmith.errors import ConfigError, CorpusError, shown_doc, shown_name
from notesmith.files.read import read_head, unreadable

_HEAD_BYTES = 65_536
_NOT_NOTES = frozenset({".md", ".rst", ".html", ".pdf", ".py", ".toml", ".yaml", ".yml"})
_NOT_NOTE_STEMS = frozenset({"readme", "license", "licence", "source", "notice", "guideline"})


@dataclass(frozen=True, slots=True)
class CorpusRead:
    """Documents in file order, and counts of what reading collapsed, skipped or dropped.

    ``labels_in_files`` are those that a label map may name.
    """

    docs: list[Document]
    counts: dict[str, int]
    format: str
    labels_in_files: frozenset[str] = frozenset()


def read_corpus(
    path: Path | str,
    options: ReadingConfig = ReadingConfig(),
    *,
    metadata: Path | None = None,
    patient_from: str | None = None,
) -> CorpusRead:
    """Read every document below ``path``.

    Args:
        path: a file, or a folder that is searched with its subfolders.
        options: how files become documents.
        metadata: a table with the column ``id`` and what it knows of each (``patient``, ``kind``).
        patient_from: a regular expression whose first group in a document's id is the patient.

    Raises:
        CorpusError: nothing is there, formats are mixed, or a record is bad.
        ConfigError: ``patient_from`` is wrong or matches no id.
    """
    path = Path(path)
    tally = Tally(options.on_problem)
    sources = find_sources(path, options)
    fmt, chosen = choose_format(path, sources, options.format)
    tally.note("files passed over", len(sources) - len(chosen))
    docs = _collapse(fmt, chosen, tally)
    if not docs:
        raise CorpusError(f"{path}: no documents in format {fmt.name}; name another path")
    labels = frozenset(labels_of(docs))
    docs = prepare(
        docs, tally, label_map=options.label_map, metadata=metadata, patient_from=patient_from
    )
    docs = mark_unknown(docs, options.unknown, tally)
    return CorpusRead(docs, dict(sorted(tally.counts.items())), fmt.name, labels)


def check_named(options: ReadingConfig, read: Iterable[CorpusRead]) -> None:
    """See that the labels that ``options`` name stand in one of the corpora read with them.

    Raises:
        ConfigError: one does not; those that do are listed.
    """
    read = list(read)
    in_files = {label for each in read for label in each.labels_in_files}
    now = set(labels_of(doc for each in read for doc in each.docs))
    for what, named, have in (
        ("label map", options.label_map.keys() - {"*"}, in_files),
        ("list of unknown labels", set(options.unknown), now),
    ):
        if absent := sorted(named - have):
            listed = ", ".join(map(shown_name, sorted(have))) or "none"
            raise ConfigError(
                f"the {what} names {shown_name(absent[0])}, which no document has; labels are "
                f"{listed}"
            )


def prepare(
    docs: list[Document],
    tally: Tally,
    *,
    label_map: Mapping[str, str],
    metadata: Path | None,
    patient_from: str | None,
) -> list[Document]:
    """Return ``docs`` relabelled, and with what a table and their ids tell of them."""
    if label_map:
        docs = [relabel(doc, label_map, tally) for doc in docs]
    if metadata is not None:
        docs = add_metadata(docs, read_metadata(metadata), tally)
    if patient_from is not None:
        docs = add_patients(docs, patient_from, tally)
    return docs


def write_corpus(
    docs: Iterable[Document], path: Path | str, *, format: str = "jsonl"
) -> dict[str, int]:
    """Write ``docs`` to ``path``: a file, or a folder for formats of one file a document.

    Returns:
        counts of what the format cannot hold and was left out.

    Raises:
        CorpusError: a document cannot be written in this format.
        FileError: the disk is full, or the place is taken.
    """
    docs = list(docs)
    lost = _named(format).write(docs, Path(path))
    if format != "jsonl":
        lost["documents whose unknown labels were left out"] += sum(bool(d.unknown) for d in docs)
    return {what: n for what, n in sorted(lost.items()) if n}


def _named(name: str) -> Format:
    if name not in FORMATS:
        raise ConfigError(f"format {name!r} is not one of {', '.join(FORMATS)}")
    return FORMATS[name]


def reader_of(fmt: Format) -> Callable[[Source, Tally], Iterable[Document]]:
    """What reads a file of the format.

    Raises:
        ConfigError: the format is written only.
    """
    if fmt.read is None:
        raise ConfigError(f"format {fmt.name!r} is written only; read what it was made from")
    return fmt.read


def find_sources(path: Path, options: ReadingConfig) -> list[Source]:
    """The file, or the files below a folder that could be notes.

    Raises:
        CorpusError: nothing is there, or a file cannot be read.
    """
    if path.is_dir():
        return [Source(file, path, _head(file), options) for file in _walk(path)]
    if not path.exists():
        raise CorpusError(f"{path}: not found; name a corpus file or folder")
    return [Source(path, path.parent, _head(path), options, alone=True)]


def _walk(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise unreadable(Path(error.filename), error) from error

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(names):
            file = Path(root, name)
            if name.startswith(".") or file.suffix.lower() in _NOT_NOTES:
                continue
            if file.stem.lower() not in _NOT_NOTE_STEMS:
                yield file


def _head(path: Path) -> str:
    return (
        read_head(path, _HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    )


def choose_format(
    path: Path, sources: list[Source], name: str | None
) -> tuple[Format, list[Source]]:
    """The format ``name``, or the one that is recognised, and its files.

    Raises:
        CorpusError: no format is recognised, or several are.
    """
    if name is not None:
        fmt = _named(name)
        # A single file is taken at the caller's word.
        chosen = sources if path.is_file() else [s for s in sources if fmt.claims(s)]
        if not chosen:
            raise CorpusError(f"{path}: holds no {name} files; name another format or path")
        return fmt, chosen
    found: dict[str, list[Source]] = {}
    for source in sources:
        for fmt in FORMATS.values():
            if fmt.claims(source):
                found.setdefault(fmt.name, []).append(source)
                break
    if not found:
        what = "not in a format that is recognised" if sources else "empty"
        raise CorpusError(f"{path}: {what}; formats are {', '.join(READABLE)} (--format)")
    if len(found) > 1:
        listed = ", ".join(f"{name} ({len(files)} files)" for name, files in found.items())
        raise CorpusError(
            f"{path}: several formats: {listed}; name one with --format {next(iter(found))}, "
            "or give a subfolder"
        )
    name, chosen = next(iter(found.items()))
    return FORMATS[name], chosen


def _collapse(fmt: Format, sources: list[Source], tally: Tally) -> list[Document]:
    """Read all sources; records with one id and the same content become one."""
    docs: dict[str, Document] = {}
    read = reader_of(fmt)
    for source in sources:
        for doc in read(source, tally):
            collapse(doc, docs, source.path, tally)
    return list(docs.values())


def collapse(doc: Document, docs: dict[str, Document], path: Path, tally: Tally) -> None:
    """Add ``doc`` of the file ``path`` to ``docs`` by id, unless that is there already."""
    known = docs.setdefault(doc.id, doc)
    if known is doc:
        return
    if known == doc:
        tally.note("identical records collapsed")
    else:
        error = f"{path}: {shown_doc(doc.id)} stands twice with different content"
        tally.drop("second record of an id", CorpusError(f"{error}; rename or remove one"))


def relabel(doc: Document, label_map: Mapping[str, str], tally: Tally) -> Document:
    """Rename or drop labels; mentions that become identical are collapsed, relations follow."""
    rest = label_map.get("*")
    kept: list[Entity] = []
    first: dict[tuple[str, tuple[Span, ...]], str] = {}
    now: dict[str, str] = {}
    for ent in doc.entities:
        label = label_map.get(ent.label, ent.label if rest is None else rest)
        if not label:
            tally.note("mentions left out by the label map")
            continue
        now[ent.id] = first.setdefault((label, ent.spans), ent.id)
        if now[ent.id] == ent.id:
            kept.append(replace(ent, label=label))
        else:
            tally.note("mentions made identical by the label map")
    relations = tuple(
        replace(rel, head=now[rel.head], tail=now[rel.tail])
        for rel in doc.relations
        if rel.head in now and rel.tail in now
    )
    tally.note("relations left out by the label map", len(doc.relations) - len(relations))
    unknown = (label_map.get(label, label if rest is None else rest) for label in doc.unknown)
    return replace(
        doc, entities=tuple(kept), relations=relations, unknown=tuple(filter(None, unknown))
    )


def demo_corpus_path() -> Path:
    """The packaged fictional notes: a folder with ``train``, ``dev`` and ``test``."""
    return Path(__file__).parent.parent / "demo"
