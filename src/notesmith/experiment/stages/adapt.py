"""The stage of adaptation: an encoder reads text without labels before students begin from it.

It reads the notes without labels of the draw, the texts of its gold documents, and those notes of
``adapt.notes`` whose text and patient stand in no document of train, dev or test.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from notesmith.config.corpus import ReadingConfig
from notesmith.config.fields import Config, part_of
from notesmith.config.recipe import ArmConfig, RecipeConfig
from notesmith.config.student import AdaptConfig, AdaptRecipeConfig
from notesmith.corpus.outside import LEFT_OUT, outside_of
from notesmith.document import Document
from notesmith.errors import ConfigError, StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import GOLD, Draw
from notesmith.experiment.graph import Cell, Stage, Work, seed_for
from notesmith.experiment.metrics import History, Metrics
from notesmith.experiment.stages import notes
from notesmith.experiment.stages.common import gold_in, read_parts
from notesmith.experiment.stages.notes import FileSettings, stream_notes

MORE_NOTES = "adapt.notes"
"""The name of these notes among the paths of a run, and in a plan's counts."""
NONE_LEFT = (
    f"no note of {MORE_NOTES} is left that repeats no document of train, dev or test by text or "
    f"patient; name other notes with {MORE_NOTES}, or leave it out"
)
_NOTES = "notes"
# A student's training takes as long on 0.6 times as many word pieces: 1,808 and 3,024 a processor
# second (docs/speed-ner.md, docs/how-to/adapt.md). Pieces a word are those of English notes.
_PACE = 0.6
_PIECES_PER_WORD = 1.6


class Settings(Config):
    """How which encoder is trained, and how more notes are read where there are some."""

    adapt: AdaptConfig
    encoder: str = "minilm"
    reading: ReadingConfig | None = None
    file: FileSettings | None = None
    most: int | None = None


class Measured(Metrics):
    """What an encoder read, and its loss in nats on notes that were held out, before and after.

    ``tokens`` are word pieces learnt from, each counted as often as it was seen. ``from_notes``,
    ``from_gold`` and ``from_file`` count texts by where they stand; ``repeated`` of them were left
    out as repeats of others, and the losses are of ``held_out``. ``left_out`` counts notes of the
    file whose text or patient a labelled document has.
    """

    training_seconds: float
    from_notes: int
    from_gold: int
    from_file: int
    repeated: int
    held_out: int
    left_out: dict[str, int]
    reading: dict[str, int]
    loss_before: float
    loss_after: float
    history: History

    @property
    def working_seconds(self) -> float:
        """Seconds of training."""
        return self.training_seconds


def file_of(table: AdaptRecipeConfig) -> FileSettings:
    """How ``adapt.notes`` is read."""
    return FileSettings(format=table.notes_format, text_field=table.notes_text_field)


def cell(draw: Draw, arm: ArmConfig) -> Cell:
    """The encoder that students of ``arm`` begin from: one for all arms of a draw that share it."""
    config, outside = draw.config, draw.outside
    table, fingerprints = config.adapt, draw.encoder(arm.ner)
    inputs = {"gold": draw.gold}
    if outside.unlabelled or config.draws.unlabelled_documents:
        inputs[_NOTES] = notes.cell(draw, config.annotate)
    settings = Settings(adapt=part_of(table, AdaptConfig), encoder=arm.ner.encoder)
    if outside.more_notes:
        reading = part_of(config.corpus, ReadingConfig)
        settings = settings.model_copy(
            update={"reading": reading, "file": file_of(table), "most": table.most_notes}
        )
        parts = {"train": outside.train, "dev": outside.dev, "test": outside.test}
        fingerprints |= {MORE_NOTES: outside.more_notes, **parts}
    # The same in all draws, so that encoders differ by what they read alone.
    seed = seed_for(config.draws.seed, "adapt")
    return draw.cell(STAGE, settings, inputs=inputs, fingerprints=fingerprints, seed=seed)


def run(work: Work[Settings]) -> Measured:
    """Train the encoder on the texts; after a kill it goes on from its last state.

    Raises:
        StageError: no note of ``adapt.notes`` is left, or the texts are too few.
    """
    from notesmith.ner.adapt import adapt_encoder
    from notesmith.ner.blocks import HELD_OUT, REPEATED

    config, n_of = work.config, Counter[str]()
    left_out, reading = Counter[str](), Counter[str]()

    def texts() -> Iterator[str]:
        for source, docs in (
            (_NOTES, files.load_docs(work.inputs[_NOTES]) if _NOTES in work.inputs else ()),
            (GOLD, gold_in(work)),
            (MORE_NOTES, _more_notes(work, left_out, reading)),
        ):
            for doc in docs:
                n_of[source] += 1
                yield doc.text

    made = work.scratch / files.MODEL
    found = adapt_encoder(
        texts(),
        encoder=config.encoder,
        config=config.adapt,
        out=made,
        seed=work.seed,
        on_progress=work.on_progress,
    )
    made.rename(work.out / files.MODEL)
    return Measured(
        tokens=found.tokens,
        training_seconds=round(found.seconds, 3),
        from_notes=n_of[_NOTES],
        from_gold=n_of[GOLD],
        from_file=n_of[MORE_NOTES],
        repeated=found.counts[REPEATED],
        held_out=found.counts[HELD_OUT],
        left_out={why: left_out[said] for why, said in LEFT_OUT.items() if left_out[said]},
        reading=dict(reading),
        loss_before=found.losses[found.before].loss,
        loss_after=found.losses[-1].loss,
        history=tuple({"tokens": each.tokens, "loss": each.loss} for each in found.losses),
    )


def _more_notes(
    work: Work[Settings], left_out: Counter[str], reading: Counter[str]
) -> Iterator[Document]:
    """The notes of the file that repeat no text and no patient of a labelled document."""
    config = work.config
    if config.file is None:
        return
    path: Path | None = work.context.more_notes
    assert path is not None and config.reading is not None
    labelled = read_parts(work.context.parts, config.reading).reads.values()
    outside = outside_of(doc for part in labelled for doc in part.docs)
    found = stream_notes(path, config.reading, config.file, reading, option=MORE_NOTES)
    n = 0
    for doc in outside(itertools.islice(found, config.most), left_out):
        n += 1
        yield doc
    if not n:
        raise StageError(NONE_LEFT)


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """A pass over the texts for each epoch, or over so many word pieces; and one encoder's folder.

    A student's folder holds the same encoder, with another head.
    """
    train = facts.train.split
    words = cell.size * train.n_words / max(1, train.n_documents)
    if _NOTES in cell.inputs:
        words += notes.expected(cell.inputs[_NOTES], facts).words
    if config.file is not None and (more := facts.held_out.get(MORE_NOTES)) is not None:
        words += more.n_words
    learnt = config.adapt.epochs * words
    if config.adapt.tokens is not None:
        learnt = config.adapt.tokens / _PIECES_PER_WORD
    return Amount(learnt=_PACE * learnt, students=1, saved_students=1)


STAGE = Stage(
    "adapt",
    version=1,
    config=Settings,
    metrics=Measured,
    run=run,
    cost=cost,
    keeps="first",
    peak="training",
)


def check_adapted(config: RecipeConfig, arm: ArmConfig) -> None:
    """See that there is something to read for ``arm``, where its encoder is adapted.

    Raises:
        ConfigError: there is nothing, or it is the arm of gold alone.
    """
    if not arm.adapted:
        return
    if arm.name == GOLD:
        raise ConfigError(
            f"arm {GOLD!r} learns from gold alone, and all others are compared with it; set "
            "adapted = true in another arm"
        )
    corpus, draws = config.corpus, config.draws
    if not (corpus.unlabelled or draws.unlabelled_documents or config.adapt.notes):
        raise ConfigError(
            f"arm {arm.name!r} is adapted and there is no text without labels: give "
            "corpus.unlabelled, adapt.notes, or draws.unlabelled_documents to use documents of "
            "train as such"
        )
