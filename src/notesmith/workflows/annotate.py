"""Notes in, labelled notes out, by one call that can be resumed: students of gold vote on them.

Students are cells of ``experiment``. The notes are then labelled as a stream, a chunk at a time, so
that memory does not grow with their number.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn

from notesmith.config import AnnotateConfig, ReadingConfig, RecipeConfig
from notesmith.corpus.formats.json_values import NoteFields
from notesmith.corpus.formats.jsonl import loads
from notesmith.corpus.labelling import Output, chunks, label_notes
from notesmith.corpus.reading import read_corpus
from notesmith.document import Document, labels_of
from notesmith.errors import ConfigError, FileError, StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment import taught as soft
from notesmith.experiment.draw import Draw, Fingerprints
from notesmith.experiment.engine import NONE, OnCell, run_cells, unheard
from notesmith.experiment.graph import Cell, StageFunction
from notesmith.experiment.models import have_models
from notesmith.experiment.run import context_of, fingerprints_of
from notesmith.experiment.stages import SOURCES, ner
from notesmith.experiment.stages import gold as drawing
from notesmith.experiment.taught import Taught
from notesmith.files.write import make_folder, scratch_beside
from notesmith.home import home
from notesmith.models.manifest import check_manifest, fingerprint
from notesmith.ner.decode import WordScores
from notesmith.ner.student import Student, copy_student
from notesmith.ner.votes import members_of, write_votes
from notesmith.progress import OnProgress, silent
from notesmith.report.silver import SilverFacts, render_silver, silver_card
from notesmith.report.words import plural
from notesmith.workflows import beside as places
from notesmith.workflows.annotators import (
    STUDENTS,
    check_annotators,
    labelling,
    load_students,
    part_path,
    vote_of,
)
from notesmith.workflows.beside import Begun
from notesmith.workflows.request import Documents, Request, refuse_inside
from notesmith.workflows.settings import annotation_settings, settings_of_annotation
from notesmith.workflows.silver import Look, Summary
from notesmith.workflows.unlabelled import AS_FOUND, Unlabelled, causes

KIND = "annotate"
SEED = 13
PREVIEW_NOTES = 8
Labels = Literal["hard", "masked", "soft"]
Told = Callable[[str], None]


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
class Annotated:
    """Labelled notes, and counts of them.

    ``files`` is None if no output was named. ``n_trained`` students were trained by this call, and
    ``n_labelled`` notes labelled; both are 0 if an earlier one finished. ``seconds`` is the time of
    this call.
    """

    summary: Summary
    files: BesideNotes | None
    model: Path | None
    n_trained: int
    n_labelled: int
    seconds: float
    _docs: tuple[Document, ...] = field(default=(), repr=False)
    _scores: Mapping[str, WordScores] = field(default_factory=dict, repr=False)

    def documents(self) -> Iterator[Document]:
        """The labelled notes, one at a time."""
        if self.files is None:
            yield from self._docs
        else:
            yield from _read(self.files.kept)

    def scores(self) -> dict[str, WordScores]:
        """For soft labels, distributions of words by document id, as ``train_ner`` takes them."""
        if self.files is None:
            return dict(self._scores)
        return {} if self.files.scores is None else _scores_in(self.files.scores)


def annotate(
    notes: Documents,
    out: Path | str | None = None,
    *,
    gold: Documents | None = None,
    model: Path | str | None = None,
    students: int | None = None,
    labels: Labels | None = None,
    by: Sequence[str] | None = None,
    held_out: Sequence[Documents] = (),
    save_model: Path | str | None = None,
    bf16: bool = False,
    seed: int = SEED,
    changes: Sequence[str] = (),
    reading: ReadingConfig | None = None,
    notes_format: str | None = None,
    fields: NoteFields = AS_FOUND,
    patient_from: str | None = None,
    is_preview: bool = False,
    hub: bool = False,
    instead: Mapping[str, StageFunction] = NONE,
    on_progress: OnProgress = silent,
    on_cell: OnCell = unheard,
    tell: Told = lambda what: None,
) -> Annotated:
    """Label ``notes``: train students on ``gold`` and let them vote, or let ``model`` label.

    The same call goes on where an earlier one was stopped, and computes nothing if one finished.

    Args:
        notes: documents without labels, or the file or folder that holds them.
        out: the file to write, ending in ``.jsonl``. Other files are written beside it. If None,
            nothing is left on the disk.
        gold: labelled documents, or the file or folder that holds them. No note may repeat one.
        model: folder of a student, or of students that vote, that labels; nothing is trained then.
        students: number of students that vote; 5 if None.
        labels: what a student is to learn from the result; ``soft`` if None. See [annotate].
        by: annotators that label together; the students alone if None.
        held_out: documents (or files of documents) that no note may repeat, such as dev and test.
        save_model: folder to make for the students that were trained.
        bf16: label in bfloat16 where the machine multiplies it in hardware, which pays for large
            encoders. One or two mentions in a thousand then depend on the notes beside their own.
        seed: root of all seeds.
        changes: changes of the form ``ner.x=VALUE`` or ``annotate.x=VALUE``, as in a recipe.
        reading: how files of labelled documents are read. Its ``on_problem``, ``encoding``
            and ``ignore`` hold for notes too.
        notes_format: format of the notes, ``text`` for plain texts; recognised if None.
        fields: where notes in JSON lines or Parquet of other programs keep text and id.
        patient_from: a regular expression whose first group in an id is the patient.
        is_preview: use a few documents, notes and steps, to see that everything works.
        hub: whether the encoder may be fetched from a model hub.
        instead: functions that replace those of stages, by name; for tests.
        on_progress: called about the work.
        on_cell: called when the training of a student starts and when it is done.
        tell: called with a line about what is going to be done.

    Raises:
        ConfigError: options or settings are wrong, or differ from those of the existing output.
        CorpusError: documents or notes cannot be read, or no note is left to label.
        FileError: something of the user's is in the place of a file to write.
        ModelError: a model is not on this machine, or cannot be loaded.
        StageError: a stage cannot do its work, or another process works on the same output.
    """
    started = time.monotonic()
    model = Path(model) if model is not None else None
    save = Path(save_model) if save_model is not None else None
    config = annotation_settings(
        seed=seed,
        reading=reading or ReadingConfig(),
        students=students,
        labels=labels,
        by=by,
        hub=hub,
        changes=changes,
        is_trained=model is None,
        is_preview=is_preview,
    )
    _check(config, gold, model, save, is_preview=is_preview)
    with _place(out, labels=config.annotate.labels, is_preview=is_preview) as place:
        request = Request.of(place, gold, held_out, reading=reading or ReadingConfig(), seed=seed)
        if isinstance(notes, Path | str):
            refuse_inside(Path(notes), place)
        options = _options_of_notes(reading or ReadingConfig(), notes_format)
        work = _Work(place, request, config, model, save, bf16, is_preview)
        unlabelled = Unlabelled.of(
            notes,
            work.labelled_documents(),
            options=options,
            fields=fields,
            patient_from=patient_from,
            most=PREVIEW_NOTES if is_preview else None,
            on_progress=on_progress,
        )
        settings = work.settings(unlabelled)
        with places.working_beside(place) as begun:
            if begun is None or not (places.holds_work(place, begun) or place.parts.exists()):
                created = datetime.now(tz=UTC).date().isoformat()
                begun = places.begin(place, Begun(kind=KIND, created=created, settings=settings))
            places.refuse_other(place, begun, KIND, settings)
            request.write_documents()
            is_finished = places.is_finished(place, begun)
            n_trained = n_labelled = 0
            cells = work.cells() if work.trains else ()
            is_saved = save is None or work.is_saved(cells)
            if not is_finished:
                tell(work.told(unlabelled))
            if cells and not (is_finished and is_saved):
                n_trained = work.train(cells, instead, on_progress, on_cell)
                if save is not None and not is_saved:
                    work.save(cells, save)
            if not is_finished:
                if not place.labelled.exists():
                    n_labelled = work.label(unlabelled, cells, on_progress)
                begun = work.publish(begun, unlabelled)
            shutil.rmtree(place.parts, ignore_errors=True)
        is_kept = out is not None
        return Annotated(
            summary=Summary.model_validate(begun.summary),
            files=place if is_kept else None,
            model=save,
            n_trained=n_trained,
            n_labelled=n_labelled,
            seconds=time.monotonic() - started,
            _docs=() if is_kept else tuple(_read(place.kept)),
            _scores={} if is_kept or place.scores is None else _scores_in(place.scores),
        )


def _check(
    config: RecipeConfig,
    gold: Documents | None,
    model: Path | None,
    save: Path | None,
    *,
    is_preview: bool,
) -> None:
    """Refuse options that do not go together."""
    check_annotators(config.annotate, has_gold=gold is not None)
    uses_students = STUDENTS in config.annotate.by
    if model is None and gold is None:
        raise ConfigError("name labelled documents with --gold, or a saved model with --model")
    if model is not None and not uses_students:
        raise ConfigError(f"--model {model}: --by names no students; leave one of them out")
    if save is not None and (model is not None or not uses_students):
        raise ConfigError("--save-model keeps students that are trained, and none is; leave it out")
    if save is not None and is_preview:
        raise ConfigError("a preview saves no model; leave out --save-model")


def _options_of_notes(reading: ReadingConfig, format: str | None) -> ReadingConfig:
    return ReadingConfig(
        format=format,
        on_problem=reading.on_problem,
        encoding=reading.encoding,
        ignore=reading.ignore,
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """One call's work in its place; every method is a step of it."""

    place: BesideNotes
    request: Request
    config: RecipeConfig
    model: Path | None
    save_to: Path | None
    bf16: bool
    is_preview: bool

    @property
    def annotating(self) -> AnnotateConfig:
        """The settings of [annotate]."""
        return self.config.annotate

    @property
    def trains(self) -> bool:
        """Whether students are trained."""
        return self.model is None and STUDENTS in self.annotating.by

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
            "bf16": self.bf16,
            "NOTES": unlabelled.found.digest,
            "GOLD": self.request.hash_at(gold) if gold else None,
            "held-out": [self.request.hash_at(path) for path in self.request.held_out],
            "model": fingerprint_of(self.model) if self.model else None,
        }

    def cells(self) -> tuple[Cell, ...]:
        """The cells of the students that vote."""
        paths, size = self.request.paths, len(self.request.docs)
        if self.is_preview:
            size = min(size, PREVIEW_NOTES)
        draws = self.config.draws.model_copy(update={"sizes": (size,)})
        config = have_models(self.config.model_copy(update={"draws": draws}))
        outside: Fingerprints = fingerprints_of(config, paths)
        drawn = drawing.cell(config, outside, size=size, replicate=0)
        draw = Draw(config, outside, size, 0, gold=drawn, sources=SOURCES)
        return tuple(
            ner.cell(draw, draw.arm(teacher), number)
            for teacher in config.annotate.teachers
            for number in range(config.annotate.students)
        )

    def train(
        self,
        cells: Sequence[Cell],
        instead: Mapping[str, StageFunction],
        on_progress: OnProgress,
        on_cell: OnCell,
    ) -> int:
        """Train what is missing; returns the number of students that were trained."""
        ran = run_cells(
            cells,
            store=places.store_of(self.place),
            context=context_of(self.config, self.request.paths, open_split=_shut),
            instead=instead,
            on_progress=on_progress,
            on_cell=on_cell,
        )
        return sum(cell.stage == ner.STAGE for cell in ran.computed)

    def folders(self, cells: Sequence[Cell]) -> list[Path]:
        """The folders of the students that vote."""
        if self.model is not None:
            return [self.model]
        store = places.store_of(self.place)
        return [store.folder(cell) / files.MODEL for cell in cells]

    def is_saved(self, cells: Sequence[Cell]) -> bool:
        """Whether the students stand where they are to be saved; anything else there is refused.

        Raises:
            FileError: something else is there.
        """
        folder = self.save_to
        assert folder is not None
        if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
            return False
        trained = [path for path in self.folders(cells) if path.exists()]
        if folder.is_dir() and len(trained) == len(cells):
            saved = members_of(folder) or [folder]
            if [fingerprint(path) for path in saved] == [fingerprint(path) for path in trained]:
                return True
        raise FileError(f"{folder}: holds something else; name another with --save-model")

    def save(self, cells: Sequence[Cell], folder: Path) -> None:
        """Copy the students to ``folder``."""
        found = self.folders(cells)
        if len(found) == 1:
            copy_student(found[0], folder)
        else:
            write_votes(folder, [partial(copy_student, path) for path in found])

    def label(self, unlabelled: Unlabelled, cells: Sequence[Cell], on_progress: OnProgress) -> int:
        """Label the notes; returns the number of those that this call labelled."""
        folders = self.folders(cells)
        student: Student | None = None
        if STUDENTS in self.annotating.by:
            student = load_students(folders, bf16=self.bf16)
        labels = student.labels if student is not None else labels_of(self.request.docs)
        vote = vote_of(self.annotating, self.request.docs, labels, student)
        make_folder(self.place.parts)
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

    def told(self, unlabelled: Unlabelled) -> str:
        """One line about what is going to be done."""
        found = unlabelled.found
        line = f"{plural(found.n_docs, 'note')} of {found.n_chars:,} characters"
        if self.trains:
            n = len(self.annotating.teachers) * self.annotating.students
            of = min(len(self.request.docs), PREVIEW_NOTES if self.is_preview else 10**9)
            line += f"; {plural(n, 'student')} learn from {plural(of, 'document')} before"
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
        first = next(chunks(_read(place.labelled)))
        labels = Taught.open(part_path(place.parts, first)).labels
        look = Look(labels, config, self.config.draws.seed)
        parts = (
            look.take(chunk, Taught.open(part_path(place.parts, chunk)))
            for chunk in chunks(_read(place.labelled))
        )
        contents: dict[Path, str | Path] = {place.kept: place.labelled}
        if place.scores is None:
            for _ in parts:
                pass
        else:
            contents[place.scores] = place.work / "scores.npz"
            soft.write_parts(place.work / "scores.npz", labels, parts)
        summary = look.summary(unlabelled.left_out, unlabelled.found.counts)
        contents[place.page] = render_silver(
            look.doubtful, look.random, n_notes=summary.notes, card=place.card.name
        )
        contents[place.card] = self._card(summary, begun.created, first[0].provenance.model or "")
        begun = begun.model_copy(update={"summary": summary.model_dump(mode="json")})
        return places.publish(place, begun, contents)

    def _card(self, summary: Summary, created: str, annotators: str) -> str:
        config, n_gold = self.annotating, len(self.request.docs)
        changed = places.flat(settings_of_annotation(self.config))
        facts = SilverFacts(
            created=created,
            annotators=annotators,
            gold=min(n_gold, PREVIEW_NOTES) if self.is_preview else n_gold,
            n_held_out=self.request.n_held_out,
            seed=self.config.draws.seed,
            taught=config.labels,
            doubtful=config.doubtful,
            temperature=config.temperature,
            exact=not self.bf16,
            settings={name: json.dumps(value) for name, value in changed.items()},
            is_preview=self.is_preview,
        )
        return silver_card(
            facts,
            n_notes=summary.notes,
            n_words=summary.words,
            n_doubtful=summary.doubtful,
            n_masked=summary.masked,
            confidence=summary.confidence,
            labels=summary.labels,
            counts={
                "Notes left out, by what they repeat": summary.left_out,
                "Noticed while the notes were read": summary.reading,
                "Mentions and notes that annotators could not use": summary.problems,
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


def _read(path: Path) -> Iterator[Document]:
    with path.open("rb") as file:
        for line in file:
            yield loads(line.decode())


def _scores_in(path: Path) -> dict[str, WordScores]:
    return {
        doc_id: one
        for part in Taught.open(path).parts()
        for doc_id, one in zip(part.ids, part.scores, strict=True)
    }


@contextmanager
def _place(out: Path | str | None, *, labels: Labels, is_preview: bool) -> Iterator[BesideNotes]:
    """The paths beside ``out``, or those in a folder that is deleted at the end."""
    if out is not None:
        yield BesideNotes.of(Path(out), labels=labels, is_preview=is_preview)
        return
    with scratch_beside(home() / KIND) as folder:
        yield BesideNotes.of(folder / "silver.jsonl", labels=labels, is_preview=is_preview)


def _shut(split: str) -> NoReturn:
    raise StageError(f"{split} is not opened: nothing is scored here")
