"""Arms whose generators learn from rewards, from corpus to report, with tiny random models."""

import json

import pytest

from notesmith.experiment import run_recipe
from tests.lm.tiny import save_tiny
from tests.ner.tiny import tiny_encoder

from .doubles import tiny_recipe, write_notes

LEARNING = {
    "steps": 2,
    "prompts": 2,
    "completions": 2,
    "held_out": 2,
    "evaluate_every": 1,
    "save_every": 1,
    "max_new_tokens": 12,
}
ROUNDS = {"rounds": 1, "prompts_per_round": 4, "batch_size": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rewards")
    save_tiny("gemma3", folder / "lm")
    tiny_encoder(folder / "encoder")
    config = tiny_recipe(
        write_notes(folder),
        lm={"model": str(folder / "lm"), "trim": False},
        ner={"encoder": str(folder / "encoder"), "steps": 2, "batch_size": 4},
        draws={"sizes": [6], "replicates": 1, "curve": []},
        rl=LEARNING,
        synthesize={"shots": 1},
        reward={"members": 2, "coverage": "part"},
        arm=[
            {"name": "gold"},
            {"name": "sft", "made": ["synthetic-unfiltered"]},
            {"name": "sft+filter", "made": ["synthetic"]},
            {"name": "prompted", "made": ["synthetic"], "tuned": False},
            {"name": "best of 2", "made": ["synthetic"], "best_of": 2},
            {"name": "grpo", "made": ["synthetic"], "rl": {"method": "grpo"}},
            {"name": "relabelled", "made": ["synthetic-relabelled"], "rl": {"method": "grpo"}},
            {"name": "dpo", "made": ["synthetic"], "rl": {"method": "dpo"} | ROUNDS},
            {"name": "placebo", "made": ["synthetic"], "rl": {"method": "grpo", "placebo": True}},
        ],
        evaluate={"against": {}, "resamples": 200, "candidate": "grpo"},
    )
    return config, folder, run_recipe(config, folder / "run")


def test_every_arm_is_scored_and_a_second_run_does_nothing(finished):
    config, folder, result = finished
    assert {arm.name for arm in result.results.arms} == {arm.name for arm in config.arm}
    assert result.n_left == 0
    assert run_recipe(config, folder / "run").n_computed == 0


def test_results_tell_how_the_generators_learnt(finished):
    _, _, result = finished
    runs = {run.arm: run for run in result.results.rl}
    assert set(runs) == {"grpo", "dpo", "placebo"}
    assert runs["placebo"].placebo and not runs["grpo"].placebo
    for run in runs.values():
        assert run.sampled_tokens > 0
        assert {"reward", "pass_ratio"} <= {name for row in run.history for name in row}
    assert {made.source for made in result.results.made} == {
        "sft+filter",
        "prompted",
        "best of 2",
        "grpo",
        "dpo",
        "placebo",
    }


def test_the_report_shows_learning_and_no_text(finished):
    _, folder, result = finished
    page = result.report.read_text(encoding="utf-8")
    assert "Learning from rewards" in page and "rewards shuffled" in page
    sentences = [
        json.loads(line)["text"] for line in (folder / "train.jsonl").read_text().splitlines()[1:]
    ]
    assert sentences and not any(text[:40] in page for text in sentences)
    assert "Before and after rewards" in (folder / "run" / "examples.html").read_text("utf-8")
