"""Notes in, labelled notes out, by one call that can be resumed: annotators vote on them.

Students and tuned language models are cells of ``experiment``. The notes are then labelled as a
stream, a chunk at a time, so that memory does not grow with their number.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from notesmith.config.corpus import ReadingConfig
from notesmith.config.recipe import RecipeConfig
from notesmith.corpus.formats.json_values import NoteFields
from notesmith.document import Document
from notesmith.errors import ConfigError
from notesmith.experiment.consent import record_consent, server_of
from notesmith.experiment.engine import NONE, OnCell, unheard
from notesmith.experiment.graph import StageFunction
from notesmith.experiment.stages.lm_labels import TUNED
from notesmith.files.write import scratch_beside
from notesmith.home import home
from notesmith.ner.decode import WordScores
from notesmith.progress import OnProgress, silent
from notesmith.workflows import beside as places
from notesmith.workflows.annotating import (
    PREVIEW_NOTES,
    BesideNotes,
    Labels,
    Work,
    read_documents,
    scores_in,
)
from notesmith.workflows.annotators import STUDENTS, check_annotators
from notesmith.workflows.beside import Begun
from notesmith.workflows.request import Documents, Request, refuse_inside
from notesmith.workflows.saved import Saved, read_saved
from notesmith.workflows.settings import annotation_settings, labelling_arm, uses_lm
from notesmith.workflows.silver import Summary
from notesmith.workflows.unlabelled import AS_FOUND, Unlabelled

KIND = "annotate"
SEED = 13
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Annotated:
    """Labelled notes, and counts of them.

    ``files`` is None if no output was named, and ``is_new`` says whether this call wrote the
    output. ``n_trained`` students and language models were
    trained by this call, and ``n_labelled`` notes labelled; both are 0 if an earlier one finished.
    ``seconds`` is the time of this call.
    """

    summary: Summary
    files: BesideNotes | None
    model: Path | None
    n_trained: int
    n_labelled: int
    is_new: bool
    seconds: float
    _docs: tuple[Document, ...] = field(default=(), repr=False)
    _scores: Mapping[str, WordScores] = field(default_factory=dict, repr=False)

    def documents(self) -> Iterator[Document]:
        """The labelled notes, one at a time."""
        if self.files is None:
            yield from self._docs
        else:
            yield from read_documents(self.files.kept)

    def scores(self) -> dict[str, WordScores]:
        """For soft labels, distributions of words by document id, as ``train_ner`` takes them."""
        if self.files is None:
            return dict(self._scores)
        return {} if self.files.scores is None else scores_in(self.files.scores)


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
    exact: bool = False,
    calibrate: bool = False,
    seed: int = SEED,
    changes: Sequence[str] = (),
    reading: ReadingConfig | None = None,
    notes_format: str | None = None,
    fields: NoteFields = AS_FOUND,
    patient_from: str | None = None,
    is_preview: bool = False,
    hub: bool = False,
    consent: frozenset[str] = frozenset(),
    instead: Mapping[str, StageFunction] = NONE,
    on_progress: OnProgress = silent,
    on_cell: OnCell = unheard,
    tell: Told = lambda what: None,
) -> Annotated:
    """Label ``notes`` by students of ``gold``, a language model, or others, or a vote of several.

    The same call goes on where an earlier one was stopped, and computes nothing if one finished.

    Args:
        notes: documents without labels, or the file or folder that holds them.
        out: the file to write, ending in ``.jsonl``. Other files are written beside it. If None,
            nothing is left on the disk.
        gold: labelled documents, or the file or folder that holds them. No note may repeat one.
        model: folder of a student, of students that vote, or of what ``save_model`` kept, that
            labels; nothing of it is trained then.
        students: number of students that vote; 5 if None.
        labels: what a student is to learn from the result; ``soft`` if None. See [annotate].
        by: annotators that label together: students, lm-json, lm-inline, prompted, dictionary,
            tagger; if None those of ``model``, or else the students alone.
        held_out: documents (or files of documents) that no note may repeat, such as dev and test.
        save_model: folder to make for the students and language models that were trained. The
            latter may know parts of gold by heart: guard it as gold is guarded.
        exact: let students compute in float32, which may take twice the time. Otherwise they
            compute in bfloat16 where the machine multiplies it in hardware, and one or two mentions
            in a thousand depend on the notes beside their own.
        calibrate: fit the scores of language models that are tuned here to the part of gold that
            tuning holds out. They stay as they are where it finds fewer than 50 mentions there.
        seed: root of all seeds.
        changes: changes of the form ``ner.x=VALUE`` or ``annotate.x=VALUE``, as in a recipe; of
            ``lm``, ``sft`` and ``sample`` too where a language model labels.
        reading: how files of labelled documents are read. Its ``on_problem``, ``encoding``
            and ``ignore`` hold for notes too.
        notes_format: format of the notes, ``text`` for plain texts; recognised if None.
        fields: where notes in JSON lines or Parquet of other programs keep text and id.
        patient_from: a regular expression whose first group in an id is the patient.
        is_preview: use a few documents, notes and steps, to see that everything works.
        hub: whether models may be fetched from a model hub.
        consent: hosts besides this machine that prompts, which hold notes, may be sent to.
        instead: functions that replace those of stages, by name; for tests.
        on_progress: called about the work.
        on_cell: called when the training of a model starts and when it is done.
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
    if any(change.partition("=")[0].strip() == "annotate.by" for change in changes):
        raise ConfigError("--set annotate.by: name annotators with --by")
    saved = read_saved(model) if model is not None else None
    names = tuple(by or (saved.by if saved else (STUDENTS,)))
    there = tuple(saved.readers) if saved else ()
    check_annotators(names, has_gold=gold is not None, saved=there)
    settled = partial(
        annotation_settings,
        seed=seed,
        reading=reading or ReadingConfig(),
        students=students,
        labels=labels,
        by=names,
        saved=there,
        hub=hub,
        changes=changes,
        is_trained=model is None,
        is_preview=is_preview,
    )
    config = settled()
    _check(config, gold, model, saved, save, is_preview=is_preview)
    if calibrate:
        _check_calibration(config, there)
    with _place(out, labels=config.annotate.labels, is_preview=is_preview) as place:
        request = Request.of(place, gold, held_out, reading=reading or ReadingConfig(), seed=seed)
        if isinstance(notes, Path | str):
            refuse_inside(Path(notes), place)
        options = _options_of_notes(reading or ReadingConfig(), notes_format)
        server = None
        if uses_lm(set(names) - set(there)):
            config = labelling_arm(settled(docs=request.docs))
            server = server_of(config, consent)
        work = Work(
            place,
            request,
            config,
            model=model,
            saved=saved,
            save_to=save,
            exact=exact,
            is_preview=is_preview,
            calibrates=calibrate,
            server=server,
        )
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
            work = replace(work, consent=record_consent(place.work, server, config))
            is_finished = places.is_finished(place, begun)
            n_trained = n_labelled = 0
            cells = work.cells()
            is_saved = save is None or work.is_saved(cells)
            if not is_finished:
                tell(work.told(unlabelled))
            if cells.targets and not (is_finished and is_saved):
                n_trained = work.train(cells, instead, on_progress, on_cell)
                if calibrate:
                    work = work.calibrate(cells, on_progress)
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
            is_new=not is_finished,
            seconds=time.monotonic() - started,
            _docs=() if is_kept else tuple(read_documents(place.kept)),
            _scores={} if is_kept or place.scores is None else scores_in(place.scores),
        )


def _check(
    config: RecipeConfig,
    gold: Documents | None,
    model: Path | None,
    saved: Saved | None,
    save: Path | None,
    *,
    is_preview: bool,
) -> None:
    """Refuse options that do not go together."""
    by = set(config.annotate.by)
    there = saved.by if saved else (STUDENTS,)
    if model is None and gold is None:
        raise ConfigError("name labelled documents with --gold, or a saved model with --model")
    if model is not None and by.isdisjoint(there):
        raise ConfigError(
            f"--model {model}: holds {', '.join(there)}, and --by names none of it; leave one of "
            "them out"
        )
    if model is not None and STUDENTS in by and STUDENTS not in there:
        raise ConfigError(
            f"--model {model}: holds no students; leave students out of --by, or leave out --model"
        )
    if save is not None and (model is not None or by.isdisjoint((STUDENTS, *TUNED))):
        raise ConfigError("--save-model keeps what is trained, and nothing is; leave it out")
    if save is not None and is_preview:
        raise ConfigError("a preview saves no model; leave out --save-model")


def _check_calibration(config: RecipeConfig, saved: Sequence[str]) -> None:
    """Refuse to calibrate where no tuned language model has scores; ``saved`` ones keep theirs."""
    if set(config.annotate.by).isdisjoint(set(TUNED) - set(saved)):
        raise ConfigError(
            "--calibrate is for a language model that is tuned; name lm-json or lm-inline with "
            "--by and no folder with --model that holds it, or leave --calibrate out"
        )
    if config.annotate.lm.confidence == "none":
        raise ConfigError(
            "--calibrate: with annotate.lm.confidence='none' there are no scores; leave one of "
            "them out"
        )


def _options_of_notes(reading: ReadingConfig, format: str | None) -> ReadingConfig:
    return ReadingConfig(
        format=format,
        on_problem=reading.on_problem,
        encoding=reading.encoding,
        ignore=reading.ignore,
    )


@contextmanager
def _place(out: Path | str | None, *, labels: Labels, is_preview: bool) -> Iterator[BesideNotes]:
    """The paths beside ``out``, or those in a folder that is deleted at the end."""
    if out is not None:
        yield BesideNotes.of(Path(out), labels=labels, is_preview=is_preview)
        return
    with scratch_beside(home() / KIND) as folder:
        yield BesideNotes.of(folder / "silver.jsonl", labels=labels, is_preview=is_preview)
