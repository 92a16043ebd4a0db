import copy
import json
from pathlib import Path

import pytest

from notesmith.report.reading import read_results

_EXAMPLE = json.loads((Path(__file__).parent / "results-example.json").read_text("utf-8"))


@pytest.fixture
def results():
    return copy.deepcopy(_EXAMPLE)


@pytest.fixture
def view(results):
    return read_results(results)


def in_hours(results, minutes):
    """As ``assemble`` writes results where a note takes so many minutes."""
    results["minutes_per_note"] = minutes
    for row in results["comparisons"]:
        if worth := row["worth"]:
            notes = {name: worth[name] for name in ("notes", "low", "high")}
            worth["hours"] = {name: n * minutes / 60 for name, n in notes.items()}
