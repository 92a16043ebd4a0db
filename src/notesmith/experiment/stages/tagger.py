"""The stage of the tagger: one that a team has already labels the notes of an arm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from pydantic import Field

from notesmith.annotation.mentions import MentionAnnotator
from notesmith.annotation.taggers import open_tagger
from notesmith.config.annotators import TaggerConfig
from notesmith.config.fields import Config
from notesmith.config.recipe import ArmConfig, RecipeConfig
from notesmith.document import Document
from notesmith.errors import ConfigError
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Annotator, Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.stages import notes, teachers
from notesmith.experiment.stages.common import gold_in, labels_in
from notesmith.files.checksums import hash_path
from notesmith.models.door import CONFIG
from notesmith.models.fingerprint import fingerprint_model
from notesmith.ner.protocol import Student
from notesmith.progress import OnProgress


class Settings(Config):
    """Which tagger, and what is said of labels to one that is asked for them."""

    tagger: TaggerConfig
    descriptions: dict[str, str] = Field(default_factory=dict)


class Measured(teachers.Measured):
    """What went wrong, counted: mentions left out, or that did not fit; notes without predictions.

    ``counts`` are of all notes but those that were ``resumed``.
    ``missed`` is the share of words outside the mentions found that are words of mentions, in gold;
    None of a tagger that gives distributions itself.
    """

    counts: dict[str, int]
    missed: float | None


def cell(draw: Draw, arm: ArmConfig, found: Cell) -> Cell:
    """What the tagger says of the notes in ``found``."""
    config = arm.annotate.tagger
    asked = draw.config.corpus.label_descriptions if config.kind == "gliner2" else {}
    return draw.cell(
        STAGE,
        Settings(tagger=config, descriptions=asked),
        inputs={"gold": draw.gold, teachers.NOTES: found},
        fingerprints={"tagger": draw.outside.annotators.get(config.path, config.path)},
        seed=0,
        arm=arm.name,
    )


def run(work: Work[Settings]) -> Measured:
    """Open the tagger, measure it in gold, and let it label the notes."""
    config = work.config
    annotator = open_tagger(
        config.tagger, labels_in(work), gold=gold_in(work), descriptions=config.descriptions
    )
    read = teachers.label_notes(work, _by_own_ids(annotator))
    counted = annotator if isinstance(annotator, MentionAnnotator) else None
    return Measured(
        **read.model_dump(exclude_unset=True),
        counts=dict(sorted(counted.counts.items())) if counted else {},
        missed=round(counted.floor, 6) if counted else None,
    )


def _by_own_ids(annotator: Student) -> Student:
    """The same, which sees notes of ``corpus.unlabelled`` under the ids that they have there."""
    if not isinstance(annotator, MentionAnnotator):
        return annotator
    find = annotator.find

    def found_by(docs: Sequence[Document], told: OnProgress) -> Iterator[Document]:
        own = [replace(doc, id=notes.own_id(doc.id)) for doc in docs]
        for doc, found in zip(docs, find(own, told), strict=True):
            yield replace(found, id=doc.id)

    return replace(annotator, find=found_by)


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """One model reads the notes, at about the pace of a student; a file is read faster."""
    found = notes.expected(cell.inputs[teachers.NOTES], facts)
    return Amount() if config.tagger.kind == "file" else Amount(read=found.words, students=1)


STAGE = Stage(
    "tagger",
    version=2,
    config=Settings,
    metrics=Measured,
    run=run,
    cost=cost,
    peak="predicting",
)
ANNOTATOR = Annotator("tagger", "a tagger that was there before", cell)


def fingerprint_annotators(config: RecipeConfig) -> dict[str, str]:
    """Content hashes of the term lists and the taggers that the arms of ``config`` name, by path.

    An installed pipeline of spaCy is known by its name and version.

    Raises:
        ConfigError: nothing is there.
    """
    found: dict[str, str] = {}
    for table in (config.annotate, *(arm.annotate for arm in config.arm)):
        if "dictionary" in table.by:
            for path in table.dictionary.term_lists.values():
                found[path] = found.get(path) or _of_path(path, "annotate.dictionary.term_lists")
        if "tagger" in table.by and (path := table.tagger.path):
            found[path] = found.get(path) or _of_tagger(table.tagger)
    return found


def _of_tagger(tagger: TaggerConfig) -> str:
    if tagger.kind == "spacy" and not Path(tagger.path).expanduser().exists():
        try:
            return f"{tagger.path} {metadata.version(tagger.path)}"
        except metadata.PackageNotFoundError:
            pass
    return _of_path(tagger.path, "annotate.tagger.path")


def _of_path(name: str, option: str) -> str:
    path = Path(name).expanduser()
    if not path.exists():
        raise ConfigError(f"{option} {name!r}: nothing is there; correct the path")
    return fingerprint_model(name) if (path / CONFIG).is_file() else hash_path(path)
