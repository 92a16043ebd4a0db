"""The list of a model folder's files with their SHA-256, written last and checked on every load.

It tells damage, not an enemy: whoever can write the folder can write the list too.
"""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path

from notesmith.errors import ModelError
from notesmith.files.checksums import hash_file

MANIFEST = "notesmith-files.json"
OURS = "notesmith.json"
"""What ``lm`` and ``ner`` write about a model; a folder that has it must have the list too."""
SCHEMA = 1
# What people put beside a model, and no library reads; hidden files and folders too.
_BESIDE = ("*.md", "LICENSE*", "LICENCE*", "NOTICE*", "desktop.ini", "Thumbs.db")


def write_manifest(folder: Path) -> None:
    """List all files below ``folder``, once they are written (see ``atomic_folder``)."""
    (folder / MANIFEST).write_bytes(_to_bytes(_found(folder)))


def is_ours(folder: Path) -> bool:
    """Whether this project wrote the folder."""
    return (folder / MANIFEST).exists() or (folder / OURS).exists()


def fingerprint(folder: Path) -> str:
    """Hash of the list, which stands for all that it lists; of a folder that was checked."""
    return hash_file(folder / MANIFEST)


def check_manifest(folder: Path, *, remedy: str = "copy it anew, or make it again") -> None:
    """Compare every file below ``folder`` with the list: name, size and SHA-256.

    Raises:
        ModelError: one was changed, cut, removed or added, or the list itself is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError(
            f"{folder}: no list of its files ({MANIFEST}): made by an earlier version, or damaged; "
            "make it again"
        )
    try:
        data = path.read_bytes()
        value = json.loads(data)
        listed = {
            str(name): (int(e["size"]), str(e["sha256"])) for name, e in value["files"].items()
        }
        whole = data == _to_bytes(listed)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: damaged ({type(error).__name__}); {remedy}") from error
    if not whole:
        raise ModelError(f"{path}: damaged; {remedy}")
    for name, (size, digest) in listed.items():
        file = folder / name
        try:
            if not file.is_file():
                raise ModelError(f"{file}: absent, or no file; {remedy}")
            # The size first: it costs nothing.
            if file.stat().st_size != size or hash_file(file) != digest:
                raise ModelError(f"{file}: not as it was written (changed or cut off); {remedy}")
        except OSError as error:
            raise ModelError(
                f"{file}: cannot be read ({type(error).__name__}); {remedy}"
            ) from error
    if added := sorted(names_in(folder) - set(listed)):
        raise ModelError(
            f"{folder}: {added[0]!r} was not there when the folder was written; remove it, or "
            f"{remedy}"
        )


def strangers(folder: Path) -> list[str]:
    """Files of ``folder`` that are not in its list, hidden ones and what stands beside too.

    Raises:
        ModelError: there is no list, or it is damaged.
    """
    try:
        listed = set(json.loads((folder / MANIFEST).read_bytes())["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{folder}: no list of its files ({MANIFEST}), or damaged") from error
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
    return sorted(there - listed - {MANIFEST})


def is_whole(folder: Path) -> bool:
    """Whether ``check_manifest`` finds nothing."""
    try:
        check_manifest(folder)
    except ModelError:
        return False
    return True


def names_in(folder: Path) -> set[str]:
    """Files below ``folder``, but for the list and what people put beside a model."""
    found = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        beside = hidden or any(fnmatch.fnmatch(path.name, pattern) for pattern in _BESIDE)
        if not path.is_dir() and name.as_posix() != MANIFEST and not beside:
            found.add(name.as_posix())
    return found


def _found(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        name: ((folder / name).stat().st_size, hash_file(folder / name))
        for name in names_in(folder)
    }


def _to_bytes(files: dict[str, tuple[int, str]]) -> bytes:
    values = {
        "schema": SCHEMA,
        "files": {name: {"size": n, "sha256": h} for name, (n, h) in sorted(files.items())},
    }
    return (json.dumps(values, indent=1) + "\n").encode("utf-8")
