from __future__ import annotations

from collections import Counter

import pytest

from notesmith.config import IntegrationConfig
from notesmith.errors import StageError
from notesmith.ner.integrate import plan_batches

GOLD, MADE = [5, 9, 3, 7], [4, 8, 6, 2, 10, 12]


def plan(how="mix", gold=GOLD, made=MADE, steps=20, by_length=False, seed=1, **integration):
    return plan_batches(
        gold,
        made,
        steps=steps,
        batch_size=4,
        integration=IntegrationConfig(how=how, **integration),
        seed=seed,
        by_length=by_length,
    )


@pytest.mark.parametrize("by_length", [True, False])
@pytest.mark.parametrize("how", ["mix", "ratio", "pretrain-then-gold", "mix-then-gold"])
def test_each_step_has_a_full_batch(how: str, by_length: bool) -> None:
    assert [len(b) for b in plan(how, by_length=by_length)] == [4] * 20


def test_same_seed_same_plan() -> None:
    assert plan(seed=3) == plan(seed=3) != plan(seed=4)


@pytest.mark.parametrize("by_length", [True, False])
def test_mix_visits_units_equally_often(by_length: bool) -> None:
    seen = Counter(i for batch in plan(steps=25, by_length=by_length) for i in batch)
    assert seen == dict.fromkeys(range(10), 10)


@pytest.mark.parametrize("by_length", [True, False])
def test_ratio_holds_in_every_batch(by_length: bool) -> None:
    for batch in plan("ratio", made_ratio=0.25, by_length=by_length):
        assert sum(i >= 4 for i in batch) == 1


def test_pretraining_sees_made_alone_then_gold_alone() -> None:
    batches = plan("pretrain-then-gold", gold_last=0.25)
    assert all(i >= 4 for batch in batches[:15] for i in batch)
    assert all(i < 4 for batch in batches[15:] for i in batch)


def test_mix_then_gold_ends_with_gold() -> None:
    batches = plan("mix-then-gold", gold_last=0.25)
    assert {i >= 4 for batch in batches[:15] for i in batch} == {True, False}
    assert all(i < 4 for batch in batches[15:] for i in batch)


@pytest.mark.parametrize("how", ["mix", "ratio", "pretrain-then-gold", "mix-then-gold"])
def test_one_kind_alone_fills_all_steps(how: str) -> None:
    assert {i for b in plan(how, made=[]) for i in b} == set(range(4))
    assert {i for b in plan(how, gold=[]) for i in b} == set(range(6))


def test_batches_by_length_hold_neighbours() -> None:
    batches = plan(gold=list(range(1, 97)), made=[], steps=24, by_length=True)
    assert sorted(sorted(b) for b in batches) == [list(range(i, i + 4)) for i in range(0, 96, 4)]


def test_nothing_is_an_error() -> None:
    with pytest.raises(StageError, match="nothing to train on"):
        plan(gold=[], made=[])
