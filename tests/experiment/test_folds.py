import json

import pytest
from pydantic import ValidationError

from notesmith.corpus import write_corpus
from notesmith.document import Document
from notesmith.errors import ConfigError, StageError
from notesmith.evaluate.scores import CellScores, hash_ids, join_folds
from notesmith.experiment import run_recipe
from notesmith.experiment.artefacts import load_docs
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.plan import SHIPPED, make_plan
from notesmith.experiment.run import corpus_paths, fingerprints_of
from notesmith.experiment.store import CellStore
from notesmith.findings import OUT_OF_FOLD

from .doubles import DOUBLES, note, tiny_recipe

ARMS = [
    {"name": "gold"},
    {"name": "replacement", "made": ["replaced"]},
    {"name": "synthetic", "made": ["synthetic"]},
    {"name": "both", "made": ["synthetic", "replaced"]},
]
# Twelve notes of six patients; the last stands twice, under another patient.
NOTES = [note("train", i) for i in range(12)]
TWICE = Document("copy", NOTES[11].text, NOTES[11].entities, metadata={"patient": "other"})
FOLDS = 3


def cross_fit(path, **changes):
    evaluate = {"protocol": "cross-fit", "folds": FOLDS, "resamples": 200}
    return tiny_recipe(
        {"train": path},
        arm=ARMS,
        draws={"sizes": [13], "replicates": 2, "curve": [6]},
        evaluate={"against": {"both": "replacement"}, **evaluate},
        **changes,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    write_corpus([*NOTES, TWICE], folder / "notes.jsonl")
    config = cross_fit(folder / "notes.jsonl")
    out = folder / "run"
    result = run_recipe(config, out, instead=DOUBLES, cache=out / "cache", keep_models=True)
    plan = make_plan(config, fingerprints_of(config, corpus_paths(config)))
    return result, plan, CellStore(out / "cells")


def targets(plan, stage):
    return [target for target in plan.targets if target.cell.stage.name == stage]


def folds_of(target):
    return [cell for name, cell in target.cell.inputs.items() if name != "gold"]


def test_every_note_is_scored_once_a_replicate(finished):
    _, plan, store = finished
    for target in targets(plan, "gather"):
        parts = [load_docs(store.folder(cell.inputs["documents"])) for cell in folds_of(target)]
        assert sorted(doc.id for part in parts for doc in part) == sorted(
            doc.id for doc in (*NOTES, TWICE)
        )
        assert len(parts) == FOLDS and min(map(len, parts)) >= 4


def test_patients_and_equal_texts_are_in_one_fold(finished):
    _, plan, store = finished
    for target in targets(plan, "gather"):
        for what in (lambda doc: doc.metadata["patient"], lambda doc: doc.text):
            seen = [
                {what(doc) for doc in load_docs(store.folder(cell.inputs["documents"]))}
                for cell in folds_of(target)
            ]
            assert sum(map(len, seen)) == len(set.union(*seen))


def test_nothing_that_a_fold_is_scored_with_has_read_it(finished):
    """By text: of what lies below a fold's student, only the whole draw holds its documents."""
    _, plan, store = finished
    n_checked = 0
    for target in targets(plan, "gather"):
        for scored in folds_of(target):
            held = {doc.text for doc in load_docs(store.folder(scored.inputs["documents"]))}
            remarks = {text.partition("Family says")[2] for text in held}
            students = list(scored.inputs["model"].walk())
            for cell in students:
                if cell.stage.name in ("draw", "fold-out"):
                    continue
                files = [p for p in store.folder(cell).rglob("*.json*") if p.name != "done.json"]
                text = "".join(path.read_text() for path in files)
                assert not [part for part in held | remarks if part in text]
                n_checked += 1
            # The draw and the fold are read by nothing that trains or writes.
            for cell in students:
                read = {below.stage.name for below in cell.inputs.values()}
                assert "fold-out" not in read or cell.stage.name == "filter"
                assert "draw" not in read or cell.stage.name in ("fold", "fold-out")
    assert n_checked > 50


def test_replicates_divide_the_same_notes_anew(finished):
    _, plan, _ = finished
    divided = {
        target.replicate: [cell.inputs["documents"].key for cell in folds_of(target)]
        for target in targets(plan, "gather")
        if target.arm == "gold" and target.size == 13
    }
    assert not set(divided[0]) & set(divided[1])
    assert len({target.cell.inputs["gold"].key for target in targets(plan, "gather")}) == 1


def test_a_point_of_the_curve_is_scored_on_the_same_folds(finished):
    _, plan, store = finished
    at = {t.size: folds_of(t) for t in targets(plan, "gather") if t.arm == "gold"}
    assert [c.inputs["documents"].key for c in at[6]] == [c.inputs["documents"].key for c in at[13]]
    for small, large in zip(at[6], at[13], strict=True):
        few = {doc.id for doc in load_docs(store.folder(small.inputs["gold"]))}
        many = {doc.id for doc in load_docs(store.folder(large.inputs["gold"]))}
        assert few < many and len(few) == round(len(many) * 6 / 13)


def test_results_cover_all_notes_and_say_how(finished):
    result, _, _ = finished
    assert result.n_left == 0
    results = json.loads((result.folder / "results.json").read_text())
    assert results["split"] == OUT_OF_FOLD
    assert results["power"]["n_documents"] == 13
    assert results["corpus"]["train"]["documents"] == 13
    assert {arm["n_replicates"] for arm in results["arms"]} == {2}
    assert results["learning_curve"]["sizes"] == [6, 13]
    assert results["varied"][0] == "division into folds"
    assert results["seal"]["opened"] == 1
    assert len(results["made"]) == 2 * FOLDS
    assert "no test set" in (result.folder / "report.html").read_text()


def test_what_ships_is_made_from_all_folds(finished):
    result, plan, store = finished
    shipped = {t.arm: t.cell for t in plan.targets if t.split == SHIPPED}
    assert sorted(shipped) == ["both", "gold"]
    thin = shipped["both"].inputs["synthetic"]
    union = thin.inputs["made"]
    each = [load_docs(store.folder(cell)) for cell in union.inputs.values()]
    assert len(load_docs(store.folder(union))) == sum(map(len, each))
    kept = load_docs(store.folder(thin))
    assert len(kept) == round(sum(map(len, each)) / (FOLDS - 1))
    assert {doc.id.partition("/")[0] for doc in kept} == {"fold-1", "fold-2", "fold-3"}
    assert len(load_docs(store.folder(shipped["both"].inputs["gold"]))) == 13
    models = json.loads((result.folder / "models.json").read_text())
    assert {(model["arm"], model["replicate"]) for model in models} == {("both", 0), ("gold", 0)}


def test_too_few_patients_are_an_error(tmp_path):
    write_corpus(NOTES, tmp_path / "notes.jsonl")
    config = cross_fit(tmp_path / "notes.jsonl")
    config = config.model_copy(
        update={
            "evaluate": config.evaluate.model_copy(update={"folds": 7}),
            "draws": config.draws.model_copy(update={"sizes": (12,)}),
        }
    )
    with pytest.raises(StageError, match=r"6 patients or documents cannot make 7 folds"):
        run_recipe(config, tmp_path / "run", instead=DOUBLES, cache=tmp_path / "cache")


def test_a_test_set_or_a_larger_curve_does_not_fit(tmp_path):
    with pytest.raises(ValidationError, match=r"leave out corpus\.test"):
        tiny_recipe({"train": "a", "test": "b"}, evaluate={"protocol": "cross-fit"})
    config = tiny_recipe({"train": "a"}, evaluate={"protocol": "cross-fit"})
    with pytest.raises(ConfigError, match=r"draws\.curve has 10"):
        make_plan(config, Fingerprints(train="a"))


def part(ids, rows):
    counts = tuple(rows)
    return (
        ids,
        CellScores(
            "a", 4, 0, 1, OUT_OF_FOLD, hash_ids(ids), tuple(range(len(ids))),
            {"X": counts}, counts, counts, counts, counts, 2.0, 10,
        ),
    )  # fmt: skip


def test_folds_are_joined_in_the_order_of_the_corpus():
    docs = [
        Document(x, f"text {x}", metadata={"patient": "p"} if x in "ad" else {}) for x in "abcd"
    ]
    joined = join_folds(
        docs, [part(["d", "b"], [(1, 0, 0), (2, 0, 0)]), part(["a", "c"], [(3, 0, 0), (4, 1, 0)])]
    )
    assert joined.strict == {"X": ((3, 0, 0), (2, 0, 0), (4, 1, 0), (1, 0, 0))}
    assert joined.groups == (0, 1, 2, 0)
    assert joined.ids_hash == hash_ids(["a", "b", "c", "d"])
    assert (joined.seconds, joined.tokens) == (4.0, 20)


def test_a_document_in_two_folds_or_none_is_an_error():
    docs = [Document(x, f"text {x}") for x in "ab"]
    row = (1, 0, 0)
    with pytest.raises(StageError, match="'a' is in two folds"):
        join_folds(docs, [part(["a"], [row]), part(["a", "b"], [row, row])])
    with pytest.raises(StageError, match="'b' is in no fold"):
        join_folds(docs, [part(["a"], [row])])
