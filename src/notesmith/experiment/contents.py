"""What a cell's folder holds: its files, and the marker ``done.json`` that says what they were.

Nothing here follows a link or reads a pipe. What is no file of the cell by its marker is a
stranger: it is never used and never deleted.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from notesmith.errors import FileError, StageError
from notesmith.files.checksums import checksum, hash_file, loads_checked
from notesmith.files.leftovers import delete, is_temporary
from notesmith.files.write import atomic_write_text, refuse_odd

DONE = "done.json"
METRICS = "metrics.json"
_HASH = "hash"
# Nanoseconds after which a file that changes gets another time, with times of a clock's tick, and
# with those of whole seconds that some file systems keep.
_TICK, _COARSE = 100_000_000, 2_000_000_000

State = Literal["absent", "done", "discarded", "broken"]
# By path below a cell: device, inode, kind, size, and the times of last change of content and node.
Listing = Mapping[str, tuple[int, ...]]
Files = Mapping[str, Mapping[str, Any]]


def check_scratch(folder: Path) -> None:
    """Refuse links and other kinds of files in a folder that an unfinished cell goes on from.

    Raises:
        FileError: there is one.
    """
    if refuse_odd(folder, folder=True):
        for name in list_files(folder):
            refuse_odd(folder / name, folder=False)


def list_files(folder: Path) -> Listing:
    """All that is below ``folder`` but folders; links are not followed."""
    found: dict[str, tuple[int, ...]] = {}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            entries = list(os.scandir(folder / below))
        except FileNotFoundError:
            continue  # another process discards the cell
        for entry in entries:
            name = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{name}/")
                continue
            try:
                x = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            kind = stat.S_IFMT(x.st_mode)
            found[name] = (x.st_dev, x.st_ino, kind, x.st_size, x.st_mtime_ns, x.st_ctime_ns)
    return found


def hashes_of(folder: Path) -> list[tuple[str, str]]:
    """Names and SHA-256 of all files of a folder that a stage wrote.

    Raises:
        StageError: it wrote something else than files.
    """
    listing = list_files(folder)
    if odd := [name for name, entry in listing.items() if not stat.S_ISREG(entry[2])]:
        raise StageError(f"{folder / odd[0]}: is no file; a cell holds files alone")
    return [(name, hash_file(folder / name)) for name in sorted(listing)]


def check(folder: Path, key: str, listing: Listing) -> tuple[State, str]:
    """The state by the content of all files, and what is wrong with them."""
    marker = read_marker(folder, key)
    if marker is None:
        return "broken", f"{DONE} is damaged or gone"
    for name, entry in marker["files"].items():
        is_there = name in listing and stat.S_ISREG(listing[name][2])
        if not is_there or listing[name][3] != entry["size"]:
            return "broken", f"{name} is cut off, gone or no file"
        try:
            is_whole = hash_file(folder / name) == entry["sha256"]
        except OSError:
            is_whole = False
        if not is_whole:
            return "broken", f"{name} is damaged"
    if strangers := strangers_in(marker, listing):
        return "broken", f"{strangers[0]} is not of it"
    return marker["state"], ""


def is_settled(listing: Listing) -> bool:
    """Whether any later change of a file would show in its listing.

    Of two changes within a tick of the clock the second leaves the times as they are.
    """
    times = [entry[-2:] for entry in listing.values()]
    is_fine = any(t % 1_000_000_000 for pair in times for t in pair)
    now = time.time_ns() - (_TICK if is_fine else _COARSE)
    return all(max(pair) < now for pair in times)


def strangers_in(marker: Mapping[str, Any] | None, listing: Listing) -> list[str]:
    """What is no file of the cell; without a marker that cannot be told of a file."""
    known = {DONE, *marker["files"], *marker.get("gone", ())} if marker else listing.keys()
    return sorted(
        name
        for name, entry in listing.items()
        if not is_temporary(name) and (name not in known or not stat.S_ISREG(entry[2]))
    )


def write_marker(
    folder: Path, identity: Mapping[str, Any], state: State, files: Files, gone: Iterable[str] = ()
) -> None:
    """Write ``done.json``: the cell's stage, version and key, its files, and names that go."""
    marker: dict[str, Any] = {**identity, "state": state, "files": dict(files)}
    if gone:
        marker["gone"] = list(gone)
    marker[_HASH] = checksum(marker, _HASH)
    atomic_write_text(folder / DONE, json.dumps(marker, indent=1, sort_keys=True) + "\n")


def read_marker(folder: Path, key: str) -> dict[str, Any] | None:
    """The marker of the cell with ``key``; None if it is gone, damaged or another cell's."""
    marker = _marker_in(folder)
    return marker if marker and marker.get("key") == key else None


def _marker_in(folder: Path) -> dict[str, Any] | None:
    try:
        if not refuse_odd(folder / DONE, folder=False):
            return None
        marker = loads_checked((folder / DONE).read_bytes(), _HASH)
    except (OSError, FileError):
        return None
    return marker if marker and _has_shape(marker) else None


def _has_shape(marker: Mapping[str, Any]) -> bool:
    """Whether a marker that states its own checksum is one of ours at all."""
    files, gone = marker.get("files"), marker.get("gone", [])
    return (
        marker.get("state") in ("done", "discarded")
        and isinstance(files, dict)
        and all(isinstance(x, dict) and {"size", "sha256"} <= x.keys() for x in files.values())
        and isinstance(gone, list)
        and all(isinstance(name, str) for name in gone)
    )


def finish_discard(folder: Path) -> None:
    """Delete what a discard that was killed left of a cell's files."""
    marker = _marker_in(folder)
    if marker and marker.get("state") == "discarded":
        drop(folder, marker.get("gone", ()))


def drop(folder: Path, names: Iterable[str]) -> None:
    """Delete files of ``folder`` by name, and the folders that they leave empty."""
    listing = list_files(folder)
    for name in names:
        if name in listing and name not in (DONE, METRICS):
            delete(folder / name)
            for parent in (folder / name).parents:
                if parent == folder or any(parent.iterdir()):
                    break
                parent.rmdir()
