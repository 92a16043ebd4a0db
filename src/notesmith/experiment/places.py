"""Find run folders from wherever a command is given: there, around it, or below it."""

from __future__ import annotations

from pathlib import Path

from notesmith.errors import ConfigError
from notesmith.experiment.folder import MARKER

_BELOW = ("*", "runs/*", "*/runs/*")


def find_runs(place: Path) -> list[Path]:
    """The run folder that ``place`` is or lies in; else those below it, or below its ``runs``.

    Raises:
        ConfigError: there is none.
    """
    if not place.is_dir():
        raise ConfigError(f"{place}: no run here (no such folder); name a run folder")
    if _is_run(place):
        return [place]
    around = next((folder for folder in place.resolve().parents if _is_run(folder)), None)
    if around is not None:
        return [around]
    below = {path for pattern in _BELOW for path in place.glob(pattern) if _is_run(path)}
    if not below:
        raise ConfigError(
            f"{place}: no run here, around or below; notesmith run RECIPE makes runs/RECIPE, or "
            "the folder that --out names"
        )
    return sorted(below)


def _is_run(folder: Path) -> bool:
    return (folder / MARKER).is_file()
