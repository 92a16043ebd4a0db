"""The steps of ``annotate``: what is trained, labelled and written, and where."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from notesmith.annotation.language_model import LmAnnotator
from notesmith.config.annotators import AnnotateConfig
from notesmith.config.recipe import RecipeConfig
from notesmith.corpus.formats.jsonl import loads
from notesmith.corpus.labelling import Output, chunks, label_notes
from notesmith.corpus.reading import read_corpus
from notesmith.document import Document, labels_of
from notesmith.errors import FileError, StageError
from notesmith.evaluate.calibration import Calibrated
from notesmith.experiment import artefacts as files
from notesmith.experiment import taught as soft
from notesmith.experiment.artefacts import SampleLog
from notesmith.experiment.consent import Consent
from notesmith.experiment.draw import Draw, Fingerprints
from notesmith.experiment.engine import OnCell, run_cells
from notesmith.experiment.graph import Cell, Context, StageFunction
from notesmith.experiment.graph import Work as CellWork
from notesmith.experiment.models import have_models
from notesmith.experiment.run import context_of, fingerprints_of
from notesmith.experiment.stages import SOURCES, annotator, ner
from notesmith.experiment.stages import gold as drawing
from notesmith.experiment.stages.lm_labels import READERS, TUNED, open_reader
from notesmith.experiment.taught import Taught
from notesmith.files.write import make_folder
from notesmith.home import home
from notesmith.models.fingerprint import fingerprint_model
from notesmith.models.manifest import check_manifest, fingerprint
from notesmith.ner.decode import WordScores
from notesmith.ner.student import Student
from notesmith.ner.votes import members_of
from notesmith.progress import OnProgress
from notesmith.report.silver import SilverFacts, render_silver, silver_card
from notesmith.report.words import plural
from notesmith.results import without_folders
from notesmith.workflows import beside as places
from notesmith.workflows.annotators import (
    STUDENTS,
    labelling,
    load_students,
    part_path,
    vote_of,
)
from notesmith.workflows.beside import Begun
from notesmith.workflows.calibrating import calibrate, held_out_of
from notesmith.workflows.request import Request
from notesmith.workflows.saved import (
    Saved,
    SavedReader,
    holds,
    save_annotators,
    save_students,
    students_in,
)
from notesmith.workflows.settings import LABELLING, settings_of_annotation
from notesmith.workflows.silver import Look, Summary
from notesmith.workflows.unlabelled import Unlabelled, causes

if TYPE_CHECKING:
    from notesmith.lm.backends.server import Endpoint

PREVIEW_NOTES = 8
Labels = Literal["hard", "masked", "soft"]


@dataclass(frozen=True, slots=True)
class BesideNotes:
    """The paths of labelled notes and of the files beside them; ``scores`` is of soft labels."""

    kept: Path
    scores: Path | None
    page: Path
    card: Path
    work: Path

    @classmethod
    def of(cls, out: Path, *, labels: Labels, is_preview: bool) -> BesideNotes:
        """The paths for the output ``out``; a preview has names of its own.

        Raises:
            ConfigError: ``out`` does not end in ``.jsonl``.
        """
        stem = places.stem_of(out, is_preview=is_preview)
        kept = out.with_name(f"{stem}.jsonl")
        return cls(
            kept=kept,
            scores=soft.beside(kept) if labels == "soft" else None,
            page=out.with_name(f"{stem}.html"),
            card=out.with_name(f"{stem}.md"),
            work=out.with_name(f"{stem}.work"),
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are written at the end, the labelled notes last."""
        before = () if self.scores is None else (self.scores,)
        return (*before, self.page, self.card, self.kept)

    @property
    def labelled(self) -> Path:
        """The notes in the work folder, once all are labelled."""
        return self.work / "labelled.jsonl"

    @property
    def parts(self) -> Path:
        """The distributions of each chunk of notes."""
        return self.work / "scores"


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of students, and by annotator, those of language models that read notes.

    The latter are not computed: they say how the model is opened that their inputs hold.
    """

    students: tuple[Cell, ...] = ()
    readers: Mapping[str, Cell] = field(default_factory=dict)

    @property
    def targets(self) -> tuple[Cell, ...]:
        """The cells to compute."""
        return (*self.students, *(c for one in self.readers.values() for c in one.inputs.values()))


@dataclass(frozen=True, slots=True)
class Work:
    """One call's work in its place; every method is a step of it.

    ``calibrated`` says, by annotator, how the scores of language models were calibrated that are
    tuned here.
    """

    place: BesideNotes
    request: Request
    config: RecipeConfig
    model: Path | None
    saved: Saved | None
    save_to: Path | None
    exact: bool
    is_preview: bool
    calibrates: bool = False
    server: Endpoint | None = None
    consent: Consent | None = None
    calibrated: Mapping[str, Calibrated] = field(default_factory=dict)

    @property
    def annotating(self) -> AnnotateConfig:
        """The settings of [annotate]."""
        return self.config.annotate

    @property
    def trains(self) -> bool:
        """Whether students are trained."""
        return self.model is None and STUDENTS in self.annotating.by

    @property
    def readers(self) -> tuple[str, ...]:
        """The annotators that are language models, but for saved ones."""
        there = self.saved.readers if self.saved else ()
        return tuple(name for name in self.annotating.by if name in READERS and name not in there)

    def labelled_documents(self) -> list[Document]:
        """Gold and held-out documents: no note may repeat one."""
        docs = list(self.request.docs)
        for path in self.request.held_out:
            if path in self.request.texts:
                docs += [loads(line) for line in self.request.texts[path].splitlines()]
            else:
                docs += read_corpus(path, self.request.reading, expect_mentions=False).docs
        return docs

    def settings(self, unlabelled: Unlabelled) -> dict[str, Any]:
        """Everything that determines the result, for the marker."""
        gold = self.request.paths.get("train")
        return {
            **settings_of_annotation(self.config),
            "seed": self.config.draws.seed,
            "exact": self.exact,
            "NOTES": unlabelled.found.digest,
            "GOLD": self.request.hash_at(gold) if gold else None,
            "held-out": [self.request.hash_at(path) for path in self.request.held_out],
            "model": self._fingerprint(),
            **({"calibrate": True} if self.calibrates else {}),
            **({"LM": fingerprint_model(self.config.lm.model)} if self.readers else {}),
        }

    def _fingerprint(self) -> str | None:
        """A hash of what was saved: a student, students that vote, or annotators."""
        if self.model is None:
            return None
        return fingerprint(self.model) if self.saved else fingerprint_of(self.model)

    def cells(self) -> Cells:
        """The cells of the students that vote, and of the language models that label.

        Raises:
            ModelError: a model is not on this machine.
        """
        if not (self.trains or self.readers):
            return Cells()
        paths, size = self.request.paths, len(self.request.docs)
        if self.is_preview:
            size = min(size, PREVIEW_NOTES)
        draws = self.config.draws.model_copy(update={"sizes": (size,)})
        config = have_models(self.config.model_copy(update={"draws": draws}))
        outside: Fingerprints = fingerprints_of(config, paths)
        drawn = drawing.cell(config, outside, size=size, replicate=0)
        draw = Draw(config, outside, size, 0, gold=drawn, sources=SOURCES)
        students = (
            ner.cell(draw, draw.arm(teacher), number)
            for teacher in config.annotate.teachers
            for number in range(config.annotate.students)
        )
        readers = {name: READERS[name](draw, draw.arm(LABELLING)) for name in self.readers}
        return Cells(tuple(students) if self.trains else (), readers)

    def train(
        self,
        cells: Cells,
        instead: Mapping[str, StageFunction],
        on_progress: OnProgress,
        on_cell: OnCell,
    ) -> int:
        """Train what is missing; returns the number of models that were trained."""
        ran = run_cells(
            cells.targets,
            store=places.store_of(self.place),
            context=self._context(),
            instead=instead,
            on_progress=on_progress,
            on_cell=on_cell,
        )
        return sum(cell.stage in (ner.STAGE, annotator.STAGE) for cell in ran.computed)

    def calibrate(self, cells: Cells, on_progress: OnProgress) -> Work:
        """The same work with the scores calibrated of the language models that were tuned here."""
        make_folder(self.place.parts)
        store, found = places.store_of(self.place), {}
        for name in self._tuned(cells):
            cell = cells.readers[name]
            found[name] = calibrate(
                self._opened(name, cell),
                held_out_of(cell.inputs["model"], store),
                SampleLog(self.place.parts / f"held-out.{name}.jsonl"),
                on_progress=on_progress,
            )
        return replace(self, calibrated=found)

    def _context(self) -> Context:
        found = context_of(self.config, self.request.paths, open_split=_shut)
        return replace(found, server=self.server)

    def folders(self, cells: Cells) -> list[Path]:
        """The folders of the students that vote."""
        if self.model is not None:
            return [students_in(self.model)]
        store = places.store_of(self.place)
        return [store.folder(cell) / files.MODEL for cell in cells.students]

    def is_saved(self, cells: Cells) -> bool:
        """Whether all stands where it is to be saved; anything else there is refused.

        Raises:
            FileError: something else is there.
            ModelError: it is a damaged folder, or holds no annotator.
        """
        folder = self.save_to
        assert folder is not None
        if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
            return False
        students, models = self.folders(cells), self._tuned(cells)
        trained = all(path.exists() for path in (*students, *models.values()))
        if folder.is_dir() and trained and holds(folder, students, models):
            return True
        raise FileError(f"{folder}: holds something else; name another with --save-model")

    def save(self, cells: Cells, folder: Path) -> None:
        """Copy what was trained to ``folder``."""
        students, models = self.folders(cells), self._tuned(cells)
        if not models:
            save_students(students, folder)
            return
        readers = {name: self._opened(name, cells.readers[name]) for name in models}
        about = Saved(
            by=tuple(n for n in self.annotating.by if n in models or (n == STUDENTS and students)),
            labels=labels_of(self.request.docs),
            readers={
                name: SavedReader.of(reader, self.calibrated.get(name))
                for name, reader in readers.items()
            },
            n_documents=len(self.request.docs),
            seed=self.config.draws.seed,
        )
        save_annotators(about, students, models, folder)

    def _tuned(self, cells: Cells) -> dict[str, Path]:
        """The folders of the language models that are tuned here, by annotator."""
        store = places.store_of(self.place)
        return {
            name: store.folder(cell.inputs["model"]) / files.MODEL
            for name, cell in cells.readers.items()
            if name in TUNED
        }

    def label(self, unlabelled: Unlabelled, cells: Cells, on_progress: OnProgress) -> int:
        """Label the notes; returns the number of those that this call labelled."""
        folders = self.folders(cells)
        student: Student | None = None
        if STUDENTS in self.annotating.by:
            student = load_students(folders, exact=self.exact)
        labels = student.labels if student is not None else self._labels()
        make_folder(self.place.parts)
        vote = vote_of(
            self.annotating,
            self.request.docs,
            labels,
            student,
            models=self._models(cells),
            logs=self.place.parts,
        )
        identity = json.dumps([self.settings(unlabelled), list(labels)], sort_keys=True)
        output = Output(
            self.place.labelled, hashlib.sha256(identity.encode()).hexdigest(), vote.labels
        )
        done = label_notes(
            unlabelled.notes,
            unlabelled.found,
            labelling(vote, self.annotating, self.place.parts),
            output,
            on_progress=on_progress,
        )
        return done.n_docs - done.n_resumed

    def _labels(self) -> tuple[str, ...]:
        """Those of the labelled documents, or else of the saved annotators."""
        if self.request.docs or self.saved is None:
            return labels_of(self.request.docs)
        return self.saved.labels

    def _models(self, cells: Cells) -> dict[str, LmAnnotator]:
        """The language models that label, by annotator."""
        found = {name: self._opened(name, cell) for name, cell in cells.readers.items()}
        if self.model is not None and self.saved is not None:
            for name, reader in self.saved.readers.items():
                if name in self.annotating.by:
                    found[name] = reader.open(self.model / name, home() / "cache")
        return found

    def _opened(self, name: str, cell: Cell) -> LmAnnotator:
        """The language model of a cell that reads notes; ``name`` is the annotator's."""
        store = places.store_of(self.place)
        inputs = {what: store.folder(before) for what, before in cell.inputs.items()}
        scratch = self.place.parts
        reader = open_reader(CellWork(cell, inputs, scratch, scratch, self._context()))
        calibrated = self.calibrated.get(name)
        return replace(reader, score_temperature=calibrated.temperature if calibrated else None)

    def _all_calibrated(self) -> dict[str, Calibrated]:
        """How the scores of language models that label were calibrated, saved ones included."""
        readers = self.saved.readers if self.saved else {}
        saved = {name: one.calibrated for name, one in readers.items() if one.calibrated}
        found = {**saved, **self.calibrated}
        return {name: found[name] for name in self.annotating.by if name in found}

    def told(self, unlabelled: Unlabelled) -> str:
        """One line about what is going to be done."""
        found = unlabelled.found
        line = f"{plural(found.n_docs, 'note')} of {found.n_chars:,} characters"
        if self.trains:
            n = len(self.annotating.teachers) * self.annotating.students
            of = min(len(self.request.docs), PREVIEW_NOTES if self.is_preview else 10**9)
            line += f"; {plural(n, 'student')} learn from {plural(of, 'document')} before"
        if self.readers:
            line += f"; {self.config.lm.model} labels as {', '.join(self.readers)}"
        if self.saved:
            named = [name for name in self.saved.by if name in self.annotating.by]
            line += f"; saved annotators label: {', '.join(named)}"
        if unlabelled.left_out:
            line += f". Left out: {causes(unlabelled.left_out)}"
        if n := found.labels.total():
            line += (
                f". {plural(n, 'mention')} that notes carry {'is' if n == 1 else 'are'} not read"
            )
        return line

    def publish(self, begun: Begun, unlabelled: Unlabelled) -> Begun:
        """Write the output and the files beside it from the labelled notes of the work folder."""
        place, config = self.place, self.annotating
        first = next(chunks(read_documents(place.labelled)))
        labels = Taught.open(part_path(place.parts, first)).labels
        look = Look(labels, config, self.config.draws.seed)
        parts = (
            look.take(chunk, Taught.open(part_path(place.parts, chunk)))
            for chunk in chunks(read_documents(place.labelled))
        )
        contents: dict[Path, str | Path] = {place.kept: place.labelled}
        if place.scores is None:
            for _ in parts:
                pass
        else:
            contents[place.scores] = place.work / "scores.npz"
            soft.write_parts(place.work / "scores.npz", labels, parts)
        summary = look.summary(unlabelled.left_out, unlabelled.found.counts, self._all_calibrated())
        contents[place.page] = render_silver(
            look.doubtful, look.random, n_notes=summary.notes, card=place.card.name
        )
        contents[place.card] = self._card(summary, begun.created, first[0].provenance.model or "")
        begun = begun.model_copy(update={"summary": summary.model_dump(mode="json")})
        return places.publish(place, begun, contents)

    def _card(self, summary: Summary, created: str, annotators: str) -> str:
        config, n_gold = self.annotating, len(self.request.docs)
        changed = places.flat(settings_of_annotation(self.config))
        # Which host prompts were sent to is said apart; others are of this machine.
        changed.pop("sample.server", None)
        facts = SilverFacts(
            created=created,
            annotators=annotators,
            gold=min(n_gold, PREVIEW_NOTES) if self.is_preview else n_gold,
            n_held_out=self.request.n_held_out,
            seed=self.config.draws.seed,
            taught=config.labels,
            doubtful=config.doubtful,
            temperature=config.temperature,
            exact=self.exact,
            settings={
                name: json.dumps(without_folders(value) if isinstance(value, str) else value)
                for name, value in changed.items()
            },
            is_preview=self.is_preview,
            sent=self.consent.sentence if self.consent else "",
        )
        return silver_card(
            facts,
            n_notes=summary.notes,
            n_words=summary.words,
            n_doubtful=summary.doubtful,
            n_masked=summary.masked,
            confidence=summary.confidence,
            labels=summary.labels,
            calibrated=summary.calibrated,
            counts={
                "Notes left out, by what they repeat": summary.left_out,
                "Noticed while the notes were read": summary.reading,
                "Answers of language models": summary.answers,
                "Answers, mentions and notes that could not be used, by reason": summary.problems,
            },
        )


def fingerprint_of(model: Path) -> str:
    """A hash of a saved student, or of students that vote.

    Raises:
        ModelError: the folder is neither.
    """
    members_of(model)
    check_manifest(model)
    return fingerprint(model)


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a file of ours, one at a time."""
    with path.open("rb") as file:
        for line in file:
            yield loads(line.decode())


def scores_in(path: Path) -> dict[str, WordScores]:
    """All distributions of a file, by document id."""
    return {
        doc_id: one
        for part in Taught.open(path).parts()
        for doc_id, one in zip(part.ids, part.scores, strict=True)
    }


def _shut(split: str) -> NoReturn:
    raise StageError(f"{split} is not opened: nothing is scored here")
