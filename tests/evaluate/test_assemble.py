import dataclasses
import json

import pytest
from simulated import ARMS, EXAMPLE, MADE, example_cells, example_text, made_of, simulate

from notesmith.config import EvaluateConfig
from notesmith.errors import StageError
from notesmith.evaluate import CellScores, assemble
from notesmith.evaluate.scores import add_students, hash_ids
from notesmith.findings import LabelScore

CONFIG = EvaluateConfig(resamples=1000)


def hand_cell(arm, replicate, rows, *, size=50, **changes):
    """A cell with one label whose views are all the strict one."""
    rows = tuple(rows)
    views = dict.fromkeys(("lenient", "boundary", "unseen", "seen"), rows)
    cell = CellScores(
        arm=arm,
        size=size,
        replicate=replicate,
        seed=replicate,
        split="test",
        ids_hash=hash_ids([str(i) for i in range(len(rows))]),
        groups=tuple(range(len(rows))),
        strict={"Disease": rows},
        **views,
        seconds=10.0 + replicate,
        tokens=100 + replicate,
    )
    return dataclasses.replace(cell, **changes)


def five(arm, tps, *, size=50, n=10):
    """Replicates with ``tp`` of 100 right on each of ``n`` documents: F1 is ``tp``."""
    return [
        hand_cell(arm, r, [(tp, 100 - tp, 100 - tp)] * n, size=size) for r, tp in enumerate(tps)
    ]


def test_arm_by_hand():
    # Replicate 0: tp 3, fp 1, fn 1: P = R = F1 = 75. Replicate 1: tp 1, fp 0, fn 3: 100, 25, 40.
    cells = [
        hand_cell("gold", 0, [(2, 1, 0), (1, 0, 1)]),
        hand_cell("gold", 1, [(0, 0, 2), (1, 0, 1)]),
    ]
    arm = assemble(cells, CONFIG).arms[0]
    assert (arm.name, arm.size, arm.n_replicates) == ("gold", 50, 2)
    assert arm.f1.values == (75.0, 40.0)
    assert arm.f1.mean == 57.5
    assert arm.precision.mean == 87.5
    assert arm.recall.mean == 50.0
    assert arm.by_label["Disease"] == LabelScore(precision=87.5, recall=50.0, f1=57.5, support=4)
    assert arm.dev_f1 is None
    assert (arm.seconds, arm.tokens) == (10.5, 100)


def test_attributes_by_hand():
    # Of three negated mentions two are found; the value is right on one (draw 0), on both (draw 1).
    cells = [
        hand_cell(
            "gold",
            r,
            [(2, 0, 1)],
            end_to_end={"negated": ((right, 0, 3 - right),)},
            on_found={"negated": ((right, 0, 2 - right),)},
        )
        for r, right in enumerate((1, 2))
    ]
    arm = assemble([*cells, hand_cell("plain", 0, [(2, 0, 1)])], CONFIG).arms[0]
    assert arm.attributes["negated"].on_found.model_dump() == {
        "precision": 100.0,
        "recall": 75.0,
        "f1": pytest.approx((200 / 3 + 100) / 2, abs=1e-3),
        "support": 2,
    }
    assert arm.attributes["negated"].end_to_end.f1 == pytest.approx(65.0)  # 50 and 80
    assert arm.attributes["negated"].end_to_end.support == 3
    assert assemble(cells[:0] + five("gold", [60]), CONFIG).arms[0].attributes == {}


def test_identical_arms_have_no_difference():
    cells = five("gold", [60, 61, 62, 63, 64]) + five("twin", [60, 61, 62, 63, 64])
    found = assemble(cells, CONFIG).comparisons[0]
    assert (found.delta, found.low, found.high) == (0.0, 0.0, 0.0)
    assert (found.p, found.p_holm) == (1.0, 1.0)
    assert found.claim == "no difference shown"


def test_differences_are_paired_by_replicate():
    # Draws differ widely, the difference is always 2: the interval has no width.
    cells = five("gold", [50, 55, 60, 65, 70]) + five("made", [52, 57, 62, 67, 72])
    found = assemble(cells, CONFIG).comparisons[0]
    assert found.values == (2.0,) * 5
    assert (found.delta, found.low, found.high) == (2.0, 2.0, 2.0)
    assert found.claim == "better"


def test_below_five_replicates_nothing_is_claimed():
    cells = five("gold", [50, 55, 60, 65]) + five("made", [62, 67, 72, 77])
    results = assemble(cells, CONFIG, made=made_of({"gold": (), "made": ("replaced",)}))
    assert results.comparisons[0].claim == "demonstration"
    assert results.verdict.recommendation == "demonstration"
    assert results.verdict.headline.startswith("Demonstration, no claim: ")


def test_only_common_replicates_are_compared():
    cells = five("gold", [60] * 5) + five("made", [61] * 5)[1:]
    assert assemble(cells, CONFIG).comparisons[0].n_replicates == 4
    cells = five("gold", [60] * 5)[1:] + five("made", [61] * 5)
    assert assemble(cells, CONFIG).comparisons[0].n_replicates == 4


def test_families_are_corrected_apart():
    config = EvaluateConfig(resamples=1000, against={"b": "a"})
    cells = (
        five("gold", [60, 62, 61, 63, 60])
        + five("a", [63, 63, 65, 64, 62])
        + five("b", [64, 63, 66, 65, 62])
    )
    found = {(c.arm, c.against): c for c in assemble(cells, config).comparisons}
    assert found["b", "a"].family == "against"
    assert found["b", "a"].p_holm == found["b", "a"].p
    ps = sorted(found[arm, "gold"].p for arm in "ab")
    holm = sorted(found[arm, "gold"].p_holm for arm in "ab")
    assert holm[0] == pytest.approx(2 * ps[0], abs=1e-4)
    assert holm[1] == pytest.approx(max(2 * ps[0], ps[1]), abs=1e-4)


ABOUT = made_of({"gold": (), "a": ("replaced",), "b": ("synthetic",), "c": ("lwtr",)})


def steps(cells, config, **options):
    found = assemble(cells, config, made=ABOUT, main_size=50, **options)
    return found, {(c.arm, c.against): c for c in found.comparisons}


def test_the_candidate_is_tested_in_order_and_side_arms_by_holm():
    config = EvaluateConfig(resamples=1000, against={"b": "a"}, candidate="b")
    cells = (
        five("gold", [60, 62, 61, 63, 60])
        + five("a", [63, 63, 65, 64, 62])
        + five("b", [64, 66, 67, 66, 65])
        + five("c", [60, 63, 61, 64, 62])
    )
    results, found = steps(cells, config)
    assert [(c.against, c.step) for c in found.values() if c.arm == "b"] == [
        ("gold", 2),
        ("a", 1),
    ]
    for pair in (("b", "a"), ("b", "gold")):
        assert found[pair].p_holm == found[pair].p
        assert found[pair].claim == "better"
    # Two side arms, and not three: the smaller p counts twice.
    sides = [found[arm, "gold"] for arm in "ac"]
    least = min(sides, key=lambda c: c.p)
    assert least.p_holm == pytest.approx(2 * least.p, abs=2e-5)
    assert all(c.step is None for c in sides)
    assert results.verdict.recommendation == "use"


def test_an_arm_better_than_its_rival_and_worse_than_gold_is_not_to_be_used():
    config = EvaluateConfig(resamples=1000, against={"b": "a"}, candidate="b")
    cells = (
        five("gold", [70, 72, 71, 73, 70])
        + five("a", [60, 62, 61, 63, 60])
        + five("b", [64, 66, 64, 67, 65])
    )
    results, found = steps(cells, config)
    assert found["b", "a"].claim == "better"
    assert found["b", "gold"].claim == "worse"
    assert results.verdict.recommendation == "do not use"
    assert results.verdict.sentences[-1] == "Recommendation: do not use b; it is worse than gold."


def test_the_second_step_waits_for_the_first():
    config = EvaluateConfig(resamples=1000, against={"b": "a"}, candidate="b")
    cells = (
        five("gold", [60, 62, 61, 63, 60])
        + five("a", [64, 68, 66, 69, 63])
        + five("b", [66, 66, 67, 66, 65])
    )
    results, found = steps(cells, config)
    assert found["b", "a"].claim == "no difference shown"
    assert found["b", "gold"].claim == "not tested" and found["b", "gold"].low > 0
    assert results.verdict.recommendation == "underpowered"


def test_gold_is_the_second_step_where_the_comparator_is_another_arm():
    config = EvaluateConfig(resamples=1000, comparator="a", candidate="b")
    cells = five("gold", [60] * 5) + five("a", [61] * 5) + five("b", [62, 63, 62, 63, 62])
    _, found = steps(cells, config)
    assert (found["b", "a"].step, found["b", "gold"].step) == (1, 2)
    assert found["b", "gold"].family == "gold"


VOTES = {"votes": {"gold, votes": 3}}
ABOUT_VOTES = made_of({"gold": (), "a": ("replaced",), "gold, votes": (), "b": ("synthetic",)})


def with_votes(cells, **changes):
    config = EvaluateConfig(resamples=1000, against={"b": "a"}, candidate="b")
    found = assemble(cells, config, made=ABOUT_VOTES, main_size=50, **VOTES, **changes)
    return found, {(c.arm, c.against): c for c in found.comparisons}


def test_votes_of_gold_are_the_third_step():
    cells = (
        five("gold", [60, 62, 61, 63, 60])
        + five("a", [62, 63, 64, 64, 61])
        + five("gold, votes", [63, 64, 65, 65, 63])
        + five("b", [66, 68, 68, 69, 67])
    )
    results, found = with_votes(cells)
    ours = {c.against: (c.step, c.family, c.claim) for c in found.values() if c.arm == "b"}
    assert ours == {
        "a": (1, "against", "better"),
        "gold": (2, "comparator", "better"),
        "gold, votes": (3, "gold votes", "better"),
    }
    assert found["b", "gold, votes"].p_holm == found["b", "gold, votes"].p
    assert [step.against for step in results.steps] == ["a", "gold", "gold, votes"]
    assert results.verdict.recommendation == "use"
    assert {arm.name: arm.votes for arm in results.arms}["gold, votes"] == 3


def test_an_arm_that_votes_of_gold_beat_is_not_to_be_used():
    cells = (
        five("gold", [60, 62, 61, 63, 60])
        + five("a", [62, 63, 64, 64, 61])
        + five("gold, votes", [68, 70, 71, 72, 69])
        + five("b", [66, 68, 68, 69, 67])
    )
    results, _ = with_votes(cells)
    assert results.verdict.recommendation == "do not use"
    assert results.verdict.sentences[-1] == (
        "Recommendation: do not use b; it is worse than gold, votes."
    )


def test_no_recommendation_before_votes_of_gold_are_scored():
    golds, rivals, ours = [60, 62, 61, 63, 60], [62, 63, 64, 64, 61], [66, 68, 68, 69, 67]
    results, _ = with_votes(five("gold", golds) + five("a", rivals) + five("b", ours))
    assert results.verdict.sentences[-1] == (
        "Recommendation: none yet; gold, votes, which it needs, is not scored."
    )


def test_no_recommendation_before_the_rival_is_scored():
    config = EvaluateConfig(resamples=1000, against={"b": "a"}, candidate="b")
    results, found = steps(five("gold", [60] * 5) + five("b", [62, 63, 62, 63, 62]), config)
    assert found["b", "gold"].step is None
    assert results.verdict.sentences[-1] == (
        "Recommendation: none yet; a, which it needs, is not scored."
    )


@pytest.mark.parametrize(("planned", "claimed"), [(5, "better"), (20, "unfinished")])
def test_no_claim_before_the_sealed_number_of_draws(planned, claimed):
    cells = five("gold", [50, 55, 60, 65, 70]) + five("b", [52, 57, 62, 68, 72])
    results, found = steps(cells, CONFIG, planned={50: planned})
    assert found["b", "gold"].claim == claimed
    advice = {"better": "use", "unfinished": "unfinished"}[claimed]
    assert results.verdict.recommendation == advice


def out_of_draw(cell, left_out, n_train=40):
    """The cell over all of train, its own draw left out; every document as its first one."""
    row = cell.strict["Disease"][0]
    rows = tuple((0, 0, 0) if i in left_out else row for i in range(n_train))
    return hand_cell(
        cell.arm,
        cell.replicate,
        rows,
        size=cell.size,
        split="out-of-draw",
        left_out=tuple(sorted(left_out)),
    )


def out_cells(n_train):
    golds, ours = [60, 62, 61, 63, 60], [62, 65, 63, 65, 62]
    return [
        out_of_draw(cell, set(range(2 * cell.replicate, 2 * cell.replicate + 10)), n_train)
        for cell in five("gold", golds) + five("b", ours)
    ]


def test_documents_out_of_the_draw_decide_where_they_are_half_as_many():
    cells = five("gold", [60, 62, 61, 63, 60], n=40) + five("b", [61, 64, 62, 64, 61], n=40)
    # 30 train documents less 10 of each draw are half of 40 test documents.
    results, found = steps(cells, CONFIG, out_of_draw_cells=out_cells(30))
    assert results.deciding.model_dump() == {
        "split": "out-of-draw",
        "reason": "each draw of 50 is scored on at least 20 train documents that no stage of it "
        "read, at least half as many as the 40 of test",
        "n_documents": 20,
        "n_test_documents": 40,
        "waits": False,
    }
    row = found["b", "gold"]
    # Differences 2, 3, 2, 2, 2 out of the draw; 1, 2, 1, 1, 1 on test.
    assert (row.scored_on, row.delta, row.values) == ("out-of-draw", 2.2, (2, 3, 2, 2, 2))
    assert (row.beside.scored_on, row.beside.delta) == ("test", 1.2)
    assert (row.n_documents, results.power.n_documents) == (20, 20)
    assert results.power.scored_on == "out-of-draw"
    arm = next(a for a in results.arms if a.name == "b")
    assert (arm.f1.mean, arm.out_of_draw.f1.mean) == (62.4, 63.4)
    assert arm.out_of_draw.n_documents == 20
    assert "+2.2 F1" in results.verdict.headline


def test_with_too_few_documents_out_of_the_draw_the_test_decides_and_says_so():
    cells = five("gold", [60, 62, 61, 63, 60], n=40) + five("b", [61, 64, 62, 64, 61], n=40)
    results, found = steps(cells, CONFIG, out_of_draw_cells=out_cells(29))
    assert results.deciding.split == "test"
    assert results.deciding.reason == (
        "draws of 50 are scored on 19 train documents outside them, fewer than half as many as the "
        "40 of test"
    )
    row = found["b", "gold"]
    assert (row.scored_on, row.delta, row.beside.delta) == ("test", 1.2, 2.2)


def test_draws_of_all_notes_leave_nothing_to_stand_beside():
    cells = five("gold", [60, 62, 61, 63, 60], n=40) + five("b", [61, 64, 62, 64, 61], n=40)
    nothing = [dataclasses.replace(c, left_out=tuple(range(29))) for c in out_cells(29)]
    results, found = steps(cells, CONFIG, out_of_draw_cells=nothing)
    assert results.deciding.reason == "no train documents outside the draws were scored"
    assert found["b", "gold"].beside is None
    assert all(arm.out_of_draw is None for arm in results.arms)


def test_the_test_decides_until_every_cell_is_scored_out_of_the_draw():
    cells = five("gold", [60] * 5, n=40) + five("b", [61] * 5, n=40)
    results, _ = steps(cells, CONFIG, out_of_draw_cells=out_cells(60)[:-1])
    assert results.deciding.split == "test"
    assert "is scored on the train documents outside its draw yet" in results.deciding.reason
    alone, _ = steps(cells, CONFIG)
    assert alone.deciding.reason == "no train documents outside the draws were scored"
    assert alone.comparisons[0].beside is None


def test_no_claim_before_the_documents_that_decide_are_scored():
    cells = five("gold", [60, 61, 59, 62, 63], n=40) + five("b", [66, 68, 65, 69, 67], n=40)
    some = out_cells(60)[:-1]
    results, found = steps(cells, CONFIG, out_of_draw_cells=some)
    assert results.deciding.waits and found["b", "gold"].claim == "unfinished"
    assert results.verdict.recommendation == "unfinished"
    assert "No claim before all scores that it waits for are in" in results.verdict.headline


def test_sets_of_documents_that_say_opposite_things_are_named():
    cells = five("gold", [60, 62, 61, 63, 60], n=40) + five("b", [56, 58, 57, 59, 56], n=40)
    results, _ = steps(cells, CONFIG, out_of_draw_cells=out_cells(60))
    assert results.notices[0] == (
        "b against gold: +2.2 F1 on out-of-draw and -4.0 on test. The two sets of documents are of "
        "different kinds; ask which is like yours."
    )


def test_copies_of_a_replicate_are_no_replicates():
    cells = five("gold", [60] * 5) + five("b", [62] * 5)
    results, found = steps(cells, CONFIG)
    assert (found["b", "gold"].n_distinct, found["b", "gold"].claim) == (1, "demonstration")
    assert "over 5 replicates, of which 1 count, for the others are copies" in (
        results.verdict.headline
    )


def test_an_arm_of_the_plan_that_is_not_scored_yet_counts_among_side_arms():
    cells = five("gold", [60, 61, 60, 62, 60]) + five("b", [62, 63, 62, 64, 62])
    cells += five("c", [61, 61, 61, 62, 61])
    made = {"gold": (), "b": ("synthetic",), "c": ("replaced",)}
    config = EvaluateConfig(resamples=1000, candidate="b")
    more = {**made, "d": ("lwtr",), "e": ("shuffled",)}
    alone, planned = (
        {(c.arm, c.against): c for c in assemble(cells, config, made=made_of(arms)).comparisons}
        for arms in (made, more)
    )
    assert alone["c", "gold"].p_holm == alone["c", "gold"].p
    assert planned["c", "gold"].p_holm == pytest.approx(3 * planned["c", "gold"].p, abs=2e-5)
    assert planned["b", "gold"].p_holm == planned["b", "gold"].p


def test_on_dev_there_are_choices_and_no_claims():
    cells = [
        dataclasses.replace(cell, split="dev")
        for cell in five("gold", [60, 61, 59, 62, 63]) + five("b", [66, 68, 65, 69, 67])
    ]
    results, found = steps(cells, CONFIG)
    assert found["b", "gold"].claim == "demonstration"
    assert results.verdict.headline.startswith("On dev, where choices are made, no claim: ")
    assert results.verdict.sentences[-1] == (
        "Recommendation: none; choices are made on dev, claims on a sealed test set."
    )


def test_the_curve_is_read_on_the_documents_that_decide():
    cells = [c for n, f in ((25, 55), (50, 60), (100, 65)) for c in five("gold", [f] * 5, size=n)]
    cells += five("b", [62, 62, 63, 63, 62])
    out = [
        out_of_draw(cell, set(range(5)), 60)
        for n, f in ((25, 50), (50, 60), (100, 70))
        for cell in five("gold", [f] * 5, size=n)
    ]
    # At 100 notes train has 4 documents left: too few for a point of this curve.
    short = [dataclasses.replace(c, left_out=tuple(range(56))) if c.size == 100 else c for c in out]
    ours = [out_of_draw(cell, set(range(5)), 60) for cell in five("b", [62, 62, 63, 63, 62])]
    results, found = steps(cells, CONFIG, out_of_draw_cells=[*out, *ours])
    assert results.learning_curve.f1 == (50.0, 60.0, 70.0)
    # +2.4 at ten a doubling: 50 (2^0.24 - 1) = 9.05 notes.
    assert found["b", "gold"].worth.notes == 9
    results, _ = steps(cells, CONFIG, out_of_draw_cells=[*short, *ours])
    assert results.learning_curve.sizes == (25, 50)
    assert results.learning_curve.scored_on == "out-of-draw"


def students(arm, tps):
    """One draw of several students on documents that are all alike."""
    return add_students(
        [hand_cell(arm, 0, [(tp, 100 - tp, 100 - tp)] * 10, seed=i) for i, tp in enumerate(tps)]
    )


def test_students_of_one_draw_are_in_the_interval():
    cells = [students("gold", [60] * 5), students("b", [61, 63, 62, 64, 61])]
    _, found = steps(cells, CONFIG)
    row = found["b", "gold"]
    # 2.776 x 1.304 / sqrt 5 = 1.62 (see test_bootstrap); the documents alone had no width.
    assert (row.delta, row.n_replicates, row.n_students) == (2.2, 1, 5)
    assert (row.low, row.high) == pytest.approx((0.58, 3.82), abs=0.03)
    assert (row.spread_of, row.claim) == ("students", "demonstration")


def test_worth_is_read_off_the_gold_curve():
    # Exact curve, 5 a doubling: +5 at 50 notes is what 100 notes give, the largest size.
    cells = [c for n, f in ((25, 55), (50, 60), (100, 65)) for c in five("gold", [f] * 5, size=n)]
    cells += five("made", [62, 62, 63, 63, 62])
    results = assemble(cells, CONFIG, main_size=50)
    worth = results.comparisons[0].worth
    # +2.4 is worth 50 (2^(2.4 / 5) - 1) = 19.7 notes.
    assert worth.notes == 20
    assert results.learning_curve.doubling == pytest.approx(5.0)
    assert results.sizes == (25, 50, 100)


def test_minutes_a_note_turn_worth_into_hours():
    cells = [c for n, f in ((25, 55), (50, 60), (100, 65)) for c in five("gold", [f] * 5, size=n)]
    cells += five("made", [62, 62, 63, 63, 62])
    config = EvaluateConfig(resamples=1000, minutes_per_note=12)
    found = assemble(cells, config, main_size=50)
    worth = found.comparisons[0].worth
    # 20 notes at 12 minutes are 4 hours.
    assert worth.hours.notes == 4.0
    assert worth.hours.high == pytest.approx(worth.high / 5)
    assert found.minutes_per_note == 12
    assert assemble(cells, CONFIG, main_size=50).comparisons[0].worth.hours is None


def test_patients_are_resampled_whole():
    rows = [(8, 2, 2), (2, 8, 8)] * 10
    free = [hand_cell("gold", 0, rows)]
    # Each patient has one good and one bad document: resampling patients changes nothing.
    tied = [hand_cell("gold", 0, rows, groups=tuple(i // 2 for i in range(20)))]
    width = [
        arm.f1.high - arm.f1.low
        for arm in (assemble(cells, CONFIG).arms[0] for cells in (free, tied))
    ]
    assert width[0] > 5
    assert width[1] == 0


def test_power_is_of_the_verdicts_comparison():
    cells = five("gold", [60, 62, 61, 63, 60]) + five("made", [63, 63, 65, 64, 62])
    power = assemble(cells, CONFIG, made=made_of({"gold": (), "made": ("synthetic",)})).power
    # Deltas 3, 1, 4, 1, 2: sd 1.304. Known, 5 replicates find 1.68 sd, 2.19; estimated from the
    # same five, 2.09 sd.
    assert power.sd_delta == pytest.approx(1.304, abs=1e-3)
    assert power.detectable == pytest.approx(2.73, abs=0.02)
    # Finding 1, 0.77 sd: 16 by t if it were known; documents are all alike.
    assert power.needed.difference == 1.0
    assert power.needed.replicates == 23
    assert power.n_documents == 10


def test_dev_scores_stand_beside():
    cells = five("gold", [60] * 5)
    dev = [dataclasses.replace(c, split="dev") for c in five("gold", [58] * 5, n=4)]
    assert assemble(cells, CONFIG, dev_cells=dev).arms[0].dev_f1.mean == 58.0


def test_arms_keep_the_recipes_order():
    results = assemble(example_cells(), CONFIG, main_size=50, made=MADE)
    assert [a.name for a in results.arms if a.size == 50] == list(ARMS)


def test_main_size_is_the_one_with_most_arms():
    assert assemble(example_cells(), CONFIG).main_size == 50


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], "no cell was scored"),
        (five("gold", [60]) * 2, "replicate 0 twice"),
        (five("gold", [60]) + five("made", [60], n=9), "other documents"),
    ],
)
def test_bad_cells_are_an_error(cells, message):
    with pytest.raises(StageError, match=message):
        assemble(cells, CONFIG)


def test_unknown_main_size_is_an_error():
    with pytest.raises(StageError, match="main size 25"):
        assemble(five("gold", [60]), CONFIG, main_size=25)


def test_what_a_reader_must_see_first_is_named():
    equal = five("gold", [60, 62, 61, 62, 60])
    nothing = hand_cell("b", 4, [(0, 0, 100)] * 10)
    cells = equal + [c for c in five("b", [61, 63, 62, 64, 61]) if c.replicate not in (2, 4)]
    results, _ = steps([*cells, nothing], CONFIG, planned={50: 5}, pool=80)
    assert list(results.notices) == [
        "b at 50 documents, replicate 5, predicts nothing on test: no mention in any document.",
        "gold at 50 documents: replicates 1 and 5 have the same counts in every document. They are "
        "one replicate, and the interval is too narrow.",
        "gold at 50 documents: replicates 2 and 4 have the same counts in every document. They are "
        "one replicate, and the interval is too narrow.",
        "b at 50 documents has 4 of 5 replicates; comparisons use those that both arms have.",
        "5 draws of 50 hold 250 notes together, of a pool of 80: the interval speaks of these "
        "notes, and not of others that might have been labelled.",
    ]


@pytest.mark.parametrize(
    ("pool", "said"),
    [(151, None), (150, "3 draws of 50 hold 150 notes together"), (50, "holds all 50 notes")],
)
def test_draws_that_hold_the_pool_together(pool, said):
    found, _ = steps(five("gold", [60, 61, 62]), CONFIG, pool=pool)
    assert [said in notice for notice in found.notices] == ([True] if said else [])


def test_students_that_were_added_up_for_good_are_said_to_be():
    old = dataclasses.replace(students("gold", [60, 62]), apart={})
    found, _ = steps([old], CONFIG)
    assert found.notices[0].startswith("gold at 50 documents, replicate 1, has 2 students whose")


def test_simulated_arms_without_difference_are_seldom_claimed():
    claims = []
    for seed in range(20):
        cells = [(arm, 50, r, 0.65) for r in range(5) for arm in ("gold", "made")]
        simulated = simulate(cells, n_documents=60, seed=seed)
        claims.append(assemble(simulated, CONFIG).comparisons[0].claim)
    assert claims.count("no difference shown") >= 17


def flatten(value, path=""):
    if isinstance(value, dict):
        return {
            k: v for key, part in value.items() for k, v in flatten(part, f"{path}.{key}").items()
        }
    if isinstance(value, list):
        return {
            k: v for i, part in enumerate(value) for k, v in flatten(part, f"{path}.{i}").items()
        }
    return {path: value}


def test_example_is_what_assemble_gives():
    stored, fresh = flatten(json.loads(EXAMPLE.read_text())), flatten(json.loads(example_text()))
    # Other versions of scipy may differ in the last digit.
    assert stored == {
        path: pytest.approx(value, abs=2e-3) if isinstance(value, float) else value
        for path, value in fresh.items()
    }
