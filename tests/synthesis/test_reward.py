"""Each part of the reward by numbers worked by hand, then the whole, its memory and its errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from tests.synthesis.honest import (
    GOLD,
    HONEST,
    committee,
    document,
    fluency,
    marked,
    reward_model,
    rollouts,
    task,
)

from notesmith.config import FilterConfig, RewardConfig
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, StageError
from notesmith.filters.rules import n_repeated
from notesmith.lm.rollout import Rollout
from notesmith.markup import Marks
from notesmith.metrics import PRFScore
from notesmith.overlap import OverlapIndex
from notesmith.synthesis.decode import Lexicon
from notesmith.synthesis.requests import Request
from notesmith.synthesis.reward import Judges, RewardModel, Task, fluency_of, load_user_reward
from notesmith.synthesis.reward.context import context_grams, context_tokens
from notesmith.synthesis.reward.parts import (
    Mark,
    agreement,
    agreement_counts,
    coverage,
    density,
    fluency_corners,
    n_unmarked,
    scaled,
    trapezoid,
    votes_of,
    weighted_mean,
)

ONLY_DENSITY = {"agreement": 0, "fluency": 0, "density": 1, "novelty": 0, "diversity": 0}


def mark(start: int, end: int, label: str = "Disease") -> Mark:
    return Mark(((start, end),), label)


# Arithmetic


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-1, 0), (0, 0), (1, 0.5), (2, 1), (3, 1), (4, 0.75), (7, 0), (9, 0)],
)
def test_trapezoid(value: float, expected: float) -> None:
    assert trapezoid(value, (0, 2, 3, 7)) == expected


def test_a_trapezoid_may_end_at_a_step() -> None:
    assert trapezoid(3, (0, 2, 3, 3)) == 1
    assert trapezoid(3.01, (0, 2, 3, 3)) == 0


def test_votes_are_shares_of_members_that_find_exactly_a_mark() -> None:
    def said(*spans: tuple[int, int]) -> Document:
        ents = tuple(Entity(f"T{i}", "Disease", (span,)) for i, span in enumerate(spans))
        return Document("d", "x" * 20, ents)

    votes = votes_of([said((0, 4), (6, 9)), said((0, 4)), said((0, 4), (6, 10)), said()])
    assert votes == {mark(0, 4): 0.75, mark(6, 9): 0.25, mark(6, 10): 0.25}


def test_agreement_counts_both_ways_and_no_veto() -> None:
    votes = {
        mark(0, 4): 1.0,  # marked: agreed
        mark(6, 9): 0.5,  # marked: half is no majority
        mark(12, 15): 1.0,  # left unmarked
        mark(17, 19): 2 / 3,  # left unmarked, but not all members are sure
        mark(20, 30): 1.0,  # touches a requested name: no say
    }
    settled = [mark(24, 28)]
    counts = agreement_counts([mark(0, 4), mark(6, 9), mark(40, 44)], settled, votes)
    assert counts == PRFScore(tp=1, fp=2, fn=1)
    # A requested name that no member finds costs nothing.
    assert agreement_counts([], [mark(0, 4)], {}) == PRFScore()


def test_a_mark_of_another_label_or_border_is_wrong_and_leaves_one_missing() -> None:
    votes = {mark(0, 4): 1.0}
    assert agreement_counts([mark(0, 4, "Gene")], [], votes) == PRFScore(0, 1, 1)
    assert agreement_counts([mark(0, 5)], [], votes) == PRFScore(0, 1, 1)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (PRFScore(0, 0, 0), 1.0),
        (PRFScore(0, 1, 0), (1 / 2) / 0.8),
        (PRFScore(0, 0, 3), (1 / 4) / 0.8),
        (PRFScore(1, 1, 0), (3 / 4) / 0.8),
        (PRFScore(3, 1, 0), 1.0),  # 7/8 is above the cap
        (PRFScore(9, 0, 0), 1.0),
    ],
)
def test_agreement(counts: PRFScore, expected: float) -> None:
    assert agreement(counts, 0.8) == pytest.approx(expected)


def test_with_a_cap_of_0_no_agreement_is_worth_more_than_any_other() -> None:
    assert agreement(PRFScore(0, 5, 5), 0) == 1


def test_coverage_counts_marked_mentions_with_their_label() -> None:
    doc = document("d", "Gout, {D:Gout} and {G:HFE}; {D:CFTR}.")
    wanted = [("Disease", "gout"), ("Disease", "gout"), ("Gene", "CFTR"), ("Gene", "HFE")]
    assert n_unmarked(doc, wanted) == 2
    assert coverage(2, 4) == 0.5
    assert coverage(0, 0) == 1


@pytest.mark.parametrize(
    ("mentions", "words", "expected"),
    [
        (2, 20, 1.0),
        (2, 16, 1.0),  # 1.25 times as dense
        (3, 20, 0.8),  # 1.5 times: (2.5 - 1.5) / 1.25
        (5, 20, 0.0),  # 2.5 times
        (1, 20, 2 / 3),  # 0.5 times: 0.5 / 0.75
        (0, 20, 0.0),
        (1, 10, 0.5),  # as dense, half as long: (0.5 - 0.3) / 0.4
        (4, 40, 2 / 3),  # as dense, twice as long: (3 - 2) / 1.5
        (0, 0, 0.0),
    ],
)
def test_density_where_two_mentions_in_20_words_were_asked_for(
    mentions: int, words: int, expected: float
) -> None:
    value = density(mentions, words, wanted_mentions=2, wanted_words=20, usual=0.1)
    assert value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("mentions", "words", "usual", "expected"),
    [(0, 20, 0.1, 1.0), (1, 20, 0.1, 0.5), (2, 20, 0.1, 0.0), (1, 20, 0.0, 0.0), (0, 10, 0.1, 0.5)],
)
def test_density_where_no_mention_was_asked_for(
    mentions: int, words: int, usual: float, expected: float
) -> None:
    value = density(mentions, words, wanted_mentions=0, wanted_words=20, usual=usual)
    assert value == pytest.approx(expected)


def test_fluency_falls_off_on_both_sides_of_golds_band() -> None:
    corners = fluency_corners([-5.0, -4.0, -3.0], (0, 1))
    assert corners == (-6, -5, -3, -2)
    assert trapezoid(-5.5, corners) == trapezoid(-2.5, corners) == 0.5
    # The slope is no narrower than a quarter of a nat, and text that is certain earns nothing.
    assert fluency_corners([-1.0, -1.0], (0.05, 0.95)) == (-1.25, -1, -1, -0.75)
    assert fluency_corners([-2.0, -0.1], (0, 1))[3] == 0


def test_total_is_a_weighted_mean_times_factors() -> None:
    mean = weighted_mean({"a": 1.0, "b": 0.5, "c": 9.0}, {"a": 1.0, "b": 3.0})
    assert mean == (1 + 1.5) / 4
    assert scaled(0.0, 0.5) == 0.5
    assert scaled(0.4, 0.5) == 0.7
    assert scaled(0.0, 1.0) == 0


# Context


def test_context_masks_mentions_and_numbers_alike() -> None:
    doc = document("d", "Of 12 boys {D:gout} and {G:HFE} were seen in 7.")
    tokens = "of 0 boys <Disease> and <Gene> were seen in 0".split()
    assert context_tokens(doc) == tokens
    other = document("e", "Of 3 boys {D:renal failure} and {G:CFTR} were seen in 21.")
    assert context_grams(other) == context_grams(doc)


def test_a_list_of_mentions_says_nothing_new() -> None:
    grams = context_grams(document("d", "{D:a}; {D:b}; {D:c}; {D:d}"))
    assert not grams
    assert OverlapIndex().container(grams).likeness == 1


def test_an_honest_batch_is_explained_by_its_parts() -> None:
    rewards = reward_model()(rollouts(HONEST))
    assert len(rewards) == 16
    for reward in rewards:
        assert list(reward.parts) == ["agreement", "density", "fluency", "novelty", "diversity"]
        p = reward.parts
        mean = (p["agreement"] + 0.5 * p["density"] + 0.5 * p["fluency"]) / 2
        factors = (0.5 + 0.5 * p["novelty"]) * (0.5 + 0.5 * p["diversity"])
        assert reward.total == pytest.approx(mean * factors)
    # Found by the committee, unasked; marked by nobody's request and found by no member.
    assert rewards[3].parts["agreement"] == 1
    assert rewards[15].parts["agreement"] == pytest.approx(0.5 / 0.8)


def test_a_failed_gate_is_0_in_every_part_with_its_reason() -> None:
    batch = [
        Rollout(2, " All parents.", (), True),
        Rollout(2, " No<Disease> gout", (), True),
        Rollout(2, " All parents gave consent", (), False),
        Rollout(2, marked("Neither twin had been exposed to the drug."), (), True),
    ]
    rewards = reward_model()(batch)
    assert [r.gate for r in rewards] == [
        "too short",
        "parse: open without close",
        "no end",
        None,
    ]
    for reward in rewards[:3]:
        assert reward.total == 0
        assert reward.parts == dict.fromkeys(rewards[3].parts, 0.0)


def test_judges_see_only_what_passes_the_gates() -> None:
    seen: list[str] = []

    def nothing_found(texts: Sequence[str]) -> list[list[Document]]:
        seen.extend(texts)
        return [[Document(str(i), text) for i, text in enumerate(texts)]]

    model = RewardModel(
        GOLD,
        RewardConfig.model_validate({**ONLY_DENSITY, "density": 0, "agreement": 2}),
        FilterConfig(),
        judges=Judges(committee=nothing_found),
        task=task(),
    )
    rewards = model([Rollout(2, " Well.", (), True), *rollouts([[], [], HONEST[2][:1]])])
    assert [r.total for r in rewards] == [0, 1]
    assert len(seen) == 1
    assert model([Rollout(2, " Well.", (), True)])[0].gate == "too short"


def test_coverage_is_a_gate_or_a_graded_part() -> None:
    half = marked("Women with one copy of {G:COL4A5} may develop a mild form of the disease.")
    (gated,) = reward_model()([Rollout(0, half, (), True)])
    assert gated.gate == "requested mention missing"
    (graded,) = reward_model(coverage="part")([Rollout(0, half, (), True)])
    assert graded.gate is None
    assert graded.parts["coverage"] == 0.5


def test_a_grounded_request_is_scored_with_what_it_was_given() -> None:
    request = replace(task().requests[1], before=marked("The {D:optic glioma} of this").strip())
    model = RewardModel(
        GOLD,
        RewardConfig.model_validate(ONLY_DENSITY),
        FilterConfig(),
        task=task([request]),
    )
    (reward,) = model([Rollout(0, " boy was removed before he had started school.", (), True)])
    assert reward.gate is None
    assert reward.total == 1


def test_one_text_in_its_group_is_diverse_and_two_alike_are_not() -> None:
    model = reward_model(archive=0)
    text = HONEST[1][0]
    assert model(rollouts([[], [text]]))[0].parts["diversity"] == 1
    assert [r.parts["diversity"] for r in model(rollouts([[], [text, text]]))] == [0, 0]


def test_novelty_counts_other_groups_of_the_batch() -> None:
    context = "A scan of the eye showed {} and a second visit was planned."
    texts = [[], [context.format("{D:optic glioma}")], [context.format("nothing new")], []]
    first, second = reward_model()(rollouts(texts))
    assert first.parts["diversity"] == 1
    assert first.parts["novelty"] < 0.5
    assert second.parts["novelty"] < 0.6


def test_the_archive_is_a_state_that_goes_on_elsewhere_and_holds_no_text() -> None:
    batch, later = rollouts(HONEST[:1]), rollouts([[HONEST[0][1]]])
    model = reward_model()
    model(batch)
    state = json.dumps(model.state())
    assert "alport" not in state.casefold()
    resumed = reward_model()
    resumed.restore(json.loads(state))
    assert resumed(later) == model(later)
    assert reward_model()(later)[0].total > resumed(later)[0].total


def test_rewards_do_not_depend_on_the_order_of_a_batch() -> None:
    batch = rollouts(HONEST)
    forth, back = reward_model()(batch), reward_model()(batch[::-1])
    assert [r.total for r in forth] == pytest.approx([r.total for r in back[::-1]])


def test_drift_of_a_batch() -> None:
    texts = (
        ("{D:Gaucher disease} was found in two boys.", "{D:gaucher disease} was found in two men."),
        ("{D:Breast cancer} was seen.",),
    )
    batch = [*rollouts(texts), Rollout(2, " No<Disease> gout", (), True)]
    drift = reward_model().drift(batch).to_json()
    # Contexts: <Disease> was found in two boys | … men: 4 grams of which 3 are shared;
    # <Disease> was seen: 1 gram, in no other.
    assert drift == pytest.approx(
        {
            "distinct_names": 2,
            "new_name_ratio": 0.5,
            "words": 18 / 3,
            "density": 3 / 18,
            "self_similarity": fmean([3 / 4, 3 / 4, 0]),
            # Request 0 twice (two names, 15 words), 1 (one name, 13), 2 (none, 11).
            "asked_distinct_names": 3,
            "asked_words": (15 + 15 + 13 + 11) / 4,
            "asked_density": 5 / 54,
        }
    )


def test_fluency_under_a_language_model_is_its_mean_log_probability(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from notesmith.lm import score

    def scored(lm: object, prompts: list[str], texts: list[str], *, batch_size: int) -> object:
        assert prompts == ["", ""]
        return [score.ContinuationScore(-3.0 * (i + 1), len(t)) for i, t in enumerate(texts)]

    monkeypatch.setattr(score, "score_continuations", scored)
    assert fluency_of(object())(["abc", "abcdef"]) == [-1, -1]  # type: ignore[arg-type]


# What cannot be computed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "reward.agreement has a weight, but no committee was given; set it to 0"),
        ({"agreement": 0}, "reward.fluency has a weight, but no language model was given"),
        ({**ONLY_DENSITY, "density": 0}, "no part of the reward has a weight above 0"),
    ],
)
def test_a_weighted_part_needs_what_it_is_made_of(changes: dict[str, object], said: str) -> None:
    config = RewardConfig.model_validate(changes)
    with pytest.raises(ConfigError, match=said):
        RewardModel(GOLD, config, FilterConfig(), task=task())


def test_training_needs_gold_and_a_task() -> None:
    config = RewardConfig.model_validate({**ONLY_DENSITY, "novelty": 0.5})
    with pytest.raises(ConfigError, match="there is no gold"):
        RewardModel([], config, FilterConfig(), task=task())
    with pytest.raises(ConfigError, match="no task was given"):
        RewardModel(GOLD, config, FilterConfig())(rollouts(HONEST))


def test_a_completion_of_an_unknown_prompt_is_an_error() -> None:
    with pytest.raises(StageError, match="answers prompt 7 of 4"):
        reward_model()([Rollout(7, " text", (), True)])


@pytest.mark.parametrize("said", [[], [[]], [[Document("d", "x")] * 3]])
def test_a_committee_that_leaves_texts_out_is_an_error(said: list[list[Document]]) -> None:
    model = RewardModel(
        GOLD,
        RewardConfig(fluency=0),
        FilterConfig(),
        judges=Judges(committee=lambda texts: said),
        task=task(),
    )
    with pytest.raises(StageError, match="committee"):
        model(rollouts([[], HONEST[1][:1]]))


# The user's rewards

CODE = """
def short(docs):
    return [1 / len(d.text.split()) for d in docs]
def one_less(docs):
    return [1.0] * (len(docs) - 1)
def not_a_number(docs):
    return [float("nan")] * len(docs)
def too_much(docs):
    return [1.5] * len(docs)
def words(docs):
    return [d.text for d in docs]
def nothing(docs):
    return None
def fails(docs):
    return [1 / ("COL4A5" not in d.text) for d in docs]
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rewards") / "own.py"
    path.write_text(CODE)
    return path


def user_model(*specs: str) -> RewardModel:
    changes = {**ONLY_DENSITY, "density": 0, "user": specs}
    return RewardModel(GOLD, RewardConfig.model_validate(changes), FilterConfig(), task=task())


def test_a_users_reward_is_a_part(code: Path) -> None:
    (reward,) = user_model(f"{code}:short")(rollouts([[], [], HONEST[2][:1]]))
    assert reward.parts == {"user_short": pytest.approx(1 / 9)}
    assert reward.total == pytest.approx(1 / 9)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("one_less", r"own.py:one_less: gave 1 values for 2 documents, from doc 'reward-r0.0' on"),
        ("not_a_number", r"gave no finite number \(float\) for doc 'reward-r0.0'"),
        ("too_much", r"gave 1.5, not from 0 to 1, for doc 'reward-r0.0'"),
        ("words", r"gave no finite number \(str\) for doc 'reward-r0.0'"),
        ("nothing", r"gave NoneType and no list, from doc 'reward-r0.0' on"),
        ("fails", r"raised ZeroDivisionError on doc 'reward-r0.1'"),
    ],
)
def test_a_users_mistake_is_an_error_without_text_and_never_0(
    code: Path, name: str, said: str
) -> None:
    quiet = HONEST[0][1].replace("{G:COL4A5}", "{G:PKD1}")
    request = replace(task().requests[0], mentions=())
    model = RewardModel(
        GOLD,
        RewardConfig.model_validate({**ONLY_DENSITY, "density": 0, "user": [f"{code}:{name}"]}),
        FilterConfig(),
        task=task([request]),
    )
    with pytest.raises(StageError, match=said) as caught:
        model(rollouts([[quiet, HONEST[0][0]]]))
    assert "cousins" not in str(caught.value)


def test_fluency_is_held_to_the_same() -> None:
    judges = Judges(fluency=lambda texts: [float("-inf")] * len(texts))
    config = RewardConfig.model_validate(ONLY_DENSITY | {"fluency": 1})
    with pytest.raises(StageError, match="for doc "):
        RewardModel(GOLD, config, FilterConfig(), judges=judges, task=task())(rollouts(HONEST))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("short", "write it as module:function or file.py:function"),
        ("math:", "write it as module:function"),
        ("no_such_module_here:f", "no module no_such_module_here; install it, or name its file"),
        ("math:no_such", "math has no function no_such"),
        ("math:pi", "math has no function pi"),
        ("missing.py:f", "missing.py: no such file of rewards"),
    ],
)
def test_a_reward_that_is_not_there_is_an_error(spec: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_user_reward(spec)


def test_a_file_that_does_not_load_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    with pytest.raises(ConfigError, match="loading it raised ZeroDivisionError"):
        load_user_reward(f"{tmp_path / 'bad.py'}:f")


def test_a_reward_may_be_a_modules_function() -> None:
    assert load_user_reward("math:sqrt").part == "user_sqrt"


def test_two_rewards_of_one_name_are_an_error(code: Path) -> None:
    with pytest.raises(ConfigError, match="two rewards are named short"):
        user_model(f"{code}:short", f"{code.parent}/../{code.parent.name}/own.py:short")


# Documents without requests


def test_documents_are_scored_by_what_needs_no_request() -> None:
    judges = Judges(committee=committee, fluency=fluency)
    model = RewardModel(GOLD, RewardConfig(), FilterConfig(), judges=judges)
    docs = [
        document("known", "Her brother had {D:renal failure} as well as {D:nephritis} last year."),
        document("doubtful", "Her brother had {D:tired legs} as well as a cough last year."),
        document("unmarked", "The report of his sister speaks of nephritis and little besides."),
        GOLD[0],
        document("short", "{D:Gout}"),
    ]
    found = model.score_documents(docs)
    assert [row.id for row in found.rows] == ["known", "doubtful", "unmarked", "gold-0", "short"]
    assert [row.gate for row in found.rows] == [None, None, None, "repeats gold", "too short"]
    assert [row.parts["agreement"] for row in found.rows] == [1, 0.625, 0.625, 0, 0]
    assert found.left_out == {
        "coverage": "there is no request",
        "density": "there is no request",
    }
    assert found.gates == {"repeats gold": 1, "too short": 1}
    totals = [row.total for row in found.rows]
    assert found.means["total"] == pytest.approx(fmean(t for t in totals if t is not None))


def test_documents_do_not_join_the_archive() -> None:
    model = reward_model()
    model.score_documents(GOLD)
    assert model.state() == {"archive": []}


def test_a_range_of_unknown_label_is_not_held_against_a_document() -> None:
    text = "Her brother had nephritis and was well again in spring."
    model = RewardModel(
        GOLD, RewardConfig(fluency=0), FilterConfig(), judges=Judges(committee=committee)
    )
    doc = Document("d", text)
    (open_,) = model.score_documents([doc]).rows
    (masked,) = model.score_documents([replace(doc, masked=((16, 25),))]).rows
    assert (open_.parts["agreement"], masked.parts["agreement"]) == (0.625, 1)


def test_without_anything_to_judge_by_there_is_no_total() -> None:
    found = RewardModel([], RewardConfig(), FilterConfig()).score_documents(
        [document("a", "He was well and went home early.")]
    )
    assert found.rows[0].total is None
    assert found.rows[0].parts == {"diversity": 1}
    assert "total" not in found.means
    assert found.left_out["novelty"] == "there is no gold"


def test_mentions_of_a_requested_name_beyond_those_asked_for_are_disputed() -> None:
    text = "gout, Gout and gout; HFE, HFE and NF1"
    at = [(0, 4), (6, 10), (15, 19), (21, 24), (26, 29), (34, 37)]
    labels = ["Disease"] * 3 + ["Gene"] * 3
    doc = Document(
        "d",
        text,
        tuple(Entity(f"T{i}", x, (s,)) for i, (x, s) in enumerate(zip(labels, at, strict=True))),
    )
    assert n_repeated(doc, [("Disease", "gout")]) == 2
    assert n_repeated(doc, [("Disease", "gout"), ("Disease", "gout"), ("Gene", "HFE")]) == 2
    # What is not requested is the committee's affair, and so is another label.
    assert n_repeated(doc, []) == n_repeated(doc, [("Gene", "gout")]) == 0
    assert agreement_counts([], [], {}, 2) == PRFScore(0, 2, 0)
    assert agreement(PRFScore(0, 2, 0), 0.8) == pytest.approx((1 / 3) / 0.8)


def test_a_requested_attribute_that_is_missing_fails_the_gate_or_lessens_coverage() -> None:
    marks = Marks.plain(["Disease", "Gene"], ["family", "negated"])
    request = Request(
        "r0",
        "gold-1:0-80",
        12,
        (("Disease", "Gaucher disease"), ("Disease", "renal failure")),
        attributes=(("negated",), ("family",)),
    )
    asked = Task([request], marks, Lexicon.of({"Disease": ["Gaucher disease", "renal failure"]}))
    end = " after the bones of her late sister had been seen."
    texts = [
        f" No<Disease>{first} Gaucher disease</> nor<Disease>{second} renal failure</>{end}"
        for first, second in (("<+negated>", "<+family>"), ("<+negated>", ""), ("", ""))
    ]
    written = [Rollout(0, text, (), True) for text in texts]

    def scored(**changes: object) -> list[tuple[str | None, float]]:
        config = RewardConfig.model_validate({**ONLY_DENSITY, **changes})
        model = RewardModel(GOLD, config, FilterConfig(), task=asked)
        return [(r.gate, r.parts.get("coverage", 0.0)) for r in model(written)]

    missing = "requested attribute missing"
    assert [gate for gate, _ in scored()] == [None, missing, missing]
    assert scored(coverage="part") == [(None, 1.0), (None, 0.75), (None, 0.5)]
