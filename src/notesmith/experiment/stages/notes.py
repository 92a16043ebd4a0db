"""The stage of notes: texts without labels, which annotators label and adapted encoders read.

They are documents of train outside the draw, of which the text alone is used (a simulation of notes
that nobody labelled), notes of ``corpus.unlabelled``, or both. The latter repeat no text and no
patient of train, dev or test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from notesmith.config.annotators import AnnotateConfig
from notesmith.config.corpus import CorpusConfig, ReadingConfig
from notesmith.config.fields import Config, part_of
from notesmith.corpus.formats.json_values import NoteFields
from notesmith.corpus.notes import find_notes
from notesmith.corpus.parts import folded, patient_of, without_repeats
from notesmith.corpus.problems import Tally
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError, StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import CorpusStats
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, Stage, Work, seed_for
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages.common import describe, gold_in, read_parts
from notesmith.experiment.stages.gold import after_draw, sampled
from notesmith.results import CorpusCounts

UNLABELLED = "unlabelled"
"""The name of ``corpus.unlabelled`` among the paths of a run and in a plan's counts."""

# Notes of ``corpus.unlabelled`` may have the ids of labelled documents.
_ID = "notes/{}"
# Of gold, that made text is as long as.
_COPIES = 3


def own_id(doc_id: str) -> str:
    """The id that a note has in its file."""
    return doc_id.removeprefix(_ID.format(""))


class FileSettings(Config):
    """How a file or folder of notes without labels is read."""

    format: str | None = None
    text_field: str | None = None

    @classmethod
    def from_recipe(cls, corpus: CorpusConfig) -> FileSettings:
        """As ``corpus`` says."""
        return cls(format=corpus.unlabelled_format, text_field=corpus.unlabelled_text_field)


class Settings(Config):
    """Which notes: so many documents of train, and those of a file; ``most`` of both at most."""

    reading: ReadingConfig
    documents: int = 0
    file: FileSettings | None = None
    most: int | None = None


class Measured(Metrics):
    """How large the notes are, where they come from, and what reading and repeats left out.

    ``repeats`` counts notes left out by ``text`` and by ``patient``.
    """

    notes: CorpusCounts
    from_train: int
    from_file: int
    repeats: dict[str, int]
    reading: dict[str, int]


def cell(draw: Draw, annotate: AnnotateConfig) -> Cell:
    """The notes without labels of a draw; without documents of train, the same for all draws.

    ``annotate`` says how many there are at most.
    """
    config, outside = draw.config, draw.outside
    n = config.draws.unlabelled_documents
    ratio = annotate.notes_per_gold
    fingerprints = {"train": outside.train, **outside.of_part("train")}
    if outside.unlabelled:
        fingerprints |= {UNLABELLED: outside.unlabelled, "dev": outside.dev, "test": outside.test}
    return draw.cell(
        STAGE,
        Settings(
            reading=part_of(config.corpus, ReadingConfig),
            documents=n,
            file=FileSettings.from_recipe(config.corpus) if outside.unlabelled else None,
            most=None if ratio is None else max(1, round(ratio * draw.size)),
        ),
        inputs={"gold": draw.gold} if n else {},
        fingerprints=fingerprints,
        seed=seed_for(config.draws.seed, "notes"),
    )


@dataclass(frozen=True, slots=True)
class NotesRead:
    """Notes of a file without labels, and what reading collapsed or dropped."""

    docs: list[Document]
    counts: Counter[str]


def read_notes(path: Path, reading: ReadingConfig, file: FileSettings) -> NotesRead:
    """The texts of ``corpus.unlabelled`` with id and patient alone; those without words are left.

    Raises:
        CorpusError: a note cannot be read.
        ConfigError: ``file`` names what does not fit.
    """
    counts: Counter[str] = Counter()
    notes = stream_notes(path, reading, file, counts, option="corpus.unlabelled")
    return NotesRead([_bare(doc, _ID.format(doc.id)) for doc in notes], counts)


def stream_notes(
    path: Path, reading: ReadingConfig, file: FileSettings, counts: Counter[str], *, option: str
) -> Iterator[Document]:
    """The notes of ``path`` that have words, as a stream.

    Args:
        path: which the recipe names as ``option``.
        reading: how the recipe reads its corpora.
        file: what it says of these notes in its place.
        counts: takes what reading collapses or drops, as it goes.
        option: ``option_format`` and ``option_text_field`` are those of ``file``.

    Raises:
        CorpusError: a note cannot be read.
        ConfigError: ``file`` names what does not fit.
    """
    options = ReadingConfig(
        format=file.format,
        on_problem=reading.on_problem,
        encoding=reading.encoding,
        ignore=reading.ignore,
    )
    tally = Tally.of(options)
    tally.counts = counts
    try:
        notes = find_notes(path, options, fields=NoteFields(file.text_field, None))
        yield from (doc for doc in notes(tally) if folded(doc.text))
    except (CorpusError, ConfigError) as error:
        asks = any(field in str(error) for field in ("--format", "--text-field"))
        names = f" (in a recipe: {option}_format, {option}_text_field)"
        raise type(error)(f"{option}: {error}{names if asks else ''}") from error


def run(work: Work[Settings]) -> Measured:
    """Take the texts, and nothing else, of notes that repeat no labelled document.

    Raises:
        StageError: there are none.
    """
    config = work.config
    parts = read_parts(work.context.parts, config.reading)
    docs: list[Document] = []
    if config.documents:
        train, gold = parts.docs["train"], gold_in(work)
        if len(gold) + config.documents > len(train):
            raise StageError(
                f"a draw of {len(gold)} documents and {config.documents} as notes were asked for "
                f"and train holds {len(train)}; lower draws.unlabelled_documents"
            )
        seed = work.cell.inputs["gold"].seed
        places = after_draw(train, gold, seed=seed, n=config.documents)
        docs = [_bare(train[i], train[i].id) for i in places]
    n_train = len(docs)
    repeats: Counter[str] = Counter()
    reading: Counter[str] = Counter()
    if config.file is not None:
        assert work.context.unlabelled is not None
        found = read_notes(work.context.unlabelled, config.reading, config.file)
        kept = without_repeats(found.docs, *(read.docs for read in parts.reads.values()))
        room = len(kept.kept)
        if config.most is not None:
            room = max(0, config.most - n_train)
        docs += [kept.kept[i] for i in sampled(len(kept.kept), room, seed=work.seed)]
        repeats, reading = kept.counts, found.counts
    docs = docs[: config.most]
    if not docs:
        raise StageError(
            "there is no note to label that repeats no labelled document; name other notes with "
            "corpus.unlabelled, or lower draws.sizes"
        )
    files.save_docs(docs, work.out)
    n_train = min(n_train, len(docs))
    return Measured(
        notes=describe(docs),
        from_train=n_train,
        from_file=len(docs) - n_train,
        repeats=dict(repeats),
        reading=dict(reading),
    )


def _bare(doc: Document, doc_id: str) -> Document:
    """The text of ``doc``; of what else is known of it, whose it is."""
    patient = patient_of(doc)
    return Document(doc_id, doc.text, metadata={} if patient is None else {"patient": patient})


@dataclass(frozen=True, slots=True)
class Expected:
    """How many notes a plan expects, and their words."""

    documents: float
    words: float


def expected(cell: Cell, facts: CorpusStats) -> Expected:
    """Notes of a cell and their words, by counts of train and of the file.

    Of made text that annotators read too it is a guess: as much as a few copies of the draw.
    """
    if cell.stage.name != STAGE.name:
        share = _COPIES * min(1.0, cell.size / max(1, facts.train.split.n_documents))
        return Expected(share * facts.train.split.n_documents, share * facts.train.split.n_words)
    config = STAGE.config_of(cell)
    train, file = facts.train.split, facts.held_out.get(UNLABELLED)
    n = min(config.documents, max(0, train.n_documents - cell.size))
    documents, words = float(n), n * train.n_words / max(1, train.n_documents)
    if config.file is not None and file is not None:
        documents, words = documents + file.n_documents, words + file.n_words
    share = 1.0 if config.most is None else min(1.0, config.most / max(1.0, documents))
    return Expected(documents * share, words * share)


STAGE = Stage("notes", version=1, config=Settings, metrics=Measured, run=run)
