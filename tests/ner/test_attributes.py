from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from notesmith.config import IntegrationConfig, NerConfig
from notesmith.document import Document, Entity, Provenance, attributes_in
from notesmith.errors import ConfigError, ModelError
from notesmith.models.manifest import write_manifest
from notesmith.ner import Decision, load_ner, train_committee, train_ner
from notesmith.ner.attribute_head import HEAD_FILE, attribute_loss, make_head
from notesmith.ner.attributes import (
    Attribute,
    best_values,
    choose_attributes,
    classes_to_learn,
)
from notesmith.ner.batch import MentionBatch, collate
from notesmith.ner.settings import SETTINGS_FILE
from notesmith.ner.windows import Mention, Window, encode
from notesmith.words import IGNORED
from tests.ner.tiny import tiny_encoder

NEGATED = Attribute("negated", ("negated",))
CERTAINTY = Attribute("Certainty", ("Certainty=high", "Certainty=low"))


def note(i: int, text: str, *mentions: tuple[str, tuple[str, ...]], **more) -> Document:
    ents = []
    for mention, attributes in mentions:
        at = text.index(mention)
        ents.append(Entity(f"T{at}", "Problem", ((at, at + len(mention)),), attributes))
    return Document(f"d{i}", text, tuple(ents), **more)


def toy() -> list[Document]:
    """Denied findings are negated, mild ones have a low certainty."""
    rows = []
    for finding in ("fever", "cough", "asthma", "chest pain"):
        rows.append((f"Patient denies {finding}.", (finding, ("negated",))))
        rows.append((f"Patient reports {finding} daily.", (finding, ())))
        rows.append((f"History of mild {finding}.", (finding, ("Certainty=low",))))
        rows.append((f"Acute {finding} given aspirin.", (finding, ("Certainty=high",))))
    return [note(i, text, mention) for i, (text, mention) in enumerate(rows)]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> NerConfig:
    folder = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    return NerConfig(
        encoder=str(folder),
        steps=120,
        batch_size=8,
        learning_rate=3e-3,
        dropout=0.0,
        bf16="no",
        attributes=("negated", "Certainty"),
    )


@pytest.fixture(scope="module")
def result(config: NerConfig):
    return train_ner(toy(), config=config, seed=1)


def spans_and_attributes(docs):
    return [[(e.spans, e.attributes) for e in d.entities] for d in docs]


def test_learns_a_toy_negation(result) -> None:
    assert result.model.attributes == (NEGATED, CERTAINTY)
    predicted = result.model.predict([doc.with_entities(()) for doc in toy()])
    assert spans_and_attributes(predicted) == spans_and_attributes(toy())


def test_two_mentions_of_a_sentence_differ(config: NerConfig) -> None:
    gold = [
        note(0, "Denies fever, reports cough.", ("fever", ("negated",)), ("cough", ())),
        note(1, "Denies cough, reports fever.", ("cough", ("negated",)), ("fever", ())),
    ]
    only = config.model_copy(update={"attributes": ("negated",)})
    model = train_ner(gold, config=only, seed=1).model
    assert spans_and_attributes(model.predict(gold)) == spans_and_attributes(gold)


def test_same_seed_gives_the_same_head(config: NerConfig) -> None:
    small = config.model_copy(update={"steps": 3})
    one, other = (train_ner(toy(), config=small, seed=1).model for _ in range(2))
    assert one.attribute_head.weight.equal(other.attribute_head.weight)


def test_saves_what_it_loads(result, tmp_path) -> None:
    result.model.save(tmp_path / "model")
    assert (tmp_path / "model" / HEAD_FILE).stat().st_mode & 0o077 == 0
    loaded = load_ner(tmp_path / "model")
    assert loaded.attributes == result.model.attributes
    assert loaded.predict(toy()) == result.model.predict(toy())


def test_a_damaged_head_is_one_clear_error(result, tmp_path) -> None:
    folder = tmp_path / "model"
    result.model.save(folder)
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    settings["attributes"][0]["values"] = ["negated", "other"]
    (folder / SETTINGS_FILE).write_text(json.dumps(settings))
    write_manifest(folder)
    with pytest.raises(ModelError, match=HEAD_FILE):
        load_ner(folder)
    (folder / HEAD_FILE).unlink()
    write_manifest(folder)
    with pytest.raises(ModelError, match="is absent, damaged"):
        load_ner(folder)


def test_a_student_without_attributes_is_saved_as_before_and_old_folders_load(
    config: NerConfig, tmp_path
) -> None:
    plain = config.model_copy(update={"attributes": None, "steps": 2})
    train_ner(toy(), config=plain, seed=1).model.save(tmp_path / "model")
    settings = json.loads((tmp_path / "model" / SETTINGS_FILE).read_text())
    assert "attributes" not in settings and "attributes" not in settings["ner"]
    assert not (tmp_path / "model" / HEAD_FILE).exists()
    loaded = load_ner(tmp_path / "model")
    assert loaded.attributes == () and loaded.attribute_head is None
    assert loaded.predict_scores(toy())[0].attributes is None


def test_packed_and_padded_predictions_are_the_same(result) -> None:
    model = result.model
    assert model.encoder.packed_from is not None
    padded = replace(model, encoder=replace(model.encoder, packed_from=None))
    assert padded.predict(toy()) == model.predict(toy())
    for one, other in zip(model.predict_scores(toy()), padded.predict_scores(toy()), strict=True):
        np.testing.assert_allclose(one.attributes, other.attributes, atol=1e-4)


def test_a_padding_encoder_learns_the_same(config: NerConfig, monkeypatch) -> None:
    monkeypatch.setattr("notesmith.ner.encoder.enable_packing", lambda model: False)
    longer = config.model_copy(update={"steps": 250})
    model = train_ner(toy(), config=longer, seed=1).model
    assert model.encoder.packed_from is None
    assert spans_and_attributes(model.predict(toy())) == spans_and_attributes(toy())


@pytest.mark.parametrize("pieces", ["first", "mean"])
def test_windows_of_long_notes(config: NerConfig, pieces) -> None:
    text = " ".join(doc.text for doc in toy())
    at = 0
    ents = []
    for doc in toy():
        ents += [replace(e.shift(at), id=f"{doc.id}{e.id}") for e in doc.entities]
        at += len(doc.text) + 1
    long = Document("long", text, tuple(ents))
    change = {"unit": "document", "max_tokens": 24, "stride": 8, "pieces": pieces, "steps": 150}
    model = train_ner([long], config=config.model_copy(update=change), seed=1).model
    assert spans_and_attributes(model.predict([long])) == spans_and_attributes([long])


def test_thresholds_and_scores_keep_attributes(result) -> None:
    decision = Decision({"Problem": 0.1}, scores=True)
    found = result.model.predict(toy()[:1], decision=decision)[0].entities
    assert found[0].attributes[0] == "negated"
    assert found[0].attributes[1].startswith("score=")


def test_names_that_gold_lacks_are_an_error(config: NerConfig) -> None:
    lacking = config.model_copy(update={"attributes": ("negated", "family")})
    with pytest.raises(ConfigError, match=r"'family', which no gold .* Certainty, negated$"):
        train_ner(toy(), config=lacking, seed=1)
    with pytest.raises(ConfigError, match="gold has none at all"):
        train_ner([doc.with_entities(()) for doc in toy()], config=lacking, seed=1)


@pytest.mark.parametrize("names", [("Certainty=low",), (" ",), ("negated", "negated"), ("score",)])
def test_what_is_no_name_is_refused(names) -> None:
    with pytest.raises(ValidationError):
        NerConfig(attributes=names)


def test_no_names_are_no_part_of_keys() -> None:
    dumped = NerConfig(attributes=()).model_dump(mode="json", exclude_defaults=True)
    assert "attributes" not in dumped and NerConfig(attributes=()) == NerConfig()
    assert NerConfig(attributes=("negated",)).mentions_only() == NerConfig()


def test_values_and_classes_by_hand() -> None:
    docs = [
        note(0, "a b c d", ("a", ("negated",)), ("b", ("Certainty=low",)), ("c", ())),
        note(1, "a b", ("a", ("Certainty=high", "Certainty=low"))),
    ]
    assert attributes_in(docs) == {"Certainty": CERTAINTY.values, "negated": NEGATED.values}
    chosen = choose_attributes(docs, ["negated", "Certainty"])
    assert chosen == (NEGATED, CERTAINTY)
    # Two values at once are not one class.
    assert [list(row.values()) for row in classes_to_learn(docs, chosen)] == [
        [(1, 0), (0, 2), (0, 0)],
        [(0, IGNORED)],
    ]


def test_documents_that_carry_no_attributes_are_ignored(config: NerConfig) -> None:
    synthetic = Provenance("synthetic", model="lm", stage="synthesize")
    replaced = Provenance("augmented", stage="replaced")
    docs = [
        note(0, "no fever", ("fever", ()), provenance=synthetic),
        note(1, "no fever", ("fever", ("negated",)), provenance=replaced),
        note(2, "has fever", ("fever", ()), provenance=replaced),
    ]
    classes = [list(row.values()) for row in classes_to_learn(docs, (NEGATED, CERTAINTY))]
    assert classes == [[(IGNORED, IGNORED)], [(1, IGNORED)], [(0, IGNORED)]]


def test_made_text_without_attributes_teaches_mentions_alone(config: NerConfig) -> None:
    source = Provenance("synthetic", model="lm", stage="synthesize")
    made = []
    for doc in toy():
        ents = tuple(replace(ent, attributes=()) for ent in doc.entities)
        made.append(replace(doc, id=f"{doc.id} made", entities=ents, provenance=source))
    alone = IntegrationConfig(how="pretrain-then-gold", gold_last=0.0)
    small = config.model_copy(update={"integration": alone})
    # Steps on made text alone: the head stays where its seed put it.
    heads = [
        train_ner(toy(), made, config=small.model_copy(update={"steps": n}), seed=1).model
        for n in (1, 3)
    ]
    assert heads[0].attribute_head.bias.equal(heads[1].attribute_head.bias)


def test_masked_and_nested_mentions_are_not_learnt(result) -> None:
    doc = note(0, "no chest pain or fever", ("chest pain", ("negated",)), ("fever", ("negated",)))
    doc = replace(doc, masked=((17, 22),))
    inner = Entity("inner", "Problem", ((9, 13),), ("negated",))
    doc = replace(doc, entities=(*doc.entities, inner))
    encoded = encode(
        [doc],
        result.model.tokenizer,
        result.model.config,
        labels=("Problem",),
        attributes=(NEGATED,),
    )
    assert encoded.windows[0].mentions == (Mention(1, 3, (1,)),)


def test_loss_by_hand() -> None:
    head = make_head((NEGATED, CERTAINTY), 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 0], [1, 0], [0, 0], [0, 1], [0, 0]]))
        head.bias.zero_()
    states = torch.tensor([[9.0, 9], [1, 0], [3, 4], [0, 0]])
    mentions = MentionBatch(
        torch.tensor([1, 2, 3]),
        torch.tensor([0, 0, 1]),
        torch.tensor([[1, IGNORED], [0, IGNORED]]),
    )
    # Mention 0 has mean state (2, 2): logits 0 and 2 of negated; mention 1 has 0 and 0.
    loss = attribute_loss(head, (NEGATED, CERTAINTY), states, mentions)
    expected = (np.log(1 + np.exp(-2)) + np.log(2)) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_batches_number_mentions_through() -> None:
    windows = [
        Window(0, (2, 10, 3), (0,), ((1, 2),), (1,), (Mention(0, 1, (1,)),)),
        Window(0, (2, 11, 12, 3), (1, 2), ((1, 2), (2, 3)), (1, 2), (Mention(0, 2, (0,)),)),
    ]
    batch = collate(windows, pad=0, pieces="first")
    assert batch.mentions.words.tolist() == [0, 1, 2]
    assert batch.mentions.groups.tolist() == [0, 1, 1]
    assert batch.mentions.classes.tolist() == [[1], [0]]
    plain = [replace(window, mentions=()) for window in windows]
    assert collate(plain, pad=0, pieces="first").mentions is None


def test_best_values_by_hand() -> None:
    logits = np.array([[0, 3, 0, 1, 5], [0, -1, 2, 1, 5]], np.float32)
    assert best_values(logits, (NEGATED, CERTAINTY)) == ("negated", "Certainty=low")
    assert best_values(-logits, (NEGATED, CERTAINTY)) == ()


def test_committees_vote_on_mentions_alone(config: NerConfig) -> None:
    rare = [replace(doc, entities=()) for doc in toy()[1:]]
    small = config.model_copy(update={"steps": 2})
    committee = train_committee(
        [toy()[0], *rare], config=small, n_members=2, labels=["Problem"], seed=1
    )
    assert [member.attributes for member in committee.members] == [(), ()]
