"""What goes through the model together is as likely, and teaches as much, as each row alone."""

import pytest
import torch

from notesmith.lm.constrain import MarkConstraint, forbidden_along
from notesmith.lm.training.batches import (
    Pack,
    Padded,
    Row,
    order_by_length,
    padded_parts,
    parts_for,
)
from notesmith.lm.training.sft import Example, encode_examples
from tests.lm.tiny import ARCHITECTURES, TEXTS, tiny_lm

PROMPTS = ((2, 40, 41, 42), (2, 50), (2, 51, 52, 53, 54))
ROWS = [
    Row((*PROMPTS[0], 60, 61, 62), 3),
    Row((*PROMPTS[1], 70, 1), 2),
    Row((*PROMPTS[0], 63), 1),
    Row((*PROMPTS[2], 80, 81, 82, 83), 4),
    Row((*PROMPTS[0], 60, 64, 65, 66, 1), 5),
]


@pytest.fixture
def at_most(monkeypatch):
    """Set how many tokens go through a model together."""
    return lambda n: monkeypatch.setattr("notesmith.lm.score.PART_TOKENS", n)


def alone(model, row, temperature):
    """Log-probabilities of a row's completion by itself, by the model's own forward."""
    ids = torch.tensor([row.ids])
    logits = model(input_ids=ids).logits[0, -row.n_completion - 1 : -1] / temperature
    found = torch.distributions.Categorical(logits=logits)
    return found.log_prob(ids[0, -row.n_completion :])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("max_tokens", [1, 12, 512])
def test_packed_completions_are_as_likely_as_each_alone(architecture, max_tokens, at_most):
    at_most(max_tokens)
    model = tiny_lm(architecture).model
    parts = parts_for(model, ROWS, pad_id=0)
    assert all(isinstance(part, Pack) for part in parts)
    assert sorted(i for part in parts for i in part.rows) == list(range(len(ROWS)))
    assert all(part.lengths == tuple(ROWS[i].n_completion for i in part.rows) for part in parts)
    with torch.no_grad():
        for part in parts:
            expected = [alone(model, ROWS[i], 0.7) for i in part.rows]
            torch.testing.assert_close(part.log_probs(model, 0.7), torch.cat(expected))


RULE = MarkConstraint(open_ids=(60, 70), close_id=63, eos_ids=(1,), never_ids=(5, 6))
# As the rule lets them be drawn: open, text, close; text; open, text ...
DRAWN = [
    Row((*PROMPTS[0], 60, 61, 63, 1), 4),
    Row((*PROMPTS[1], 80, 1), 2),
    Row((*PROMPTS[0], 70, 81, 82), 3),
]


def forbidden(rows):
    return forbidden_along([RULE] * len(rows), [row.completion for row in rows])


@pytest.mark.parametrize("packed", [True, False])
def test_only_what_could_be_drawn_shares_the_probability(packed):
    model = tiny_lm("llama").model
    if not packed:
        model.set_attn_implementation("eager")
    rules = forbidden(DRAWN)
    with torch.no_grad():
        for part in parts_for(model, DRAWN, pad_id=0, forbidden=rules):
            assert isinstance(part, Pack if packed else Padded)
            values = part.log_probs(model, 0.7)
            expected = []
            for i in part.rows:
                row = DRAWN[i]
                ids = torch.tensor([row.ids])
                logits = model(input_ids=ids).logits[0, -row.n_completion - 1 : -1] / 0.7
                allowed = torch.from_numpy(~rules[i].mask(logits.shape[1]))
                for place, token in enumerate(row.ids[-row.n_completion :]):
                    (kept,) = allowed[place].nonzero(as_tuple=True)
                    at = torch.distributions.Categorical(logits=logits[place, kept])
                    expected.append(at.log_prob((kept == token).nonzero()[0, 0]))
            torch.testing.assert_close(values, torch.stack(expected), atol=1e-4, rtol=1e-4)


def test_what_a_completion_loses_does_not_go_to_what_cannot_be_drawn():
    model = tiny_lm("llama").model
    head = model.get_output_embeddings().weight
    head.requires_grad_(True)
    model.set_output_embeddings(torch.nn.Linear(*head.shape[::-1], bias=False))
    gradients = []
    for rules in (None, forbidden(DRAWN)):
        model.zero_grad()
        for part in parts_for(model, DRAWN, pad_id=0, forbidden=rules):
            part.log_probs(model, 1.0).sum().backward()
        # Reserved tokens: forbidden everywhere.
        gradients.append(model.get_output_embeddings().weight.grad[[5, 6]].abs().sum())
    assert gradients[0] > 0
    assert gradients[1] == 0


def test_a_prompt_is_read_once():
    (part,) = parts_for(tiny_lm().model, ROWS, pad_id=0)
    n_prompts = sum(map(len, PROMPTS))
    assert len(part.ids) == n_prompts + sum(row.n_completion - 1 for row in ROWS)


def test_parts_are_no_longer_than_asked_unless_a_row_is(at_most):
    at_most(10)
    parts = parts_for(tiny_lm().model, ROWS, pad_id=0)
    assert all(len(part.ids) <= 10 or len(part.rows) == 1 for part in parts)
    assert len(parts) > 1


@pytest.mark.parametrize("reason", ["window", "attention"])
def test_rows_are_padded_where_a_pack_would_be_read_otherwise(reason):
    model = tiny_lm("gemma3").model
    if reason == "window":
        model.config.sliding_window = 8
        for layer in model.base_model.layers:
            layer.self_attn.sliding_window = 8 if layer.self_attn.sliding_window else None
    else:
        model.set_attn_implementation("eager")
    parts = parts_for(model, ROWS, pad_id=0)
    assert all(isinstance(part, Padded) for part in parts)
    with torch.no_grad():
        for part in parts:
            values = part.log_probs(model, 1.0)
            expected = torch.cat([alone(model, ROWS[i], 1.0) for i in part.rows])
            torch.testing.assert_close(values, expected, atol=1e-4, rtol=1e-4)


def test_the_gradient_of_a_pack_is_that_of_its_rows(at_most):
    model = tiny_lm("gemma3").model
    gradients = []
    for max_tokens in (512, 1):
        at_most(max_tokens)
        model.zero_grad()
        for part in parts_for(model, ROWS, pad_id=0):
            part.log_probs(model, 1.0).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("max_tokens", [1, 40, 10_000])
def test_padded_rows_have_the_gradient_of_the_whole_batch(max_tokens, at_most):
    lm = tiny_lm("gemma3")
    model = lm.model.float()
    rows = encode_examples(lm, [Example("Write:", text) for text in TEXTS])

    def gradient(n):
        at_most(n)
        model.zero_grad()
        parts = padded_parts(model, rows, pad_id=lm.pad_id)
        assert sorted(i for part in parts for i in part.rows) == list(range(len(rows)))
        for part in parts:
            width = max(len(row.ids) for row in part.own)
            assert len(part.own) == 1 or len(part.own) * width <= n
            part.log_probs(model, 1.0).sum().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    torch.testing.assert_close(gradient(max_tokens), gradient(10_000), atol=1e-4, rtol=1e-4)


def test_rows_that_belong_together_are_never_parted(at_most):
    at_most(1)
    parts = padded_parts(tiny_lm().model, ROWS[:4], pad_id=0, together=2)
    assert [part.rows for part in parts] == [(2, 3), (0, 1)]


def test_batches_hold_examples_of_like_length_and_differ_between_epochs():
    lengths = [10 * (i % 10) + 10 for i in range(103)]
    first, second = (order_by_length(lengths, 10, seed=1, epoch=epoch) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(103)) and first != second
    assert first == order_by_length(lengths, 10, seed=1, epoch=0)
    for start in range(0, 100, 10):
        batch = [lengths[i] for i in first[start : start + 10]]
        assert max(batch) <= 1.5 * min(batch) or max(batch) - min(batch) <= 10
