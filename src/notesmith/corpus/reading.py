"""Read a corpus from a file or folder and write one, whatever the format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.formats import Format, Source
from notesmith.corpus.metadata import add_metadata, add_patients, read_metadata
from notesmith.corpus.problems import Tally
from notesmith.corpus.recognition import format_named, recognise
from notesmith.corpus.unknown import mark_unknown
from notesmith.document import Document, Entity, Span, labels_of
from notesmith.errors import ConfigError, CorpusError, shown_doc, shown_name


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
    expect_mentions: bool = True,
) -> CorpusRead:
    """Read every document below ``path``.

    Args:
        path: a file, or a folder that is searched with its subfolders.
        options: how files become documents.
        metadata: a table with the column ``id`` and what it knows of each (``patient``, ``kind``).
        patient_from: a regular expression whose first group in a document's id is the patient.
        expect_mentions: documents without any mention are an error, unless ``options`` say that
            they are meant so. False for predictions and for notes that are not labelled yet.

    Raises:
        CorpusError: nothing is there, formats are mixed, a file would not be read, a record is bad,
            or no document has a mention.
        ConfigError: ``patient_from`` is wrong or matches no id.
    """
    path = Path(path)
    tally = Tally.of(options)
    beside = () if metadata is None else (metadata,)
    found = recognise(path, options, beside=beside)
    tally.counts.update(found.counts)
    docs = _collapse(found.format, found.sources, tally)
    if not docs:
        raise CorpusError(f"{path}: no documents in format {found.format.name}; name another path")
    labels = frozenset(labels_of(docs))
    n_before = sum(len(doc.entities) for doc in docs)
    docs = prepare(
        docs, tally, label_map=options.label_map, metadata=metadata, patient_from=patient_from
    )
    if expect_mentions and not options.without_mentions and not any(doc.entities for doc in docs):
        raise _without_mentions(path, len(docs), found.format, n_before)
    docs = mark_unknown(docs, options.unknown, tally)
    return CorpusRead(docs, dict(sorted(tally.counts.items())), found.format.name, labels)


def _without_mentions(path: Path, n_docs: int, fmt: Format, n_before: int) -> CorpusError:
    if n_before:
        return CorpusError(
            f"{path}: the label map leaves none of {n_before} mentions; correct --label-map "
            "(corpus.label_map in a recipe)"
        )
    whose = (
        "the one document has no mention"
        if n_docs == 1
        else f"none of {n_docs} documents has a mention"
    )
    return CorpusError(
        f"{path}: {whose} (read as {fmt.name}); name the labelled files, or give "
        "--without-mentions if they are meant so (corpus.without_mentions in a recipe)"
    )


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
        table = read_metadata(metadata, encoding=tally.encoding)
        docs = add_metadata(docs, table, tally)
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
    lost = format_named(format).write(docs, Path(path))
    if format != "jsonl":
        lost["documents whose unknown labels were left out"] += sum(bool(d.unknown) for d in docs)
    return {what: n for what, n in sorted(lost.items()) if n}


def _collapse(fmt: Format, sources: list[Source], tally: Tally) -> list[Document]:
    """Read all sources; records with one id and the same content become one."""
    docs: dict[str, Document] = {}
    read = fmt.read
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
