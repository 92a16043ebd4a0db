"""Quotas and concepts: exact numbers of requests, whatever gold holds, and counts of what came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.config import RecipeConfig, SteeringConfig, SynthesizeConfig
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError
from notesmith.filters import Candidate
from notesmith.markup import Fault
from notesmith.synthesis.requests import Request, plan_requests
from notesmith.synthesis.steer import Coverage, Steering, coverage_of, slots_of, steering_of

LABELS = ("Disease", "Drug", "Test")
GOLD = {label: (f"{label} one", f"{label} two") for label in LABELS}

units_of_labels = st.lists(st.lists(st.sampled_from(LABELS), max_size=4), min_size=1, max_size=8)


def plan(
    labels: Sequence[Sequence[str]], steering: Steering, *, n: int, seed: int = 3
) -> list[Request]:
    """Requests from gold units that hold mentions of ``labels``."""
    mentions = [
        tuple((label, GOLD[label][k % 2]) for k, label in enumerate(unit)) for unit in labels
    ]
    units = [Document(f"u{i}", "a b c d e f g h") for i in range(len(labels))]
    return plan_requests(
        units,
        mentions,
        n=n,
        gold=GOLD,
        proposed={"Disease": ("Disease new", "Fabry Disease")},
        gold_ratio=0.5,
        seed=seed,
        attributes=[tuple((label,) for label in unit) for unit in labels],
        steering=steering,
    )


@given(
    units_of_labels,
    st.dictionaries(st.sampled_from(LABELS), st.integers(0, 12)),
    st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from("ABC"), st.integers(1, 5))),
    st.integers(0, 30),
    st.integers(0, 5),
)
def test_quotas_and_concepts_are_exact(
    labels: list[list[str]],
    quota: dict[str, int],
    listed: list[tuple[str, str, int]],
    n: int,
    seed: int,
) -> None:
    concepts = {(label, name): times for label, name, times in listed}
    by_label: Counter[str] = Counter()
    for (label, _), times in concepts.items():
        by_label[label] += times
    quota = {label: max(n, by_label[label]) for label, n in quota.items()}
    requests = plan(labels, Steering(quota, concepts), n=n, seed=seed)
    known = {label for unit in labels for label in unit}
    held = Counter(label for r in requests for label in {label for label, _ in r.mentions})
    asked = Counter(pair for r in requests for pair in r.mentions)
    for label, times in quota.items():
        assert held[label] == (times if label in known else 0)
    for (label, name), times in concepts.items():
        assert asked[label, name] == (times if label in known else 0)
    steered = sum(quota.values()) + sum(
        times for (x, _), times in concepts.items() if x not in quota
    )
    assert n <= len(requests) <= max(n, steered)
    assert [r.id for r in requests] == [f"r{k}" for k in range(len(requests))]
    # Attributes stay with their mentions where others are left out.
    assert all(r.attributes == tuple((label,) for label, _ in r.mentions) for r in requests)


def test_without_numbers_that_say_otherwise_labels_are_as_in_gold() -> None:
    labels = [["Disease"], ["Drug", "Drug"], []]
    requests = plan(labels, Steering(concepts={("Disease", "Fabry disease"): 4}), n=34)
    free = [r for r in requests if ("Disease", "Fabry disease") not in r.mentions]
    assert len(free) == 30
    assert Counter(r.pattern for r in free) == {"u0": 10, "u1": 10, "u2": 10}
    # A concept that is among the proposed names is asked for in its own texts alone.
    names = {name for r in free for _, name in r.mentions}
    assert "Disease new" in names and "Fabry Disease" not in names
    of_concept = [r for r in requests if r not in free]
    assert {r.pattern for r in of_concept} == {"u0"}


def test_one_mention_of_a_pattern_becomes_the_concept_and_the_length_follows() -> None:
    steering = Steering(concepts={("Drug", "agalsidase beta infusion"): 6})
    requests = plan([["Drug", "Disease", "Drug"]], steering, n=0)
    assert len(requests) == 6
    places = set()
    for r in requests:
        names = [name for _, name in r.mentions]
        assert [label for label, _ in r.mentions] == ["Drug", "Disease", "Drug"]
        assert names.count("agalsidase beta infusion") == 1
        places.add(names.index("agalsidase beta infusion"))
        assert r.words == 8 + 1
    assert places == {0, 2}


def test_a_label_whose_quota_is_full_is_left_out_where_no_pattern_lacks_it() -> None:
    requests = plan([["Disease", "Drug"], ["Disease"]], Steering({"Drug": 2}), n=10)
    assert Counter(r.pattern for r in requests) == {"u0": 2, "u1": 8}
    requests = plan([["Disease", "Drug"]], Steering({"Drug": 2}), n=10)
    assert Counter(len(r.mentions) for r in requests) == {2: 2, 1: 8}
    assert {r.words for r in requests if len(r.mentions) == 1} == {8 - 2}


def test_the_order_is_mixed_and_the_same_for_a_seed() -> None:
    steering = Steering(concepts={("Disease", "A"): 10})
    labels = [["Disease"], []]
    requests = plan(labels, steering, n=40)
    firsts = [k for k, r in enumerate(requests) if ("Disease", "A") in r.mentions]
    assert firsts != list(range(10))
    assert plan(labels, steering, n=40) == requests
    assert plan(labels, steering, n=40, seed=4) != requests


def test_texts_of_concepts_each_or_in_all() -> None:
    listed = {"Disease": ["Fabry disease", "fabry  Disease", "gout"], "Drug": ["x"]}
    each = steering_of(SteeringConfig(per_concept=3), listed)
    assert each.concepts == {
        ("Disease", "Fabry disease"): 3,
        ("Disease", "gout"): 3,
        ("Drug", "x"): 3,
    }
    in_all = steering_of(SteeringConfig(concept_texts=5), listed)
    assert list(in_all.concepts.values()) == [2, 2, 1]
    assert in_all.names() == {"Disease": ("Fabry disease", "gout"), "Drug": ("x",)}
    assert not Steering() and steering_of(SteeringConfig(quota={"Drug": 0}), {})


def test_an_empty_list_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"concepts\.Drug: its file names no concept"):
        steering_of(SteeringConfig(), {"Disease": ["a"], "Drug": []})


def test_a_quota_below_what_concepts_need_is_an_error() -> None:
    config = SteeringConfig(quota={"Disease": 5}, per_concept=3)
    with pytest.raises(ConfigError, match=r"quota\.Disease is 5 and its concepts need 6 texts"):
        steering_of(config, {"Disease": ["a", "b"]})
    assert slots_of([[("Disease", "x")]], steering_of(config, {"Disease": ["a"]}), n=0, seed=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompt": "infill", "quota": {"A": 1}}, "need 'scratch' or 'neighbour'"),
        ({"prompt": "infill", "concepts": {"A": "x.txt"}}, "need 'scratch' or 'neighbour'"),
        ({"concept_texts": 3}, "concept_texts needs concepts"),
        ({"attributes": ["Certainty=low"]}, "is no name"),
        ({"quota": {"A": -1}}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SynthesizeConfig.model_validate(values)


def made(name: str, text: str, *mentions: str, asked: Sequence[str]) -> Candidate:
    found = tuple(
        Entity(f"T{k}", "Disease", ((text.index(m), text.index(m) + len(m)),))
        for k, m in enumerate(mentions)
    )
    requested = tuple(("Disease", a) for a in asked)
    return Candidate(name, text, Document(name, text, found), requested=requested)


def test_coverage_counts_texts_once_and_by_what_stands_in_them() -> None:
    candidates = [
        made(
            "kept",
            "Fabry Disease and gout.",
            "Fabry Disease",
            "gout",
            asked=["Fabry disease", "gout"],
        ),
        made("twice", "gout, gout", "gout", "gout", asked=["gout", "gout"]),
        made("kept-without", "A rash.", "rash", asked=["Fabry disease"]),
        made("dropped", "Fabry disease.", "Fabry disease", asked=["Fabry disease"]),
        made("unasked", "Fabry disease here.", "Fabry disease", asked=[]),
        Candidate("fault", "<", Fault("empty mention", 0), requested=(("Disease", "gout"),)),
        Candidate("other", "gout", Document("other", "gout"), requested=(("Drug", "gout"),)),
    ]
    kept = [c.result for c in candidates if c.id in {"kept", "twice", "kept-without", "unasked"}]
    steering = Steering(
        {"Disease": 9},
        {("Disease", "Fabry disease"): 3, ("Disease", "gout"): 3, ("Disease", "x"): 1},
    )
    assert coverage_of(candidates, kept, steering) == [  # type: ignore[arg-type]
        Coverage("Disease", "", asked=5, kept=3, missing=1),
        Coverage("Disease", "Fabry disease", asked=3, kept=1, missing=1),
        Coverage("Disease", "gout", asked=3, kept=2, missing=1),
        Coverage("Disease", "x", asked=0, kept=0, missing=0),
    ]


def test_a_recipe_is_steered_by_options_alone() -> None:
    values = {
        "name": "x",
        "corpus": {"train": "a", "test": "b"},
        "arm": [{"name": "gold"}],
        "synthesize": {"quota": {"Disease": 5}, "concepts": {"Disease": "rare.txt"}},
    }
    config = RecipeConfig.model_validate(values)
    assert config.synthesize.per_concept == 20
    assert RecipeConfig.model_validate(config.model_dump(mode="json")) == config
