import dataclasses
import json

import pytest

from notesmith.errors import SealError
from notesmith.evaluate.seal import Plan, Seal, open_seal, write_down

PLAN = Plan(("gold", "synthetic"), "gold", "c" * 64, "t" * 64, 100)
OTHER = dataclasses.replace(PLAN, arms=("gold", "synthetic", "replaced"))


def test_order_of_arms_is_no_part_of_a_plan():
    assert dataclasses.replace(PLAN, arms=("synthetic", "gold")).hash == PLAN.hash


@pytest.mark.parametrize(
    "change",
    [
        {"arms": ("gold",)},
        {"comparator": "synthetic"},
        {"config_hash": "d" * 64},
        {"test_hash": "u" * 64},
        {"n_documents": 99},
        {"against": (("synthetic", "gold"),)},
    ],
)
def test_every_part_changes_the_hash(change):
    assert dataclasses.replace(PLAN, **change).hash != PLAN.hash


def test_written_down_plan_opens_once():
    seal = write_down(PLAN)
    assert seal.opened == 0
    seal = open_seal(seal, PLAN, when="2026-01-15")
    assert seal.opened == 1
    assert open_seal(seal, PLAN, when="2026-01-16") == seal


def test_plan_may_change_before_anything_was_opened():
    assert write_down(OTHER, write_down(PLAN)).plan == OTHER


def test_plan_may_not_change_afterwards():
    seal = open_seal(write_down(PLAN), PLAN, when="2026-01-15")
    with pytest.raises(SealError, match=r"opened once; .*differs in arms"):
        write_down(OTHER, seal)
    with pytest.raises(SealError, match="make choices on dev"):
        open_seal(seal, OTHER, when="2026-01-16")


def test_another_opening_is_recorded_with_its_reason():
    seal = open_seal(write_down(PLAN), PLAN, when="2026-01-15")
    with pytest.raises(SealError, match="needs a reason"):
        open_seal(seal, OTHER, when="2026-01-16", another=True)
    seal = open_seal(seal, OTHER, when="2026-01-16", another=True, reason="an arm was added")
    assert seal.opened == 2
    assert seal.plan == OTHER
    assert seal.openings[1].reason == "an arm was added"


def test_json_round_trip():
    plan = dataclasses.replace(PLAN, against=(("synthetic", "gold"),))
    seal = open_seal(write_down(plan), plan, when="2026-01-15")
    assert Seal.from_json(json.loads(json.dumps(seal.to_json()))) == seal


def test_change_by_hand_is_noticed():
    value = write_down(PLAN).to_json()
    value["plan"]["comparator"] = "synthetic"
    with pytest.raises(SealError, match="changed after it was written down"):
        Seal.from_json(value)


@pytest.mark.parametrize("value", [{}, {"schema": 2}, {"schema": 1, "plan": {}, "hash": ""}])
def test_malformed_seal_is_an_error(value):
    with pytest.raises(SealError):
        Seal.from_json(value)
