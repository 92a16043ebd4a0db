"""Annotators other than students in recipes, and names mined from what annotators say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from notesmith.corpus import read_corpus, write_corpus
from notesmith.errors import ConfigError, StageError
from notesmith.experiment import run_recipe
from notesmith.experiment.artefacts import load_docs, load_scores
from notesmith.experiment.plan import make_plan
from notesmith.experiment.recipes import check_arms
from notesmith.experiment.run import corpus_paths, fingerprints_of
from notesmith.experiment.stages import dictionary, mined, names, rivals, silver, tagger
from notesmith.experiment.stages.mined import load_mined
from notesmith.experiment.store import CellStore
from notesmith.metrics import fold_mention
from notesmith.ner.decode import score_of
from notesmith.results import Model
from notesmith.synthesis import NameSet

from .doubles import DOUBLES, SIGNS, note, tiny_recipe, write_notes

PATHS = {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"}
LOOSE = {"mined": {"min_count": 1, "min_confidence": 0.5}}


def by_tagger(path: Path, **more) -> dict:
    return {"by": ["tagger"], "tagger": {"path": str(path), **more}, **LOOSE}


def recipe(paths, arms, **changes):
    return tiny_recipe(
        paths,
        arm=[{"name": "gold"}, *arms],
        draws={"sizes": [4], "replicates": 1, "curve": [], "unlabelled_documents": 12},
        evaluate={"against": {}},
        **changes,
    )


def write(folder: Path) -> dict[str, Path]:
    paths = write_notes(folder)
    write_corpus([note("train", i) for i in range(40)], paths["train"])
    return paths


def predictions(folder: Path, *, score: float | None = 0.99, labels=("DX", "LAB")) -> Path:
    """What another tagger says of train: its labels, and their truth."""
    docs = []
    for doc in read_corpus(folder / "train.jsonl").docs:
        said = () if score is None else (f"score={score}",)
        docs.append(
            doc.with_entities(
                replace(ent, label=label, attributes=said)
                for ent, label in zip(doc.entities, labels, strict=True)
            )
        )
    write_corpus(docs, folder / "predicted.jsonl")
    return folder / "predicted.jsonl"


MAP = {"DX": "Sign", "LAB": "Test"}


def cells_of(plan, stage):
    found = {cell.key: cell for target in plan.targets for cell in target.cell.walk()}
    return [cell for cell in found.values() if cell.stage == stage]


def finished(config, folder, **more):
    """Runs a recipe with doubles for what needs torch; gives its plan and cells."""
    result = run_recipe(config, folder / "run", instead=DOUBLES, cache=folder / "cache", **more)
    plan = make_plan(config, fingerprints_of(config, corpus_paths(config)))
    return result, plan, CellStore(folder / "run" / "cells")


def test_a_tagger_and_a_dictionary_label_notes_together(tmp_path):
    paths = write(tmp_path)
    (tmp_path / "signs.txt").write_text("\n".join(SIGNS))
    annotate = by_tagger(predictions(tmp_path), label_map=MAP)
    annotate |= {
        "by": ["dictionary", "tagger"],
        "dictionary": {"term_lists": {"Sign": str(tmp_path / "signs.txt")}},
    }
    config = recipe(paths, [{"name": "two", "made": ["silver"], "annotate": annotate}])
    result, plan, store = finished(config, tmp_path)
    assert result.n_left == 0
    (found,) = cells_of(plan, silver.STAGE)
    truth = {doc.id: doc for doc in read_corpus(paths["train"]).docs}
    docs = load_docs(store.folder(found))
    assert len(docs) == 12
    for doc in docs:
        wanted = {ent.spans for ent in truth[doc.id].entities if ent.label == "Sign"}
        assert wanted <= {ent.spans for ent in doc.entities}
    (looked_up,) = cells_of(plan, dictionary.STAGE)
    measured = store.metrics_of(dictionary.STAGE, looked_up)
    assert measured.names >= len(SIGNS) and 0 <= measured.missed < 0.2
    rows = load_scores(store.folder(looked_up))
    assert list(rows) == [doc.id for doc in docs]
    (quality,) = cells_of(plan, silver.QUALITY)
    assert store.metrics_of(silver.QUALITY, quality).by_label["Sign"][1] == 100


def test_what_a_tagger_reads_is_in_the_key(tmp_path):
    paths = write(tmp_path)
    annotate = by_tagger(predictions(tmp_path), label_map=MAP)
    config = recipe(paths, [{"name": "t", "made": ["silver"], "annotate": annotate}])

    def key():
        plan = make_plan(config, fingerprints_of(config, corpus_paths(config)))
        return cells_of(plan, tagger.STAGE)[0].key

    first = key()
    predictions(tmp_path, score=0.5)
    assert key() != first


def test_notes_of_a_file_are_found_by_their_own_ids(tmp_path):
    paths = write(tmp_path)
    write_corpus([note("own", i).with_entities(()) for i in range(3)], tmp_path / "notes.jsonl")
    write_corpus([note("own", i) for i in range(3)], tmp_path / "predicted.jsonl")
    paths["unlabelled"] = tmp_path / "notes.jsonl"
    annotate = by_tagger(tmp_path / "predicted.jsonl", score=0.9)
    arms = [{"name": "t", "made": ["silver"], "annotate": annotate}]
    config = recipe(paths, arms)
    config = config.model_copy(
        update={"draws": config.draws.model_copy(update={"unlabelled_documents": 0})}
    )
    _, plan, store = finished(config, tmp_path, only=["stage=tagger"])
    docs = load_docs(store.folder(cells_of(plan, tagger.STAGE)[0]))
    assert [doc.id for doc in docs] == ["notes/own-0", "notes/own-1", "notes/own-2"]
    assert all(len(doc.entities) == 2 for doc in docs)
    assert all(score_of(ent) == pytest.approx(0.9, abs=0.01) for ent in docs[0].entities)
    write_corpus([note("own", i) for i in range(2)], tmp_path / "predicted.jsonl")
    with pytest.raises(StageError, match="doc 'own-2': the file of the tagger has no predictions"):
        finished(config, tmp_path, only=["stage=tagger"])


def mined_arm(path: Path) -> dict:
    return {"name": "mined", "made": ["replaced-mined"], "annotate": by_tagger(path, label_map=MAP)}


def test_mined_names_replace_mentions_at_a_ratio(tmp_path):
    paths = write(tmp_path)
    config = recipe(
        paths, [mined_arm(predictions(tmp_path))], augment={"mined_ratio": 1.0, "copies": 2}
    )
    result, plan, store = finished(config, tmp_path)
    assert result.n_left == 0
    (cell,) = cells_of(plan, mined.STAGE)
    found = load_mined(store.folder(cell))
    gold = load_docs(store.folder(cells_of(plan, cell.inputs["gold"].stage)[0]))
    known = {fold_mention(mention) for doc in gold for mention in doc.mentions()}
    listed = {name for some in found.by_label.values() for name in some}
    assert listed and not known & {fold_mention(name) for name in listed}
    assert store.metrics_of(mined.STAGE, cell).mined == {
        label: len(some) for label, some in found.by_label.items()
    }
    (made,) = cells_of(plan, rivals.MINED)
    docs = load_docs(store.folder(made))
    with_names = [ent for doc in docs for ent in doc.entities if found.by_label.get(ent.label)]
    assert docs and with_names
    folded = {fold_mention(name) for name in listed}
    for doc in docs:
        for ent in doc.entities:
            if found.by_label.get(ent.label):
                assert fold_mention(ent.mention(doc.text)) in folded


def test_the_quality_of_mined_names_is_measured_and_read_by_nothing(tmp_path):
    paths = write(tmp_path)
    config = recipe(paths, [mined_arm(predictions(tmp_path))])
    _, plan, store = finished(config, tmp_path)
    (cell,) = cells_of(plan, mined.QUALITY)
    found = store.metrics_of(mined.QUALITY, cell)
    # The predictions are the truth.
    assert found.precision == 100 and 0 < found.low < 100 and found.right == found.names > 0
    assert sum(n for _, n in found.by_label.values()) == found.names
    assert found.unseen_mentions > 0 and 0 <= found.unseen_covered <= 100
    assert {"metrics.json", "done.json"} == {p.name for p in store.folder(cell).iterdir()}
    everything = {cell.key: cell for target in plan.targets for cell in target.cell.walk()}
    read = {i.stage.name for cell in everything.values() for i in cell.inputs.values()}
    assert mined.QUALITY.name not in read


def test_wrong_labels_lower_the_precision_of_mined_names(tmp_path):
    paths = write(tmp_path)
    swapped = predictions(tmp_path, labels=("LAB", "DX"))
    config = recipe(paths, [mined_arm(swapped)])
    _, plan, store = finished(config, tmp_path)
    found = store.metrics_of(mined.QUALITY, cells_of(plan, mined.QUALITY)[0])
    assert found.right == 0 and found.low == 0 and found.names > 0


def test_the_generator_is_asked_for_mined_names(tmp_path, monkeypatch):
    paths = write(tmp_path)
    annotate = by_tagger(predictions(tmp_path), label_map=MAP)
    asked = {"units": 8, "names": {"proposals": 12, "mined": True}}
    arms = [{"name": "synthetic", "made": ["synthetic"]}]
    config = recipe(paths, arms, annotate=annotate, synthesize=asked)
    seen = {}

    def proposing(lm, gold, config, *, seed, terms, on_progress):
        seen.update(terms)
        return NameSet(terms, {}, 0, 0.0)

    monkeypatch.setattr(names, "load_base", lambda *args: None)
    monkeypatch.setattr(names, "about", lambda lm: Model(name="double", licence="none"))
    monkeypatch.setattr(names, "propose_names", proposing)
    monkeypatch.setitem(DOUBLES, "names", names.run)
    _, plan, store = finished(config, tmp_path, only=["stage=names"])
    (cell,) = cells_of(plan, names.STAGE)
    found = load_mined(store.folder(cell.inputs["mined"])).by_label
    assert found and seen == {label: list(some) for label, some in found.items()}
    plain = recipe(paths, arms, synthesize={"units": 8, "names": {"proposals": 12}})
    without = make_plan(plain, fingerprints_of(plain, corpus_paths(plain)))
    assert cells_of(without, names.STAGE)[0].inputs.keys() == {"gold"}


def test_mining_needs_notes_and_teachers_that_need_no_names():
    asked = {"names": {"mined": True}}
    arms = [{"name": "synthetic", "made": ["synthetic"]}]
    without = recipe(PATHS, arms, synthesize=asked)
    without = without.model_copy(
        update={"draws": without.draws.model_copy(update={"unlabelled_documents": 0})}
    )
    with pytest.raises(ConfigError, match=r"'synthesize\.names\.mined' learns from notes without"):
        check_arms(without)
    circle = recipe(PATHS, arms, synthesize=asked, annotate={"teachers": ["gold", "synthetic"]})
    with pytest.raises(ConfigError, match="students of arm 'synthetic' label the notes and learn"):
        check_arms(circle)
    check_arms(recipe(PATHS, arms, synthesize=asked))
