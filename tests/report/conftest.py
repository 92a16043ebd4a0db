import copy
import json
from pathlib import Path

import pytest

from notesmith.findings import Scores
from notesmith.results import Results

_EXAMPLE = json.loads((Path(__file__).parent / "results-example.json").read_text("utf-8"))


@pytest.fixture
def results():
    return copy.deepcopy(_EXAMPLE)


def read(values):
    """The results of these values."""
    return Results.model_validate(values)


@pytest.fixture
def example(results):
    return read(results)


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


def with_votes(results):
    """As ``assemble`` writes results where votes of gold are the third step."""
    gold = next(arm for arm in results["arms"] if (arm["name"], arm["size"]) == ("gold", 50))
    results["arms"].append({**gold, "name": "gold, votes", "votes": 5})
    second = next(row for row in results["comparisons"] if row["step"] == 2)
    third = {"against": "gold, votes", "family": "gold votes", "step": 3}
    results["comparisons"].append({**second, **third})
    return results


def with_adapted(results, arm="synthetic+replaced"):
    """As ``assemble`` writes results where the encoder of an arm read notes in two draws."""
    for row in results["arms"]:
        row["adapted"] = row["name"] == arm
    read = {"arms": [arm], "size": 50, "notes": 300, "gold": 50, "file": 0, "held_out": 17}
    spent = {"tokens": 180_000, "seconds": 30.0}
    results["adapted"] = [
        {**read, **spent, "replicate": 0, "loss_before": 4.0, "loss_after": 2.0},
        {**read, **spent, "replicate": 1, "loss_before": 4.2, "loss_after": 2.5},
    ]
    return results


def out_of_draw(results):
    """As ``assemble`` writes results where documents out of the draw decide at the main size."""
    results["deciding"] = {
        "split": "out-of-draw",
        "reason": "each draw of 50 leaves at least 542 train documents that no stage of it read",
        "n_documents": 542,
        "n_test_documents": 100,
    }
    for arm in results["arms"]:
        if arm["size"] == 50:
            moved = {**arm["f1"], "mean": arm["f1"]["mean"] + 1}
            scores = {name: arm[name] for name in Scores.model_fields}
            arm["out_of_draw"] = {"n_documents": 542, "n_replicates": 5, **scores, "f1": moved}
            arm["decided_on"] = "out-of-draw"
    for row in results["comparisons"]:
        if row["size"] == 50:
            ends = {name: row[name] for name in ("delta", "low", "high")}
            row["beside"] = {"scored_on": "test", **ends, "values": [], "p": 0.5}
            row |= {"scored_on": "out-of-draw", "delta": row["delta"] + 0.5}
    return results


def made(**changes):
    """What one generator made in one draw."""
    return {
        "size": 50,
        "replicate": 0,
        "asked": 10,
        "kept": 6,
        "dropped": {},
        "tokens": 100,
        "seconds": 1.0,
        **changes,
    }


def learnt(**changes):
    """How one generator learnt from rewards."""
    return {
        "arm": "synthetic+replaced",
        "size": 50,
        "replicate": 0,
        "method": "grpo",
        "placebo": False,
        "steps": 8,
        "best_step": 8,
        "stopped": None,
        "sampled_tokens": 900,
        "tokens": 800,
        "seconds": 2.0,
        "history": [],
        **changes,
    }
