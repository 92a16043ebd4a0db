"""The run folder: ours if our marker says so, and refused where anything else stands.

``notesmith-run.json`` is written into a new or empty folder before anything else. A folder that
holds something and no marker is somebody's: nothing is written into it, whatever its names.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from notesmith.errors import ConfigError
from notesmith.files.checksums import dumps_checked, loads_checked
from notesmith.files.leftovers import is_temporary, sweep
from notesmith.files.write import (
    atomic_write_text,
    explained,
    make_folder,
    read_regular,
    refuse_odd,
)
from notesmith.results import RESULTS

MARKER = "notesmith-run.json"
CELLS = "cells"
LOCK = "run.lock"
RECIPE = "recipe.toml"
MODELS = "models.json"
SEAL = "seal.json"
KEEP = "keep-models"
CONSENTS = "consents.json"
_SCHEMA = 1
_FOLDERS = (CELLS, "tables", "figures", "cards")
_FILES = (
    *(MARKER, LOCK, RECIPE, RESULTS, MODELS, SEAL, KEEP, CONSENTS),
    *("report.html", "examples.html", "methods.md", "references.bib"),
)


def claim_folder(folder: Path) -> str:
    """Make ``folder`` a run folder, if it is none; returns the random id in its marker.

    Raises:
        ConfigError: it holds something and is no run folder, or its marker is damaged.
        FileError: a link stands in the place of a file of ours, or nothing can be written there.
    """
    make_folder(folder)
    found = check_folder(folder)
    if not found:
        found = secrets.token_hex(16)
        marker = {"schema": _SCHEMA, "kind": "notesmith run", "id": found}
        atomic_write_text(folder / MARKER, dumps_checked(marker))
    sweep(folder)
    return found


def check_folder(folder: Path) -> str:
    """The id of a run folder; empty of a folder that is new or empty. Writes nothing.

    Raises:
        ConfigError: it holds something and is no run folder, or its marker is damaged.
        FileError: it is no folder, or a link stands in the place of a file of ours.
    """
    with explained(folder):
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return ""
    found = run_id(folder)
    if not found and any(not _is_of_marker(name) for name in names):
        raise ConfigError(
            f"{folder}: is not empty and no run folder (no {MARKER}, which runs of earlier "
            "versions lack too); name another folder with --out"
        )
    for name in _FOLDERS:
        refuse_odd(folder / name, folder=True)
    for name in _FILES:
        refuse_odd(folder / name, folder=False)
    return found


def run_id(folder: Path) -> str:
    """The id in the marker of ``folder``; empty where there is no marker. Writes nothing.

    Raises:
        ConfigError: the marker is damaged.
        FileError: it is a link, or no file.
    """
    path = folder / MARKER
    try:
        marker = loads_checked(read_regular(path))
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if marker is None or marker.get("schema") != _SCHEMA:
        raise ConfigError(
            f"{path}: damaged; copy that of another run over it if this is a run folder, or name "
            "another folder with --out"
        )
    return str(marker.get("id"))


def is_run(folder: Path) -> bool:
    """Whether ``folder`` is a run folder, so that files by our names in it are ours.

    Raises:
        ConfigError: its marker is damaged.
        FileError: a link stands in the place of a file of ours.
    """
    return bool(run_id(folder)) and bool(check_folder(folder))


def _is_of_marker(name: str) -> bool:
    """Whether a kill left it while the marker was being written."""
    return is_temporary(name) and name.startswith(f".{MARKER}.")
