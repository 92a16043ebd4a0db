import pytest

from notesmith.evaluate.verdict import (
    candidate,
    claim,
    decisive,
    fixed_sequence,
    lacks_votes_of_gold,
    recommend,
    write_verdict,
)
from notesmith.findings import Arm, Comparison, Deciding, Estimate, Findings, MadeSource, Scores

WORTH = {"notes": 14, "low": 5, "high": 26, "beyond": []}


def comparison(**changes):
    return Comparison.model_validate(
        {
            "arm": "synthetic+replaced",
            "against": "replaced",
            "family": "against",
            "size": 50,
            "delta": 1.8,
            "low": 0.6,
            "high": 3.0,
            "values": [],
            "p": 0.01,
            "p_holm": 0.01,
            "n_replicates": 5,
            "n_distinct": 5,
            "n_documents": 100,
            "scored_on": "test",
            "n_students": 1,
            "planned": None,
            "step": 1,
            "beside": None,
            "spread_of": "replicates",
            "worth": WORTH,
            "worth_reason": "",
            "claim": "better",
            "sd_delta": 1.0,
            "se_documents": 1.0,
            **changes,
        }
    )


def gold_step(**changes):
    """The second step of the fixed sequence."""
    return comparison(**{"against": "gold", "family": "comparator", "step": 2, **changes})


ABOUT = "synthetic+replaced"
POWER = {"scored_on": "test", "detectable": 2.5, "n_replicates": 5, "n_documents": 100}
CURVE = {"arm": "gold", "scored_on": "test", "sizes": [], "f1": [], "trend": "rising"}


def findings(*comparisons, doubling=None, **changes):
    return Findings(
        **{
            "split": "test",
            "comparator": "gold",
            "candidate": ABOUT,
            "labels": (),
            "sizes": (50,),
            "main_size": 50,
            "confidence": 0.95,
            "resamples": 1000,
            "minutes_per_note": None,
            "deciding": Deciding(split="test", reason="", n_documents=100, n_test_documents=100),
            "notices": (),
            "arms": (),
            "comparisons": comparisons,
            "power": POWER,
            "learning_curve": {**CURVE, "doubling": doubling},
            **changes,
        }
    )


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
    ("n", "planned", "tested", "said"),
    [
        (20, 20, True, "better"),
        # Looked at before the end, and extended after a look: neither may claim.
        (12, 20, True, "unfinished"),
        (4, 20, True, "unfinished"),
        (25, 20, True, "unfinished"),
        # Five stay the floor whatever was sealed.
        (3, 3, True, "demonstration"),
        (2, 3, True, "demonstration"),
        (5, 3, True, "unfinished"),
        # The step before it in the fixed sequence did not say *better*.
        (20, 20, False, "not tested"),
    ],
)
def test_claims_wait_for_the_plan(n, planned, tested, said):
    found = claim(0.6, 3.0, 0.01, n, alpha=0.05, planned=planned, is_tested=tested)
    assert found == said


OPEN = {"claim": "no difference shown", "low": -2.0}


@pytest.mark.parametrize(
    ("rival", "gold", "doubling", "advice"),
    [
        ({}, {}, None, "use"),
        # Better than its rival, worse than gold: both stand on one page, and it is not to be used.
        ({}, {"claim": "worse", "low": -3.0, "high": -0.5}, None, "do not use"),
        ({}, {**OPEN, "high": 2.9}, 5.0, "underpowered"),
        ({}, {**OPEN, "high": 0.9}, None, "do not use"),
        # The second step was not tested, and its interval rules a gain over gold out.
        ({**OPEN, "high": 2.9}, {"claim": "not tested", "high": -0.5}, None, "do not use"),
        # As good as at most 5 labelled notes: label those.
        ({"worth": {**WORTH, "high": 5}}, {}, None, "label more"),
        ({}, {"worth": {**WORTH, "high": 5}}, None, "label more"),
        ({**OPEN, "high": 2.9, "worth": {**WORTH, "high": 5}}, {}, None, "label more"),
        # "5 or more" is no small worth.
        ({"worth": {**WORTH, "high": 5, "beyond": ["high"]}}, {}, None, "use"),
        ({"worth": None}, {}, None, "use"),
        ({"claim": "worse", "high": -0.1}, {}, None, "do not use"),
        ({"claim": "demonstration"}, {"claim": "demonstration"}, 5.0, "demonstration"),
        ({"claim": "unfinished"}, {"claim": "unfinished"}, 5.0, "unfinished"),
        # A gain of 1 F1 is ruled out, and doubling gold brings it, or does not.
        ({**OPEN, "high": 0.9}, {}, 1.0, "label more"),
        ({**OPEN, "high": 0.9}, {}, 0.9, "do not use"),
        ({**OPEN, "high": 0.9}, {}, None, "do not use"),
        # A gain of 1 F1 is open: that twice the notes gain more does not make it small.
        ({**OPEN, "high": 1.0}, {}, 9.0, "underpowered"),
        ({**OPEN, "high": 2.9}, {}, 3.0, "underpowered"),
    ],
)
def test_recommendations(rival, gold, doubling, advice):
    assert recommend([comparison(**rival), gold_step(**gold)], doubling=doubling) == advice


def test_where_gold_is_the_rival_there_is_one_step():
    assert recommend([gold_step(step=1)], doubling=None) == "use"


def test_the_step_that_decides():
    better, lost = comparison(), gold_step(claim="worse", high=-0.1)
    shut, wide = comparison(**OPEN, high=0.5), gold_step(claim="not tested", high=4.0)
    assert decisive([better, lost]) is lost
    assert decisive([shut, wide]) is shut
    assert decisive([better, wide]) is wide
    assert decisive([better, gold_step()]) is better


def test_headline_in_words():
    verdict = write_verdict(findings(comparison(), gold_step(delta=3.5)))
    assert verdict.headline == (
        "Synthetic + replaced is better than replaced by +1.8 F1 [+0.6, +3.0], worth about 14 more "
        "labelled notes [5, 26]."
    )
    assert verdict.recommendation == "use"
    assert verdict.sentences == (
        "Synthetic + replaced is better than gold by +3.5 F1 [+0.6, +3.0], worth about 14 more "
        "labelled notes [5, 26].",
        "With 5 replicates and 100 documents a true difference of 2.5 F1 would be found four times "
        "out of five; smaller ones are mostly missed.",
        "Recommendation: use synthetic + replaced; it is better than replaced and than gold.",
    )


def test_an_interval_clear_of_0_that_holm_takes_back_is_said_to_be_so():
    row = comparison(low=0.1, p=0.03, p_holm=0.07, claim="no difference shown")
    said = write_verdict(findings(row)).headline
    assert said.endswith(
        "+1.8 F1 [+0.1, +3.0], but not once corrected for the number of arms (p 0.070)."
    )


def test_worth_in_hours_where_minutes_are_known():
    # 14, 5 and 26 notes at 12 minutes: 2.8, 1.0 and 5.2 hours.
    worth = {**WORTH, "hours": {"notes": 2.8, "low": 1.0, "high": 5.2}}
    found = write_verdict(findings(comparison(worth=worth), minutes_per_note=12))
    assert found.headline.endswith(
        "worth about 14 more labelled notes [5, 26], or 2.8 annotator hours [1.0, 5.2] at 12 "
        "minutes a note."
    )


def test_underpowered_says_what_would_be_needed():
    power = {
        **POWER,
        "detectable": 3.5,
        "seconds_per_draw": 900.0,
        "needed": {"difference": 1.0, "replicates": 36, "documents": None, "times": 7},
    }
    row = comparison(claim="no difference shown", low=-1.2, high=4.8)
    second = gold_step(claim="not tested", delta=2.0, low=-0.4, high=4.4)
    found = write_verdict(findings(row, second, power=power))
    assert found.recommendation == "underpowered"
    assert found.sentences[-1] == (
        "Recommendation: none, this run is underpowered: a gain of 1 F1 over replaced would matter "
        "and is neither shown nor ruled out. Finding 1 F1 four times out of five would take about "
        "36 replicates on these 100 documents, 9.0 hours of computing here (new draws under a new "
        "plan; rough, for the spread is known from 5 only)."
    )
    assert found.sentences[0] == (
        "Whether synthetic + replaced is better than gold was not tested, since the step before it "
        "did not say so; the difference is +2.0 F1 [-0.4, +4.4]."
    )


def test_no_advice_before_the_arm_that_the_plan_is_about_is_scored():
    found = write_verdict(findings(comparison()), awaited="sft+rl")
    assert found.recommendation == "unfinished" and "better than replaced" in found.headline
    assert found.sentences[-1] == (
        "Recommendation: none yet; sft + rl, which it needs, is not scored."
    )


def test_named_rival_comes_before_the_comparator():
    common = gold_step(delta=5.0)
    verdict = write_verdict(findings(common, comparison()))
    assert "better than replaced" in verdict.headline
    assert "better than gold by +5.0" in verdict.sentences[0]


def test_other_arms_are_grouped_by_claim():
    others = [
        gold_step(arm=arm, step=None, delta=d, claim=said)
        for arm, d, said in (
            ("replaced", 3.3, "better"),
            ("lwtr", -0.04, "no difference shown"),
            ("placebo", -4.0, "worse"),
        )
    ]
    sentences = write_verdict(findings(comparison(), *others)).sentences
    assert sentences[:3] == (
        "Other arms better than gold: replaced (+3.3).",
        "No difference to gold shown: lwtr (0.0).",
        "Other arms worse than gold: placebo (-4.0).",
    )


def test_demonstration_says_how_many_a_claim_needs():
    shown = comparison(claim="demonstration", n_replicates=1)
    assert write_verdict(findings(shown)).headline == (
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
            {"claim": "worse", "high": -0.2},
            "Recommendation: do not use synthetic + replaced; it is worse than replaced.",
        ),
        (
            {"claim": "unfinished", "planned": 20},
            "Recommendation: none; a claim rests on the draws that were sealed, no other number.",
        ),
        (
            {"claim": "demonstration", "n_replicates": 2},
            "Recommendation: none; with fewer than 5 replicates this is a demonstration that "
            "everything runs.",
        ),
        (
            {"claim": "no difference shown", "high": 0.9},
            "Recommendation: label more; a gain of 1 F1 over replaced is ruled out, and by the "
            "gold curve twice the notes gain 3.0.",
        ),
    ],
)
def test_advice_gives_its_reason(changes, sentence):
    rows = (comparison(**changes), gold_step())
    found = write_verdict(findings(*rows, doubling=3.0))
    assert found.sentences[-1] == sentence


def test_a_curve_that_may_be_flat_recommends_no_labels():
    rows = (comparison(claim="no difference shown", high=0.9), gold_step())
    for trend, advice in (("rising", "label more"), ("unknown", "do not use")):
        curve = {**CURVE, "trend": trend, "doubling": 3.0}
        found = write_verdict(findings(*rows, learning_curve=curve))
        assert found.recommendation == advice


def test_no_claim_before_the_draws_that_were_sealed():
    row = comparison(claim="unfinished", n_replicates=12, planned=20)
    second = gold_step(claim="unfinished", n_replicates=12, planned=20)
    found = write_verdict(findings(row, second))
    assert found.recommendation == "unfinished"
    assert found.headline == (
        "No claim before the 20 draws that were sealed; 12 are there: synthetic + replaced differs "
        "from replaced by +1.8 F1 [+0.6, +3.0]."
    )


def test_without_gold_there_is_no_recommendation():
    found = write_verdict(findings(comparison()))
    assert found.recommendation == "no claim"
    assert found.sentences[-1] == (
        "Recommendation: none; synthetic + replaced was not compared with gold alone."
    )


def test_a_demonstration_says_how_many_students_its_draw_had():
    shown = comparison(claim="demonstration", n_replicates=1, n_students=5)
    headline = write_verdict(findings(shown)).headline
    assert "over 1 replicate of 5 students; a claim needs 5" in headline


def test_nothing_to_compare():
    assert write_verdict(findings(candidate=None)).recommendation == "no claim"


COPIES = MadeSource(name="copies", words="copies", by="rules")
ARMS_MADE = {"gold": (), "copies": (COPIES,), "gold, votes": (), "more": (), "made": (COPIES,)}


@pytest.mark.parametrize(
    ("about", "rival", "votes", "order"),
    [
        ("made", "copies", {}, ("copies", "gold")),
        ("made", "gold", {}, ("gold",)),
        ("made", "copies", {"gold, votes": 5}, ("copies", "gold", "gold, votes")),
        # As many students as the candidate, or the next that are more.
        ("made", "copies", {"gold, votes": 5, "more": 9}, ("copies", "gold", "gold, votes")),
        ("made", "gold", {"made": 7, "gold, votes": 5, "more": 9}, ("gold", "more")),
        ("made", "gold", {"made": 10, "gold, votes": 5, "more": 9}, ("gold",)),
        # Votes of arms with made text are no votes of gold.
        ("made", "copies", {"copies": 5}, ("copies", "gold")),
        # No arm is tested twice, or against itself.
        ("made", "gold, votes", {"gold, votes": 5}, ("gold, votes", "gold")),
        ("gold, votes", "gold", {"gold, votes": 5}, ("gold",)),
        ("made", "gold", {"made": 5, "gold": 5}, ("gold",)),
    ],
)
def test_the_fixed_sequence_is_rival_gold_and_votes_of_gold(about, rival, votes, order):
    found = fixed_sequence(about, rival=rival, gold="gold", made=ARMS_MADE, votes=votes)
    assert found == order


def test_votes_of_adapted_students_are_no_votes_of_gold():
    votes = {"gold, votes": 5, "more": 9}
    options = {"rival": "copies", "gold": "gold", "made": ARMS_MADE, "votes": votes}
    assert fixed_sequence("made", **options, adapted={"gold, votes"})[-1] == "more"
    assert fixed_sequence("made", **options, adapted=set(votes)) == ("copies", "gold")


def votes_step(**changes):
    """The third step of the fixed sequence."""
    return comparison(**{"against": "gold, votes", "family": "gold votes", "step": 3, **changes})


def test_what_is_to_be_used_is_better_than_votes_of_gold_too():
    steps = [comparison(), gold_step(), votes_step()]
    assert recommend(steps, doubling=None) == "use"
    assert write_verdict(findings(*steps)).sentences[-1] == (
        "Recommendation: use synthetic + replaced; it is better than replaced and than gold and "
        "than gold, votes."
    )
    lost = votes_step(claim="worse", low=-2.0, high=-0.5)
    assert recommend([comparison(), gold_step(), lost], doubling=None) == "do not use"
    open_ = votes_step(**OPEN, high=2.9)
    assert recommend([comparison(), gold_step(), open_], doubling=None) == "underpowered"


def arm(name, *, votes=1, made=(), adapted=False):
    estimate = Estimate(mean=60, sd=1, low=59, high=61, values=(60,))
    return Arm(
        **dict.fromkeys(Scores.model_fields, estimate),
        name=name,
        size=50,
        made=made,
        votes=votes,
        adapted=adapted,
        n_replicates=5,
        decided_on="test",
        seconds=1,
        tokens=1,
    )


def test_a_vote_is_not_recommended_without_votes_of_gold():
    arms = [arm("gold"), arm(ABOUT, votes=5, made=(COPIES,)), arm("gold, votes", votes=5)]
    alone = findings(comparison(), gold_step(), arms=arms)
    assert lacks_votes_of_gold(alone)
    verdict = write_verdict(alone)
    assert verdict.recommendation == "no claim"
    assert verdict.sentences[-1] == (
        "Recommendation: none; synthetic + replaced is a vote, and was not compared with a vote of "
        "as many students of gold alone."
    )
    beside = findings(comparison(), gold_step(), votes_step(), arms=arms)
    assert not lacks_votes_of_gold(beside)
    assert write_verdict(beside).recommendation == "use"
    # A vote of adapted students is more than a vote of gold, and is none itself.
    read = [arm("gold"), arm(ABOUT, votes=5, adapted=True), arm("gold, votes", votes=5)]
    assert lacks_votes_of_gold(findings(comparison(), gold_step(), arms=read))
    adapted = [arm("gold"), arms[1], arm("gold, votes", votes=5, adapted=True)]
    assert lacks_votes_of_gold(findings(comparison(), gold_step(), votes_step(), arms=adapted))
    # One student needs no vote beside it.
    one = [arm("gold"), arm(ABOUT, made=(COPIES,))]
    assert write_verdict(findings(comparison(), gold_step(), arms=one)).recommendation == "use"


def test_candidate_is_chosen_without_scores():
    copies = MadeSource(name="copies", words="copies", by="rules")
    text = MadeSource(name="text", words="text", by="generator", is_main=True)
    placebo = MadeSource(name="nonsense", words="nonsense", by="generator", is_placebo=True)
    made = {
        "gold": (),
        "copies": (copies,),
        "text": (text,),
        "both": (text, copies),
        "both-again": (copies, text),
        "placebo": (placebo, copies, text),
    }
    assert candidate(made, "gold") == "both"
    assert candidate({"gold": (), "copies": (copies,)}, "gold") == "copies"
    assert candidate({"gold": ()}, "gold") is None
    # Adapted arms are chosen where there is no made text, and votes of gold never are.
    plain = {"gold": (), "gold, votes": (), "adapted": ()}
    assert candidate(plain, "gold", {"adapted"}) == "adapted"
    assert candidate(plain | {"copies": (copies,)}, "gold", {"adapted"}) == "copies"
    assert candidate(plain, "adapted", {"adapted"}) is None
    assert candidate({"gold": (), "placebo": (placebo,)}, "gold", {"placebo"}) is None


def test_a_gain_that_is_sure_and_small_is_not_one_that_matters():
    small = {"delta": 0.5, "low": 0.2, "high": 0.8}
    steps = [comparison(**small, worth=None), gold_step(delta=3.0, high=4.0)]
    assert recommend(steps, doubling=None) == "do not use"
    assert recommend(steps, doubling=2.0) == "label more"
    said = write_verdict(findings(*steps)).sentences[-1]
    assert said == (
        "Recommendation: do not use synthetic + replaced; a gain of 1 F1 over replaced is ruled "
        "out."
    )


def test_a_small_worth_is_the_reason_whatever_the_curve():
    few = {"notes": 3, "low": 1, "high": 4, "beyond": []}
    steps = [comparison(delta=0.5, low=0.2, high=0.8, worth=few), gold_step()]
    said = write_verdict(findings(*steps)).sentences[-1]
    assert said == (
        "Recommendation: label more; 4 notes at most gain as much as synthetic + replaced does."
    )
