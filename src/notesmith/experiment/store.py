"""The store of finished cells, each kept whole and checked when it is read.

On disk a cell is one folder, ``<stage>/<key>/``, that appears by a rename and holds ``done.json``
with the size and SHA-256 of each file. A folder that does not match its ``done.json`` is as good
as absent.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from notesmith.errors import StageError
from notesmith.experiment.contents import (
    METRICS,
    Listing,
    State,
    check,
    drop,
    finish_discard,
    hashes_of,
    is_settled,
    list_files,
    read_marker,
    strangers_in,
    write_marker,
)
from notesmith.experiment.graph import Cell, M, Stage
from notesmith.experiment.metrics import Metrics
from notesmith.files.checksums import hash_file
from notesmith.files.leftovers import delete, hidden_beside, is_temporary, sweep
from notesmith.files.write import atomic_folder, explained, make_folder, refuse_odd

log = logging.getLogger(__name__)

_KEY = re.compile(r"[0-9a-f]{24}")
_SCRATCH = ".partial"


class CellStore:
    """The folder of finished cells."""

    def __init__(self, root: Path) -> None:
        """Keep cells under ``root``; nothing is made until something is written."""
        self.root = root
        self._checked: dict[str, tuple[Listing, State]] = {}
        self._told: set[str] = set()

    def folder(self, cell: Cell) -> Path:
        """Where ``cell`` is, or would be."""
        return self.root / cell.stage.name / cell.key

    def scratch(self, cell: Cell) -> Path:
        """A folder for an unfinished ``cell`` that outlives a kill and goes when it finishes."""
        return self.root / cell.stage.name / f"{cell.key}{_SCRATCH}"

    def state(self, cell: Cell) -> State:
        """What is on disk; a cell whose files are not all as they were when finished is broken.

        Every file is hashed once in a process, and again when its inode, size or one of its times
        (that of the node too, which no program can set) is another than it was then.

        Raises:
            FileError: a link or a file stands in the place of the folder.
        """
        listing = self._listing(cell)
        if listing is None:
            return "absent"
        before = self._checked.get(cell.key)
        if before is not None and before[0] == listing:
            return before[1]
        settled = is_settled(listing)
        state, damage = check(self.folder(cell), cell.key, listing)
        if damage and cell.key not in self._told:
            self._told.add(cell.key)
            log.warning("%s (cells/%s/%s): %s", cell.title, cell.stage.name, cell.key, damage)
        if settled:
            self._checked[cell.key] = listing, state
        return state

    def verify(self, cell: Cell) -> bool:
        """Whether ``cell`` is done and each of its files has the content it had when finished."""
        return self.state(cell) == "done"

    @contextmanager
    def write(self, cell: Cell) -> Iterator[Path]:
        """Give a temporary folder that becomes the cell when the block ends without an error."""
        folder = self.folder(cell)
        self.remove(cell)
        make_folder(folder.parent)
        with atomic_folder(folder) as temporary:
            yield temporary
            files = {
                name: {"size": os.lstat(temporary / name).st_size, "sha256": digest}
                for name, digest in hashes_of(temporary)
            }
            write_marker(temporary, cell.identity, "done", files)
        shutil.rmtree(self.scratch(cell), ignore_errors=True)

    def metrics(self, cell: Cell) -> Metrics | None:
        """What was measured of a finished (or discarded) cell; None if it is not there.

        Raises:
            StageError: another version of notesmith wrote it.
        """
        if self.state(cell) not in ("done", "discarded"):
            return None
        found: Metrics = cell.stage.metrics.read(self.folder(cell))
        return found

    def metrics_of(self, stage: Stage[Any, M], cell: Cell) -> M | None:
        """The same of a cell of ``stage``, with its type."""
        assert cell.stage.name == stage.name, cell.title
        return cast("M | None", self.metrics(cell))

    def discard(self, cell: Cell) -> None:
        """Drop the artefacts of a done ``cell`` to free the disk; its metrics stay.

        The marker changes first and names what goes, so that a kill in between leaves a discarded
        cell with files that ``clean`` deletes.
        """
        folder = self.folder(cell)
        if self.state(cell) != "done":
            return
        marker = read_marker(folder, cell.key)
        files = marker["files"] if marker else {}
        gone = sorted(files.keys() - {METRICS})
        write_marker(folder, cell.identity, "discarded", {METRICS: files[METRICS]}, gone)
        drop(folder, gone)

    def copy_text_free(self, cell: Cell, to: CellStore) -> bool:
        """Put what may be shared of ``cell`` into another store; False if it is not finished.

        Of scores that is all of it; of others the metrics, as if the rest had been discarded.
        """
        state, target = self.state(cell), to.folder(cell)
        if state not in ("done", "discarded") or target.exists():
            return target.exists()
        with atomic_folder(target) as temporary:
            if cell.stage.text_free:
                shutil.copytree(self.folder(cell), temporary, dirs_exist_ok=True)
            else:
                metrics = shutil.copyfile(self.folder(cell) / METRICS, temporary / METRICS)
                entry = {"size": os.lstat(metrics).st_size, "sha256": hash_file(metrics)}
                write_marker(temporary, cell.identity, "discarded", {METRICS: entry})
        return True

    def remove(self, cell: Cell) -> None:
        """Delete ``cell`` (a damaged or discarded one, before it is computed again).

        Without its marker nobody can tell what in it is notesmith's: it is put aside instead.

        Raises:
            StageError: something stands in it that is not of the cell: it stays as it is.
        """
        listing = self._listing(cell)
        if listing is None:
            return
        folder = self.folder(cell)
        marker = read_marker(folder, cell.key)
        strangers = strangers_in(marker, listing)
        if strangers:
            raise StageError(
                f"{folder / strangers[0]}: is not of the cell, which has to be computed again; "
                "move it away, then run again"
            )
        self._checked.pop(cell.key, None)
        self._told.discard(cell.key)
        old = hidden_beside(folder)
        if marker is None:
            old = folder.with_name(f"{cell.key}.damaged-{secrets.token_hex(4)}")
            log.warning("%s: is put aside as %s; delete it if nothing in it is yours", folder, old)
        with explained(folder):
            os.rename(folder, old)
        if marker is not None:
            delete(old)

    def clean(self) -> Cleaned:
        """Delete what killed processes left half-written; what is not of notesmith stays."""
        n_removed = 0
        strangers: list[Path] = []
        for stage in sorted(self.root.iterdir()) if refuse_odd(self.root, folder=True) else ():
            if stage.is_symlink() or not stage.is_dir():
                strangers.append(stage)
                continue
            n_removed += sweep(stage)
            names = set(os.listdir(stage))
            for name in sorted(names):
                path = stage / name
                key = name.removesuffix(_SCRATCH)
                if is_temporary(name):
                    continue  # of a process that lives
                if not _KEY.fullmatch(key) or path.is_symlink() or not path.is_dir():
                    strangers.append(path)
                elif key == name:
                    n_removed += sweep(path)  # a marker whose writer was killed
                    finish_discard(path)
                elif key in names:  # a cell that was finished before its scratch went
                    delete(path)
                    n_removed += 1
        return Cleaned(n_removed, tuple(strangers))

    def _listing(self, cell: Cell) -> Listing | None:
        folder = self.folder(cell)
        for part in (self.root, folder.parent, folder):
            if not refuse_odd(part, folder=True):
                return None
        return list_files(folder)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """How many leftovers went, and what stands among the cells that is not of notesmith."""

    n_removed: int
    strangers: tuple[Path, ...]
