"""Cells: the smallest pieces of a run that are computed once, kept whole and checked when read.

A cell's key is the hash of everything its result depends on: its stage and that stage's version,
the part of the configuration that the stage reads, its seed, the keys of the cells it reads, and
the content hashes of files from outside. Arm, size and replicate are labels for people: two arms
that ask for the same work share the cell.

On disk a cell is one folder, ``<stage>/<key>/``, that appears by a rename and holds ``done.json``
with the size and SHA-256 of each file. A folder that does not match its ``done.json`` is as good
as absent. What runs a cell is ``engine.py``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from notesmith.corpus.files import atomic_folder, atomic_write_text, make_folder

log = logging.getLogger(__name__)

DONE = "done.json"
METRICS = "metrics.json"
# Stages whose files hold ids, offsets and counts alone.
TEXT_FREE = frozenset({"score", "pool", "gather", "coverage"})
_KEY = re.compile(r"[0-9a-f]{24}")
_OLD = ".old-"
_SCRATCH = ".partial"

State = Literal["absent", "done", "discarded", "broken"]


def canonical(value: Any) -> str:
    """JSON of ``value`` with sorted keys and no spaces: equal values give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def seed_for(root: int, *parts: str | int) -> int:
    """A seed in [0, 2³¹) that depends on ``root`` and ``parts`` alone."""
    digest = hashlib.sha256(canonical([root, *parts]).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One piece of work; ``config``, ``seed``, ``inputs`` and ``sources`` determine its result.

    ``sources`` holds content hashes of what comes from outside the run (corpora, models).
    ``arm``, ``size``, ``replicate``, ``fold`` (-1: all) and ``student`` (of several, from 0) say
    where it belongs and are not in the key.
    """

    stage: str
    version: int
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Cell] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    arm: str = ""
    size: int = 0
    replicate: int = -1
    fold: int = -1
    student: int = 0
    key: str = field(init=False)

    def __post_init__(self) -> None:
        identity = {
            "stage": self.stage,
            "version": self.version,
            "config": self.config,
            "inputs": {name: cell.key for name, cell in self.inputs.items()},
            "sources": self.sources,
            "seed": self.seed,
        }
        digest = hashlib.sha256(canonical(identity).encode()).hexdigest()
        object.__setattr__(self, "key", digest[:24])

    @property
    def title(self) -> str:
        """A line for people: stage, arm, size, replicate, fold and student."""
        parts = [self.stage]
        if self.arm:
            parts.append(self.arm)
        if self.size:
            parts.append(f"n={self.size}")
        if self.replicate >= 0:
            parts.append(f"replicate {self.replicate + 1}")
        if self.fold >= 0:
            parts.append(f"fold {self.fold + 1}")
        if self.student:
            parts.append(f"student {self.student + 1}")
        return " · ".join(parts)

    def walk(self) -> Iterator[Cell]:
        """This cell and all it depends on, inputs first, each key once."""
        seen: set[str] = set()

        def visit(cell: Cell) -> Iterator[Cell]:
            if cell.key in seen:
                return
            seen.add(cell.key)
            for before in cell.inputs.values():
                yield from visit(before)
            yield cell

        yield from visit(self)


class CellStore:
    """The folder of finished cells."""

    def __init__(self, root: Path) -> None:
        """Keep cells under ``root``; nothing is made until something is written."""
        self.root = root
        self._verified: set[str] = set()

    def folder(self, cell: Cell) -> Path:
        """Where ``cell`` is, or would be."""
        return self.root / cell.stage / cell.key

    def scratch(self, cell: Cell) -> Path:
        """A folder for an unfinished ``cell`` that outlives a kill and goes when it finishes."""
        return self.root / cell.stage / f"{cell.key}{_SCRATCH}"

    def state(self, cell: Cell) -> State:
        """What is on disk, by marker and file sizes; contents are checked by ``verify``."""
        folder = self.folder(cell)
        if not folder.is_dir():
            return "absent"
        marker = _read_marker(folder, cell)
        if marker is None:
            return "broken"
        if marker["state"] == "discarded":
            return "discarded"
        sizes_agree = all(
            _size(folder / name) == entry["size"] for name, entry in marker["files"].items()
        )
        return "done" if sizes_agree else "broken"

    def verify(self, cell: Cell) -> bool:
        """Whether ``cell`` is done and each of its files has the content it had when finished."""
        if cell.key in self._verified:
            return True
        if self.state(cell) != "done":
            return False
        folder = self.folder(cell)
        marker = _read_marker(folder, cell)
        if marker is None:
            return False
        for name, entry in marker["files"].items():
            if hash_file(folder / name) != entry["sha256"]:
                log.warning("cell %s %s: %s is damaged", cell.stage, cell.key, name)
                return False
        self._verified.add(cell.key)
        return True

    @contextmanager
    def write(self, cell: Cell) -> Iterator[Path]:
        """Give a temporary folder that becomes the cell when the block ends without an error."""
        folder = self.folder(cell)
        make_folder(folder.parent)
        self.remove(cell)
        with atomic_folder(folder) as temporary:
            yield temporary
            files = {
                path.relative_to(temporary).as_posix(): {
                    "size": path.stat().st_size,
                    "sha256": hash_file(path),
                }
                for path in sorted(temporary.rglob("*"))
                if path.is_file()
            }
            _write_marker(temporary, cell, "done", files)
        self._verified.add(cell.key)
        shutil.rmtree(self.scratch(cell), ignore_errors=True)

    def metrics(self, cell: Cell) -> dict[str, Any]:
        """The text-free metrics of a finished (or discarded) cell; empty if it is not there."""
        try:
            value = json.loads((self.folder(cell) / METRICS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def discard(self, cell: Cell) -> None:
        """Drop the artefacts of a done ``cell`` to free the disk; its metrics stay.

        The marker changes first, so that a kill in between leaves a discarded cell with files
        that ``clean`` deletes.
        """
        folder = self.folder(cell)
        if self.state(cell) != "done":
            return
        entry = {"size": _size(folder / METRICS), "sha256": hash_file(folder / METRICS)}
        _write_marker(folder, cell, "discarded", {METRICS: entry})
        self._verified.discard(cell.key)
        _keep_metrics_only(folder)

    def copy_text_free(self, cell: Cell, to: CellStore) -> bool:
        """Put what may be shared of ``cell`` into another store; False if it is not finished.

        Of scores that is all of it; of others the metrics, as if the rest had been discarded.
        """
        state, target = self.state(cell), to.folder(cell)
        if state not in ("done", "discarded") or target.exists():
            return target.exists()
        with atomic_folder(target) as temporary:
            if cell.stage in TEXT_FREE:
                shutil.copytree(self.folder(cell), temporary, dirs_exist_ok=True)
            else:
                metrics = shutil.copyfile(self.folder(cell) / METRICS, temporary / METRICS)
                entry = {"size": _size(metrics), "sha256": hash_file(metrics)}
                _write_marker(temporary, cell, "discarded", {METRICS: entry})
        return True

    def remove(self, cell: Cell) -> None:
        """Delete ``cell`` (a damaged or discarded one, before it is computed again)."""
        folder = self.folder(cell)
        self._verified.discard(cell.key)
        if folder.exists():
            old = folder.with_name(f"{_OLD}{cell.key}")
            shutil.rmtree(old, ignore_errors=True)
            os.rename(folder, old)
            shutil.rmtree(old, ignore_errors=True)

    def clean(self) -> int:
        """Delete what killed processes left half-written; returns how many of them went."""
        n_removed = 0
        for stage in self.root.iterdir() if self.root.is_dir() else ():
            names = {path.name for path in stage.iterdir()}
            for name in names:
                path = stage / name
                if _KEY.fullmatch(name):
                    for torn in path.glob(".*.tmp"):  # a marker whose writer was killed
                        torn.unlink(missing_ok=True)
                    if _is_discarded(path):
                        _keep_metrics_only(path)
                    continue
                key = name.removesuffix(_SCRATCH)
                if _KEY.fullmatch(key) and key not in names:
                    continue  # the scratch of a cell that is still to be finished
                _delete(path)
                n_removed += 1
        return n_removed


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_path(path: Path) -> str:
    """SHA-256 over a file, or over the names and contents of all files below a folder."""
    if path.is_file():
        return hash_file(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{hash_file(file)}\n".encode())
    return digest.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _marker_hash(marker: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in marker.items() if name != "hash"}
    return hashlib.sha256(canonical(rest).encode()).hexdigest()


def _write_marker(
    folder: Path, cell: Cell, state: State, files: Mapping[str, Mapping[str, Any]]
) -> None:
    marker: dict[str, Any] = {
        "stage": cell.stage,
        "version": cell.version,
        "key": cell.key,
        "state": state,
        "files": dict(files),
    }
    marker["hash"] = _marker_hash(marker)
    atomic_write_text(folder / DONE, json.dumps(marker, indent=1, sort_keys=True) + "\n")


def _read_marker(folder: Path, cell: Cell) -> dict[str, Any] | None:
    try:
        marker = json.loads((folder / DONE).read_text(encoding="utf-8"))
        whole = marker["hash"] == _marker_hash(marker) and marker["key"] == cell.key
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return marker if whole else None


def _is_discarded(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / DONE).read_text("utf-8"))["state"] == "discarded")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _keep_metrics_only(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name not in (DONE, METRICS):
            _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
