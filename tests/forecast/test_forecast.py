import json
import re
from dataclasses import replace

import pytest

from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document
from notesmith.experiment.recipes import load_recipe
from notesmith.experiment.run import run_recipe
from notesmith.forecast import forecast as module
from notesmith.forecast.forecast import forecast_run
from notesmith.forecast.resources import Resources
from notesmith.forecast.speeds import LmSpeeds, Speeds, StudentSpeeds, stored_speeds
from tests.experiment.doubles import DOUBLES, tiny_recipe, write_notes

GIB = 2**30
MACHINE = Resources(cores=2, threads=2, memory=24 * GIB, free=20 * GIB, cpu="a")
SPEEDS = Speeds(
    LmSpeeds(100, 50, 20, 1.5, 2, GIB, {"scoring": GIB, "tuning": 4 * GIB, "sampling": GIB}),
    StudentSpeeds(1000, 4000, 1.4, 1, GIB // 10, {"training": 2 * GIB, "predicting": GIB}),
    "measured",
    "2026-01-01",
)


@pytest.fixture(autouse=True)
def a_home(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module.checks, "_installed", lambda name: True)


@pytest.fixture
def recipe(tmp_path):
    return tiny_recipe(write_notes(tmp_path))


def forecast(recipe, tmp_path, *, speeds=SPEEDS, asked=None, **options):
    def measure(config, docs, **more):
        if asked is not None:
            asked.append(len(docs))
        return speeds

    options = {"machine": MACHINE, "measure": measure, **options}
    return forecast_run(recipe, tmp_path / "run", **options)


def fatal(found):
    return [problem.what for problem in found.problems if problem.fatal]


def test_stages_times_memory_and_disk(recipe, tmp_path):
    found = forecast(recipe, tmp_path)
    assert found.can_succeed and not (tmp_path / "run").exists()
    by_stage = {stage.stage: stage for stage in found.stages}
    assert by_stage["sft"].n_cells == 2 and by_stage["ner"].n_cells == 18
    assert found.seconds == pytest.approx(sum(stage.seconds for stage in found.stages))
    assert by_stage["sft"].peak == 4 * GIB
    assert found.memory == pytest.approx(4.8 * GIB)  # a fifth to spare
    # Two tuned models and the students of the first draw, those of the second, one being saved.
    assert found.disk == pytest.approx(4 * GIB, rel=0.5)
    # Six of train's fourteen are drawn, and two mentions stand in each of the other eight.
    assert found.smallest.n_mentions == 16 and found.smallest.n_replicates == 2
    assert not found.hub


def test_a_second_plan_measures_nothing(recipe, tmp_path):
    asked = []
    forecast(recipe, tmp_path, asked=asked)
    assert forecast(recipe, tmp_path, asked=asked).speeds.origin == "stored"
    assert asked == [14]
    forecast(recipe, tmp_path, asked=asked, again=True)
    other = replace(MACHINE, cpu="b")
    forecast(recipe, tmp_path, asked=asked, machine=other)
    assert len(asked) == 3
    (kept, _) = (tmp_path / "home" / "probes").iterdir()
    assert stored_speeds(kept.parent, kept.stem).lm == SPEEDS.lm
    assert kept.stat().st_mode & 0o777 == 0o600


def test_without_a_probe_figures_are_those_of_another_machine(recipe, tmp_path):
    asked = []
    found = forecast(recipe, tmp_path, asked=asked, probe=False)
    assert found.speeds.origin == "reference" and found.seconds and not asked
    lm = recipe.lm.model_copy(update={"model": "qwen3-0.6b"})
    unknown = recipe.model_copy(update={"lm": lm, "hub": True})
    found = forecast(unknown, tmp_path, asked=asked)
    assert found.seconds is None and not asked  # a plan fetches nothing
    assert [(m.hub_id, m.here) for m in found.hub] == [("Qwen/Qwen3-0.6B-Base", False)]
    assert {s.stage for s in found.stages if s.seconds is None} == {"names", "sft", "sample"}


def test_too_little_memory(recipe, tmp_path):
    small = replace(MACHINE, memory=3 * GIB, free=20 * GIB)
    found = forecast(recipe, tmp_path, machine=small)
    assert fatal(found) == ["about 4.8 GiB are needed and there are 3.0"]
    busy = replace(MACHINE, free=7 * GIB)
    lm = replace(SPEEDS.lm, peaks={"scoring": 1, "tuning": 8 * GIB, "sampling": 1})
    found = forecast(
        recipe, tmp_path, machine=busy, speeds=replace(SPEEDS, lm=lm, busy=1.5), again=True
    )
    said = [p.what for p in found.problems if not p.fatal]
    assert any("9.6 GiB are needed and 7.0 are free now" in what for what in said)
    assert any("other work took 1.5 of 2 cores" in what for what in said)


def test_a_model_that_is_far_too_large_is_known_before_it_is_loaded(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "free_disk", lambda path: 900 * GIB)
    asked = []
    lm = recipe.lm.model_copy(update={"model": "qwen3-8b"})
    large = recipe.model_copy(update={"lm": lm, "hub": True})
    found = forecast(large, tmp_path, asked=asked)
    assert fatal(found) == ["fine-tuning 'qwen3-8b' takes 122 GiB at least and there are 24"]
    assert not asked


def test_a_probe_takes_no_memory_that_others_use(recipe, tmp_path):
    asked, told = [], []
    found = forecast(
        recipe, tmp_path, asked=asked, machine=replace(MACHINE, free=GIB), tell=told.append
    )
    assert not asked and found.speeds.origin == "reference"
    assert told == ["not measured: about 6.0 GiB would be needed and 1.0 are free now"]


def test_too_little_disk(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "free_disk", lambda path: GIB)
    assert "of disk are needed and 1.0 are free" in fatal(forecast(recipe, tmp_path))[0]


def test_problems_come_together_and_nothing_is_measured(recipe, tmp_path):
    asked = []
    corpus = recipe.corpus.model_copy(update={"test": None, "dev": str(tmp_path / "none")})
    draws = recipe.draws.model_copy(update={"sizes": (50,)})
    found = forecast(
        recipe.model_copy(update={"corpus": corpus, "draws": draws}), tmp_path, asked=asked
    )
    assert len(fatal(found)) == 3 and not asked and not found.stages
    assert any("no test split" in what for what in fatal(found))
    assert any("nothing is there" in what for what in fatal(found))
    assert any("draws of 50 documents and train holds 14" in what for what in fatal(found))


def test_a_bad_record_is_a_problem_without_its_text(recipe, tmp_path):
    (tmp_path / "test.jsonl").write_text('{"id": "x", "text": "Quillfeather"')
    (what,) = [what for what in fatal(forecast(recipe, tmp_path)) if what.startswith("test: ")]
    assert "test.jsonl:1" in what and "Quillfeather" not in what


def test_the_same_documents_on_both_sides(recipe, tmp_path):
    same = recipe.corpus.model_copy(update={"test": recipe.corpus.train})
    found = forecast(recipe.model_copy(update={"corpus": same}), tmp_path)
    assert fatal(found) == [
        "all 14 documents of train stand in dev or test too (14 by text): nothing of train is left",
        "corpus.train and corpus.test are the same documents",
    ]


def test_what_stands_in_two_parts_is_left_out_and_said(recipe, tmp_path):
    train, test = (read_corpus(tmp_path / f"{name}.jsonl").docs for name in ("train", "test"))
    # A text with another patient, and a patient with another text (who has one more note).
    text = replace(train[3], id="x", metadata={})
    patient = Document("z", "Seen again.", metadata=train[6].metadata)
    write_corpus([*test, text, patient], tmp_path / "test.jsonl")
    found = forecast(recipe, tmp_path)
    assert found.can_succeed and found.corpus["train"].n_documents == 11
    assert found.left_out == (
        "1 document of train is left out, as its text stands in dev or test too.",
        "2 documents of train are left out, as their patient stands in dev or test too.",
    )
    assert found.to_json()["left_out"] == list(found.left_out)
    assert not found.corpus["train"].patients & found.corpus["test"].patients


def test_finished_cells_cost_nothing_and_another_plan_is_refused(recipe, tmp_path):
    run_recipe(recipe, tmp_path / "run", instead=DOUBLES)
    found = forecast(recipe, tmp_path)
    assert found.seconds == 0 and all(s.n_done == s.n_cells for s in found.stages)
    changed = load_recipe(str(tmp_path / "run" / "recipe.toml"), changes=["ner.steps=4"])
    (what,) = fatal(forecast(changed, tmp_path))
    assert "the test set is sealed under plan" in what


def test_what_finished_cells_took_corrects_the_rest(recipe, tmp_path):
    def ner(found):
        return next(stage for stage in found.stages if stage.stage == "ner")

    before = ner(forecast(recipe, tmp_path))
    run_recipe(recipe, tmp_path / "run", only=["arm=gold", "replicate=1"], instead=DOUBLES)
    took = [
        json.loads(path.read_text())["seconds"]
        for path in (tmp_path / "run" / "cells" / "ner").glob("*/metrics.json")
    ]
    after = ner(forecast(recipe, tmp_path))
    assert after.n_done == len(took) > 0
    # Students of one recipe take the same steps, so each of the rest takes what those took.
    each = sum(took) / len(took)
    assert after.seconds == pytest.approx(each * (after.n_cells - after.n_done))
    assert after.seconds < before.seconds / 10  # the doubles train nothing


def test_json_holds_no_text(recipe, tmp_path):
    docs = [Document(f"d{i}", f"Quillfeather number {i}.") for i in range(6)]
    write_corpus(docs, tmp_path / "dev.jsonl")
    found = forecast(recipe, tmp_path)
    said = json.dumps(found.to_json())
    assert "Quillfeather" not in said
    record = json.loads(said)
    assert record["can_succeed"] is False and record["leaves_the_machine"] == []
    assert record["corpus"]["test"]["mentions"] == 12


def test_a_cross_fit_needs_no_test_set(tmp_path):
    train = {"train": write_notes(tmp_path)["train"]}
    changes = {"draws": {"sizes": [14], "curve": []}, "evaluate": {"protocol": "cross-fit"}}
    found = forecast(tiny_recipe(train, **changes), tmp_path)
    assert found.can_succeed
    by_stage = {stage.stage: stage for stage in found.stages}
    # Two replicates of five folds, each with a generator of its own; a student that ships beside
    # those of the folds for the comparator and the arm of the verdict.
    assert by_stage["sft"].n_cells == 10 and by_stage["gather"].n_cells == 16
    assert by_stage["ner"].n_cells == 2 * 5 * 8 + 2
    assert found.smallest.split == "out-of-fold" and found.smallest.n_documents == 14
    assert not any("every draw holds" in problem.what for problem in found.problems)


def test_notes_without_labels_are_counted_and_read_by_their_teachers(tmp_path):
    paths = write_notes(tmp_path)
    docs = [Document(f"n{i}", f"Visit {i}: no complaints today.") for i in range(40)]
    docs += [Document("again", read_corpus(paths["dev"]).docs[0].text)]
    write_corpus(docs, tmp_path / "notes.jsonl")
    paths["unlabelled"] = tmp_path / "notes.jsonl"
    arms = [{"name": "gold"}, {"name": "learns", "made": ["silver"]}]
    config = tiny_recipe(paths, arm=arms, evaluate={"against": {}}, annotate={"students": 3})
    found = forecast(config, tmp_path)
    assert found.can_succeed, fatal(found)
    assert found.corpus["unlabelled"].n_documents == 40
    assert found.left_out == (
        "1 of corpus.unlabelled is left out, as its text stands in train, dev or test too.",
    )
    by_stage = {stage.stage: stage for stage in found.stages}
    # Of two draws each: 40 notes of 5 words, read by three students, which take a second to load.
    assert by_stage["teachers"].n_cells == 2 and by_stage["notes"].n_cells == 1
    expected = 2 * (0.3 + 0.002 * 40 + 3 * 40 * 5 / 4000 * 1.4 + 3 * 1)
    assert by_stage["teachers"].seconds == pytest.approx(expected)


def adapted(tmp_path, text, **changes):
    paths = write_notes(tmp_path)
    (tmp_path / "more.jsonl").write_text(text)
    return tiny_recipe(
        paths,
        arm=[{"name": "gold"}, {"name": "adapted", "adapted": True}],
        evaluate={"against": {}},
        adapt={"notes": str(tmp_path / "more.jsonl"), "epochs": 2.0, **changes},
    )


def lines(docs):
    return "".join(json.dumps({"id": doc.id, "text": doc.text}) + "\n" for doc in docs)


def test_notes_that_encoders_read_are_counted_and_take_time_and_room(tmp_path):
    docs = [Document(f"n{i}", f"Visit {i}: no complaints today.") for i in range(40)]
    write_notes(tmp_path)
    docs += read_corpus(tmp_path / "test.jsonl").docs[:2]
    found = forecast(adapted(tmp_path, lines(docs)), tmp_path)
    assert found.can_succeed, fatal(found)
    assert found.corpus["adapt.notes"].n_documents == 40
    assert found.left_out == (
        "2 of adapt.notes are left out, as their text stands in train, dev or test too.",
    )
    by_stage = {stage.stage: stage for stage in found.stages}
    assert by_stage["adapt"].n_cells == 2 and by_stage["adapt"].peak == 2 * GIB
    # Two passes in each of two draws, over 40 notes of 5 words and six documents of gold.
    train = found.corpus["train"]
    words = 40 * 5 + 6 * train.n_words / train.n_documents
    expected = 2 * (0.3 + 0.6 * 2 * words / 1000 * 1.4 + 1)
    assert by_stage["adapt"].seconds == pytest.approx(expected)
    few = forecast(adapted(tmp_path, lines(docs), most_notes=10), tmp_path)
    assert few.corpus["adapt.notes"].n_documents == 10


def test_notes_that_encoders_cannot_read_are_one_line(tmp_path):
    (what,) = fatal(forecast(adapted(tmp_path, '{"body": "Cough."}\n'), tmp_path))
    assert re.match(r"adapt\.notes: .*more\.jsonl", what) and "\n" not in what
    again = lines(read_corpus(tmp_path / "train.jsonl").docs)
    (what,) = fatal(forecast(adapted(tmp_path, again), tmp_path))
    assert what.startswith("no note of adapt.notes is left that repeats no document of train")
    lost = adapted(tmp_path, "")
    (tmp_path / "more.jsonl").unlink()
    (what,) = fatal(forecast(lost, tmp_path))
    assert "nothing is there" in what


def test_unlabelled_notes_that_cannot_be_used_are_one_line(tmp_path):
    paths = write_notes(tmp_path)
    arms = [{"name": "gold"}, {"name": "learns", "made": ["silver"]}]
    for text, said in {
        '{"body": "Cough."}\n': "corpus.unlabelled: .*notes.jsonl",
        (tmp_path / "train.jsonl").read_text(): "no note of corpus.unlabelled is left: 14 were",
    }.items():
        (tmp_path / "notes.jsonl").write_text(text)
        own = {**paths, "unlabelled": tmp_path / "notes.jsonl"}
        config = tiny_recipe(own, arm=arms, evaluate={"against": {}})
        (what,) = fatal(forecast(config, tmp_path))
        assert re.match(said, what) and "\n" not in what
