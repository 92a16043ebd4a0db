"""The files that a workflow writes beside its output, and the rules for files that exist already.

``made.jsonl`` has beside it other files, such as ``made.html`` and ``made.md``, and the folder
``made.work`` with unfinished and finished cells. The folder's marker records the settings with
which the work was begun, and the files that were written. Other settings are refused. A file that
was changed since is left alone. Only files that the marker lists are ever replaced.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field, ValidationError

from notesmith.config.fields import Config
from notesmith.errors import ConfigError, FileError
from notesmith.experiment.contents import list_files
from notesmith.experiment.folder import CELLS, LOCK
from notesmith.experiment.lock import run_lock
from notesmith.experiment.store import CellStore
from notesmith.files.checksums import CHECKSUM, dumps_checked, hash_file, loads_checked
from notesmith.files.leftovers import is_temporary, sweep
from notesmith.files.write import (
    atomic_write_bytes,
    atomic_write_text,
    explained,
    open_regular,
    read_regular,
    refuse_odd,
    sync_folder,
)

MARKER = "notesmith-work.json"
_SUFFIX = ".jsonl"
_SHOWN = 3


class Place(Protocol):
    """Where a workflow writes."""

    @property
    def kept(self) -> Path:
        """The output that the user named."""

    @property
    def work(self) -> Path:
        """The folder of unfinished work."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are written at the end, the output last."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The paths of synthesized text and of the files beside it."""

    kept: Path
    dropped: Path
    page: Path
    card: Path
    work: Path

    @classmethod
    def of(cls, out: Path, *, is_preview: bool = False) -> Beside:
        """The paths for the output ``out``; a preview has names of its own.

        Raises:
            ConfigError: ``out`` does not end in ``.jsonl``.
        """
        stem = stem_of(out, is_preview=is_preview)
        return cls(
            kept=out.with_name(f"{stem}{_SUFFIX}"),
            dropped=out.with_name(f"{stem}.dropped{_SUFFIX}"),
            page=out.with_name(f"{stem}.html"),
            card=out.with_name(f"{stem}.md"),
            work=out.with_name(f"{stem}.work"),
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are written at the end, the kept text last."""
        return (self.dropped, self.page, self.card, self.kept)


def stem_of(out: Path, *, is_preview: bool) -> str:
    """The name of ``out`` without its ending; a preview has a name of its own.

    Raises:
        ConfigError: ``out`` does not end in ``.jsonl``.
    """
    if out.suffix != _SUFFIX or not out.stem:
        raise ConfigError(f"--out {out}: name a file that ends in {_SUFFIX}")
    return f"{out.stem}-preview" if is_preview else out.stem


def store_of(place: Place) -> CellStore:
    """The store of the cells in the work folder."""
    return CellStore(place.work / CELLS)


class Begun(Config):
    """The marker of a work folder.

    ``settings`` are those asked for, and ``chosen`` those that the workflow chose for this machine.
    ``written`` is the SHA-256 of each file by name once it is known. ``summary`` holds counts
    without text.
    """

    version: Literal[1] = 1
    kind: str
    created: str
    settings: dict[str, Any]
    chosen: dict[str, Any] = Field(default_factory=dict)
    written: dict[str, str] = Field(default_factory=dict)
    summary: dict[str, Any] = Field(default_factory=dict)


@contextmanager
def working_beside(beside: Place) -> Iterator[Begun | None]:
    """Lock the work folder for this process; yields its marker, or None if nothing was begun.

    Raises:
        FileError: the output exists and no marker says that this command wrote it, or something
            else is in the place of the work folder.
        StageError: another process works there.
    """
    if not refuse_odd(beside.work, folder=True):
        _refuse_strangers(beside)
    elif not refuse_odd(beside.work / MARKER, folder=False):
        names = [n for n in os.listdir(beside.work) if n != LOCK and not is_temporary(n)]
        if names:
            raise FileError(
                f"{beside.work}: is not of notesmith (no {MARKER}); name another file with --out"
            )
        _refuse_strangers(beside)
    with run_lock(beside.work):
        sweep(beside.work)
        yield _read(beside)


def begin(beside: Place, begun: Begun) -> Begun:
    """Write the marker before anything else is written; returns it."""
    atomic_write_text(beside.work / MARKER, dumps_checked(begun.model_dump(mode="json")))
    return begun


def holds_work(beside: Place, begun: Begun) -> bool:
    """Whether anything was computed or written; if not, other settings lose nothing."""
    return bool(begun.written) or bool(list_files(beside.work / CELLS))


def refuse_other(beside: Place, begun: Begun, kind: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that differ from those with which the work was begun.

    Raises:
        ConfigError: some settings differ; the message names them.
    """
    if begun.kind != kind:
        raise ConfigError(
            f"{beside.kept}: was begun by notesmith {begun.kind}; name another file with --out"
        )
    old, new = flat(begun.settings), flat(settings)
    other = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if other:
        more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
        raise ConfigError(
            f"{beside.kept}: was begun with other settings ({', '.join(other[:_SHOWN])}{more}); "
            "name another file with --out, or use the earlier settings"
        )


def is_finished(beside: Place, begun: Begun) -> bool:
    """Whether every file exists and is as it was written.

    Raises:
        FileError: a file was changed since.
    """
    found = [_is_as_written(path, begun) for path in beside.files]
    return bool(begun.written) and all(found)


def publish(beside: Place, begun: Begun, contents: Mapping[Path, str | Path]) -> Begun:
    """Write the files, each whole or not at all, ``kept`` last; returns the marker that lists them.

    Args:
        beside: where.
        begun: the marker so far.
        contents: the text of each file, or the file of the work folder that takes its place.

    Raises:
        FileError: one of them exists and is not as this command wrote it.
    """
    hashes = {path.name: _hash_of(contents[path]) for path in beside.files}
    for path in beside.files:
        _is_as_written(path, begun)
    # Before the files, so that a kill in between leaves none that nobody knows.
    begun = begin(beside, begun.model_copy(update={"written": hashes}))
    for path in beside.files:
        content = contents[path]
        if _is_as_written(path, begun):
            continue
        if isinstance(content, str):
            atomic_write_bytes(path, content.encode("utf-8"))
        else:
            with explained(path):
                os.replace(content, path)
                sync_folder(path.parent)
    return begun


def _hash_of(content: str | Path) -> str:
    if isinstance(content, Path):
        return hash_file(content)
    return hashlib.sha256(content.encode("utf-8")).hexdigest()


def _is_as_written(path: Path, begun: Begun) -> bool:
    """Whether ``path`` exists with the content that the marker records; False if it is absent."""
    try:
        with open_regular(path) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return False
    if found != begun.written.get(path.name):
        raise FileError(
            f"{path}: was changed since it was written; move it away, and the same command writes "
            "it again"
        )
    return True


def _refuse_strangers(beside: Place) -> None:
    for path in beside.files:
        if os.path.lexists(path):
            raise FileError(f"{path}: exists already; name another file with --out")


def _read(beside: Place) -> Begun | None:
    path = beside.work / MARKER
    try:
        value = loads_checked(read_regular(path))
    except FileNotFoundError:
        return None
    try:
        if value is None:
            raise ValueError
        del value[CHECKSUM]
        return Begun.model_validate(value)
    except (ValidationError, ValueError):
        raise FileError(
            f"{path}: damaged, or of another version of notesmith; name another file with --out"
        ) from None


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """The values of nested tables by dotted name."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found
