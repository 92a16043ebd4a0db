from __future__ import annotations

import pytest
import torch

from notesmith.ner.batch import collate
from notesmith.ner.packing import ATTENTION, enable_packing, pack, packed_inputs, position_offset
from notesmith.ner.windows import Window

SHAPE = {
    "vocab_size": 90,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def random_model(kind: str):
    from transformers import AutoConfig, AutoModelForTokenClassification

    shape = dict(SHAPE)
    if kind == "modernbert":
        shape |= {"local_attention": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        shape |= {"cls_token_id": 1, "sep_token_id": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForTokenClassification.from_config(
            AutoConfig.for_model(kind, **shape)
        ).eval()


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert", "electra"])
def test_packed_outputs_and_gradients_are_those_of_padding(kind: str) -> None:
    ids = [[5, 9, 7], [8, 4, 6, 20], [11] * 4, list(range(10, 50))]
    mask = torch.tensor([[1] * len(row) + [0] * (40 - len(row)) for row in ids])
    pad = random_model(kind).config.pad_token_id
    padded = torch.tensor([row + [pad] * (40 - len(row)) for row in ids])

    model = random_model(kind)
    plain = model(input_ids=padded, attention_mask=mask).logits[mask.bool()]
    plain.square().sum().backward()
    grads = {name: p.grad for name, p in model.named_parameters()}

    model = random_model(kind)
    assert enable_packing(model) and model.config._attn_implementation == ATTENTION
    packed = model(**packed_inputs(ids, position_offset(model))).logits[0]
    assert torch.allclose(packed, plain, atol=1e-5)
    packed.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, grads[name], atol=1e-4), name


def test_a_model_that_ignores_the_packing_is_left_alone() -> None:
    model = random_model("deberta-v2")
    assert not enable_packing(model)
    assert model.config._attn_implementation == "eager"


def test_packed_model_still_takes_padded_batches() -> None:
    model = random_model("bert")
    ids, mask = torch.tensor([[5, 9, 7, 0]]), torch.tensor([[1, 1, 1, 0]])
    before = model(input_ids=ids, attention_mask=mask).logits[0, :3]
    assert enable_packing(model)
    after = model(input_ids=ids, attention_mask=mask).logits[0, :3]
    assert torch.allclose(before, after, atol=1e-5)


def test_groups_keep_padding_low() -> None:
    groups = pack([3, 3, 4, 10, 10, 40]).groups
    assert [(g.n_units, g.longest, g.n_pieces) for g in groups] == [
        (3, 4, 10),
        (2, 10, 20),
        (1, 40, 40),
    ]
    assert groups[0].places.tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]
    assert groups[1].places is None


WINDOWS = [
    Window(0, (2, 10, 11, 3), (0,), ((1, 3),), (1,)),
    Window(0, (2, 12, 13, 14, 3), (1, 2), ((1, 2), (2, 4)), (2, 0)),
]


@pytest.mark.parametrize("packed_from", [None, 0])
def test_words_read_their_first_piece_or_the_mean(packed_from: int | None) -> None:
    first = collate(WINDOWS, pad=0, pieces="first", packed_from=packed_from)
    values = first.inputs["input_ids"].unsqueeze(-1).float()
    assert first.words(values).flatten().tolist() == [10, 12, 13]
    assert first.tags.tolist() == [1, 2, 0] and first.n_tokens == 9
    mean = collate(WINDOWS, pad=0, pieces="mean", packed_from=packed_from)
    assert mean.words(values).flatten().tolist() == [10.5, 12, 13.5]
