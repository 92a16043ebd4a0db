"""Arms whose answer is a vote: what is trained, scored, kept and said of them."""

import json

import numpy as np
import pytest

from notesmith.experiment import preview, run_recipe
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.plan import SHIPPED, make_plan
from notesmith.experiment.run import corpus_paths, fingerprints_of
from notesmith.experiment.stages import score
from notesmith.experiment.stages.common import PREDICTIONS
from notesmith.experiment.store import CellStore
from notesmith.findings import OUT_OF_DRAW, OUT_OF_FOLD
from notesmith.ner import Votes, load_ner, load_student
from tests.ner.tiny import tiny_encoder

from .doubles import note, tiny_recipe, write_notes

PATHS = {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"}
SOURCES = Fingerprints(train="a", dev="b", test="c", lm="d")
ARMS = [
    {"name": "gold"},
    {"name": "gold, votes", "votes": 3},
    {"name": "replacement, votes", "made": ["replaced"], "votes": 2},
]


def recipe(paths, **changes):
    evaluate = {"against": {}, "resamples": 200, **changes.pop("evaluate", {})}
    draws = {"sizes": [6], "replicates": 2, "curve": [], **changes.pop("draws", {})}
    return tiny_recipe(paths, arm=ARMS, evaluate=evaluate, draws=draws, **changes)


def keys(cells):
    return [cell.key for cell in cells]


def scored(plan, arm, split="test"):
    return [t.cell for t in plan.targets if t.arm == arm and t.split == split]


def test_one_score_a_draw_by_the_students_that_the_arm_without_votes_has():
    plan = make_plan(recipe(PATHS, draws={"students": 2}), SOURCES)
    for alone, together in zip(scored(plan, "gold"), scored(plan, "gold, votes"), strict=True):
        assert (alone.stage, together.stage) == (score.POOL, score.STAGE)
        assert keys(score.students_of(alone)) == keys(score.students_of(together))[:2]
        assert len(score.students_of(together)) == 3
    for split in ("dev", "test", OUT_OF_DRAW):
        assert len(scored(plan, "gold, votes", split)) == 2


def test_votes_leave_the_cells_of_other_arms_as_they_were():
    """Of an arm of one student nothing changes where the number of votes is said."""
    before = make_plan(tiny_recipe(PATHS), SOURCES)
    said = [arm.model_dump(mode="json") | {"votes": 1} for arm in tiny_recipe(PATHS).arm]
    assert keys(make_plan(tiny_recipe(PATHS, arm=said), SOURCES).cells) == keys(before.cells)


def test_the_models_of_the_first_draw_are_put_into_one_folder():
    plan = make_plan(recipe(PATHS), SOURCES)
    shipped = {t.arm: t for t in plan.targets if t.split == SHIPPED}
    assert {name: len(t.cell.inputs) for name, t in shipped.items()} == {
        "gold, votes": 3,
        "replacement, votes": 2,
    }
    assert {t.replicate for t in shipped.values()} == {0}


def test_a_preview_has_two_votes_at_most():
    assert [arm.votes for arm in preview(recipe({"train": "a", "test": "b"})).arm] == [1, 2, 2]


@pytest.fixture(scope="module", params=["held-out", "cross-fit"])
def finished(request, tmp_path_factory):
    """Real students, of a tiny encoder and three steps."""
    folder = tmp_path_factory.mktemp("votes")
    # Other notes for each, since labels are opened for one plan.
    paths = write_notes(folder, planted=f"By {request.param}. ")
    cross_fit = request.param == "cross-fit"
    config = recipe(
        {"train": paths["train"]} if cross_fit else paths,
        ner={"steps": 3, "batch_size": 4, "encoder": str(tiny_encoder(folder / "encoder"))},
        evaluate={"protocol": request.param, "folds": 2, "candidate": "replacement, votes"},
    )
    result = run_recipe(config, folder / "run", cache=folder / "cache")
    plan = make_plan(config, fingerprints_of(config, corpus_paths(config)))
    return result, plan, CellStore(folder / "run" / "cells")


def test_a_run_keeps_the_vote_as_a_model_and_drops_what_it_was_put_together_from(finished):
    result, plan, store = finished
    assert result.n_left == 0
    kept = json.loads((result.folder / "models.json").read_text())
    assert {model["replicate"] for model in kept} == {0}
    folders = {model["arm"]: result.folder / model["folder"] for model in kept}
    vote = load_student(folders["replacement, votes"])
    assert isinstance(vote, Votes) and len(vote.members) == 2
    assert vote.predict([note("new", 1)])
    assert load_ner(folders["gold"])
    cells = {cell.key: cell for target in plan.cells for cell in target.walk()}
    students = [cell for cell in cells.values() if cell.stage.name == "ner"]
    assert {store.state(cell) for cell in students if cell.student} == {"discarded"}


def test_what_is_scored_is_the_mean_of_the_members(finished):
    result, plan, store = finished
    if result.results.split == OUT_OF_FOLD:
        pytest.skip("the members of a fold are not kept")
    [folder] = [
        result.folder / model["folder"]
        for model in json.loads((result.folder / "models.json").read_text())
        if model["arm"] == "gold, votes"
    ]
    [first] = [c for c in scored(plan, "gold, votes") if c.replicate == 0]
    docs = [note("test", i, planted="By held-out. ") for i in range(6)]
    spans = {
        doc.id: [[ent.label, *map(list, ent.spans)] for ent in doc.entities]
        for doc in load_student(folder).predict([doc.with_entities(()) for doc in docs])
    }
    assert json.loads((store.folder(first) / PREDICTIONS).read_text()) == spans


def test_the_cost_of_training_is_that_of_all_members(finished):
    result, _, _ = finished
    tokens = {arm.name: arm.tokens for arm in result.results.arms}
    assert np.isclose(tokens["gold, votes"] / tokens["gold"], 3, rtol=0.2)


def test_the_results_say_who_votes_and_what_the_candidate_is_tested_against(finished):
    result, _, _ = finished
    arms = {arm.name: (arm.votes, arm.n_replicates, arm.n_students) for arm in result.results.arms}
    assert arms == {
        "gold": (1, 2, 1),
        "gold, votes": (3, 2, 1),
        "replacement, votes": (2, 2, 1),
    }
    assert [step.against for step in result.results.steps] == ["gold", "gold, votes"]
    assert "vote of 3" in result.report.read_text()
