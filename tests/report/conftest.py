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


def with_attributes(results):
    """As ``assemble`` writes results where students learnt an attribute."""
    score = {"precision": 90.0, "recall": 80.0, "f1": 84.7, "support": 31}
    whole = {"precision": 70.0, "recall": 60.0, "f1": 64.6, "support": 44}
    for arm in results["arms"]:
        arm["attributes"] = {"negated": {"on_found": score, "end_to_end": whole}}
