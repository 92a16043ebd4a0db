"""Notes without labels: which they are, who labels them, and what a student learns from that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document
from notesmith.errors import ConfigError, StageError
from notesmith.evaluate.scores import CellScores
from notesmith.experiment import preview, run_recipe
from notesmith.experiment.artefacts import has_scores, load_docs, load_scores, save_docs
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.graph import Cell, Work
from notesmith.experiment.plan import make_plan
from notesmith.experiment.recipes import check_arms, load_recipe, save_recipe
from notesmith.experiment.run import corpus_paths, fingerprints_of
from notesmith.experiment.stages import blind, gold, ner, notes, silver, taught, teachers
from notesmith.experiment.stages.common import SCORES
from notesmith.experiment.stages.gold import after_draw
from notesmith.experiment.store import CellStore
from notesmith.findings import OUT_OF_DRAW
from notesmith.ner.decode import WordScores, score_of
from notesmith.words import tag_words, words
from tests.ner.tiny import tiny_encoder

from .doubles import note, tiny_recipe, write_notes

PATHS = {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"}
SOURCES = Fingerprints(train="a", dev="b", test="c")
ARMS = [
    {"name": "gold"},
    {"name": "soft", "made": ["silver"]},
    {"name": "hard", "made": ["silver"], "annotate": {"labels": "hard"}},
    {"name": "masked", "made": ["silver"], "annotate": {"labels": "masked", "doubtful": 0.3}},
    {"name": "again", "made": ["silver"], "annotate": {"teachers": ["soft"], "students": 1}},
    {
        "name": "all",
        "made": ["silver", "replaced"],
        "annotate": {"teaches": ["notes", "made", "gold"], "hard_ratio": 0.25},
    },
]


def recipe(paths, arms=ARMS, **changes):
    draws = {"sizes": [4], "replicates": 1, "curve": [], "unlabelled_documents": 6}
    return tiny_recipe(
        paths,
        arm=arms,
        draws=draws | changes.pop("draws", {}),
        annotate={"students": 2},
        evaluate={"against": {}} | changes.pop("evaluate", {}),
        **changes,
    )


def write(folder: Path, n_train: int = 26) -> dict[str, Path]:
    paths = write_notes(folder)
    write_corpus([note("train", i) for i in range(n_train)], paths["train"])
    return paths


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, encoder):
    folder = tmp_path_factory.mktemp("silver")
    paths = write(folder)
    config = recipe(paths, ner={"encoder": encoder, "steps": 3, "batch_size": 4, "bf16": "no"})
    result = run_recipe(config, folder / "run", cache=folder / "cache", keep_models=True)
    plan = make_plan(config, fingerprints_of(config, corpus_paths(config)))
    return result, plan, CellStore(folder / "run" / "cells"), config


def cells_of(plan, stage):
    found = {cell.key: cell for target in plan.targets for cell in target.cell.walk()}
    return [cell for cell in found.values() if cell.stage == stage]


def test_a_run_with_silver_ends_and_is_not_run_twice(finished):
    result, _, _, config = finished
    assert result.n_left == 0
    assert [arm.name for arm in result.results.arms] == [arm["name"] for arm in ARMS]
    again = run_recipe(config, result.folder, cache=result.folder / "cache")
    assert again.n_computed == 0 and again.n_left == 0


def test_notes_are_the_texts_after_the_draw_and_nothing_else_of_them(finished):
    _, plan, store, config = finished
    train = read_corpus(Path(config.corpus.train)).docs
    (drawn,) = cells_of(plan, gold.STAGE)
    (found,) = cells_of(plan, notes.STAGE)
    docs, held = load_docs(store.folder(found)), load_docs(store.folder(drawn))
    places = after_draw(train, held, seed=drawn.seed, n=6)
    assert [(d.id, d.text) for d in docs] == [(train[i].id, train[i].text) for i in places]
    assert not any(d.entities or d.relations or d.masked for d in docs) and len(docs) == 6
    patients = {doc.metadata["patient"] for doc in held}
    assert not patients & {doc.metadata["patient"] for doc in docs}


def test_teachers_are_the_students_that_their_arms_have_anyway(finished):
    """Gold's two that vote, of which one is scored; and the students of the five other arms."""
    _, plan, _, _ = finished
    assert len(cells_of(plan, ner.STAGE)) == 2 + 5
    by = [sorted(c for c in cell.inputs if c != "notes") for cell in cells_of(plan, teachers.STAGE)]
    # Four arms share what gold's students say of notes; in the second round a student of 'soft'
    # says it; and gold's students read the text with replaced mentions.
    two = ["student-001", "student-002"]
    assert sorted(by) == [["student-001"], two, two]


def test_silver_has_scores_and_what_its_labels_ask_for(finished):
    _, plan, store, _ = finished
    for cell in cells_of(plan, silver.STAGE):
        folder = store.folder(cell)
        docs = load_docs(folder)
        found = store.metrics_of(silver.STAGE, cell)
        assert {doc.provenance.kind for doc in docs} == {"silver"} and len(docs) == 6
        assert all(score_of(ent) is not None for doc in docs for ent in doc.entities)
        assert has_scores(folder) == (cell.config.labels == "soft")
        assert any(doc.masked for doc in docs) == (cell.config.labels == "masked")
        if cell.config.labels == "masked":
            # An untrained student is sure of nothing.
            assert 0 < found.doubtful <= 1
        if has_scores(folder):
            rows = load_scores(folder)
            assert list(rows) == [doc.id for doc in docs]


def test_students_learn_the_distributions_of_soft_silver(finished, monkeypatch):
    """Other scores in the same cell make another student."""
    import notesmith.ner.train as train

    _, plan, store, _ = finished
    seen = {}
    monkeypatch.setattr(train, "train_ner", lambda *a, **more: seen.update(more) or 1 / 0)
    for cell in cells_of(plan, ner.STAGE):
        inputs = {name: store.folder(each) for name, each in cell.inputs.items()}
        with pytest.raises(ZeroDivisionError):
            ner.run(work_of(cell, inputs))
        of = cell.inputs.get("silver")
        soft = of is not None and of.config.labels == "soft"
        gold_and_copies = 4 + 4 if "replaced" in cell.inputs else 0
        assert len(seen["soft"]) == (6 if soft else 0) + gold_and_copies


def work_of(cell, inputs):
    return Work(cell, inputs, Path(), Path(), None)


def test_made_text_keeps_its_mentions_and_learns_the_rest_of_its_words(finished):
    _, plan, store, _ = finished
    (cell,) = cells_of(plan, taught.STAGE)
    folder = store.folder(cell)
    before = load_docs(store.folder(cell.inputs["made"]))
    said = load_scores(store.folder(cell.inputs["students"]))
    docs, rows = load_docs(folder), load_scores(folder)
    assert [doc.id for doc in docs] == [f"replaced/{doc.id}" for doc in before]
    for doc, old in zip(docs, before, strict=True):
        assert (doc.text, doc.entities) == (old.text, old.entities) and doc.entities
        tags = np.array(tag_words(doc, rows[doc.id].words, ("Sign", "Test")).tags)
        inside = tags > 0
        found, others = rows[doc.id].probabilities, said[old.id].probabilities
        assert (found[inside].argmax(axis=1) == tags[inside]).all()
        assert found[inside].max(axis=1).min() == 1
        np.testing.assert_allclose(found[~inside], others[~inside], atol=2e-3)


def test_gold_learns_what_students_say_that_did_not_see_it_and_its_own_labels(finished):
    _, plan, store, _ = finished
    (cell,) = cells_of(plan, blind.MIXED)
    docs = load_docs(store.folder(cell.inputs["gold"]))
    said, rows = load_scores(store.folder(cell.inputs["blind"])), load_scores(store.folder(cell))
    assert list(rows) == [doc.id for doc in docs]
    for doc in docs:
        tags = np.array(tag_words(doc, rows[doc.id].words, ("Sign", "Test")).tags)
        expected = 0.75 * said[doc.id].probabilities + 0.25 * np.eye(5)[tags]
        np.testing.assert_allclose(rows[doc.id].probabilities, expected, atol=2e-3)


def test_quality_is_known_where_labels_are_and_is_read_by_nothing(finished):
    result, plan, store, _ = finished
    measured = cells_of(plan, silver.QUALITY)
    # One for each kind of silver.
    assert len(measured) == 4
    for cell in measured:
        found = store.metrics_of(silver.QUALITY, cell)
        assert found.documents == 6 and 0 <= found.calibration_error <= 1
        assert {"metrics.json", "done.json"} == {p.name for p in store.folder(cell).iterdir()}
    everything = {cell.key: cell for target in plan.targets for cell in target.cell.walk()}
    read = {i.stage.name for cell in everything.values() for i in cell.inputs.values()}
    assert silver.QUALITY.name not in read
    # The results tell of the silver of each arm that learns from it.
    told = result.results.silver
    assert [each.arm for each in told] == [arm["name"] for arm in ARMS if arm.get("made")]
    assert all((each.notes, each.known) == (6, 6) and len(each.scores) == 3 for each in told)


def scored(plan, store, train):
    """Documents scored out of draw, by arm."""
    found = {}
    for target in plan.targets:
        if target.split == OUT_OF_DRAW:
            path = store.folder(target.cell) / SCORES
            out = CellScores.from_json(json.loads(path.read_text())).left_out
            found[target.arm] = [doc for i, doc in enumerate(train) if i not in set(out)]
    return found


def test_notes_are_never_scored_in_any_arm(finished):
    _, plan, store, config = finished
    by_arm = scored(plan, store, read_corpus(Path(config.corpus.train)).docs)
    (found,) = cells_of(plan, notes.STAGE)
    patients = {doc.metadata["patient"] for doc in load_docs(store.folder(found))}
    assert by_arm.keys() == {arm["name"] for arm in ARMS}
    ids = {tuple(doc.id for doc in docs) for docs in by_arm.values()}
    assert len(ids) == 1 and len(by_arm["gold"]) >= 4
    assert not patients & {doc.metadata["patient"] for doc in by_arm["gold"]}


def test_no_cell_but_scores_holds_a_scored_document(finished):
    _, plan, store, config = finished
    docs = scored(plan, store, read_corpus(Path(config.corpus.train)).docs)["gold"]
    docs += read_corpus(Path(config.corpus.test)).docs
    remarks = {doc.text.partition("Family says")[2] for doc in docs}
    n_checked = 0
    for each in (
        gold.STAGE,
        notes.STAGE,
        teachers.STAGE,
        *silver.STAGES,
        taught.STAGE,
        blind.STAGE,
        ner.STAGE,
    ):
        for cell in cells_of(plan, each):
            files = [p for p in store.folder(cell).rglob("*.json*") if p.name != "done.json"]
            text = "".join(path.read_text() for path in files)
            assert not [remark for remark in remarks if remark in text], cell.title
            n_checked += 1
    assert n_checked > 10


def test_labels_of_train_are_read_by_draws_scores_and_quality_alone():
    plan = make_plan(recipe(PATHS), SOURCES)
    readers = {
        cell.stage.name
        for target in plan.targets
        for cell in target.cell.walk()
        if "a" in cell.fingerprints.values()
    }
    assert readers == {"draw", "notes", "score", "silver-quality"}


def test_a_run_goes_on_where_it_stopped(tmp_path, encoder):
    paths = write(tmp_path)
    ner_ = {"encoder": encoder, "steps": 2, "batch_size": 4, "bf16": "no"}
    config = recipe(paths, arms=ARMS[:2], ner=ner_)
    first = run_recipe(config, tmp_path / "run", only=["stage=teachers"], cache=tmp_path / "c")
    assert first.n_computed == 5  # draw, notes, two students, their votes
    rest = run_recipe(config, tmp_path / "run", cache=tmp_path / "c")
    assert rest.n_left == 0
    stages = {row.stage: row.cells for row in rest.results.stages}
    assert (stages["notes"], stages["teachers"], stages["silver"], stages["ner"]) == (1, 1, 1, 3)


class Sure:
    """An annotator that finds nothing, and is killed on request."""

    labels, name, attributes = ("Sign",), "sure", ()

    def __init__(self, ends_after: int) -> None:
        self.left = ends_after

    def predict_scores(self, docs, *, batch_tokens=0, on_progress=None):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        spans = [tuple(words(doc.text)) for doc in docs]
        rows = [np.tile(np.array([0.8, 0.1, 0.1], np.float32), (len(s), 1)) for s in spans]
        return [WordScores(s, r) for s, r in zip(spans, rows, strict=True)]


def test_labelling_goes_on_after_the_shards_that_are_done(tmp_path, monkeypatch):
    monkeypatch.setattr(teachers, "_SHARD", 3)
    docs = [note("train", i) for i in range(8)]
    found, out, scratch = (tmp_path / name for name in ("notes", "out", "scratch"))
    for folder in (found, out, scratch):
        folder.mkdir()
    save_docs(docs, found)
    work = Work(Cell(teachers.STAGE), {"notes": found}, out, scratch, None)
    with pytest.raises(KeyboardInterrupt):
        teachers.label_notes(work, Sure(2))
    assert not list(out.iterdir())
    measured = teachers.label_notes(work, Sure(1))
    assert (measured.documents, measured.resumed) == (8, 6)
    assert list(load_scores(out)) == [doc.id for doc in docs] == [d.id for d in load_docs(out)]


def notes_cell(config, folder):
    """Runs the stage of notes for the first draw; gives its documents and metrics."""
    plan = make_plan(config, fingerprints_of(config, corpus_paths(config)))
    run_recipe(config, folder, only=["stage=notes"], cache=folder / "cache")
    store = CellStore(folder / "cells")
    cell = cells_of(plan, notes.STAGE)[0]
    return load_docs(store.folder(cell)), store.metrics_of(notes.STAGE, cell)


def test_notes_of_a_file_repeat_no_labelled_document(tmp_path):
    paths = write(tmp_path)
    own = [replace(note("own", i), id=f"train-{i}") for i in range(5)]
    same_text = [Document("copy", note("test", 1).text.replace(" ", "  "))]
    same_patient = [replace(note("more", 1), metadata={"patient": "train-p2"})]
    empty = [Document("empty", " ")]
    write_corpus([*own, *same_text, *same_patient, *empty], tmp_path / "notes.jsonl")
    paths["unlabelled"] = tmp_path / "notes.jsonl"
    config = recipe(paths, arms=ARMS[:2], draws={"unlabelled_documents": 0, "replicates": 2})
    docs, measured = notes_cell(config, tmp_path / "run")
    assert [doc.id for doc in docs] == [f"notes/train-{i}" for i in range(5)]
    assert not any(doc.entities for doc in docs)
    assert measured.repeats == {"text": 1, "patient": 1} and measured.from_file == 5
    plan = make_plan(config, fingerprints_of(config, corpus_paths(config)))
    # One reading for all draws, and no quality, for nobody knows the labels.
    assert len(cells_of(plan, notes.STAGE)) == 1 and not cells_of(plan, silver.QUALITY)


def test_both_kinds_of_notes_join_up_to_a_multiple_of_gold(tmp_path):
    paths = write(tmp_path)
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(4):
        (folder / f"{i}.txt").write_text(f"Another visit {i}: no complaints.")
    paths["unlabelled"] = folder
    arms = [ARMS[0], {**ARMS[1], "annotate": {"notes_per_gold": 2.0}}]
    docs, measured = notes_cell(recipe(paths, arms=arms), tmp_path / "run")
    assert len(docs) == 8 and (measured.from_train, measured.from_file) == (6, 2)
    assert [doc.id.startswith("notes/") for doc in docs] == [False] * 6 + [True] * 2


def test_notes_that_are_all_labelled_documents_are_an_error(tmp_path):
    paths = write(tmp_path)
    write_corpus([note("train", i) for i in range(3)], tmp_path / "notes.jsonl")
    paths["unlabelled"] = tmp_path / "notes.jsonl"
    config = recipe(paths, arms=ARMS[:2], draws={"unlabelled_documents": 0})
    with pytest.raises(StageError, match="no note to label that repeats no labelled document"):
        notes_cell(config, tmp_path / "run")


def test_more_notes_than_train_has_are_an_error(tmp_path):
    config = recipe(write(tmp_path), arms=ARMS[:2], draws={"unlabelled_documents": 23})
    with pytest.raises(StageError, match=r"4 documents and 23 as notes .* train holds 26; lower"):
        notes_cell(config, tmp_path / "run")


def test_folds_learn_from_notes_of_a_file():
    paths = {"train": "train.jsonl", "unlabelled": "notes"}
    config = recipe(
        paths, arms=ARMS[:2], draws={"unlabelled_documents": 0}, evaluate={"protocol": "cross-fit"}
    )
    plan = make_plan(config, Fingerprints(train="a", unlabelled="n"))
    assert len(cells_of(plan, notes.STAGE)) == 1
    # Of each fold, and of all gold for the student that ships.
    assert len(cells_of(plan, silver.STAGE)) == len(cells_of(plan, teachers.STAGE)) == 5 + 1


def test_a_bad_note_is_named_with_what_a_recipe_can_change(tmp_path):
    (tmp_path / "notes.jsonl").write_text('{"body": "Cough."}\n')
    reading = recipe(PATHS).corpus
    with pytest.raises(ValueError, match=r"corpus.unlabelled: .*notes.jsonl"):
        notes.read_notes(tmp_path / "notes.jsonl", reading, notes.FileSettings())
    file = notes.FileSettings(text_field="body")
    found = notes.read_notes(tmp_path / "notes.jsonl", reading, file)
    assert [doc.text for doc in found.docs] == ["Cough."]


def test_keys_of_recipes_without_notes_are_what_they_were():
    """Options of notes touch no cell of arms that learn from none."""

    def keys(config):
        return {cell.key for target in make_plan(config, SOURCES).targets for cell in [target.cell]}

    plain = tiny_recipe(PATHS)
    other = tiny_recipe(PATHS, annotate={"students": 3, "labels": "hard"})
    assert keys(plain) == keys(other)
    notes_ = make_plan(recipe(PATHS, draws={"unlabelled_documents": 3}), SOURCES)
    curve = make_plan(recipe(PATHS, arms=ARMS[:1], draws={"unlabelled_documents": 0}), SOURCES)
    on_test = {t.cell.key for t in notes_.targets if t.arm == "gold" and t.split == "test"}
    assert on_test == {t.cell.key for t in curve.targets if t.split == "test"}


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"annotate": {"by": ["oracle"]}}, "annotate.by names 'oracle'; there are students"),
        ({"annotate": {"by": ["students", "students"]}}, "annotate.by names one twice"),
        ({"annotate": {"teachers": ["nobody"]}}, "is taught by 'nobody'; the recipe has the arms"),
        ({"annotate": {"teachers": []}}, "annotate.teachers is empty"),
        ({"annotate": {"teachers": ["x"]}}, "'x' is its own teacher"),
        ({"annotate": {"teachers": ["y"]}}, "'x' is its own teacher, directly or through others"),
        ({"annotate": {"teaches": ["gold"]}}, "annotate.teaches lacks 'notes'; add it"),
        ({"annotate": {"teaches": ["notes", "made"]}}, "has no made text beside notes"),
        ({"annotate": {"teaches": ["notes", "gold"], "students": 1}}, "set that to 2 or more"),
    ],
)
def test_annotators_and_teachers_are_checked(arm, message):
    arms = [{"name": "gold"}, {"name": "x", "made": ["silver"], **arm}]
    arms += [{"name": "y", "made": ["silver"], "annotate": {"teachers": ["gold", "x"]}}]
    with pytest.raises(ConfigError, match=message) as error:
        check_arms(recipe(PATHS, arms=arms))
    assert "\n" not in str(error.value)


def test_silver_needs_notes_and_cross_fit_has_none_of_its_own():
    with pytest.raises(ConfigError, match=r"there are none: give corpus.unlabelled"):
        check_arms(recipe(PATHS, draws={"unlabelled_documents": 0}))
    with pytest.raises(ValueError, match="cross-fit scores every document of train"):
        recipe({"train": "train.jsonl"}, evaluate={"protocol": "cross-fit"})


def test_an_arm_changes_annotate_and_a_saved_recipe_reads_back_equal(tmp_path):
    config = recipe(PATHS)
    assert config.arm[2].annotate.labels == "hard" and config.arm[2].annotate.students == 2
    saved = save_recipe(config, tmp_path)
    assert load_recipe(str(saved)) == config
    small = preview(config)
    assert small.draws.unlabelled_documents == 6
    assert [arm.annotate.students for arm in small.arm] == [2] * len(ARMS)
    assert np.all([arm.annotate.notes_per_gold == 2.0 for arm in small.arm])
