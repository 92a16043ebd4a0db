"""A quick run of every kind of cell: stages by rules, few arms, and what of it must not change."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from notesmith.experiment import run_recipe
from notesmith.experiment.contents import DONE, METRICS
from notesmith.results import Results
from tests.experiment.doubles import DOUBLES, tiny_recipe, write_notes

ARMS = [
    {"name": "gold"},
    {"name": "replacement", "made": ["replaced"]},
    {"name": "synthetic", "made": ["synthetic"]},
]
# Times, and what machine and day it was.
PASSING = ("created", "stages", "machine")


def recipe(folder: Path, **changes):
    """Two draws, three arms, in a few hundredths of a second."""
    folder.mkdir(exist_ok=True)
    values = {"arm": ARMS, "draws": {"curve": []}, "evaluate": {"against": {}, "resamples": 100}}
    return tiny_recipe(write_notes(folder), **{**values, **changes})


def run(config, out: Path, **options):
    """Run it in this process."""
    return run_recipe(config, out, instead=DOUBLES, cache=out.parent / "cache", **options)


def kept(out: Path) -> dict[str, str]:
    """Hash of every file of every cell but those that hold times."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (out / "cells").rglob("*")
        if path.is_file() and path.name not in (METRICS, DONE) and ".damaged-" not in str(path)
    }


def lasting(results: Results) -> str:
    """Results without times, to be compared."""
    value = results.model_dump(mode="json")
    for name in PASSING:
        value.pop(name, None)
    value["power"].pop("seconds_per_draw", None)
    # The same plan runs in several folders here, and each test has a register of its own.
    value["seal"].pop("repeated")
    told = value["seal"].pop("notable")
    value["notices"] = [notice for notice in value["notices"] if notice not in told]
    for arm in value["arms"]:
        arm.pop("seconds", None)
    for made in value["made"]:
        made.pop("seconds", None)
    return json.dumps(value, sort_keys=True)
