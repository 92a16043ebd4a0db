"""Annotators that were trained once and saved together: students, tuned language models, or both.

The folder has one folder for each of them, and one file that says what is in it. Students alone are
saved as students are, without this file.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from notesmith.annotation.language_model import LmAnnotator
from notesmith.annotation.prompt import Form, FormName
from notesmith.config.annotators import LmAnnotateConfig
from notesmith.config.fields import Config
from notesmith.config.generator import LmConfig, UnitConfig
from notesmith.errors import ConfigError, FileError, ModelError
from notesmith.evaluate.calibration import Calibrated
from notesmith.experiment.stages.lm_labels import TUNED
from notesmith.files.checksums import CHECKSUM, dumps_checked, loads_checked
from notesmith.files.write import atomic_folder, read_regular, write_part
from notesmith.lm.folder import Card
from notesmith.markup import Marks
from notesmith.models.door import check_folder
from notesmith.models.manifest import check_manifest, fingerprint, write_manifest
from notesmith.ner.settings import ANNOTATORS_FILE
from notesmith.ner.student import copy_student
from notesmith.ner.votes import members_of, write_votes

STUDENTS = "students"
"""The annotator that students are, and the folder that they are saved in beside others."""
_README = """\
---
license: other
tags: [notesmith]
---

# Annotators of clinical notes

**Guard this folder as you guard the notes.** A language model in it was tuned on labelled notes and
may have learnt parts of them by heart; whoever has it can make it write. Delete the folder when
those notes must be deleted.

- Annotators: {names}. Labels: {labels}.
- Trained on {n_documents} labelled documents, seed {seed}.
{models}
- They label notes by `notesmith annotate NOTES --model FOLDER --out silver.jsonl`.
- Not for clinical use. Privacy was not tested.
"""


class SavedReader(Config):
    """What a tuned language model is asked, and how its answers are drawn (see ``LmAnnotator``).

    ``calibrated`` is None where its scores were not to be.
    """

    form: FormName
    labels: tuple[str, ...]
    opens: tuple[str, ...]
    close: str
    attributes: tuple[str, ...]
    attribute_marks: tuple[str, ...]
    unit: str
    kind: str
    label_descriptions: dict[str, str]
    context_words: int
    units: UnitConfig
    drawn: LmAnnotateConfig
    seed: int
    calibrated: Calibrated | None = None

    @classmethod
    def of(cls, reader: LmAnnotator, calibrated: Calibrated | None = None) -> SavedReader:
        """All that ``reader`` is beside its model."""
        form, marks = reader.form, reader.form.marks
        return cls(
            form=form.name,
            labels=marks.labels,
            opens=marks.opens,
            close=marks.close,
            attributes=marks.attributes,
            attribute_marks=marks.attribute_marks,
            unit=form.unit,
            kind=form.kind,
            label_descriptions=dict(form.label_descriptions),
            context_words=form.context_words,
            units=UnitConfig(**{n: getattr(reader.units, n) for n in UnitConfig.model_fields}),
            drawn=reader.config,
            seed=reader.seed,
            calibrated=calibrated,
        )

    def open(self, model: Path, cache: Path) -> LmAnnotator:
        """The same with the model of the folder ``model``, ready to read notes."""
        from notesmith.lm.load import load_lm

        marks = Marks(self.labels, self.opens, self.close, self.attributes, self.attribute_marks)
        described = self.label_descriptions
        form = Form(self.form, marks, self.unit, self.kind, described, self.context_words)
        lm = load_lm(LmConfig(model=str(model), trim=False), cache=cache)
        temperature = self.calibrated.temperature if self.calibrated else None
        return LmAnnotator(
            lm, form, self.units, self.drawn, seed=self.seed, score_temperature=temperature
        )


class Saved(Config):
    """What a folder of annotators says of them, in the order in which they vote.

    ``readers`` are the tuned language models. All were trained on ``n_documents`` documents;
    ``seed`` was the root of all seeds.
    """

    version: Literal[1] = 1
    by: tuple[str, ...]
    labels: tuple[str, ...]
    readers: dict[str, SavedReader]
    n_documents: int
    seed: int


def read_saved(folder: Path) -> Saved | None:
    """What is said of the annotators in ``folder``; None where it is none of several annotators.

    Raises:
        ModelError: it is damaged.
    """
    if not (folder / ANNOTATORS_FILE).exists():
        return None
    check_manifest(folder)
    try:
        value = loads_checked(read_regular(folder / ANNOTATORS_FILE)) or {}
        value.pop(CHECKSUM, None)
        saved = Saved.model_validate(value)
        if not set(saved.readers) <= set(TUNED):
            raise ConfigError("an annotator is unknown")
        for name in saved.readers:
            check_folder(folder / name)
    except (FileError, ConfigError, ValidationError) as error:
        raise ModelError(
            f"{folder / ANNOTATORS_FILE}: damaged, or of another version of notesmith "
            f"({type(error).__name__}); copy the folder anew, or make it again with --save-model"
        ) from None
    return saved


def students_in(folder: Path) -> Path:
    """The folder of the students in a folder of annotators, or ``folder`` where it is theirs."""
    return folder / STUDENTS if (folder / ANNOTATORS_FILE).exists() else folder


def save_students(students: Sequence[Path], folder: Path) -> None:
    """Copy the ``students`` to ``folder``, as one that votes where there are several."""
    if len(students) == 1:
        copy_student(students[0], folder)
    else:
        write_votes(folder, [partial(copy_student, path) for path in students])


def save_annotators(
    saved: Saved, students: Sequence[Path], models: Mapping[str, Path], folder: Path
) -> None:
    """Write ``students`` and tuned ``models`` (folders, by annotator) as ``folder``, whole or not.

    Raises:
        FileError: something is there, or it cannot be written.
        ModelError: a model's folder is damaged.
    """
    with atomic_folder(folder) as temporary:
        if students:
            save_students(students, temporary / STUDENTS)
        cards = []
        for name, model in models.items():
            check_manifest(model)
            shutil.copytree(model, temporary / name)
            card = Card.read(model)
            terms = f" ({card.terms})" if card.terms else ""
            cards.append(f"- Model of {name}: {card.name}, licence {card.licence}{terms}.")
        write_part(temporary / ANNOTATORS_FILE, dumps_checked(saved.model_dump(mode="json")))
        said = _README.format(
            names=", ".join(saved.by),
            labels=", ".join(saved.labels),
            n_documents=saved.n_documents,
            seed=saved.seed,
            models="\n".join(cards),
        )
        write_part(temporary / "README.md", said)
        write_manifest(temporary)


def holds(folder: Path, students: Sequence[Path], models: Mapping[str, Path]) -> bool:
    """Whether ``folder`` holds these ``students`` and tuned ``models``, and nothing else.

    Raises:
        ModelError: it is neither a student's folder nor one of annotators, or it is damaged.
    """
    saved = read_saved(folder)
    if set(models) != (set(saved.readers) if saved else set()):
        return False
    pairs = [(folder / name, model) for name, model in models.items()]
    if students:
        place = students_in(folder)
        if not place.is_dir():
            return False
        there = members_of(place) or [place]
        if len(there) != len(students):
            return False
        pairs += zip(there, students, strict=True)
    elif (folder / STUDENTS).exists():
        return False
    if saved is None:  # else all of it was checked as it was read
        for kept, _ in pairs:
            check_manifest(kept)
    return all(fingerprint(kept) == fingerprint(own) for kept, own in pairs)
