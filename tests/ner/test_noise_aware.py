"""The noise-aware loss: labels of made words weighted by how sure they are."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from notesmith.config import IntegrationConfig, NerConfig
from notesmith.document import Document, Entity, Provenance
from notesmith.errors import StageError
from notesmith.ner import train_ner
from notesmith.ner.batch import collate
from notesmith.ner.confidence import word_confidence
from notesmith.ner.decode import WordScores
from notesmith.ner.loss import tag_loss
from notesmith.ner.windows import Window
from notesmith.words import tag_words, words
from tests.ner.tiny import tiny_encoder

LABELS = ("Drug", "Problem")
# P(O) = 1/2, P(B-Drug) = 1/4, P(I-Drug) = P(B-Problem) = P(I-Problem) = 1/12 of each word.
ROW = torch.tensor([1 / 2, 1 / 4, 1 / 12, 1 / 12, 1 / 12]).log()


def window(*tags: int, sure=None, unknown=(), soft=None) -> Window:
    n = len(tags)
    pieces = tuple((i, i + 1) for i in range(n))
    return Window(
        0,
        tuple(range(1, n + 1)),
        tuple(range(n)),
        pieces,
        tags,
        unknown=unknown,
        soft=soft,
        sure=np.array(sure, np.float32) if sure else None,
    )


def loss_of(logits: torch.Tensor, *windows: Window, packed_from: int | None = None):
    return tag_loss(logits, collate(windows, pad=0, pieces="first", packed_from=packed_from))


def test_a_doubted_word_has_both_terms() -> None:
    # Gold: O, P = 1/2. Made: B-Drug, P = 1/4, right with probability 0.8; a sure O; a masked word.
    made = window(1, 0, -100, sure=[0.8, 1.0, 0.3])
    doubted = 0.8 * math.log(4) + 0.2 * math.log(4 / 3)
    for packed_from in (None, 0):
        loss = loss_of(ROW.repeat(4, 1), window(0), made, packed_from=packed_from)
        assert float(loss) == pytest.approx((math.log(2) + doubted + math.log(2)) / 3)


def test_sure_words_have_the_plain_loss() -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    plain, sure = window(0, 1, 2), window(0, 1, 2, sure=[1.0, 1.0, 1.0])
    assert loss_of(logits, plain).equal(loss_of(logits, sure))
    nearly = window(0, 1, 2, sure=[1.0, 1 - 1e-6, 1.0])
    torch.testing.assert_close(loss_of(logits, plain), loss_of(logits, nearly), rtol=1e-4, atol=0)


def test_the_gradient_draws_the_probability_to_the_confidence() -> None:
    # By hand: p - w for the tag; for another tag j, p_j - (1 - w) p_j / (1 - p).
    logits = ROW.repeat(1, 1).requires_grad_()
    loss_of(logits, window(1, sure=[0.7])).backward()
    p = np.array([1 / 2, 1 / 4, 1 / 12, 1 / 12, 1 / 12])
    expected = p - 0.3 * p / 0.75
    expected[1] = 0.25 - 0.7
    np.testing.assert_allclose(logits.grad[0], expected, rtol=1e-5)
    # At p = w nothing moves the tag.
    logits = ROW.repeat(1, 1).requires_grad_()
    loss_of(logits, window(1, sure=[0.25])).backward()
    np.testing.assert_allclose(logits.grad[0], 0, atol=1e-6)


def test_it_is_finite_where_the_student_is_certain() -> None:
    logits = torch.tensor([[300.0, 0, 0, 0, 0]], requires_grad=True)
    loss = loss_of(logits, window(0, sure=[0.0]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(300 - math.log(4), rel=1e-4)
    np.testing.assert_allclose(logits.grad[0], [1, -0.25, -0.25, -0.25, -0.25], rtol=1e-4)


def test_the_likelihood_of_an_unknown_label_counts_as_right() -> None:
    # O or Problem: 1/2 + 1/12 + 1/12 = 2/3.
    loss = loss_of(ROW.repeat(1, 1), window(0, sure=[0.6], unknown=(3, 4)))
    assert float(loss) == pytest.approx(0.6 * math.log(3 / 2) + 0.4 * math.log(3))
    # A word that may be anything is no lesson.
    logits = ROW.repeat(1, 1).requires_grad_()
    loss = loss_of(logits, window(0, sure=[0.6], unknown=(1, 2, 3, 4)))
    loss.backward()
    assert float(loss.detach()) == 0 and logits.grad.abs().sum() == 0


def test_soft_and_doubted_windows_share_a_batch() -> None:
    soft = np.array([[0.5, 0.5, 0, 0, 0]], np.float32)
    loss = loss_of(ROW.repeat(2, 1), window(0, soft=soft), window(1, sure=[0.8]))
    crossed = 0.5 * math.log(2) + 0.5 * math.log(4)
    doubted = 0.8 * math.log(4) + 0.2 * math.log(4 / 3)
    assert float(loss) == pytest.approx((crossed + doubted) / 2)


TEXT = "No fever, given aspirin."
SPANS = tuple(words(TEXT))
FEVER, ASPIRIN = (3, 8), (16, 23)


def made_doc(*scores: str, name: str = "m", **fields: object) -> Document:
    said = [tuple([f"score={score}"] if score else []) for score in scores]
    ents = [
        Entity(f"T{i}", label, (span,), own)
        for i, (label, span, own) in enumerate(
            zip(("Problem", "Drug"), (FEVER, ASPIRIN), said, strict=False)
        )
    ]
    return Document(name, TEXT, tuple(ents), **fields)


def confidence(doc: Document, opinion: WordScores | None = None) -> list[float]:
    sure = word_confidence(doc, tag_words(doc, SPANS, LABELS), LABELS, opinion)
    return [round(float(p), 4) for p in sure]


def test_a_word_is_as_sure_as_its_mention() -> None:
    assert confidence(made_doc("0.9000", "")) == [1, 0.9, 1, 1, 1, 1]


def test_an_opinion_says_how_sure_the_rest_is() -> None:
    rows = np.zeros((len(SPANS), 5), np.float32)
    rows[:, 0], rows[:, 1], rows[:, 3] = 0.7, 0.1, 0.2
    opinion = WordScores(SPANS, rows)
    # Aspirin has no score of its own: 0.1 / (0.1 + 0.7).
    assert confidence(made_doc("0.9000", ""), opinion) == [0.7, 0.9, 0.7, 0.7, 0.125, 0.7]
    unknown = made_doc("0.9000", unknown=("Drug",))
    assert confidence(unknown, opinion) == [0.8, 0.9, 0.8, 0.8, 0.8, 0.8]


@pytest.mark.parametrize("score", ["high", "1.5", "nan"])
def test_a_score_that_is_none_is_an_error(score: str) -> None:
    with pytest.raises(StageError, match="'m': the score of 'T0' is not a number from 0 to 1"):
        confidence(made_doc(score))


GOLD = Document("g", "Denies cough.", (Entity("T1", "Problem", ((7, 12),)),))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> NerConfig:
    folder = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    return NerConfig(
        encoder=str(folder),
        steps=200,
        batch_size=8,
        learning_rate=5e-3,
        dropout=0.0,
        bf16="no",
        integration=IntegrationConfig(how="mix", loss="noise-aware"),
    )


def fitted(config: NerConfig, made: Document, **options: object) -> np.ndarray:
    """Probabilities of the words of ``TEXT``, after learning ``made``."""
    result = train_ner([GOLD], [made], config=config, labels=LABELS, seed=1, **options)
    return result.model.predict_scores([Document("x", TEXT)])[0].probabilities


def test_a_student_comes_to_the_confidence_of_what_it_learns(config: NerConfig) -> None:
    found = fitted(config, made_doc("0.8000", "1.0000"))
    assert found[1, 3] == pytest.approx(0.8, abs=0.05)
    assert found[4, 1] > 0.95 and found[0, 0] > 0.95


def test_distributions_are_confidences_and_win_over_no_label(config: NerConfig) -> None:
    rows = np.zeros((len(SPANS), 5), np.float32)
    rows[:, 0], rows[:, 1] = 0.6, 0.4
    found = fitted(config, made_doc("0.8000"), soft={"m": WordScores(SPANS, rows)})
    assert found[1, 3] == pytest.approx(0.8, abs=0.05)
    assert found[4, 0] == pytest.approx(0.6, abs=0.05)


def test_it_needs_to_know_how_sure_documents_are(config: NerConfig) -> None:
    with pytest.raises(StageError, match="none of their mentions has a score"):
        fitted(config, made_doc("", ""))
    # A student of gold says it where nothing else does.
    before = config.integration.model_copy(update={"complete": "before"})
    short = config.model_copy(update={"integration": before, "steps": 5})
    assert np.isfinite(fitted(short, made_doc("", ""))).all()


def test_augmented_documents_are_as_sure_as_gold(config: NerConfig) -> None:
    made = replace(made_doc("", ""), provenance=Provenance("augmented", ("g",)))
    short = config.model_copy(update={"steps": 5})
    plain = short.model_copy(update={"integration": IntegrationConfig(how="mix")})
    assert np.array_equal(fitted(short, made), fitted(plain, made))


def test_gold_is_learnt_plainly(config: NerConfig) -> None:
    plain = config.model_copy(update={"integration": IntegrationConfig(how="mix"), "steps": 5})
    scored = replace(GOLD, entities=(replace(GOLD.entities[0], attributes=("score=0.1",)),))
    losses = [
        train_ner([scored], config=own, labels=LABELS, seed=1).history
        for own in (plain, config.model_copy(update={"steps": 5}))
    ]
    assert losses[0] == losses[1]
