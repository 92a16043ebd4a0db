"""A token classifier of transformers annotates as its own pipeline does, with distributions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from notesmith.annotation.taggers import open_tagger
from notesmith.annotation.transformers_tagger import (
    TransformersTagger,
    as_ours,
    load_transformers,
)
from notesmith.config import TaggerConfig
from notesmith.document import Document
from notesmith.errors import ConfigError, ModelError
from tests.ner.tiny import tiny_encoder

LABELS = ("Disease", "Drug")
TAGS = ("O", "B-DX", "I-DX", "B-MED", "I-MED", "B-LAB")
MAP = {"DX": "Disease", "MED": "Drug", "LAB": ""}
NOTES = [
    Document("1", "Severe chest pain, given aspirin 81 mg daily."),
    Document("2", ""),
    Document("3", "Denies fever; acute asthma after the left fracture. History of pain."),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoModelForTokenClassification

    at = tiny_encoder(tmp_path_factory.mktemp("tagger"), max_position_embeddings=48)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModelForTokenClassification.from_pretrained(
            at, id2label=dict(enumerate(TAGS)), label2id={t: i for i, t in enumerate(TAGS)}
        )
        model.classifier.weight.data.normal_(0, 1.5)
    model.save_pretrained(at)
    return at


@pytest.fixture(scope="module")
def tagger(folder: Path) -> TransformersTagger:
    return load_transformers(folder, LABELS, MAP)


def test_it_finds_what_the_pipeline_of_transformers_finds(
    tagger: TransformersTagger, folder: Path
) -> None:
    from transformers import pipeline

    theirs: Any = pipeline("token-classification", model=str(folder), aggregation_strategy="first")
    for doc, found in zip(NOTES, tagger.predict(NOTES), strict=True):
        expected = [
            (MAP[group["entity_group"]], ((group["start"], group["end"]),))
            for group in (theirs(doc.text) if doc.text else [])
            if MAP[group["entity_group"]]
        ]
        assert [(ent.label, ent.spans) for ent in found.entities] == expected
    assert sum(len(doc.entities) for doc in tagger.predict(NOTES)) > 5


def test_a_long_note_is_read_in_windows(tagger: TransformersTagger) -> None:
    text = " ".join(f"fever and cough {i % 10}." for i in range(60))
    (scores,) = tagger.predict_scores([Document("long", text)])
    assert len(scores.words) > 5 * 48
    # A word that no window held would be surely outside.
    assert scores.probabilities[:, 0].max() < 1


def test_words_without_a_piece_are_outside(tagger: TransformersTagger) -> None:
    (scores,) = tagger.predict_scores([Document("c", "fever \u0001 cough")])
    assert scores.probabilities[1].tolist() == [1, 0, 0, 0, 0]


def test_tags_without_a_prefix_begin_where_the_label_changes() -> None:
    # Outputs: O, DX, MED. Two words of DX, one of MED, DX again.
    theirs = np.array([[0.2, 0.8, 0], [0.4, 0.6, 0], [0.1, 0.2, 0.7], [0.3, 0.7, 0]], np.float32)
    begins = np.zeros((3, 2), np.float32)
    inside = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(
        as_ours(theirs, begins, inside),
        [[0.2, 0.8, 0, 0, 0], [0.4, 0, 0.6, 0, 0], [0.1, 0, 0.2, 0.7, 0], [0.3, 0.7, 0, 0, 0]],
        atol=1e-6,
    )


def test_labels_that_are_dropped_are_outside(tagger: TransformersTagger, folder: Path) -> None:
    only = load_transformers(folder, LABELS, {"DX": "Disease", "MED": "", "LAB": ""})
    whole, (scores, *_) = tagger.predict_scores(NOTES)[0], only.predict_scores(NOTES)
    assert not scores.probabilities[:, 3:].any()
    gone = whole.probabilities[:, 3:].sum(axis=1)
    np.testing.assert_allclose(
        scores.probabilities[:, 0], whole.probabilities[:, 0] + gone, atol=1e-5
    )


def test_labels_are_checked_and_damaged_folders_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the tagger's labels LAB, MED are not among"):
        load_transformers(folder, LABELS, {"DX": "Disease"})
    with pytest.raises(ModelError, match="there is no such model folder"):
        open_tagger(TaggerConfig(kind="transformers", path=str(tmp_path / "x")), LABELS, gold=[])
    encoder = tiny_encoder(tmp_path / "encoder")
    with pytest.raises(ModelError, match="weights are not in its files"):
        load_transformers(encoder, LABELS, MAP)


def test_weights_beside_the_tagger_do_not_hinder(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "with-pooler"
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    weights["bert.pooler.dense.weight"] = torch.zeros(32, 32)
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    found = load_transformers(copy, LABELS, MAP)
    assert found.predict(NOTES[:1])[0].provenance.model == "with-pooler"


def test_tags_of_last_and_only_words_are_those_of_their_label() -> None:
    # Outputs: O, B, I, E, S of one label: a mention of two words, one of one, and O.
    theirs = np.array(
        [[0.1, 0.8, 0, 0, 0.1], [0.2, 0.1, 0, 0.7, 0], [0.3, 0, 0, 0, 0.7], [0.9, 0, 0.1, 0, 0]],
        np.float32,
    )
    begins = np.array([[0], [1], [0], [0], [1]], np.float32)
    inside = np.array([[0], [0], [1], [1], [0]], np.float32)
    np.testing.assert_allclose(
        as_ours(theirs, begins, inside),
        [[0.1, 0.9, 0], [0.2, 0.1, 0.7], [0.3, 0.7, 0], [0.9, 0, 0.1]],
        atol=1e-6,
    )
