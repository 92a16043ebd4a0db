"""States that an interrupted training goes on from: plain values and tensors, no code."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from notesmith.errors import StageError
from notesmith.files.write import atomic_folder
from notesmith.models.manifest import is_whole, write_manifest

log = logging.getLogger(__name__)

_STATE = re.compile(r"state-(\d{6})")
_FILE = "state.pt"


def save_state(work: Path, state: Mapping[str, Any]) -> None:
    """Write a state beside the older one, then drop that: one of them is always whole."""
    older = _states(work)
    number = int(older[-1].name.removeprefix("state-")) + 1 if older else 1
    with atomic_folder(work / f"state-{number:06d}") as temp:
        torch.save(dict(state), temp / _FILE)
        write_manifest(temp)
    for folder in older:
        shutil.rmtree(folder)


def load_state(work: Path, key: str) -> dict[str, Any] | None:
    """The newest state, or None; a damaged one is as good as none, which costs its time alone.

    Raises:
        StageError: the state is of a run with other settings, prompts or model.
    """
    folders = _states(work)
    if not folders:
        return None
    if not is_whole(folders[-1]):
        log.warning("%s: not as it was written; training begins anew", folders[-1])
        shutil.rmtree(folders[-1])
        return load_state(work, key)
    state: dict[str, Any] = torch.load(folders[-1] / _FILE, map_location="cpu", weights_only=True)
    if state["key"] != key:
        raise StageError(f"{work}: holds the state of another run; remove it or name another")
    return state


def clear_states(work: Path) -> None:
    """Delete states, half-written ones too, and the folder if nothing else is in it."""
    for folder in (*_states(work), *work.glob(".state-*.tmp")):
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        work.rmdir()


def _states(work: Path) -> list[Path]:
    return sorted(p for p in work.glob("state-*") if _STATE.fullmatch(p.name))
