"""Read what several annotators say of the same texts, each apart, whatever the format.

An annotator is named by the file (Label Studio, Prodigy, INCEpTION, ``metadata["annotator"]``),
else by the path that holds the labels: one folder or file an annotator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.formats import Format, Source
from notesmith.corpus.formats.json_values import UNKNOWN
from notesmith.corpus.formats.uima import ANNOTATOR, CURATOR
from notesmith.corpus.problems import Tally
from notesmith.corpus.reading import collapse, prepare
from notesmith.corpus.recognition import recognise
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError, shown_name


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder; ``name`` is the annotator where the caller says so."""

    path: Path
    name: str | None = None

    @property
    def own_name(self) -> str:
        """The name that the path gives."""
        return self.path.stem if self.path.is_file() else self.path.resolve().name


@dataclass(frozen=True, slots=True)
class AnnotatorsRead:
    """Documents by annotator, those that were marked as ground truth by id, and counts.

    Ground truth is Label Studio's, and the curation of INCEpTION.
    """

    docs: dict[str, list[Document]]
    truth: dict[str, Document]
    counts: dict[str, int]


def read_annotators(
    places: Sequence[Place],
    options: ReadingConfig = ReadingConfig(),
    *,
    only: Sequence[str] = (),
    metadata: Path | None = None,
    patient_from: str | None = None,
) -> AnnotatorsRead:
    """Read the documents of every annotator below ``places``.

    Args:
        places: files or folders; the documents that one annotator has in several are joined.
        options: how files become documents; its ``annotator`` and ``predictions`` are not heeded.
        only: the annotators wanted; all if empty.
        metadata: a table with the column ``id`` and what it knows of each.
        patient_from: a regular expression whose first group in a document's id is the patient.

    Raises:
        CorpusError: a place cannot be read, or nobody has marked a mention.
        ConfigError: an annotator that is wanted is not there, or a place that was given one name
            holds the labels of several.
    """
    tally = Tally.of(options)
    beside = () if metadata is None else (metadata,)
    found: dict[str, dict[str, Document]] = {}
    truth: dict[str, Document] = {}
    names = _names(places)
    for place, name in zip(places, names, strict=True):
        recognised = recognise(place.path, options, beside=beside)
        tally.counts.update(recognised.counts)
        fmt = recognised.format
        here: dict[str, dict[str, Document]] = {}
        for source in recognised.sources:
            for who, doc in _readings(fmt, source, name, tally):
                docs = truth if who == CURATOR else here.setdefault(who, {})
                collapse(doc, docs, source.path, tally)
            if fmt.read_truth is not None:
                # What is counted or wrong was counted above.
                for doc in fmt.read_truth(source, Tally.of(options)):
                    collapse(doc, truth, source.path, tally)
        if place.name is not None and len(here) > 1:
            raise ConfigError(
                f"{place.path}: holds the labels of {', '.join(here)}; give it without a name"
            )
        for who, docs in here.items():
            known = found.setdefault(place.name or who, {})
            for doc in docs.values():
                collapse(doc, known, place.path, tally)
    _check_labelled(places[0].path, [*found.values(), truth], options)
    if missing := [name for name in only if name not in found]:
        raise ConfigError(
            f"no annotator {missing[0]!r}; there are {', '.join(map(shown_name, found))}"
        )
    kept = {who: found[who] for who in dict.fromkeys(only) or found}

    def ready(docs: Iterable[Document], counts: Tally) -> list[Document]:
        return prepare(
            list(docs),
            counts,
            label_map=options.label_map,
            metadata=metadata,
            patient_from=patient_from,
        )

    by_annotator = {who: ready(docs.values(), tally) for who, docs in kept.items()}
    agreed = {doc.id: doc for doc in ready(truth.values(), Tally.of(options))}
    return AnnotatorsRead(by_annotator, agreed, dict(sorted(tally.counts.items())))


def _check_labelled(
    path: Path, everyone: Iterable[dict[str, Document]], options: ReadingConfig
) -> None:
    docs = [doc for each in everyone for doc in each.values()]
    if not docs:
        raise CorpusError(f"{path}: no documents; name another path")
    if not options.without_mentions and not any(doc.entities for doc in docs):
        raise CorpusError(
            f"{path}: no annotator has marked a mention; name the labelled files, or give "
            "--without-mentions if they are meant so"
        )


def _names(places: Sequence[Place]) -> list[str]:
    """The name of each place; the whole path where two would have one name."""
    names = [place.name or place.own_name for place in places]
    return [
        name if names.count(name) == 1 or place.name else str(place.path)
        for place, name in zip(places, names, strict=True)
    ]


def _readings(
    fmt: Format, source: Source, name: str, tally: Tally
) -> Iterable[tuple[str, Document]]:
    """Every document of a file with its annotator, who is ``name`` where the file says nothing."""
    if fmt.read_each is not None:
        for who, docs in fmt.read_each(source, tally).items():
            yield from ((name if who == UNKNOWN else who, doc) for doc in docs)
        return
    for doc in fmt.read(source, tally):
        said = doc.metadata.get(ANNOTATOR)
        yield (said if isinstance(said, str) and said else name), doc
