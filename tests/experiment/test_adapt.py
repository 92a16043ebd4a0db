"""Encoders that read text without labels before students begin: what they read, and who shares."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from notesmith.config import AdaptConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document
from notesmith.errors import ConfigError, StageError
from notesmith.evaluate.scores import CellScores
from notesmith.experiment import preview, run_recipe
from notesmith.experiment.artefacts import MODEL, load_docs
from notesmith.experiment.cost import CorpusStats, SplitStats, TrainStats, UnitStats
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.graph import Work, may_discard
from notesmith.experiment.plan import make_plan
from notesmith.experiment.recipes import check_arms, load_recipe, save_recipe
from notesmith.experiment.run import context_of, corpus_paths, fingerprints_of
from notesmith.experiment.stages import adapt, gold, ner, notes, teachers
from notesmith.experiment.stages.common import SCORES
from notesmith.experiment.stages.score import is_score
from notesmith.experiment.store import CellStore
from notesmith.findings import OUT_OF_DRAW
from notesmith.ner import mlm_train
from tests.ner.tiny import tiny_encoder

from .doubles import note, remark, tiny_recipe, write_notes

PATHS = {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"}
SOURCES = Fingerprints(train="a", dev="b", test="c")
ARMS = [
    {"name": "gold"},
    {"name": "adapted", "adapted": True, "votes": 2},
    {
        "name": "silver",
        "made": ["silver"],
        "adapted": True,
        "annotate": {"teachers": ["adapted"], "students": 2},
    },
]
SMALL = {"block_tokens": 16, "batch_tokens": 128, "tokens": 600, "bf16": "no"}


def recipe(paths, arms=ARMS, **changes):
    draws = {"sizes": [4], "replicates": 1, "curve": [], "unlabelled_documents": 6}
    return tiny_recipe(
        paths,
        arm=arms,
        draws=draws | changes.pop("draws", {}),
        adapt=SMALL | changes.pop("adapt", {}),
        evaluate={"against": {}} | changes.pop("evaluate", {}),
        **changes,
    )


def cells_of(plan, stage):
    found = {cell.key: cell for target in plan.targets for cell in target.cell.walk()}
    return [cell for cell in found.values() if cell.stage == stage]


def plan_of(config):
    return make_plan(config, fingerprints_of(config, corpus_paths(config)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapt")
    encoder = str(tiny_encoder(folder / "encoder"))
    paths = write_notes(folder)
    write_corpus([note("train", i) for i in range(26)], paths["train"])
    own = [replace(note("own", i), entities=()) for i in range(5)]
    same_text = [Document(f"copy-{s}", note(s, 1).text.replace(" ", "  ")) for s in ("dev", "test")]
    same_patient = [replace(note("more", 1), entities=(), metadata={"patient": "train-p9"})]
    write_corpus([*own, *same_text, *same_patient], folder / "more.jsonl")
    config = recipe(
        paths,
        adapt={"notes": str(folder / "more.jsonl")},
        ner={"encoder": encoder, "steps": 2, "batch_size": 4, "bf16": "no"},
    )
    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        import notesmith.ner.adapt as module

        whole = module.adapt_encoder

        def spy(texts, **options):
            return whole((seen.append(text) or text for text in texts), **options)

        patch.setattr(module, "adapt_encoder", spy)
        result = run_recipe(config, folder / "run", cache=folder / "cache", keep_models=True)
    return result, plan_of(config), CellStore(folder / "run" / "cells"), config, seen


def test_all_students_of_adapted_arms_begin_from_one_encoder(finished):
    result, plan, store, _, _ = finished
    assert result.n_left == 0
    (cell,) = cells_of(plan, adapt.STAGE)
    students = cells_of(plan, ner.STAGE)
    assert len(students) == 4
    assert [s.inputs.get("encoder") is not None for s in students].count(False) == 1
    assert {s.inputs["encoder"].key for s in students if "encoder" in s.inputs} == {cell.key}
    (labelled,) = cells_of(plan, teachers.STAGE)
    assert all("encoder" in s.inputs for n, s in labelled.inputs.items() if n != "notes")
    found = store.metrics_of(adapt.STAGE, cell)
    assert (found.from_notes, found.from_gold, found.from_file) == (6, 4, 5)
    assert found.left_out == {"text": 2, "patient": 1}
    assert 600 <= found.tokens < 600 + 128 and found.held_out >= 1


def test_it_reads_the_notes_gold_and_the_file_and_no_document_that_is_scored(finished):
    _, plan, store, config, seen = finished
    (drawn,), (found,) = cells_of(plan, gold.STAGE), cells_of(plan, notes.STAGE)
    expected = [doc.text for cell in (found, drawn) for doc in load_docs(store.folder(cell))]
    assert seen == [*expected, *(note("own", i).text for i in range(5))]
    train = read_corpus(Path(config.corpus.train)).docs
    scored = [remark(split, i) for split, n in (("dev", 4), ("test", 6)) for i in range(n)]
    for target in plan.targets:
        if target.split == OUT_OF_DRAW:
            path = store.folder(target.cell) / SCORES
            out = set(CellScores.from_json(json.loads(path.read_text())).left_out)
            scored += [doc.text for i, doc in enumerate(train) if i not in out]
    assert len(scored) > 10 + 3 * 4
    assert not [text for text in scored if any(text in read for read in seen)]


def test_a_student_of_an_adapted_arm_needs_no_other_folder(finished, tmp_path):
    from notesmith.ner.model import load_ner

    _, plan, store, config, _ = finished
    student = next(cell for cell in cells_of(plan, ner.STAGE) if "encoder" in cell.inputs)
    folder = store.folder(student) / MODEL
    encoder = store.folder(student.inputs["encoder"]) / MODEL
    said = "".join(path.read_text() for path in folder.glob("*.json"))
    assert str(encoder) not in said and student.inputs["encoder"].key not in said
    model = load_ner(folder)
    assert model.name == model.config.encoder == config.ner.encoder
    assert model.predict([note("new", 1)])[0].text == note("new", 1).text


def test_a_killed_cell_goes_on_from_its_last_state(finished, tmp_path, monkeypatch):
    _, plan, store, config, _ = finished
    (cell,) = cells_of(plan, adapt.STAGE)
    monkeypatch.setattr(mlm_train, "_SAVE_EVERY", 0.0)
    monkeypatch.setattr(mlm_train, "_REPORT_EVERY", 2)
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    inputs = {name: store.folder(each) for name, each in cell.inputs.items()}
    context = context_of(config, corpus_paths(config), open_split=lambda split: 1 / 0)

    def die(progress):
        if progress.unit == "steps" and progress.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt.run(Work(cell, inputs, out, scratch, context, die))
    assert not list(out.iterdir())
    steps = []

    def note_steps(progress):
        if progress.unit == "steps":
            steps.append(progress.done)

    found = adapt.run(Work(cell, inputs, out, scratch, context, note_steps))
    assert steps == [4, 6]  # from the state of step 2
    assert found.loss_after == store.metrics_of(adapt.STAGE, cell).loss_after
    same = [folder / MODEL / "model.safetensors" for folder in (out, store.folder(cell))]
    assert same[0].read_bytes() == same[1].read_bytes()
    assert not list(scratch.iterdir())


def test_a_file_without_a_note_to_read_is_an_error(finished, tmp_path):
    _, plan, store, config, _ = finished
    (cell,) = cells_of(plan, adapt.STAGE)
    inputs = {name: store.folder(each) for name, each in cell.inputs.items()}
    paths = corpus_paths(config) | {adapt.MORE_NOTES: Path(config.corpus.train)}
    context = context_of(config, paths, open_split=lambda split: 1 / 0)
    with pytest.raises(StageError, match=r"no note of adapt\.notes is left"):
        adapt.run(Work(cell, inputs, tmp_path, tmp_path, context))


def test_results_and_pages_say_what_the_encoder_read(finished):
    from notesmith.report.card import CardFacts, model_card
    from notesmith.report.methods import draft_methods

    result, plan, store, _, _ = finished
    (encoder,) = result.results.adapted
    measured = store.metrics_of(adapt.STAGE, cells_of(plan, adapt.STAGE)[0])
    assert encoder.arms == ("adapted", "silver")
    assert (encoder.loss_before, encoder.loss_after) == (measured.loss_before, measured.loss_after)
    said = "6 notes without labels, the texts of 4 gold documents and 5 further notes"
    assert said in result.report.read_text()
    assert said in draft_methods(result.results).methods
    assert said in model_card(result.results, CardFacts(), arm="silver")
    plain = model_card(result.results, CardFacts(), arm="gold")
    assert said not in plain and "by heart" not in plain.partition("## Privacy")[2]
    arms = {arm.name: arm for arm in result.results.arms}
    assert arms["gold"].is_gold_alone and not arms["adapted"].is_gold_alone


def test_a_finished_run_and_one_stage_are_not_computed_again(finished):
    result, _, _, config, _ = finished
    again = run_recipe(config, result.folder, cache=result.folder / "cache")
    assert again.n_computed == 0
    one = run_recipe(config, result.folder, only=["stage=adapt"], cache=result.folder / "cache")
    assert (one.n_computed, one.n_left) == (0, 0)


def test_only_keys_of_adapted_arms_change():
    def keys(config, arm):
        plan = make_plan(config, SOURCES)
        return {t.cell.key for t in plan.targets if t.arm == arm and is_score(t.cell)}

    arms = [ARMS[0], {"name": "votes", "votes": 2}, {"name": "x", "made": ["silver"]}]
    adapted = [*arms[:2], {**arms[2], "adapted": True}]
    before, after = recipe(PATHS, arms=arms), recipe(PATHS, arms=adapted)
    assert keys(before, "gold") == keys(after, "gold")
    assert keys(before, "votes") == keys(after, "votes")
    assert not keys(before, "x") & keys(after, "x")
    # Options of adaptation touch nothing else.
    assert keys(before, "x") == keys(recipe(PATHS, arms=arms, adapt={"epochs": 9.0}), "x")


def test_an_encoder_is_shared_where_all_that_it_reads_is_equal():
    arms = [*ARMS, {"name": "other", "adapted": True, "ner": {"encoder": "elsewhere"}}]
    plan = make_plan(recipe(PATHS, arms=arms, draws={"replicates": 2}), SOURCES)
    found = cells_of(plan, adapt.STAGE)
    # One for each draw and encoder, with the same seed.
    assert len(found) == 4 and len({cell.seed for cell in found}) == 1
    assert {cell.config.encoder for cell in found} == {"minilm", "elsewhere"}
    assert [may_discard(cell) for cell in found].count(True) == 2


def test_folds_adapt_on_their_own_gold_and_notes_of_a_file():
    paths = {"train": "train.jsonl", "unlabelled": "notes"}
    config = recipe(
        paths, draws={"unlabelled_documents": 0}, evaluate={"protocol": "cross-fit", "folds": 3}
    )
    plan = make_plan(config, Fingerprints(train="a", unlabelled="n"))
    found = cells_of(plan, adapt.STAGE)
    # Of each fold, and of all gold for the student that ships.
    assert len({cell.inputs["gold"].key for cell in found}) == len(found) == 3 + 1
    assert len({cell.inputs["notes"].key for cell in found}) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"draws": {"unlabelled_documents": 0}, "arms": ARMS[:2]},
            "arm 'adapted' is adapted and there is no text without labels: give corpus.unlabelled",
        ),
        (
            {"arms": [{"name": "gold", "adapted": True}]},
            "arm 'gold' learns from gold alone.*set adapted = true in another arm",
        ),
    ],
)
def test_an_adapted_arm_needs_something_to_read_and_is_not_gold(changes, message):
    with pytest.raises(ConfigError, match=message) as error:
        check_arms(recipe(PATHS, **changes))
    assert "\n" not in str(error.value)


def test_notes_of_the_file_are_enough_to_read():
    config = recipe(
        PATHS, arms=ARMS[:2], draws={"unlabelled_documents": 0}, adapt={"notes": "more"}
    )
    check_arms(config)
    (cell,) = cells_of(make_plan(config, replace(SOURCES, more_notes="m")), adapt.STAGE)
    assert "notes" not in cell.inputs
    # Which of these notes are read depends on all labelled documents.
    assert {"a", "b", "c", "m"} <= set(cell.fingerprints.values())


def test_hours_are_refused_and_options_are_those_of_the_command():
    with pytest.raises(ValueError, match=r"a recipe cannot say hours.*give epochs or tokens"):
        recipe(PATHS, adapt={"hours": 1.0, "tokens": None})
    table = recipe(PATHS).adapt
    assert isinstance(table, AdaptConfig) and table.block_tokens == 16


def test_a_saved_recipe_and_its_preview_stay_adapted(tmp_path):
    paths = write_notes(tmp_path)
    more = tmp_path / "more.jsonl"
    write_corpus([note("own", 1)], more)
    config = recipe(paths, adapt={"notes": str(more), "tokens": None, "epochs": 5.0})
    save_recipe(config, tmp_path)
    assert load_recipe(str(tmp_path / "recipe.toml")) == config
    small = preview(config)
    assert [arm.adapted for arm in small.arm] == [False, True, True]
    assert (small.adapt.tokens, small.adapt.most_notes) == (256, 200)


def test_the_path_of_notes_is_read_for_adapted_arms_alone(tmp_path):
    paths = write_notes(tmp_path)
    config = recipe(paths, arms=ARMS[:1], adapt={"notes": str(tmp_path / "nowhere")})
    assert set(corpus_paths(config)) == {"train", "dev", "test"}
    adapted = recipe(paths, adapt={"notes": str(tmp_path / "nowhere")})
    with pytest.raises(ConfigError, match=r"nowhere.*nothing is there"):
        corpus_paths(adapted)


def test_cost_follows_the_words_and_passes():
    def stats(n_documents, n_words):
        return SplitStats(n_documents, n_words, {})

    train = TrainStats(stats(10, 1000), UnitStats(()), UnitStats(()))
    facts = CorpusStats(train, {adapt.MORE_NOTES: stats(5, 5000)})

    def learnt(**changes):
        config = recipe(PATHS, arms=ARMS[:2], adapt={"notes": "more", **changes})
        (cell,) = cells_of(make_plan(config, replace(SOURCES, more_notes="m")), adapt.STAGE)
        amount = cell.amount(facts)
        assert (amount.students, amount.saved_students) == (1, 1)
        return amount.learnt

    # Four gold documents, six notes and the file: 400 + 600 + 5,000 words.
    once = learnt(tokens=None, epochs=1.0)
    assert learnt(tokens=None, epochs=3.0) == pytest.approx(3 * once)
    assert once == pytest.approx(0.6 * 6000)
    assert learnt(tokens=3200) == pytest.approx(0.6 * 2000)
