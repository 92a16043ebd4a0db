"""Checksums: of files, of folders, and of JSON files of ours that state their own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHECKSUM = "checksum"


def canonical(value: Any) -> str:
    """JSON of ``value`` with sorted keys and no spaces: equal values give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def checksum(value: Mapping[str, Any], field: str = CHECKSUM) -> str:
    """SHA-256 of ``value`` without its ``field``, in hex."""
    rest = {name: part for name, part in value.items() if name != field}
    return hashlib.sha256(canonical(rest).encode("utf-8", "surrogatepass")).hexdigest()


def dumps_checked(value: Mapping[str, Any]) -> str:
    """``value`` as JSON with its checksum."""
    whole = {**value, CHECKSUM: checksum(value)}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def loads_checked(data: bytes, field: str = CHECKSUM) -> dict[str, Any] | None:
    """What ``dumps_checked`` wrote, its checksum included; None if it is not so any more."""
    try:
        value = json.loads(data)
        is_whole = isinstance(value, dict) and value.get(field) == checksum(value, field)
    except (ValueError, RecursionError):
        return None
    return value if is_whole else None


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
