"""Train documents that a draw did not use: scored by its students, read by nothing else of it."""

import json
from dataclasses import replace

import pytest

from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document
from notesmith.evaluate.scores import CellScores
from notesmith.experiment import collect, run_recipe
from notesmith.experiment.artefacts import load_docs
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.plan import make_plan
from notesmith.experiment.run import corpus_paths, fingerprints_of
from notesmith.experiment.stages.common import SCORES
from notesmith.experiment.stages.gold import not_out_of_draw, sampled
from notesmith.experiment.store import CellStore
from notesmith.findings import OUT_OF_DRAW

from .doubles import DOUBLES, note, tiny_recipe, write_notes

ARMS = [
    {"name": "gold"},
    {"name": "replacement", "made": ["replaced"]},
    {"name": "synthetic", "made": ["synthetic"]},
]


def recipe(paths, **changes):
    """Two draws of four of fourteen notes, whose patients have two notes each."""
    draws = {"sizes": [4], "curve": [6], **changes.pop("draws", {})}
    return tiny_recipe(paths, arm=ARMS, draws=draws, evaluate={"against": {}}, **changes)


def run(config, out):
    result = run_recipe(config, out, instead=DOUBLES, cache=out / "cache", keep_models=True)
    return result, make_plan(config, fingerprints_of(config, corpus_paths(config)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beyond")
    paths = write_notes(folder)
    result, plan = run(recipe(paths), folder / "run")
    return result, plan, CellStore(folder / "run" / "cells"), read_corpus(paths["train"]).docs


def beyond(plan):
    return [target for target in plan.targets if target.split == OUT_OF_DRAW]


def scores(store, target):
    return CellScores.from_json(json.loads((store.folder(target.cell) / SCORES).read_text()))


def scored(store, target, train):
    out = set(scores(store, target).left_out)
    return [doc for i, doc in enumerate(train) if i not in out]


def test_every_student_is_scored_beyond_its_draw(finished):
    _, plan, store, train = finished
    on_test = {(t.arm, t.size, t.replicate) for t in plan.targets if t.split == "test"}
    assert {(t.arm, t.size, t.replicate) for t in beyond(plan)} >= on_test
    for target in beyond(plan):
        found = scores(store, target)
        assert found.split == OUT_OF_DRAW and found.n_documents == len(train) == 14
        gold = {
            doc.metadata["patient"] for doc in load_docs(store.folder(target.cell.inputs["gold"]))
        }
        held = {i for i, doc in enumerate(train) if doc.metadata["patient"] in gold}
        # Documents of a drawn patient are left out with it.
        assert set(found.left_out) == held and len(held) > target.size
        # Both mentions of each document that is scored, and none of the others.
        counts = found.counts()
        assert [int(tp + fn) for tp, _, fn in counts] == [0 if i in held else 2 for i in range(14)]


def test_no_stage_of_a_draw_reads_what_it_did_not_draw(finished):
    """By text: no cell of a draw but its scores holds a note beyond it, or its remark."""
    _, plan, store, train = finished
    n_checked = 0
    for target in beyond(plan):
        remarks = {doc.text.partition("Family says")[2] for doc in scored(store, target, train)}
        assert len(remarks) >= 2
        of_draw = [
            t.cell for t in plan.targets if (t.size, t.replicate) == (target.size, target.replicate)
        ]
        cells = {cell.key: cell for each in of_draw for cell in each.walk()}
        for cell in (cell for cell in cells.values() if cell.stage.name != "score"):
            files = [p for p in store.folder(cell).rglob("*.json*") if p.name != "done.json"]
            text = "".join(path.read_text() for path in files)
            assert not [remark for remark in remarks if remark in text], cell.title
            n_checked += 1
    assert n_checked > 40


def test_their_labels_are_inputs_of_scoring_alone():
    paths = {split: f"{split}.jsonl" for split in ("train", "dev", "test")}
    plan = make_plan(recipe(paths), Fingerprints(train="a", dev="b", test="c"))
    readers = {
        (cell.stage.name, getattr(getattr(cell.config, "scored", None), "split", None))
        for target in plan.targets
        for cell in target.cell.walk()
        if "a" in cell.fingerprints.values()
    }
    assert readers == {("draw", None), ("score", OUT_OF_DRAW)}


def test_they_are_scored_beside_the_student_that_they_are_of(finished):
    """What is finished of a draw compares its arms on all that it is scored on."""
    _, plan, _, _ = finished
    order = [
        (t.replicate, t.arm, t.size, t.split) for t in plan.targets if t.cell.stage.name == "score"
    ]
    splits = [split for *_, split in order]
    assert splits == ["dev", "test", OUT_OF_DRAW] * (len(order) // 3)


def test_results_are_still_those_of_the_test_set(finished):
    result, _, _, _ = finished
    assert result.results.split == "test" and result.results.corpus["test"].documents == 6
    models = json.loads((result.folder / "models.json").read_text())
    assert len(models) == len({tuple(map(str, m.values())) for m in models}) == 8


def test_results_are_given_them_with_what_was_sealed(finished, monkeypatch):
    result, _, _, _ = finished
    given = {}
    assemble = collect.assemble

    def watched(cells, config, **more):
        given.update(more, cells=list(cells))
        return assemble(given["cells"], config, **more)

    monkeypatch.setattr(collect, "assemble", watched)
    from notesmith.experiment import write_results

    write_results(result.folder)
    assert {cell.split for cell in given["cells"]} == {"test"}
    assert {cell.split for cell in given["dev_cells"]} == {"dev"}
    found = given["out_of_draw_cells"]
    assert {cell.split for cell in found} == {OUT_OF_DRAW} and len(found) == len(given["cells"])
    assert given["planned"] == {4: 2, 6: 2} and given["pool"] == 14


def test_the_same_documents_are_sampled_for_all_draws(tmp_path):
    """So that differences of draws are of the same documents, but for those that they hold."""
    config = recipe(write_notes(tmp_path), draws={"out_of_draw_documents": 7, "replicates": 3})
    _, plan = run(config, tmp_path / "run")
    store = CellStore(tmp_path / "run" / "cells")
    train = read_corpus(tmp_path / "train.jsonl").docs
    seen = [{doc.id for doc in scored(store, t, train)} for t in beyond(plan)]
    assert len(set.union(*seen)) <= 7 and min(map(len, seen)) >= 1


def test_there_are_none_where_choices_are_made_or_all_is_drawn(tmp_path):
    paths = write_notes(tmp_path)
    sources = Fingerprints(train="a", dev="b", test="c")
    on_dev = tiny_recipe(paths, evaluate={"split": "dev"})
    none = tiny_recipe(paths, draws={"out_of_draw_documents": 0})
    folds = recipe({"train": paths["train"]}, draws={"curve": []})
    by_folds = folds.evaluate.model_copy(update={"protocol": "cross-fit"})
    folds = folds.model_copy(update={"evaluate": by_folds})
    for config in (on_dev, none, folds):
        assert not beyond(make_plan(config, sources))
    whole = recipe(paths, draws={"sizes": [14], "curve": []})
    result, plan = run(whole, tmp_path / "whole")
    store = CellStore(tmp_path / "whole" / "cells")
    assert all(scores(store, t).left_out == tuple(range(14)) for t in beyond(plan))
    assert result.n_left == 0 and result.results.split == "test"


def test_notes_that_a_model_chose_for_labelling_are_not_scored(tmp_path):
    paths = write_notes(tmp_path)
    train = [
        replace(doc, metadata={**doc.metadata, "queued": "chosen" if i < 6 else "control"})
        for i, doc in enumerate(read_corpus(paths["train"]).docs)
    ]
    write_corpus(train, paths["train"])
    _, plan = run(recipe(paths, draws={"curve": []}), tmp_path / "run")
    store = CellStore(tmp_path / "run" / "cells")
    seen = {doc.id for target in beyond(plan) for doc in scored(store, target, train)}
    assert seen and seen <= {doc.id for doc in train[6:]}


def test_several_students_are_pooled(tmp_path):
    config = recipe(write_notes(tmp_path), draws={"students": 2, "curve": []})
    _, plan = run(config, tmp_path / "run")
    store = CellStore(tmp_path / "run" / "cells")
    for target in beyond(plan):
        found = scores(store, target)
        each = [c for name, c in target.cell.inputs.items() if name != "gold"]
        first = CellScores.from_json(json.loads((store.folder(each[0]) / SCORES).read_text()))
        assert target.cell.stage.name == "pool" and found.students == 2
        assert found.left_out == first.left_out != ()


def test_text_and_patients_lead_from_one_document_to_another():
    train = [note("train", i) for i in range(6)]
    copy = Document("copy", train[0].text + " ", metadata={"patient": "other"})
    docs = [*train, copy, replace(note("train", 9), metadata={"patient": "other"})]
    # Note 0 is drawn: its patient's other note, its copy, and the other note of the copy's patient.
    assert not_out_of_draw(docs, [train[0]]) == {0, 1, 6, 7}
    assert not_out_of_draw(docs, []) == set()


def test_sentences_of_a_drawn_document_are_left_out_with_it():
    docs = [
        Document(f"s{i}", f"Sentence {i}.", metadata={"document": f"d{i // 3}"}) for i in range(9)
    ]
    assert not_out_of_draw(docs, [docs[4]]) == {3, 4, 5}


def test_a_sample_is_the_start_of_a_larger_one():
    small, large = sampled(50, 5, seed=3), sampled(50, 20, seed=3)
    assert set(small) < set(large) and sampled(50, 5, seed=4) != small == sorted(small)
    assert sampled(4, 9, seed=3) == [0, 1, 2, 3] and sampled(4, 0, seed=3) == []


def test_a_draw_of_one_topic_holds_the_documents_that_are_most_alike(tmp_path):
    paths = write_notes(tmp_path)
    docs = read_corpus(paths["train"]).docs
    topics = ("valve aorta atrium septum heart", "wrist ulna radius carpus hand")
    said = [f"{topic.replace(' ', 'x ')} {topic.replace(' ', 'y ')} {topic}" for topic in topics]
    alike = [replace(doc, text=f"{doc.text} {said[i % 2]}") for i, doc in enumerate(docs)]
    write_corpus(alike, paths["train"])
    config = recipe(paths, draws={"of": "topic", "unlabelled_documents": 4, "curve": []})
    config = config.model_copy(update={"arm": config.arm[:1]})
    _, plan = run(config, tmp_path / "run")
    store = CellStore(tmp_path / "run" / "cells")
    for target in beyond(plan):
        gold = load_docs(store.folder(target.cell.inputs["gold"]))
        assert len(gold) == 4
        assert len({doc.text.split()[-1] for doc in gold}) == 1


def test_cross_fit_has_no_gold_of_one_topic(tmp_path):
    paths = write_notes(tmp_path)
    with pytest.raises(ValueError, match="cross-fit draws no gold of one topic"):
        tiny_recipe(
            {"train": paths["train"]}, draws={"of": "topic"}, evaluate={"protocol": "cross-fit"}
        )
