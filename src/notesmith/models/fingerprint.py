"""A model's identity: what its folder holds, whole, or the commit of a hub's model."""

from __future__ import annotations

import hashlib
from pathlib import Path

from notesmith.home import home
from notesmith.models.hashes import FileHashes
from notesmith.models.manifest import names_in

HASHES = "hashes.json"


def fingerprint_model(name: str) -> str:
    """A model's identity for keys: a hash of a folder's files, whole; any other name itself.

    A name of a preset stands for pinned weights, and that of a hub's model for the commit in it.
    """
    folder = Path(name).expanduser()
    return fingerprint_folder(folder) if folder.is_dir() else name


def fingerprint_folder(folder: Path) -> str:
    """SHA-256 over the names and contents of a model's files (see ``manifest.names_in``)."""
    hashes = FileHashes(home() / HASHES)
    digest = hashlib.sha256()
    for name in sorted(n for n in names_in(folder) if (folder / n).is_file()):
        line = f"{name}\0{hashes.sha256(folder / name)}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    hashes.save()
    return digest.hexdigest()
