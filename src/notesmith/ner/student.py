"""A trained student as those see it who only predict: weights, an export to ONNX, or votes."""

from __future__ import annotations

import shutil
from pathlib import Path

from notesmith.errors import ModelError
from notesmith.models.manifest import check_manifest, strangers
from notesmith.ner.protocol import Student as Student
from notesmith.ner.settings import read_settings


def copy_student(folder: Path, target: Path) -> None:
    """Copy a student's folder to ``target``, whole; another student that stands there goes.

    Raises:
        ModelError: ``folder`` is damaged, or ``target`` is no student's folder.
        FileError: it cannot be written.
    """
    from notesmith.files.write import atomic_folder

    if folder.resolve() == target.resolve():
        return
    check_manifest(folder)
    if target.is_dir() and any(target.iterdir()):
        read_settings(target)  # nobody else's folder
        if others := strangers(target):
            raise ModelError(
                f"{target}: holds {len(others)} files that are not of the student that stands "
                "there; move them away, or name another folder"
            )
    with atomic_folder(target, replace=True) as temporary:
        shutil.copytree(folder, temporary, dirs_exist_ok=True)
        check_manifest(temporary)


def load_student(folder: Path | str) -> Student:
    """Load a folder of ``NerModel.save``, ``Votes.save`` or an export, which needs no torch.

    Raises:
        ModelError: the folder is not a student of this project or cannot be read.
        MissingExtraError: what runs it is not installed.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    if settings.votes:
        from notesmith.ner.votes import load_votes

        return load_votes(folder, load_student)
    if settings.onnx is not None:
        from notesmith.ner.onnx_model import load_onnx

        return load_onnx(folder)
    from notesmith.ner.model import load_ner

    return load_ner(folder)
