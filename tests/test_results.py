import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from notesmith.errors import StageError
from notesmith.files.checksums import dumps_checked
from notesmith.findings import CurveFit, Worth
from notesmith.results import SCHEMA, Results, RlRun, without_folders
from tests.report.conftest import learnt

PLANTED = "Quillfeather syndrome"
EXAMPLE = Path(__file__).parent / "report" / "results-example.json"


@pytest.fixture
def values():
    return json.loads(EXAMPLE.read_text("utf-8"))


def test_what_is_written_is_read(values, tmp_path):
    values["config"]["corpus"]["label_descriptions"] = {"Disease": "a named thing"}
    results = Results.model_validate(values)
    path = results.write(tmp_path)
    assert Results.read(tmp_path) == results
    assert json.loads(path.read_text("utf-8"))["schema"] == SCHEMA
    # What the recipe does not set is not written.
    assert "null" not in json.dumps(json.loads(path.read_text("utf-8"))["config"])


def test_the_verdict_is_about_the_candidate_and_its_rival(values):
    results = Results.model_validate(values)
    assert results.focus == "synthetic+replaced"
    assert (results.main.arm, results.main.against) == ("synthetic+replaced", "replaced")
    assert results.main_v_comparator.against == "gold"
    assert [step.against for step in results.steps] == ["replaced", "gold"]


def test_without_a_candidate_the_best_synthetic_arm_leads(values):
    values["candidate"] = None
    values["arms"] = [a for a in values["arms"] if a["name"] != "synthetic+replaced"]
    assert Results.model_validate(values).focus == "synthetic"


PARTS = (
    "deciding power learning_curve verdict seal machine lm encoder finished config "
    "arms comparisons made stages"
).split()


@pytest.mark.parametrize("part", ["", *PARTS])
def test_there_is_no_place_for_text_of_notes(values, part):
    found = values[part] if part else values
    (found[0] if isinstance(found, list) else found)["sample"] = PLANTED
    with pytest.raises(ValidationError):
        Results.model_validate(values)


def test_machines_have_no_names(values):
    values["machine"]["host"] = "ward-7"
    with pytest.raises(ValidationError):
        Results.model_validate(values)


def test_paths_are_cut_to_their_last_part(values):
    values["lm"]["name"] = "/home/jo/models/small-lm"
    assert Results.model_validate(values).lm.name == "small-lm"
    for path in ("C:\\Users\\jo\\lm", "~/lm", "../models/lm", "./lm"):
        assert without_folders(path) == "lm"
    assert without_folders("org/model") == "org/model"


def checked(values, **changes):
    return dumps_checked({"schema": SCHEMA, **values, **changes})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda values: "{", "is not JSON"),
        (lambda values: "[]", "holds no results"),
        (lambda values: checked(values, schema=1), "is of another version of notesmith"),
        (lambda values: checked(values, schema=PLANTED), "is of another version of notesmith"),
        (lambda values: json.dumps({"schema": SCHEMA, **values}), "is damaged or was changed"),
        (lambda values: checked(values).replace("gold", "silver"), "is damaged or was changed"),
        (lambda values: checked(values, sizes=[PLANTED]), "1 values are not as"),
    ],
)
def test_what_is_no_results_file_of_ours_is_refused_with_a_remedy(values, tmp_path, content, said):
    (tmp_path / "results.json").write_text(content(values))
    with pytest.raises(StageError) as caught:
        Results.read(tmp_path)
    message = str(caught.value)
    assert said in message and message.endswith("; write it again with notesmith report")
    assert PLANTED not in message and "\n" not in message


def test_a_folder_without_results(tmp_path):
    with pytest.raises(StageError, match=r"no results.json; finish the run first"):
        Results.read(tmp_path)


def test_the_kept_checkpoint_is_told_by_prompts_kept_apart():
    # What round-by-round learning records: a look, a draw, a step, a look.
    history = [
        {"step": 0, "held_out_reward": 0.4, "held_out_kl": 0.0, "held_out_drift_words": 20.0},
        {"step": 0, "round": 0, "reward": 0.5, "part_density": 0.7, "drift_words": float("nan")},
        {"step": 1, "loss": 2.0},
        {"step": 40, "held_out_reward": 0.6, "held_out_kl": 0.02},
    ]
    run = RlRun(**learnt(best_step=40, history=history))
    assert (run.look("reward", 0), run.look("reward", 40), run.look("kl", 40)) == (0.4, 0.6, 0.02)
    assert run.series["held_out_kl"] == ((0.0, 0.0), (40.0, 0.02))
    assert run.series["part_density"] == ((0.0, 0.7),)
    assert "drift_words" not in run.series


def test_only_quantities_of_our_own_training_are_shown():
    history = [{"step": 1, "reward": 0.5, "Jane Roe": 1.0, "held_out_drift_words": 3.0}]
    run = RlRun(**learnt(history=history))
    assert set(run.series) == {"reward"}
    assert run.look("reward", 0) is None


def test_curves_by_hand():
    assert CurveFit(a=10, b=5, c=0, low=1, high=9)(1) == 10
    assert CurveFit(a=80, b=40, c=0.5, low=1, high=9)(4) == 60


def test_worth_in_hours():
    worth = Worth(notes=14, low=5, high=26)
    assert worth.in_hours(None) is worth
    hours = worth.in_hours(12).hours
    assert (hours.notes, hours.low, hours.high) == (2.8, 1.0, 5.2)
