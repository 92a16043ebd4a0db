from __future__ import annotations

import numpy as np
import pytest
import torch

from notesmith.ner.dropout import ByteDropout, training_dropout
from notesmith.ner.train import compact_embeddings, schedule
from notesmith.ner.windows import Window


def test_schedule_by_hand() -> None:
    factors = [schedule(step, 10, 0.2) for step in range(10)]
    assert factors[:2] == pytest.approx([1 / 3, 2 / 3])
    assert factors[2:] == pytest.approx([1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


def test_dropout_keeps_the_mean_and_is_off_in_evaluation() -> None:
    layer = ByteDropout(0.1, np.random.default_rng(0)).train()
    values = torch.ones(1000, 1001)
    out = layer(values)
    assert out.unique().tolist() == pytest.approx([0, 256 / 230])
    assert out.mean().item() == pytest.approx(1, abs=2e-3)
    assert layer.eval()(values) is values


def test_dropout_is_put_back() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.3))
    before = model[1]
    with training_dropout(model, p=0.1, seed=1, device="cpu"):
        assert isinstance(model[1], ByteDropout)
    assert model[1] is before and before.p == 0.3


class Embedded(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding.from_pretrained(torch.eye(6), freeze=False, padding_idx=0)

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.table

    def set_input_embeddings(self, table: torch.nn.Embedding) -> None:
        self.table = table


def test_compact_embeddings_train_only_what_occurs() -> None:
    model = Embedded()
    with compact_embeddings(model, [Window(0, (4, 2), (), ())], pad=0) as table:
        assert model.table.num_embeddings == 3
        assert torch.equal(
            model.table(table.row_of[torch.tensor([4, 2, 0])]), torch.eye(6)[[4, 2, 0]]
        )
        with torch.no_grad():
            model.table.weight.add_(1)
    expected = torch.eye(6)
    expected[[0, 2, 4]] += 1
    assert torch.equal(model.table.weight, expected)
