"""Known ways to earn without helping: each scores well below the median honest completion.

A hacked completion stands alone in a group of honest ones, so that it has nothing to fear from its
likes; only the one easy sentence is repeated, as that is the hack. docs/explanation/rewards.md has
one line a hack.
"""

from __future__ import annotations

import re
from statistics import median

import pytest
from tests.synthesis.honest import GOLD_TEXTS, HONEST, REQUESTS, reward_model, rollouts

from notesmith.lm.rollout import Reward, Rollout

# Below the median by at least this: a difference in the third decimal would be no defence.
MARGIN = 0.1
NAMES = [[f"{{{label[0]}:{name}}}" for label, name in r.mentions] for r in REQUESTS]
WITH_NAMES = [i for i, names in enumerate(NAMES) if names]


def of_hack(texts: dict[int, str], **changes: object) -> list[Reward]:
    """Rewards of ``texts`` by request number, each in the place of the first honest completion."""
    groups = [list(group) for group in HONEST]
    for i, text in texts.items():
        groups[i][0] = text
    rewards = reward_model(**changes)(rollouts(groups))
    return [rewards[4 * i] for i in texts]


@pytest.fixture(scope="module")
def honest() -> float:
    rewards = reward_model()(rollouts(HONEST))
    assert all(reward.gate is None for reward in rewards)
    return median(reward.total for reward in rewards)


def with_names(*contexts: str) -> dict[int, str]:
    """``contexts`` for the requests that have names, filled with them."""
    return {i: c.format(*NAMES[i]) for i, c in zip(WITH_NAMES, contexts, strict=True)}


EASY = ("The patient has {0} and {1}.", "The patient has {0} and is well.", "He has {0} and {1}.")
GATED = {
    "empty text": (dict.fromkeys(range(4), ""), "too short"),
    "one word": ({i: (names or ["Well."])[0] for i, names in enumerate(NAMES)}, "too short"),
    "ultra-short text": ({2: "All were well."}, "too short"),
    "copied gold": ({2: GOLD_TEXTS[3]}, "repeats gold"),
    "names in plain text": (
        {i: re.sub(r"{\w:(.*?)}", r"\1", HONEST[i][0]) for i in WITH_NAMES},
        "requested mention missing",
    ),
    "names left out": (dict.fromkeys(WITH_NAMES, HONEST[2][0]), "requested mention missing"),
    "boundaries of requested names shifted": (
        {i: re.sub(r"{D:(\w+) (\w+)}", r"\1 {D:\2}", HONEST[i][0]) for i in WITH_NAMES},
        "requested mention missing",
    ),
    "labels shuffled": (
        {0: re.sub(r"{(\w):", lambda m: "{G:" if m[1] == "D" else "{D:", HONEST[0][0])},
        "requested mention missing",
    ),
    "mention inside a word": (
        {2: "All par{D:ents} gave written consent first."},
        "mention inside a word",
    ),
}
GRADED = {
    "ultra-short text": {2: "All of them were well.", **with_names(*EASY)},
    "lightly edited gold": {
        **with_names(
            "Mutations in the {1} gene cause {0}, which affects the liver and kidneys.",
            "He was admitted with {0} and treated with enzyme replacement for two months.",
            "He was admitted with {0} and {1} and treated with enzyme replacement for two months.",
        ),
        2: "No difference in height at onset was seen between men and women.",
    },
    "gold with something appended": {
        **with_names(
            "Mutations in the {1} gene cause {0}, which affects the heart and kidneys of some.",
            "Serum ferritin was raised in all brothers with {0} at the first visit.",
            "He was admitted with {0} and treated with enzyme replacement for {1} at once.",
        ),
        2: "Samples were taken at birth and stored until the study ended in spring, as planned.",
    },
    "every word labelled": {
        i: re.sub(r"({.*?})|([A-Za-z]+)", lambda m: m[1] or f"{{D:{m[2]}}}", text)
        for i, text in {
            **with_names(
                "of {0} in the {1} gene from all of our own",
                "the left {0} of a boy and his own twin",
                "with {0} or {1} at the time of birth and then on",
            ),
            2: "All parents gave written consent before the blood was drawn",
        }.items()
    },
    "list of names": with_names("{0}; {1}; {0}; {1}", "{0}; {0}; {0}", "{0}; {1}; {0}; {1}."),
    "list of approved names": with_names(
        "{0}; {1}; {{D:Fabry disease}}; {{D:renal failure}}; {{G:HFE}}; {{G:NF1}}",
        "{0}; {{D:renal failure}}; {{D:Wilson disease}}; {{D:cystic fibrosis}}",
        "{0}; {1}; {{D:breast cancer}}; {{D:Wilson disease}}; {{D:cystic fibrosis}}",
    ),
    "requested name repeated": with_names(
        "{0} is the {0} disorder in {1} that runs with the {0} of the {1} gene in some.",
        "{0} on the left is a {0} of the {0} kind in most of our cases.",
        "In the boy {0} is a kind of {0} with the {1} of a {0} and a {1}.",
    ),
    "unasked marks shifted by a word": {
        2: "All parents {D:with retinitis} gave written consent before the blood was drawn.",
        1: "Her {D:headaches led} to a scan that showed a large {D:optic glioma} on the left.",
    },
    "mentions that are left unmarked": {
        1: "The scan for lipoma or nephritis showed a large {D:optic glioma} on the left.",
        2: "Parents with nephritis or lipoma gave written consent before blood was drawn.",
    },
    "mentions where none was asked": {
        2: "All parents with {D:renal failure} gave written consent before blood was drawn.",
    },
    "words nobody would write": {
        2: "Zygote parquet gave ombudsman quixotic before lathe was thrummed vexedly.",
    },
}


@pytest.mark.parametrize("hack", GATED)
def test_fails_a_gate(hack: str, honest: float) -> None:
    texts, reason = GATED[hack]
    for reward in of_hack(texts):
        assert reward.gate == reason
        assert reward.total == 0 < honest - MARGIN
        assert set(reward.parts.values()) == {0}


@pytest.mark.parametrize("hack", GRADED)
def test_scores_below_the_median_honest_completion(hack: str, honest: float) -> None:
    for reward in of_hack(GRADED[hack]):
        assert reward.gate is None, reward.gate
        assert reward.total < honest - MARGIN, reward.parts


@pytest.mark.parametrize(
    ("part", "hack"),
    [
        ("agreement", "mentions that are left unmarked"),
        ("density", "ultra-short text"),
        ("density", "mentions where none was asked"),
        ("fluency", "words nobody would write"),
        ("novelty", "lightly edited gold"),
        ("novelty", "gold with something appended"),
    ],
)
def test_the_hack_pays_without_the_part_that_is_there_for_it(
    part: str, hack: str, honest: float
) -> None:
    assert max(r.total for r in of_hack(GRADED[hack], **{part: 0})) > honest - MARGIN


def easy_batch() -> list[Rollout]:
    texts = with_names(
        "A boy with {0} was found to carry a change in {1} at the first visit.",
        "The child was seen by us for {0} at the age of six years.",
        "The man was seen by us for {0} and {1} at the age of six years.",
    ) | {2: "Nobody in the house had been ill before the last winter."}
    return rollouts([[texts[i]] * 4 for i in range(4)])


def test_one_easy_sentence_repeated_across_the_group(honest: float) -> None:
    model, batch = reward_model(), easy_batch()
    first = [reward.total for reward in model(batch)]
    assert max(first) < honest - MARGIN
    # The archive knows it from then on.
    second = [reward.total for reward in model(batch)]
    assert all(b < a for a, b in zip(first, second, strict=True))
    assert max(r.total for r in reward_model(diversity=0)(batch)) > honest - MARGIN


def test_graded_coverage_does_not_pay_for_shifted_or_shuffled_marks(honest: float) -> None:
    for hack in ("boundaries of requested names shifted", "labels shuffled", "names left out"):
        for reward in of_hack(GATED[hack][0], coverage="part"):
            assert reward.gate is None
            assert reward.total < honest - MARGIN, (hack, reward.parts)


def test_marks_around_a_copy_do_not_make_it_new() -> None:
    """Masked are only names by request or licence, so marking its words cannot hide a copy."""
    plain = "No difference in height at onset was seen between men and women."
    hidden = "No {D:difference} in {D:height} at {D:onset} was seen between {D:men} and women."
    shown, masked = of_hack({2: plain}), of_hack({2: hidden})
    assert masked[0].parts["novelty"] == shown[0].parts["novelty"] < 1
