"""A language model labels the notes of a recipe: tuned on gold, or shown some of it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from threading import Thread

import pytest

from notesmith.corpus import write_corpus
from notesmith.errors import ConfigError
from notesmith.experiment import run_recipe
from notesmith.experiment.artefacts import load_docs, load_scores
from notesmith.experiment.consent import server_of
from notesmith.experiment.cost import CorpusStats, SplitStats, TrainStats, UnitStats
from notesmith.experiment.graph import Context, Work
from notesmith.experiment.plan import make_plan
from notesmith.experiment.run import corpus_paths, fingerprints_of
from notesmith.experiment.stages import annotator, lm_labels, notes, silver
from notesmith.experiment.store import CellStore
from notesmith.ner.decode import score_of
from tests.lm.tiny import tiny_lm

from .doubles import DOUBLES, SIGNS, note, tiny_recipe, write_notes
from .test_server import Answering, Handler

INSTEAD = {name: run for name, run in DOUBLES.items() if name in ("ner", "score")}
DRAWN = {"max_new_tokens": 40, "batch_size": 8}


def arm(name: str, **lm: object) -> dict[str, object]:
    return {"name": name, "made": ["silver"], "annotate": {"by": [name], "lm": DRAWN | lm}}


def recipe(paths, model, arms, **changes):
    return tiny_recipe(
        paths,
        arm=[{"name": "gold"}, *arms],
        draws={"sizes": [4], "replicates": 1, "curve": [], "unlabelled_documents": 3},
        lm={"model": str(model), "trim": False},
        sft={"epochs": 1.0, "replaced_copies": 1, "batch_size": 8, "learning_rate": 1e-3},
        evaluate={"against": {}},
        **changes,
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With room for prompts in a vocabulary of letters."""
    lm = tiny_lm("llama")
    lm.model.config.max_position_embeddings = 4096
    lm.save(folder := tmp_path_factory.mktemp("lm") / "tiny")
    return folder


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("corpus")
    paths = write_notes(folder)
    write_corpus([note("train", i) for i in range(26)], paths["train"])
    return paths


def plan_of(config):
    return make_plan(config, fingerprints_of(config, corpus_paths(config)))


def cells_of(plan, stage):
    found = {cell.key: cell for target in plan.targets for cell in target.cell.walk()}
    return [cell for cell in found.values() if cell.stage == stage]


@pytest.fixture(scope="module")
def finished(paths, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    arms = [arm("lm-json"), arm("lm-inline", max_new_tokens=200), arm("prompted", shots=1)]
    config = recipe(paths, model, arms)
    result = run_recipe(config, folder, instead=INSTEAD, cache=folder / "cache", keep_models=True)
    return result, plan_of(config), CellStore(folder / "cells")


def test_every_annotator_labels_all_notes_and_counts_what_it_could_not_use(finished):
    result, plan, store = finished
    assert result.n_left == 0
    (found,) = cells_of(plan, notes.STAGE)
    texts = [(doc.id, doc.text) for doc in load_docs(store.folder(found))]
    cells = {cell.arm: cell for cell in cells_of(plan, lm_labels.STAGE)}
    assert cells.keys() == {"lm-json", "lm-inline", "prompted"}
    for name, cell in cells.items():
        docs = load_docs(store.folder(cell))
        assert [(doc.id, doc.text) for doc in docs] == texts
        assert list(load_scores(store.folder(cell))) == [doc.id for doc in docs]
        assert all(score_of(ent) is not None for doc in docs for ent in doc.entities)
        measured = store.metrics_of(lm_labels.STAGE, cell)
        assert measured.documents == 3 and measured.answers == measured.units >= 6
        assert measured.resumed == 0 and measured.tokens > 0
        assert (measured.lm is not None) == (name == "prompted")
        assert sum(measured.mentions.values()) == sum(len(doc.entities) for doc in docs)
        # Nothing but being cut off can befall a copy.
        assert name != "lm-inline" or measured.failures.keys() <= {"cut off"}
    assert len(cells_of(plan, silver.STAGE)) == 3


def test_an_annotator_is_tuned_for_each_form(finished):
    _, plan, store = finished
    tuned = cells_of(plan, annotator.STAGE)
    assert sorted(cell.config.asking.form for cell in tuned) == ["inline", "json"]
    for cell in tuned:
        measured = store.metrics_of(annotator.STAGE, cell)
        assert measured.units > measured.without > 0
        assert measured.steps > 0 and measured.lm.name == "tiny-llama"


def test_an_interrupted_cell_goes_on_from_its_answers(finished, tmp_path):
    result, plan, store = finished
    cell = next(c for c in cells_of(plan, lm_labels.STAGE) if c.arm == "lm-inline")
    inputs = {name: store.folder(before) for name, before in cell.inputs.items()}
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    context = Context(Path(), {}, Path, result.folder / "cache", {})

    def run(name: str) -> tuple[lm_labels.Measured, Path]:
        out = tmp_path / name
        out.mkdir()
        return lm_labels.run(Work(cell, inputs, out, scratch, context)), out

    first, one = run("first")
    log = scratch / "samples.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]) + lines[2][:30])
    again, two = run("again")
    assert first.resumed == 0 and again.resumed == 2
    assert 0 < again.tokens < first.tokens
    assert load_docs(one) == load_docs(two) == load_docs(store.folder(cell))


def test_how_answers_are_drawn_leaves_the_tuned_model_as_it_is(paths, model):
    def keys(**lm):
        plan = plan_of(recipe(paths, model, [arm("lm-json", **lm)]))
        (tuned,), (labels,) = cells_of(plan, annotator.STAGE), cells_of(plan, lm_labels.STAGE)
        return tuned.key, labels.key

    tuned, labels = keys()
    free = keys(constrain=False)
    assert free[0] == tuned and free[1] != labels
    agreeing = keys(confidence="agreement")
    assert agreeing[0] == tuned and agreeing[1] != labels
    assert keys(shots=3) == (tuned, labels)
    longer = keys(epochs=3)
    assert longer[0] != tuned and longer[1] != labels
    assert keys(unit="passage")[0] != tuned
    assert keys(context_words=4)[0] != tuned


def test_unknown_attributes_are_an_error(paths, model, tmp_path):
    config = recipe(paths, model, [arm("lm-json", attributes=["negated"])])
    with pytest.raises(ConfigError, match=r"annotate\.lm\.attributes"):
        run_recipe(config, tmp_path / "run", instead=INSTEAD, cache=tmp_path / "cache")


class Labelling(Handler):
    """Answers with the sign of the sentence that it was asked about."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        asked = request["prompt"].rpartition("Text:")[2]
        found = [{"text": sign, "label": "Sign"} for sign in SIGNS if sign in asked]
        choice = {"text": json.dumps(found), "finish_reason": "stop"}
        answer = json.dumps({"choices": [choice], "usage": {"completion_tokens": 9}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture
def answering(socket_enabled):
    with Answering() as server:
        server.RequestHandlerClass = Labelling
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def served(paths, model, url, name="prompted", **lm):
    sample = {"server": url, "server_model": "big", "constrain": "none"}
    free = {"constrain": False, "confidence": "agreement", "samples": 2, "shots": 1}
    return recipe(paths, model, [arm(name, **free | lm)], sample=sample)


def test_a_model_on_a_server_labels_the_notes(paths, model, answering, tmp_path):
    config = served(paths, model, answering.url)
    result = run_recipe(config, tmp_path / "run", instead=INSTEAD, cache=tmp_path / "cache")
    assert result.n_left == 0
    (cell,) = cells_of(plan_of(config), lm_labels.STAGE)
    store = CellStore(tmp_path / "run" / "cells")
    measured = store.metrics_of(lm_labels.STAGE, cell)
    assert measured.answers == 2 * measured.units == len(answering.requests)
    assert measured.failures == {} and measured.mentions == {"Sign": 3}
    docs = load_docs(store.folder(cell))
    assert all(score_of(ent) == 1 for doc in docs for ent in doc.entities)
    assert docs[0].provenance.model == "big, json"
    (found,) = cells_of(plan_of(config), notes.STAGE)
    assert all(not doc.entities for doc in load_docs(store.folder(found)))


def test_a_server_elsewhere_labels_only_where_that_was_allowed(paths, model, monkeypatch):
    where = [(None, None, 0, "", ("10.0.0.5", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: where)
    url = "http://gpu.example/v1"
    with pytest.raises(ConfigError, match="notes to be labelled, would be sent there"):
        server_of(served(paths, model, url), frozenset())
    found = server_of(served(paths, model, url), frozenset({"gpu.example"}))
    assert found is not None and found.host == "gpu.example"
    assert server_of(served(paths, model, url, "lm-json"), frozenset()) is None


def test_what_a_server_cannot_do_is_said_before_the_run(paths, model):
    with pytest.raises(ConfigError, match=r"set annotate\.lm\.constrain to false"):
        plan_of(served(paths, model, "http://127.0.0.1:1/v1", constrain=True))
    with pytest.raises(ConfigError, match=r"annotate\.lm\.confidence to 'agreement'"):
        plan_of(served(paths, model, "http://127.0.0.1:1/v1", confidence="tokens"))


# Ten documents with two sentences of ten words; one word in five is a mention; prompts of 5 words.
SPLIT = SplitStats(10, 200, {"Sign": 40})
FACTS = CorpusStats(TrainStats(SPLIT, UnitStats((10,) * 20, 100, 15), UnitStats((10,) * 20)), {})


def test_costs_are_the_answers_and_what_is_learnt(paths, model):
    def amounts(name, **lm):
        plan = plan_of(recipe(paths, model, [arm(name, **lm)]))
        stages = (annotator.STAGE, lm_labels.STAGE)
        return [cell.amount(FACTS) for stage in stages for cell in cells_of(plan, stage)]

    # Three notes of 20 words. Inline, each is copied, with a mark for each of 12 mentions.
    tuned, inline = amounts("lm-inline")
    assert inline.sampled == pytest.approx(60 + 12)
    assert inline.trained == pytest.approx((60 + 72) / 3)
    # Four of ten documents, once, and their copies: each sentence, its answer and its prompt.
    learnt = (200 + 240 + 100) * 0.4
    looks = learnt * 0.1 * 3 / 3
    assert tuned.trained == pytest.approx(learnt * 0.9 * 2 + looks)
    _, json_ = amounts("lm-json")
    assert json_.sampled == pytest.approx(12 * (2 * 2 + 2 + 11))
    _, agreeing = amounts("lm-json", confidence="agreement", samples=3)
    assert agreeing.sampled == pytest.approx(3 * json_.sampled) and agreeing.trained == 0
    assert [amount.sampled for amount in amounts("prompted")] == [json_.sampled]
