"""The loop takes the step that the arithmetic says, whatever parts a batch is cut into."""

import math

import pytest
import torch

from notesmith.errors import StageError
from notesmith.lm.training.batches import Batch, Loss, Row, padded_parts
from notesmith.lm.training.loop import adamw, rising_then_falling, rising_then_level, train
from notesmith.lm.training.sft import completion_loss
from tests.lm.tiny import tiny_lm

ROWS = [Row((2, 40 + i, 60, 61 + i), 2) for i in range(4)]


def batch_of(model, rows, loss=None):
    n_tokens = sum(row.n_completion for row in rows)
    return Batch(padded_parts(model, rows, pad_id=0), loss or completion_loss(n_tokens), n_tokens)


def trained(batches, *, rate=lambda number: 1e-3, first=0, state=None):
    model = tiny_lm().model
    optimizer = adamw(model, state)
    steps = list(
        train(model, batches(model), optimizer=optimizer, rate=rate, bf16=False, first=first)
    )
    return model, optimizer, steps


def test_a_step_is_adamw_on_the_clipped_gradient():
    model, _, (step,) = trained(lambda model: [batch_of(model, ROWS)], rate=lambda number: 0.01)
    own = tiny_lm().model
    loss = sum(-part.log_probs(own, 1.0).sum() for part in padded_parts(own, ROWS, pad_id=0)) / sum(
        row.n_completion for row in ROWS
    )
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(own.parameters(), 1.0)
    torch.optim.AdamW(own.parameters(), lr=0.01, weight_decay=0.0).step()
    assert (step.number, step.n_tokens, step.means) == (1, 8, {})
    assert step.loss == pytest.approx(float(loss.detach()))
    assert step.grad_norm == pytest.approx(float(norm))
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, own.state_dict()[name], atol=1e-6, rtol=1e-5)


def test_parts_add_up(monkeypatch):
    found = []
    for tokens in (1, 512):
        monkeypatch.setattr("notesmith.lm.score.PART_TOKENS", tokens)
        *_, (step,) = trained(lambda model: [batch_of(model, ROWS)])
        found.append((step.loss, step.grad_norm))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_a_batch_is_asked_for_when_the_step_before_it_is_over():
    weights = []

    def batches(model):
        for _ in range(3):
            weights.append(model.get_input_embeddings().weight.detach().clone())
            yield batch_of(model, ROWS)

    trained(batches)
    assert len(weights) == 3 and not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_a_loop_that_goes_on_ends_as_one_that_was_never_interrupted():
    rates = []

    def rate(number):
        rates.append(number)
        return 1e-3 * (number + 1)

    def batches(model):
        return [batch_of(model, ROWS[i : i + 2]) for i in (0, 2)]

    whole, _, _ = trained(batches, rate=rate)
    model, optimizer, _ = trained(lambda m: batches(m)[:1], rate=rate)
    again = adamw(model, optimizer.state_dict())
    (step,) = train(model, batches(model)[1:], optimizer=again, rate=rate, bf16=False, first=1)
    assert (step.number, rates) == (2, [0, 1, 0, 1])
    for name, value in model.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_changes_nothing(bad):
    model = tiny_lm().model

    def loss(model, part):
        return Loss(part.log_probs(model, 1.0).sum() * bad)

    with pytest.raises(StageError, match="no number at step 8: lower the learning rate"):
        list(
            train(
                model, [batch_of(model, ROWS, loss)], optimizer=adamw(model),
                rate=lambda number: 1.0, bf16=False, first=7,
            )
        )  # fmt: skip
    before = tiny_lm().model.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_learning_rates_by_hand():
    falling = rising_then_falling(1.0, n_warm=2, n_steps=6)
    assert [falling(i) for i in range(7)] == [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
    assert rising_then_falling(1.0, n_warm=0, n_steps=4)(1) == 0.75
    level = rising_then_level(2.0, n_warm=4)
    assert [level(i) for i in range(6)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def recomputes(model):
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def test_activations_of_a_large_model_are_recomputed_while_it_trains(monkeypatch):
    monkeypatch.setattr("notesmith.lm.training.loop._RECOMPUTE_ABOVE", 0)
    during = []

    def batches(model):
        during.append(recomputes(model))
        yield batch_of(model, ROWS)

    model, _, (step,) = trained(batches)
    assert during == [True] and not recomputes(model)
    monkeypatch.undo()
    *_, (kept,) = trained(lambda model: [batch_of(model, ROWS)])
    assert step.grad_norm == pytest.approx(kept.grad_norm, rel=1e-5)
