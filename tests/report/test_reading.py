import pytest

from notesmith.errors import StageError
from notesmith.evaluate.curve import fit_curve
from notesmith.report.reading import read_results, without_folders


def test_the_verdict_is_about_the_candidate_and_its_rival(view):
    assert view.focus == "synthetic+replaced"
    assert (view.main.arm, view.main.against) == ("synthetic+replaced", "replaced")
    assert view.main_v_comparator.against == "gold"


def test_ratios_are_read_as_points(results):
    points = read_results(results)
    for arm in results["arms"]:
        for name, value in arm.items():
            if isinstance(value, dict) and "mean" in value:
                arm[name] = {
                    k: [v / 100 for v in x] if k == "values" else x / 100 for k, x in value.items()
                }
    ratios = read_results({**results, "scale": 1})
    assert ratios.arms[0].f1.mean == pytest.approx(points.arms[0].f1.mean)
    assert ratios.arms[0].f1.values == pytest.approx(points.arms[0].f1.values)


def test_the_curve_is_the_one_that_was_fitted(results):
    curve = results["learning_curve"]
    fit = fit_curve(curve["sizes"], curve["f1"])
    for size, f1 in read_results(results).curve.fitted:
        assert f1 == pytest.approx(fit(size), abs=1e-3)


def test_without_a_candidate_the_best_synthetic_arm_leads(results):
    del results["candidate"]
    results["arms"] = [a for a in results["arms"] if a["name"] != "synthetic+replaced"]
    assert read_results(results).focus == "synthetic"


def test_made_text_is_averaged_over_replicates(results):
    results["made"] = [
        {"size": 50, "replicate": 0, "asked": 10, "kept": 6, "dropped": {"loop": 4}},
        {"size": 50, "replicate": 1, "asked": 20, "kept": 17, "dropped": {"loop": 1, "no end": 2}},
    ]
    (made,) = read_results(results).made
    assert (made.asked, made.kept, made.n_replicates) == (15, 11.5, 2)
    assert made.dropped == {"loop": 2.5, "no end": 1.0}


def test_bare_results_are_enough():
    bare = {
        "schema": 1,
        "recipe": "r",
        "comparator": "gold",
        "arms": [{"name": "gold", "size": 50, "f1": {"mean": 60.0}}],
    }
    view = read_results(bare)
    assert view.main is None
    assert view.main_size == 50


@pytest.mark.parametrize(
    "change",
    [{"schema": 2}, {"arms": 3}, {"arms": []}, {"comparisons": [{"arm": "x"}]}, {"main_size": "x"}],
)
def test_other_schemas_and_malformed_parts_are_errors(results, change):
    with pytest.raises(StageError):
        read_results({**results, **change})


def test_paths_of_the_machine_and_names_of_people_stay_out(results):
    results["lm"]["name"] = "/home/jo/models/small-lm"
    results["machine"] = {"cpu": "x", "host": "ward-7", "user": "jo"}
    view = read_results(results)
    assert view.lm.name == "small-lm"
    assert view.machine == {"cpu": "x"}
    assert without_folders("C:\\Users\\jo\\lm") == "lm"
    assert without_folders("org/model") == "org/model"


def learnt(**more):
    """What a run of round-by-round learning records: a look, a draw, a look."""
    return {
        "arm": "sft+dpo",
        "size": 50,
        "replicate": 0,
        "method": "dpo",
        "steps": 40,
        "best_step": 40,
        "history": [
            {"step": 0, "held_out_reward": 0.4, "held_out_kl": 0.0, "held_out_drift_words": 20.0},
            {"step": 0, "round": 0, "reward": 0.5, "part_density": 0.7, "drift_words": 19.0},
            {"step": 1, "loss": 2.0},
            {"step": 40, "held_out_reward": 0.6, "held_out_kl": 0.02},
        ],
        **more,
    }


def test_the_kept_checkpoint_is_told_by_prompts_kept_apart(results):
    (run,) = read_results({**results, "rl": [learnt()]}).rl
    assert (run.first_reward, run.best_reward, run.kl) == (0.4, 0.6, 0.02)
    assert run.series["held_out_kl"] == ((0.0, 0.0), (40.0, 0.02))
    assert run.series["part_density"] == ((0.0, 0.7),)


def test_only_quantities_of_our_own_training_are_read(results):
    history = [{"step": 1, "reward": 0.5, "Jane Roe": 1.0, "held_out_drift_words": 3.0}]
    (run,) = read_results({**results, "rl": [learnt(history=history)]}).rl
    assert set(run.series) == {"reward"}
    assert (run.first_reward, run.best_reward, run.kl) == (None, None, None)
