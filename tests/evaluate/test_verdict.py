import pytest

from notesmith.evaluate.verdict import candidate, claim, recommend, write_verdict

WORTH = {"notes": 14, "low": 5, "high": 26, "beyond": []}


def comparison(**changes):
    return {
        "arm": "synthetic+replaced",
        "against": "replaced",
        "family": "against",
        "size": 50,
        "delta": 1.8,
        "low": 0.6,
        "high": 3.0,
        "p": 0.01,
        "p_holm": 0.01,
        "n_replicates": 5,
        "worth": WORTH,
        "claim": "better",
        **changes,
    }


def results(*comparisons, doubling=None, **changes):
    return {
        "comparisons": list(comparisons),
        "main_size": 50,
        "comparator": "gold",
        "power": {"detectable": 2.5, "n_replicates": 5, "n_documents": 100},
        "learning_curve": {"doubling": doubling},
        **changes,
    }


@pytest.mark.parametrize(
    ("low", "high", "p", "n", "said"),
    [
        (0.6, 3.0, 0.01, 5, "better"),
        (-3.0, -0.6, 0.01, 5, "worse"),
        (-0.6, 3.0, 0.2, 5, "no difference shown"),
        # Clear of 0 by itself, but not after Holm.
        (0.1, 3.0, 0.09, 5, "no difference shown"),
        (0.6, 3.0, 0.001, 4, "demonstration"),
    ],
)
def test_claims(low, high, p, n, said):
    assert claim(low, high, p, n, alpha=0.05) == said


@pytest.mark.parametrize(
    ("changes", "doubling", "advice"),
    [
        ({}, None, "use"),
        # As good as at most 5 labelled notes: label those.
        ({"worth": {**WORTH, "high": 5}}, None, "label more"),
        # "5 or more" is no small worth.
        ({"worth": {**WORTH, "high": 5, "beyond": ["high"]}}, None, "use"),
        ({"worth": None}, None, "use"),
        ({"claim": "worse"}, None, "do not use"),
        ({"claim": "demonstration"}, 5.0, "demonstration"),
        # A gain of 1 F1 is ruled out.
        ({"claim": "no difference shown", "high": 0.9}, 5.0, "do not use"),
        # Doubling gold gains more than the interval allows the arm.
        ({"claim": "no difference shown", "high": 2.9}, 3.0, "label more"),
        ({"claim": "no difference shown", "high": 3.1}, 3.0, "underpowered"),
        ({"claim": "no difference shown", "high": 3.1}, None, "underpowered"),
    ],
)
def test_recommendations(changes, doubling, advice):
    assert recommend(comparison(**changes), doubling=doubling, detectable=2.5) == advice


@pytest.mark.parametrize(
    ("high", "detectable", "advice"),
    [
        # A gain of 1 F1 may be there (1.1), and 1.01 is the least that is mostly found.
        (1.1, 1.01, "underpowered"),
        # It may be there, but would mostly have been found: no power was lacking.
        (1.1, 1.0, "no claim"),
        # It is ruled out, whatever the power.
        (0.99, 4.0, "do not use"),
        (1.0, 4.0, "underpowered"),
        (1.1, None, "no claim"),
    ],
)
def test_underpowered_is_where_a_gain_that_matters_is_open_and_would_be_missed(
    high, detectable, advice
):
    row = comparison(claim="no difference shown", low=-2.0, high=high)
    assert recommend(row, doubling=None, detectable=detectable) == advice


@pytest.mark.parametrize("claim", ["better", "worse", "demonstration"])
def test_power_changes_no_claim(claim):
    row = comparison(claim=claim)
    weak, strong = (recommend(row, doubling=None, detectable=d) for d in (9.0, 0.1))
    assert weak == strong != "underpowered"


def test_headline_in_words():
    verdict = write_verdict(results(comparison()), "synthetic+replaced")
    assert verdict.headline == (
        "Synthetic + replaced is better than replaced by +1.8 F1 [+0.6, +3.0], worth about 14 more "
        "labelled notes [5, 26]."
    )
    assert verdict.recommendation == "use"
    assert verdict.sentences == (
        "With 5 replicates and 100 documents a true difference of 2.5 F1 would be found four times "
        "out of five; smaller ones are mostly missed.",
        "Recommendation: use synthetic + replaced.",
    )


def test_an_interval_clear_of_0_that_holm_takes_back_is_said_to_be_so():
    row = comparison(low=0.1, p=0.03, p_holm=0.07, claim="no difference shown")
    said = write_verdict(results(row), "synthetic+replaced").headline
    assert said.endswith(
        "+1.8 F1 [+0.1, +3.0], but not once corrected for the number of arms (p 0.070)."
    )


def test_worth_in_hours_where_minutes_are_known():
    # 14, 5 and 26 notes at 12 minutes: 2.8, 1.0 and 5.2 hours.
    worth = {**WORTH, "hours": {"notes": 2.8, "low": 1.0, "high": 5.2}}
    found = write_verdict(
        results(comparison(worth=worth), minutes_per_note=12), "synthetic+replaced"
    )
    assert found.headline.endswith(
        "worth about 14 more labelled notes [5, 26], or 2.8 annotator hours [1.0, 5.2] at 12 "
        "minutes a note."
    )


def test_underpowered_says_what_would_be_needed():
    power = {
        "detectable": 3.5,
        "n_replicates": 5,
        "n_documents": 100,
        "needed": {"difference": 1.0, "replicates": 36, "documents": None, "times": 7},
    }
    row = comparison(claim="no difference shown", low=-1.2, high=4.8)
    found = write_verdict(results(row, power=power), "synthetic+replaced")
    assert found.recommendation == "underpowered"
    assert found.sentences[-1] == (
        "Recommendation: none, this run is underpowered: a gain of 1 F1 would matter, synthetic + "
        "replaced may have it, and a run of this size would mostly miss it. Finding 1 F1 four "
        "times out of five would take about 36 replicates on these 100 documents (a rough figure: "
        "the spread is known from 5 replicates only)."
    )


def test_no_advice_before_the_arm_that_the_plan_is_about_is_scored():
    found = write_verdict(results(comparison()), "synthetic+replaced", awaited="sft+rl")
    assert found.recommendation == "unfinished" and "better than replaced" in found.headline
    assert found.sentences[-1] == (
        "Recommendation: none yet; sft + rl, which the plan is about, is not scored."
    )


def test_named_rival_comes_before_the_comparator():
    common = comparison(against="gold", family="comparator", delta=5.0)
    verdict = write_verdict(results(common, comparison()), "synthetic+replaced")
    assert "better than replaced" in verdict.headline
    assert "better than gold by +5.0" in verdict.sentences[0]


def test_other_arms_are_grouped_by_claim():
    others = [
        comparison(arm=arm, against="gold", family="comparator", delta=d, claim=said)
        for arm, d, said in (
            ("replaced", 3.3, "better"),
            ("lwtr", -0.04, "no difference shown"),
            ("placebo", -4.0, "worse"),
        )
    ]
    sentences = write_verdict(results(comparison(), *others), "synthetic+replaced").sentences
    assert sentences[:3] == (
        "Better than gold as well: replaced (+3.3).",
        "No difference to gold shown: lwtr (0.0).",
        "Worse than gold: placebo (-4.0).",
    )


def test_demonstration_says_how_many_a_claim_needs():
    shown = comparison(claim="demonstration", n_replicates=1)
    assert write_verdict(results(shown), "synthetic+replaced").headline == (
        "Demonstration, no claim: synthetic + replaced differs from replaced by +1.8 F1 "
        "[+0.6, +3.0] over 1 replicate; a claim needs 5."
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"worth": {**WORTH, "high": 5}},
            "Recommendation: label more; 5 notes at most gain as much as "
            "synthetic + replaced does.",
        ),
        (
            {"claim": "no difference shown", "high": 2.9},
            "Recommendation: label more; by the gold curve, twice the notes gain more than "
            "synthetic + replaced can over replaced.",
        ),
        (
            {"claim": "demonstration", "n_replicates": 2},
            "Recommendation: none; with fewer than 5 replicates this is a demonstration that "
            "everything runs.",
        ),
        (
            {"claim": "no difference shown", "high": 0.9},
            "Recommendation: do not use synthetic + replaced; a gain of 1 F1 over replaced is "
            "ruled out.",
        ),
    ],
)
def test_advice_gives_its_reason(changes, sentence):
    found = write_verdict(results(comparison(**changes), doubling=3.0), "synthetic+replaced")
    assert found.sentences[-1] == sentence


def test_nothing_to_compare():
    assert write_verdict(results(), None).recommendation == "no claim"


def test_candidate_is_chosen_without_scores():
    made = {
        "gold": (),
        "replaced": ("replaced",),
        "synthetic": ("synthetic",),
        "both": ("synthetic", "replaced"),
        "both-again": ("replaced", "synthetic"),
        "placebo": ("synthetic-shuffled-labels", "replaced", "lwtr"),
    }
    assert candidate(made, "gold") == "both"
    assert candidate({"gold": (), "lwtr": ("lwtr",)}, "gold") == "lwtr"
    assert candidate({"gold": ()}, "gold") is None
