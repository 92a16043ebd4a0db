"""The plan follows gold's density and draws names from where it is told."""

from __future__ import annotations

from collections import Counter

from notesmith.document import Document
from notesmith.synthesis.requests import plan_requests

UNITS = [Document("u0", "No change today ."), Document("u1", "Known gout and asthma .")]
MENTIONS = [(), (("Problem", "gout"), ("Problem", "asthma"))]


def plan(
    n: int, *, gold_ratio: float, proposed: tuple[str, ...] = ("acute renal failure",)
) -> list:
    return plan_requests(
        UNITS,
        MENTIONS,
        n=n,
        gold={"Problem": ("gout", "asthma")},
        proposed={"Problem": proposed},
        gold_ratio=gold_ratio,
        seed=5,
    )


def test_density_is_golds() -> None:
    requests = plan(100, gold_ratio=0.5)
    assert Counter(len(r.mentions) for r in requests) == {0: 50, 2: 50}
    assert len({r.id for r in requests}) == 100


def test_names_come_from_the_asked_source() -> None:
    new = {m for r in plan(40, gold_ratio=0.0) for _, m in r.mentions}
    old = {m for r in plan(40, gold_ratio=1.0) for _, m in r.mentions}
    assert new == {"acute renal failure"}
    assert old == {"gout", "asthma"}
    assert {m for r in plan(40, gold_ratio=0.0, proposed=()) for _, m in r.mentions} == old


def test_longer_names_make_longer_units() -> None:
    rich = [r for r in plan(4, gold_ratio=0.0) if r.mentions]
    assert {r.words for r in rich} == {5 + 2 * 2}


def test_the_plan_is_the_same_for_a_seed() -> None:
    assert plan(30, gold_ratio=0.5) == plan(30, gold_ratio=0.5)
