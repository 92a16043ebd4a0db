from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from benchmarks.influence import (
    Calibration,
    StudentBenefit,
    errors,
    fit_calibration,
    fold_gradient,
    held_out_direction,
    slope,
    soft_f1_gradient,
    text_benefit,
    train_judges,
    word_states,
)

from notesmith.config import NerConfig
from notesmith.document import Document, Entity
from notesmith.errors import ModelError, StageError
from notesmith.ner.encoder import load_encoder
from notesmith.ner.model import NerModel
from notesmith.words import IGNORED, tag_words
from tests.ner.tiny import tiny_encoder


def doc(name: str, text: str, *mentions: str, masked: str = "") -> Document:
    entities = tuple(
        Entity(f"T{i}", "Problem", ((text.index(m), text.index(m) + len(m)),))
        for i, m in enumerate(mentions)
    )
    hidden = ((text.index(masked), text.index(masked) + len(masked)),) if masked else ()
    return Document(name, text, entities, masked=hidden)


HELD_OUT = [
    doc("h1", "Patient denies fever and cough.", "fever", "cough"),
    doc("h2", "History of severe asthma.", "severe asthma"),
    doc("h3", "Aspirin given daily."),
]
TEXTS = [
    doc("t0", "Acute fracture of the left chest.", "fracture"),
    doc("t1", "Chronic cough with fever. No pain after aspirin.", "cough", "fever", "pain"),
    doc("t2", "The patient was given aspirin.", masked="patient was"),
    doc("t3", "fever", masked="fever"),
    doc("t4", "Severe asthma before aspirin.", "Severe asthma"),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> NerConfig:
    folder = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    return NerConfig(encoder=str(folder), steps=12, batch_size=4, learning_rate=3e-3)


def untrained(config: NerConfig, seed: int = 0) -> NerModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = load_encoder(config.encoder, labels=["Problem"])
        # A fresh head is nearly flat; larger weights make probabilities worth differing.
        torch.nn.init.normal_(encoder.model.classifier.weight, std=0.3)
        torch.nn.init.normal_(encoder.model.classifier.bias, std=0.3)
    encoder.model.eval()
    return NerModel(encoder, ("Problem",), config.model_copy(update={"bf16": "no"}))


@pytest.fixture(scope="module")
def model(config: NerConfig) -> NerModel:
    return untrained(config)


def tags_of(model: NerModel, docs: list[Document]) -> list[np.ndarray]:
    scores = model.predict_scores(docs)
    return [
        np.array(tag_words(d, s.words, model.labels).tags)
        for d, s in zip(docs, scores, strict=True)
    ]


def soft_loss(model: NerModel, docs: list[Document]) -> float:
    probs = np.concatenate([s.probabilities for s in model.predict_scores(docs)])
    return soft_f1_gradient(probs, np.concatenate(tags_of(model, docs))).loss


def test_soft_f1_of_numbers_worked_by_hand() -> None:
    probs = np.array([[0.2, 0.8, 0.0], [0.6, 0.1, 0.3], [0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    # tp = 0.8 + 0.3; marked 0.8 + 0.4 + 0.5; to mark 2; the last word does not count.
    found = soft_f1_gradient(probs, [1, 2, 0, IGNORED])
    assert found.loss == pytest.approx(1 - 2 * 1.1 / (1.7 + 2))
    assert not found.gradient[3].any()
    assert np.allclose(found.gradient.sum(1), 0)


def test_soft_f1_gradient_is_that_of_autograd_and_of_differences() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(12, 5))
    tags = rng.integers(0, 5, 12)
    tags[3] = IGNORED

    def loss_of(logits: np.ndarray) -> float:
        odds = np.exp(logits)
        return soft_f1_gradient(odds / odds.sum(1, keepdims=True), tags).loss

    logits = torch.tensor(values, requires_grad=True)
    probs = logits.softmax(-1)
    kept, wanted = torch.tensor(tags != IGNORED), torch.tensor(np.maximum(tags, 0))
    inside = kept & (wanted > 0)
    tp = probs.gather(1, wanted[:, None])[inside].sum()
    fp = (1 - probs[:, 0])[kept].sum() - tp
    fn = inside.sum() - tp
    (1 - 2 * tp / (2 * tp + fp + fn)).backward()
    found = soft_f1_gradient(probs.detach().numpy(), tags)
    assert logits.grad is not None
    assert np.allclose(found.gradient, logits.grad.numpy(), atol=1e-12)
    for i, j in [(0, 0), (3, 1), (7, 4)]:
        up, down = values.copy(), values.copy()
        up[i, j] += 1e-5
        down[i, j] -= 1e-5
        slope_ = (loss_of(up) - loss_of(down)) / 2e-5
        assert found.gradient[i, j] == pytest.approx(slope_, abs=1e-9)


def test_soft_f1_of_nothing_is_no_loss() -> None:
    found = soft_f1_gradient(np.array([[1.0, 0.0, 0.0]]), [0])
    assert found.loss == 0 and not found.gradient.any()
    with pytest.raises(ValueError, match="1 rows of probabilities, but 2 tags"):
        soft_f1_gradient(np.array([[1.0, 0.0, 0.0]]), [0, 0])


def test_a_small_step_on_the_text_changes_the_held_out_loss_as_predicted(model) -> None:
    gradient = fold_gradient(model, HELD_OUT)
    assert gradient.loss == pytest.approx(soft_loss(model, HELD_OUT), abs=1e-6)
    head, rate = model.model.classifier, 1e-2
    for text in (TEXTS[0], TEXTS[1], TEXTS[2]):
        (score,), (tags,) = word_states(model, [text]), tags_of(model, [text])
        before = [p.detach().clone() for p in head.parameters()]
        loss = torch.nn.functional.cross_entropy(
            head(torch.from_numpy(score.hidden)), torch.from_numpy(tags), ignore_index=IGNORED
        )
        steps = torch.autograd.grad(loss, list(head.parameters()))
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                for parameter, value, step in zip(head.parameters(), before, steps, strict=True):
                    parameter.copy_(value - sign * rate * step)
            losses.append(soft_loss(model, HELD_OUT))
        with torch.no_grad():
            for parameter, value in zip(head.parameters(), before, strict=True):
                parameter.copy_(value)
        kept = tags[tags != IGNORED]
        assert len(kept) == (tags != IGNORED).sum()
        predicted = text_benefit(gradient, score, tags, per="word")
        assert predicted == pytest.approx((losses[1] - losses[0]) / (2 * rate), rel=0.02)
        cosine = text_benefit(gradient, score, tags, per="gradient")
        norm = math.sqrt(sum(float((s**2).sum()) for s in steps))
        assert cosine == pytest.approx(predicted / norm / gradient.norm, rel=1e-4)
        assert -1 <= cosine <= 1


@pytest.mark.parametrize("scope", ["head", "last-layer", "all"])
def test_slopes_are_products_of_gradients(model, scope) -> None:
    direction = held_out_direction(model, HELD_OUT, scope)
    weights = {n: p.detach().clone() for n, p in model.model.named_parameters()}
    found = slope(model, direction, TEXTS)
    assert all(torch.equal(p, weights[n]) for n, p in model.model.named_parameters())
    assert found[3] == 0
    chosen = {n: p for n, p in model.model.named_parameters() if n in direction}
    encoded = model.tokenizer([TEXTS[0].text], return_tensors="pt")
    # One piece a word but the full stop's neighbours: take the words' first pieces by offset.
    logits = model.model(input_ids=encoded["input_ids"], attention_mask=None).logits[0]
    (score,), (tags,) = model.predict_scores(TEXTS[:1]), tags_of(model, TEXTS[:1])
    first = [encoded.char_to_token(start) for start, _ in score.words]
    loss = torch.nn.functional.cross_entropy(logits[first], torch.from_numpy(tags))
    grads = torch.autograd.grad(loss, list(chosen.values()), allow_unused=True)
    product = sum(
        float((g * direction[n]).sum()) for n, g in zip(chosen, grads, strict=True) if g is not None
    )
    assert found[0] == pytest.approx(product, rel=0.02, abs=1e-6)
    if scope == "head":
        benefit = StudentBenefit([model], [HELD_OUT], loss="soft-f1", per="word")
        assert benefit.raw(TEXTS).values == pytest.approx(found, rel=0.02, abs=1e-6)
    layers = {n.split(".layer.")[1].split(".")[0] for n in direction if ".layer." in n}
    assert layers == {"head": set(), "last-layer": {"1"}, "all": {"0", "1"}}[scope]


def test_the_calibrated_loss_cannot_fall_by_confidence_or_by_marking_more(model) -> None:
    gradient = fold_gradient(model, HELD_OUT, loss="cross-entropy")
    assert gradient.calibration is not None
    head = model.model.classifier
    weight, bias = (p.detach().numpy().astype(np.float64) for p in (head.weight, head.bias))
    by_scale = (gradient.weight * weight).sum() + gradient.bias @ bias
    assert by_scale == pytest.approx(0, abs=1e-3)
    assert gradient.bias[0] == pytest.approx(0, abs=1e-4)
    assert gradient.norm > 0.01


def test_calibration_has_the_least_cross_entropy() -> None:
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
    found = fit_calibration(probs, np.array([0, 1, 1, 1]))
    adjusted = found.adjust(probs)
    # Of two alike one each is right, then both: 1/2 and (nearly) 1.
    assert adjusted[:2, 0] == pytest.approx([0.5, 0.5], abs=0.01)
    assert (adjusted[2:, 1] > 0.99).all()
    assert Calibration().adjust(probs) == pytest.approx(probs)
    assert not errors(probs, np.array([IGNORED] * 4)).any()


def test_values_are_the_mean_less_half_the_deviation_over_folds(model, config) -> None:
    benefit = StudentBenefit([model, untrained(config, 1)], [HELD_OUT[:1], HELD_OUT[1:]])
    found = benefit.raw(TEXTS)
    assert found.per_fold.shape == (2, len(TEXTS))
    a, b = found.per_fold[:, 0]
    assert found.values[0] == pytest.approx((a + b) / 2 - abs(a - b) / 4)
    assert found.values[3] == 0
    alone = [float(benefit.raw([text]).values[0]) for text in TEXTS]
    assert found.values == pytest.approx(alone, rel=1e-3, abs=1e-7)
    assert benefit.raw([]).values.shape == (0,)


def test_the_scale_is_that_of_the_reference(model) -> None:
    benefit = StudentBenefit([model], [HELD_OUT])
    with pytest.raises(StageError, match="no scale yet"):
        benefit(TEXTS)
    reference = [replace(text, id=f"{text.id}-{i}") for i in range(3) for text in TEXTS]
    scaled = benefit.calibrate(reference)(TEXTS)
    raw = benefit.raw(TEXTS).values
    centre, spread = np.median(raw), raw.std()
    expected = [0.5 * (1 + math.erf((v - centre) / spread / 2**0.5)) for v in raw]
    assert scaled == pytest.approx(expected, abs=1e-3)
    assert 0.5 in [pytest.approx(v, abs=1e-3) for v in scaled]
    with pytest.raises(StageError, match="9 reference texts; a scale needs 10 or more"):
        benefit.calibrate(reference[:9])
    with pytest.raises(StageError, match="one and the same benefit"):
        benefit.calibrate([TEXTS[3]] * 10)


def test_errors_name_the_document_and_never_its_text(model) -> None:
    benefit = StudentBenefit([model], [HELD_OUT])
    other = Document("x", "fever", (Entity("T0", "Drug", ((0, 5),)),))
    with pytest.raises(StageError, match="doc 'x': label Drug is not among the model's") as error:
        benefit.raw([other])
    assert "fever" not in str(error.value)
    with pytest.raises(StageError, match="1 held-out documents hold no mention"):
        StudentBenefit([model], [HELD_OUT[2:]])
    with pytest.raises(StageError, match="1 judges, but 2 held-out folds"):
        StudentBenefit([model], [HELD_OUT, HELD_OUT])
    with pytest.raises(StageError, match="'all' knows loss 'soft-f1' per 'word', not 'soft-f1' 'g"):
        StudentBenefit([model], [HELD_OUT], scope="all", loss="soft-f1", per="gradient")


def test_a_head_that_reads_something_else_is_refused(config) -> None:
    model = untrained(config)
    model.model.classifier = torch.nn.Sequential(torch.nn.Linear(32, 3))
    with pytest.raises(ModelError, match="not one linear layer on the last hidden state"):
        fold_gradient(model, HELD_OUT)
    model.model.classifier = torch.nn.Linear(32, 3)
    model.model.classifier.register_forward_pre_hook(lambda module, args: (5 * args[0].tanh(),))
    with pytest.raises(ModelError, match="not one linear layer on the last hidden state"):
        fold_gradient(model, HELD_OUT)


def test_judges_never_see_what_they_judge_by(config) -> None:
    gold = [replace(HELD_OUT[i % 2], id=f"d{i}") for i in range(6)]
    seen: list[set[str]] = []

    def made(kept: list[Document]) -> list[Document]:
        seen.append({d.id for d in kept})
        return [replace(d, id=f"{d.id}~r0") for d in kept]

    benefit = train_judges(gold, made, config=config, n_folds=2, seed=1)
    assert [len(ids) for ids in seen] == [3, 3] and not seen[0] & seen[1]
    assert len(benefit.members) == 2
    again = train_judges(gold, made, config=config, n_folds=2, seed=1)
    assert np.array_equal(benefit.raw(TEXTS).values, again.raw(TEXTS).values)
