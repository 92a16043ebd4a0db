"""A student that learns distributions: what votes on unlabelled text teach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from notesmith.config import NerConfig
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, StageError
from notesmith.ner import train_ner
from notesmith.ner.batch import collate
from notesmith.ner.decode import WordScores
from notesmith.ner.encoder import load_encoder
from notesmith.ner.loss import tag_loss
from notesmith.ner.soft import hard_at_entities, mixed, tempered
from notesmith.ner.windows import encode
from notesmith.words import words
from tests.ner.tiny import tiny_encoder

LABELS = ("Drug", "Problem")
DOC = Document("u", "No fever, given aspirin.")
GOLD = Document("g", "Denies cough.", (Entity("T1", "Problem", ((7, 12),)),))


def scores_of(doc: Document, seed: int = 0) -> WordScores:
    spans = tuple(words(doc.text))
    rows = np.random.default_rng(seed).dirichlet(np.ones(5), len(spans)).astype(np.float32)
    return WordScores(spans, rows)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> NerConfig:
    folder = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    return NerConfig(encoder=str(folder), steps=250, learning_rate=5e-3, dropout=0.0, bf16="no")


def test_the_loss_is_the_cross_entropy_of_soft_words_and_hard_ones(config: NerConfig) -> None:
    encoder = load_encoder(config.encoder, labels=LABELS)
    masked = replace(DOC, masked=((3, 8),))
    soft = {DOC.id: scores_of(DOC)}
    windows = encode([masked, GOLD], encoder.tokenizer, config, labels=LABELS, soft=soft).windows
    batch = collate(windows, pad=0, pieces="first")
    logits = torch.randn(len(batch.tags), 5, generator=torch.Generator().manual_seed(1))
    log_q = logits.log_softmax(-1).numpy()
    n = len(words(DOC.text))
    terms = [-(soft[DOC.id].probabilities[i] * log_q[i]).sum() for i in range(n) if i != 1]
    terms += [-log_q[n + i, tag] for i, tag in enumerate((0, 3, 0))]
    np.testing.assert_allclose(tag_loss(logits, batch).item(), np.mean(terms), rtol=1e-5)


def test_one_hot_distributions_teach_what_tags_teach(config: NerConfig) -> None:
    encoder = load_encoder(config.encoder, labels=LABELS)
    hard = encode([GOLD], encoder.tokenizer, config, labels=LABELS).windows
    surely = mixed(scores_of(GOLD), GOLD, LABELS, hard_ratio=1.0)
    bare = GOLD.with_entities(())
    soft = encode([bare], encoder.tokenizer, config, labels=LABELS, soft={"g": surely}).windows
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(2))
    losses = [tag_loss(logits, collate(w, pad=0, pieces="first")) for w in (hard, soft)]
    torch.testing.assert_close(*losses)


def test_a_student_comes_to_the_distributions_that_it_learns(config: NerConfig) -> None:
    wanted = scores_of(DOC, seed=3)
    result = train_ner([GOLD], [DOC], config=config, labels=LABELS, soft={DOC.id: wanted}, seed=1)
    (found,) = result.model.predict_scores([DOC])
    assert np.abs(found.probabilities - wanted.probabilities).max() < 0.1


def test_soft_labels_of_other_words_labels_or_documents_are_errors(config: NerConfig) -> None:
    def learn(soft: dict[str, WordScores], made: tuple[Document, ...] = (DOC,)) -> None:
        train_ner([GOLD], made, config=config, labels=LABELS, soft=soft, seed=1)

    good = scores_of(DOC)
    with pytest.raises(StageError, match="'u': its soft labels are of other words"):
        learn({"u": replace(good, words=good.words[:-1])})
    with pytest.raises(StageError, match="'u': its soft labels are of other words or labels"):
        learn({"u": replace(good, probabilities=good.probabilities[:, :3])})
    with pytest.raises(StageError, match="'v': has soft labels and is not there to learn from"):
        learn({"v": good})
    with pytest.raises(StageError, match="'u': has soft labels and is there twice"):
        learn({"u": good}, (DOC, DOC))


def test_temperature_sharpens_and_flattens() -> None:
    scores = scores_of(DOC)
    assert tempered(scores, 1) is scores
    sharp, flat = tempered(scores, 0.5).probabilities, tempered(scores, 4).probabilities
    squares = scores.probabilities**2
    np.testing.assert_allclose(sharp, squares / squares.sum(1, keepdims=True), rtol=1e-4)
    assert (flat.max(1) < scores.probabilities.max(1)).all()
    np.testing.assert_allclose(flat.sum(1), 1, rtol=1e-5)
    with pytest.raises(ConfigError, match="temperature 0 is not above 0"):
        tempered(scores, 0)


def test_own_labels_join_in_or_stay_hard_where_they_are() -> None:
    scores = scores_of(GOLD)
    half = mixed(scores, GOLD, LABELS, hard_ratio=0.5).probabilities
    np.testing.assert_allclose(half[1, 3], 0.5 + scores.probabilities[1, 3] / 2, rtol=1e-5)
    kept = hard_at_entities(scores, GOLD, LABELS).probabilities
    assert kept[1].tolist() == [0, 0, 0, 1, 0]
    np.testing.assert_allclose(kept[[0, 2]], scores.probabilities[[0, 2]], rtol=1e-5)
    masked = replace(GOLD, entities=(), masked=((7, 12),))
    left = mixed(scores, masked, LABELS, hard_ratio=1.0).probabilities
    np.testing.assert_allclose(left[1], scores.probabilities[1], rtol=1e-5)
