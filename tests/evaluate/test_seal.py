import copy
import dataclasses
import json

import pytest

from notesmith.errors import SealError
from notesmith.evaluate.seal import Draws, Plan, Seal, changes, check_draws, open_seal, write_down

ARMS = [{"name": "gold", "made": []}, {"name": "synthetic", "made": ["synthetic"]}]
DRAWS = {
    "sizes": [50],
    "curve": [25],
    "replicates": 5,
    "replicates_by_size": {"25": 3},
    "seed": 13,
}
EVALUATE = {"comparator": "gold", "candidate": "synthetic", "against": {}, "confidence": 0.95}
RECIPE = {"draws": DRAWS, "arm": ARMS, "evaluate": EVALUATE, "ner": {"steps": 300}}
PLAN = Plan(RECIPE, {"train": "a" * 64, "test": "t" * 64})
RUN = "0123456789abcdef"


def changed(**tables):
    """The plan with some values of its tables changed."""
    recipe = copy.deepcopy(RECIPE)
    for table, values in tables.items():
        recipe[table] = {**recipe[table], **values} if isinstance(values, dict) else values
    return dataclasses.replace(PLAN, recipe=recipe)


OTHER = changed(arm=[*ARMS, {"name": "replaced", "made": ["replaced"]}])


def opened(plan=PLAN):
    return open_seal(write_down(plan, run=RUN), plan, when="2026-01-15")


def test_order_of_arms_is_no_part_of_a_plan():
    turned = changed(arm=ARMS[::-1])
    assert turned.hash == PLAN.hash and changes(PLAN, turned) == ()


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        (changed(arm=ARMS[:1]), "arm.synthetic"),
        (OTHER, "arm.replaced"),
        (changed(arm=[ARMS[0], {"name": "synthetic", "made": []}]), "arm.synthetic.made"),
        (changed(evaluate={"comparator": "synthetic"}), "evaluate.comparator"),
        (changed(evaluate={"candidate": "gold"}), "evaluate.candidate"),
        (changed(evaluate={"against": {"synthetic": "gold"}}), "evaluate.against"),
        (changed(evaluate={"confidence": 0.9}), "evaluate.confidence"),
        (changed(draws={"replicates": 6}), "draws.replicates"),
        (changed(ner={"steps": 9}), "ner.steps"),
        (dataclasses.replace(PLAN, documents={"train": "a" * 64, "test": "u"}), "documents.test"),
    ],
)
def test_every_part_changes_the_hash_and_is_named(plan, name):
    assert plan.hash != PLAN.hash
    assert changes(PLAN, plan) == (name,)


def test_a_plan_knows_its_draws():
    assert PLAN.draws == Draws(13, {"50": 5, "25": 3})


def test_written_down_plan_opens_once():
    seal = write_down(PLAN, run=RUN)
    assert seal.opened == 0 and not seal.is_open
    seal = open_seal(seal, PLAN, when="2026-01-15")
    assert seal.opened == 1 and seal.is_open
    assert open_seal(seal, PLAN, when="2026-01-16") == seal


def test_plan_may_change_before_anything_was_opened():
    seal = write_down(OTHER, write_down(PLAN, run=RUN), run="another")
    assert seal == Seal(OTHER, RUN)


def test_plan_may_not_change_afterwards():
    with pytest.raises(SealError, match=r"opened once; .*differs in arm\.replaced: make choices"):
        write_down(OTHER, opened(), run=RUN)
    with pytest.raises(SealError, match="make choices on dev"):
        open_seal(opened(), OTHER, when="2026-01-16")


def test_another_opening_is_recorded_with_its_reason():
    with pytest.raises(SealError, match="needs a reason"):
        open_seal(opened(), OTHER, when="2026-01-16", another=True)
    seal = open_seal(opened(), OTHER, when="2026-01-16", another=True, reason="an arm was added")
    assert seal.opened == 2
    assert seal.plan == OTHER
    assert seal.openings[1].reason == "an arm was added"


@pytest.mark.parametrize(("n", "said"), [(10, "this plan has 10"), (3, "this plan has 3")])
def test_another_number_of_draws_after_a_look_needs_new_draws(n, said):
    again = {"when": "2026-01-16", "another": True, "reason": "not clear yet"}
    with pytest.raises(SealError, match=rf"5 draws of 50 .*seed = 13 .*{said}.* draws\.seed"):
        open_seal(opened(), changed(draws={"replicates": n}), **again)
    fresh = changed(draws={"replicates": n, "seed": 14})
    assert open_seal(opened(), fresh, **again).opened == 2


def test_a_look_counts_however_many_plans_ago_it_was():
    """Five draws, then another arm on them, then ten: the ten hold the five that were seen."""
    again = {"when": "2026-01-16", "another": True, "reason": "another try"}
    seal = open_seal(opened(), changed(draws={"seed": 14}), **again)
    with pytest.raises(SealError, match=r"set draws\.seed to another number"):
        open_seal(seal, changed(draws={"replicates": 10}), **again)


def test_draws_of_other_sizes_are_others():
    check_draws(PLAN, [Draws(13, {"100": 9}), Draws(14, {"50": 9}), PLAN.draws])


def test_json_round_trip():
    assert Seal.from_json(json.loads(json.dumps(opened().to_json()))) == opened()


def test_change_by_hand_is_noticed():
    value = write_down(PLAN, run=RUN).to_json()
    value["plan"]["recipe"]["evaluate"]["comparator"] = "synthetic"
    with pytest.raises(SealError, match="changed after it was written down"):
        Seal.from_json(value)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"schema": 1},
        {"schema": 2, "plan": {}, "hash": ""},
        {"schema": 2, "plan": {"recipe": 1, "documents": {}}, "hash": "", "openings": []},
        {"schema": 2, "plan": {"recipe": {}, "documents": {}}, "hash": "", "openings": [[]]},
    ],
)
def test_malformed_seal_is_an_error(value):
    with pytest.raises(SealError):
        Seal.from_json(value)
