"""The stage of the tagger: one that a team has already labels the notes of an arm."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import Field

from notesmith.annotation.taggers import open_tagger
from notesmith.config import AnnotateConfig, ArmConfig, Config, RecipeConfig, TaggerConfig
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Annotator, Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import notes
from notesmith.experiment.stages.common import gold_in, labels_in
from notesmith.experiment.stages.silver import keep_labelled
from notesmith.files.checksums import hash_path
from notesmith.models.door import CONFIG
from notesmith.models.fingerprint import fingerprint_model
from notesmith.ner.decode import Decision, label_documents
from notesmith.ner.protocol import Student


class Settings(Config):
    """Which tagger, and what is said of labels to one that is asked for them."""

    tagger: TaggerConfig
    descriptions: dict[str, str] = Field(default_factory=dict)


class Measured(Metrics):
    """What went wrong, counted: mentions left out, or that did not fit; notes without predictions.

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
        inputs={"gold": draw.gold, "notes": found},
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
    label_notes(work, annotator)
    missed = getattr(annotator, "floor", None)
    return Measured(
        counts=dict(sorted(getattr(annotator, "counts", {}).items())),
        missed=None if missed is None else round(missed, 6),
    )


def label_notes(work: Work[Any], annotator: Student) -> None:
    """Let ``annotator`` label the notes of a cell, and keep what every annotator keeps.

    It sees notes of ``corpus.unlabelled`` under their own ids, by which predictions of a file are
    found.
    """
    docs = files.load_docs(work.inputs["notes"])
    own = [replace(doc, id=notes.own_id(doc.id)) for doc in docs]
    scores = annotator.predict_scores(own, on_progress=work.on_progress)
    labelled = label_documents(
        docs,
        scores,
        annotator.labels,
        model=annotator.name,
        decision=Decision({}, scores=True),
        attributes=annotator.attributes,
    )
    keep_labelled(work, labelled, scores)


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """One model reads the notes, at about the pace of a student; a file is read faster."""
    found = notes.expected(cell.inputs["notes"], facts)
    return Amount() if config.tagger.kind == "file" else Amount(read=found.words, students=1)


STAGE = Stage(
    "tagger",
    version=1,
    config=Settings,
    metrics=Measured,
    run=run,
    cost=cost,
    peak="predicting",
)
ANNOTATOR = Annotator("tagger", "a tagger that was there before", cell)


def fingerprint_annotators(config: RecipeConfig) -> dict[str, str]:
    """Content hashes of the term lists and the taggers that the arms of ``config`` name, by path.

    A package is known by its name and version.
    """
    found: dict[str, str] = {}
    for table in (config.annotate, *(arm.annotate for arm in config.arm)):
        for path in _paths_of(table):
            if path not in found:
                found[path] = _fingerprint(path)
    return found


def _paths_of(table: AnnotateConfig) -> list[str]:
    paths = list(table.dictionary.term_lists.values()) if "dictionary" in table.by else []
    return [*paths, table.tagger.path] if "tagger" in table.by and table.tagger.path else paths


def _fingerprint(name: str) -> str:
    path = Path(name).expanduser()
    if (path / CONFIG).is_file():
        return fingerprint_model(name)
    if path.exists():
        return hash_path(path)
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return name
