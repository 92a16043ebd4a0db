import dataclasses
import json

import pytest
from simulated import ARMS, EXAMPLE, MADE, example_cells, example_text, simulate

from notesmith.config import EvaluateConfig
from notesmith.errors import StageError
from notesmith.evaluate import CellScores, assemble
from notesmith.evaluate.cells import hash_ids

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
    arm = assemble(cells, CONFIG)["arms"][0]
    assert (arm["name"], arm["size"], arm["n_replicates"]) == ("gold", 50, 2)
    assert arm["f1"]["values"] == [75.0, 40.0]
    assert arm["f1"]["mean"] == 57.5
    assert arm["precision"]["mean"] == 87.5
    assert arm["recall"]["mean"] == 50.0
    assert arm["by_label"]["Disease"] == {
        "precision": 87.5,
        "recall": 50.0,
        "f1": 57.5,
        "support": 4,
    }
    assert arm["dev_f1"] is None
    assert (arm["seconds"], arm["tokens"]) == (10.5, 100)


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
    arm = assemble([*cells, hand_cell("plain", 0, [(2, 0, 1)])], CONFIG)["arms"][0]
    assert arm["attributes"]["negated"]["on_found"] == {
        "precision": 100.0,
        "recall": 75.0,
        "f1": pytest.approx((200 / 3 + 100) / 2, abs=1e-3),
        "support": 2,
    }
    assert arm["attributes"]["negated"]["end_to_end"]["f1"] == pytest.approx(65.0)  # 50 and 80
    assert arm["attributes"]["negated"]["end_to_end"]["support"] == 3
    assert "attributes" not in assemble(cells[:0] + five("gold", [60]), CONFIG)["arms"][0]


def test_identical_arms_have_no_difference():
    cells = five("gold", [60, 61, 62, 63, 64]) + five("twin", [60, 61, 62, 63, 64])
    found = assemble(cells, CONFIG)["comparisons"][0]
    assert (found["delta"], found["low"], found["high"]) == (0.0, 0.0, 0.0)
    assert (found["p"], found["p_holm"]) == (1.0, 1.0)
    assert found["claim"] == "no difference shown"


def test_differences_are_paired_by_replicate():
    # Draws differ widely, the difference is always 2: the interval has no width.
    cells = five("gold", [50, 55, 60, 65, 70]) + five("made", [52, 57, 62, 67, 72])
    found = assemble(cells, CONFIG)["comparisons"][0]
    assert found["values"] == [2.0] * 5
    assert (found["delta"], found["low"], found["high"]) == (2.0, 2.0, 2.0)
    assert found["claim"] == "better"


def test_below_five_replicates_nothing_is_claimed():
    cells = five("gold", [50, 55, 60, 65]) + five("made", [62, 67, 72, 77])
    results = assemble(cells, CONFIG, made={"gold": (), "made": ("replaced",)})
    assert results["comparisons"][0]["claim"] == "demonstration"
    assert results["verdict"]["recommendation"] == "demonstration"
    assert results["verdict"]["headline"].startswith("Demonstration, no claim: ")


def test_only_common_replicates_are_compared():
    cells = five("gold", [60] * 5) + five("made", [61] * 5)[1:]
    assert assemble(cells, CONFIG)["comparisons"][0]["n_replicates"] == 4


def test_families_are_corrected_apart():
    config = EvaluateConfig(resamples=1000, against={"b": "a"})
    cells = (
        five("gold", [60, 62, 61, 63, 60])
        + five("a", [63, 63, 65, 64, 62])
        + five("b", [64, 63, 66, 65, 62])
    )
    found = {(c["arm"], c["against"]): c for c in assemble(cells, config)["comparisons"]}
    assert found["b", "a"]["family"] == "against"
    assert found["b", "a"]["p_holm"] == found["b", "a"]["p"]
    ps = sorted(found[arm, "gold"]["p"] for arm in "ab")
    holm = sorted(found[arm, "gold"]["p_holm"] for arm in "ab")
    assert holm[0] == pytest.approx(2 * ps[0], abs=1e-4)
    assert holm[1] == pytest.approx(max(2 * ps[0], ps[1]), abs=1e-4)


def test_worth_is_read_off_the_gold_curve():
    # Exact curve, 5 a doubling: +5 at 50 notes is what 100 notes give, the largest size.
    cells = [c for n, f in ((25, 55), (50, 60), (100, 65)) for c in five("gold", [f] * 5, size=n)]
    cells += five("made", [62, 62, 63, 63, 62])
    results = assemble(cells, CONFIG, main_size=50)
    worth = results["comparisons"][0]["worth"]
    # +2.4 is worth 50 (2^(2.4 / 5) - 1) = 19.7 notes.
    assert worth["notes"] == 20
    assert results["learning_curve"]["doubling"] == pytest.approx(5.0)
    assert results["sizes"] == [25, 50, 100]


def test_minutes_a_note_turn_worth_into_hours():
    cells = [c for n, f in ((25, 55), (50, 60), (100, 65)) for c in five("gold", [f] * 5, size=n)]
    cells += five("made", [62, 62, 63, 63, 62])
    config = EvaluateConfig(resamples=1000, minutes_per_note=12)
    found = assemble(cells, config, main_size=50)
    worth = found["comparisons"][0]["worth"]
    # 20 notes at 12 minutes are 4 hours.
    assert worth["hours"]["notes"] == 4.0
    assert worth["hours"]["high"] == pytest.approx(worth["high"] / 5)
    assert found["minutes_per_note"] == 12
    assert "hours" not in assemble(cells, CONFIG, main_size=50)["comparisons"][0]["worth"]


def test_patients_are_resampled_whole():
    rows = [(8, 2, 2), (2, 8, 8)] * 10
    free = [hand_cell("gold", 0, rows)]
    # Each patient has one good and one bad document: resampling patients changes nothing.
    tied = [hand_cell("gold", 0, rows, groups=tuple(i // 2 for i in range(20)))]
    width = [
        arm["f1"]["high"] - arm["f1"]["low"]
        for arm in (assemble(cells, CONFIG)["arms"][0] for cells in (free, tied))
    ]
    assert width[0] > 5
    assert width[1] == 0


def test_power_is_of_the_verdicts_comparison():
    cells = five("gold", [60, 62, 61, 63, 60]) + five("made", [63, 63, 65, 64, 62])
    power = assemble(cells, CONFIG, made={"gold": (), "made": ("synthetic",)})["power"]
    # Deltas 3, 1, 4, 1, 2: sd 1.304; 5 replicates find (by noncentral t) 1.68 sd.
    assert power["sd_delta"] == pytest.approx(1.304, abs=1e-3)
    assert power["detectable"] == pytest.approx(2.19, abs=0.02)
    # Finding 1, 0.77 sd: (2.80 / 0.767)² = 13.3 by the normal, 16 by t; documents are all alike.
    assert power["needed"]["difference"] == 1.0
    assert power["needed"]["replicates"] == 16
    assert power["n_documents"] == 10


def test_dev_scores_stand_beside():
    cells = five("gold", [60] * 5)
    dev = [dataclasses.replace(c, split="dev") for c in five("gold", [58] * 5, n=4)]
    assert assemble(cells, CONFIG, dev_cells=dev)["arms"][0]["dev_f1"]["mean"] == 58.0


def test_arms_keep_the_recipes_order():
    results = assemble(example_cells(), CONFIG, main_size=50, made=MADE)
    assert [a["name"] for a in results["arms"] if a["size"] == 50] == list(ARMS)


def test_main_size_is_the_one_with_most_arms():
    assert assemble(example_cells(), CONFIG)["main_size"] == 50


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


def test_simulated_arms_without_difference_are_seldom_claimed():
    claims = []
    for seed in range(20):
        cells = [(arm, 50, r, 0.65) for r in range(5) for arm in ("gold", "made")]
        simulated = simulate(cells, n_documents=60, seed=seed)
        claims.append(assemble(simulated, CONFIG)["comparisons"][0]["claim"])
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
