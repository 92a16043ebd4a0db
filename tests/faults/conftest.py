"""Size of the fault tests, and the count of what was tried and what was survived."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


class Tried:
    """Counts trials of a kind; a kind's row is ``survived`` of ``tried``, written when it ends."""

    def __init__(self) -> None:
        self.rows: dict[str, list[int]] = {}

    def count(self, kind: str, survived: bool) -> None:
        """Add one trial of ``kind``, such as "byte flipped in a finished cell"."""
        row = self.rows.setdefault(kind, [0, 0])
        row[0] += 1
        row[1] += survived

    def check(self) -> None:
        """Fail, naming the kinds, if a trial was not survived."""
        lost = {kind: f"{s} of {n}" for kind, (n, s) in self.rows.items() if s < n}
        assert not lost, lost


@pytest.fixture
def tried(request: pytest.FixtureRequest):
    """What this test tries; its rows go to the folder ``--fault-table`` when it ends."""
    found = Tried()
    yield found
    folder = request.config.getoption("--fault-table")
    if folder:
        name = request.node.nodeid.replace("/", ".").replace("::", "-")
        path = Path(folder) / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found.rows))


@pytest.fixture
def amount(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """``amount(short, full)``: how many trials this run is to make."""
    is_full = request.config.getoption("--full")
    return lambda short, full: full if is_full else short
