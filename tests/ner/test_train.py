from __future__ import annotations

import json

import pytest

from notesmith.config import IntegrationConfig, NerConfig
from notesmith.document import Document, Entity
from notesmith.errors import ModelError, StageError
from notesmith.metrics import score
from notesmith.models.manifest import write_manifest
from notesmith.ner import load_ner, train_ner
from notesmith.ner.settings import SETTINGS_FILE
from notesmith.words import GRID
from tests.ner.tiny import tiny_encoder

SENTENCES = [
    ("Patient denies fever and chest pain.", ["fever", "chest pain"]),
    ("History of asthma, given aspirin 81 mg daily.", ["asthma"]),
    ("Acute fracture of the left wrist after a fall.", ["fracture"]),
    ("No cough. Reports mild headache.", ["cough", "headache"]),
]


def make_doc(i: int, text: str, mentions: list[str], label: str = "Problem") -> Document:
    ents = []
    for mention in mentions:
        start = text.index(mention)
        ents.append(Entity(f"T{start}", label, ((start, start + len(mention)),)))
    return Document(f"d{i}", text, tuple(ents))


@pytest.fixture(scope="module")
def docs() -> list[Document]:
    return [make_doc(i, *row) for i, row in enumerate(SENTENCES * 4)]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> NerConfig:
    folder = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    return NerConfig(
        encoder=str(folder), steps=60, batch_size=8, learning_rate=3e-3, dropout=0.0, bf16="no"
    )


@pytest.fixture(scope="module")
def result(docs: list[Document], config: NerConfig):
    return train_ner(docs, config=config, seed=1)


def test_learns_what_it_is_shown(result, docs: list[Document]) -> None:
    predicted = result.model.predict(docs)
    assert score(docs, predicted).micro.f1 > 0.95
    assert [d.id for d in predicted] == [d.id for d in docs]
    assert result.history[-1]["step"] == 60
    assert result.history[-1]["loss"] < result.history[0]["loss"]


def test_same_seed_gives_the_same_weights(result, docs: list[Document], config: NerConfig) -> None:
    again = train_ner(docs, config=config, seed=1)
    for a, b in zip(
        result.model.model.state_dict().values(),
        again.model.model.state_dict().values(),
        strict=True,
    ):
        assert a.equal(b)


def test_prediction_does_not_look_at_entities(result, docs: list[Document]) -> None:
    bare = [d.with_entities(()) for d in docs]
    kept = [d.entities for d in result.model.predict(docs)]
    assert [d.entities for d in result.model.predict(bare)] == kept


def test_saves_what_it_loads_and_plain_transformers_loads(result, docs, tmp_path) -> None:
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    folder = tmp_path / "model"
    result.model.save(folder)
    assert [p.name for p in folder.iterdir() if p.stat().st_mode & 0o077] == []
    loaded = load_ner(folder)
    assert loaded.predict(docs) == result.model.predict(docs)
    plain = AutoModelForTokenClassification.from_pretrained(folder)
    assert plain.config.id2label == {0: "O", 1: "B-Problem", 2: "I-Problem"}
    tagger = pipeline(
        "token-classification", plain, tokenizer=AutoTokenizer.from_pretrained(folder)
    )
    assert {row["entity"] for row in tagger(docs[0].text)} == {"B-Problem", "I-Problem"}


def test_a_student_keeps_the_word_grid_it_was_trained_on(result, tmp_path) -> None:
    result.model.save(tmp_path / "m")
    note = Document("n", "Sjo\u0308gren disease")
    (scores,) = load_ner(tmp_path / "m").predict_scores([note])
    assert scores.words == ((0, 8), (9, 16))

    path = tmp_path / "m" / SETTINGS_FILE
    values = json.loads(path.read_text())
    assert values.pop("grid") == GRID
    path.write_text(json.dumps(values))  # as folders were before the grid had versions
    write_manifest(tmp_path / "m")
    old = load_ner(tmp_path / "m")
    assert old.predict_scores([note])[0].words == ((0, 3), (3, 4), (4, 8), (9, 16))
    old.save(tmp_path / "again")
    assert json.loads((tmp_path / "again" / SETTINGS_FILE).read_text())["grid"] == 1

    path.write_text(json.dumps({**values, "grid": GRID + 1}))
    with pytest.raises(ModelError, match=rf"word grid {GRID + 1} is not one of 1 to {GRID}; use"):
        load_ner(tmp_path / "m")


def test_damaged_folder_is_one_clear_error(result, tmp_path) -> None:
    with pytest.raises(ModelError, match=r"no notesmith\.json"):
        load_ner(tmp_path)
    (tmp_path / "notesmith.json").write_text(json.dumps({"labels": []}))
    with pytest.raises(ModelError, match="damaged"):
        load_ner(tmp_path)


def test_unknown_label_is_refused_in_training_and_counted_in_prediction(
    result, docs: list[Document], config: NerConfig
) -> None:
    strange = make_doc(99, "Given aspirin.", ["aspirin"], label="Drug")
    with pytest.raises(StageError, match="'d99': label Drug is not among"):
        train_ner([strange], config=config, labels=["Problem"], seed=1)
    assert result.model.count_unknown([*docs, strange]) == {"Drug": 1}


def test_nothing_to_learn_is_an_error(config: NerConfig) -> None:
    with pytest.raises(StageError, match="no document has an entity"):
        train_ner([Document("d", "Nothing here.")], config=config, seed=1)
    with pytest.raises(StageError, match="nothing to train on"):
        train_ner([], config=config, labels=["Problem"], seed=1)


def test_masked_words_are_not_learnt(docs: list[Document], config: NerConfig) -> None:
    from dataclasses import replace

    blank = [replace(d.with_entities(()), masked=((0, len(d.text)),)) for d in docs]
    result = train_ner(blank, config=config, labels=["Problem"], seed=1)
    assert all(row["loss"] == 0.0 for row in result.history)


@pytest.mark.parametrize("how", ["mix", "ratio", "pretrain-then-gold", "mix-then-gold"])
def test_every_integration_trains_for_the_same_steps(how, docs, config) -> None:
    changed = config.model_copy(update={"steps": 6, "integration": IntegrationConfig(how=how)})
    result = train_ner(docs[:4], docs[4:], config=changed, seed=2)
    assert result.history[-1]["step"] == 6
