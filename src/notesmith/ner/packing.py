"""Many units in one row without padding: attention that stays inside each unit.

Units of a batch stand one after the other in a single row, so that every layer but attention works
on word pieces only. Attention pads them in groups of like length. ``can_pack`` compares the result
with the plain model before it is used, so an encoder that works otherwise is left alone.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

ATTENTION = "notesmith_packed"
_MOST_PADDING = 1.6
_FAILURES = (TypeError, ValueError, KeyError, AttributeError, IndexError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring units that attention pads to ``longest``.

    ``places`` are the rows of the padded (units x longest) table that hold pieces, and ``bias``
    (units, 1, 1, longest) is very low where none is; both None where all are of one length.
    """

    n_units: int
    longest: int
    n_pieces: int
    places: torch.Tensor | None
    bias: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class Packing:
    """How a row is made up: its groups, in order."""

    groups: tuple[Group, ...]


def pack(lengths: Sequence[int]) -> Packing:
    """Group units of ``lengths``, best given in order of length, so that little is padded."""
    found: list[list[int]] = []
    for length in lengths:
        if found:
            grown = [*found[-1], length]
            if max(grown) * len(grown) <= _MOST_PADDING * sum(grown):
                found[-1] = grown
                continue
        found.append([length])
    return Packing(tuple(_group(group) for group in found))


def _group(lengths: Sequence[int]) -> Group:
    longest = max(lengths)
    if min(lengths) == longest:
        return Group(len(lengths), longest, longest * len(lengths), None, None)
    filled = torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)
    bias = torch.zeros(filled.shape).masked_fill(~filled, -1e4)
    places = filled.flatten().nonzero().squeeze(1)
    return Group(len(lengths), longest, len(places), places, bias[:, None, None, :])


class _Pad(torch.autograd.Function):
    """Put rows at ``places`` of a table of zeros; backward picks them out again."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor, n: int) -> torch.Tensor:
        ctx.save_for_backward(places)
        return rows.new_zeros(n, *rows.shape[1:]).index_copy_(0, places, rows)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return grad.index_select(0, places), None, None


class _Unpad(torch.autograd.Function):
    """Pick rows at ``places``; backward puts them into zeros, with no additions to make."""

    @staticmethod
    def forward(ctx: Any, table: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(places)
        ctx.n = len(table)
        return table.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (places,) = ctx.saved_tensors
        return grad.new_zeros(ctx.n, *grad.shape[1:]).index_copy_(0, places, grad), None


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    packing: Packing | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in the form that transformers calls; plain where the row is not packed."""
    if packing is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return out, None
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    sizes = [group.n_pieces for group in packing.groups]
    # (1, heads, pieces, width) -> (pieces, heads, width), a view for the BERT family.
    parts = [x[0].transpose(0, 1).split(sizes) for x in (query * scale, key, value.to(query.dtype))]
    out_parts = [
        _attend(q, k, v, group, dropout, sliding_window)
        for q, k, v, group in zip(*parts, packing.groups, strict=True)
    ]
    return torch.cat(out_parts).unsqueeze(0), None


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    group: Group,
    dropout: float,
    sliding_window: int | None,
) -> torch.Tensor:
    n, longest = group.n_units, group.longest
    padded = []
    for x in (q, k, v):
        if group.places is not None:
            x = _Pad.apply(x, group.places, n * longest)
        padded.append(x.reshape(n, longest, *x.shape[1:]).transpose(1, 2))
    scores = torch.matmul(padded[0], padded[1].transpose(2, 3))
    if group.bias is not None:
        scores = scores.add_(group.bias.to(scores.dtype))
    if sliding_window is not None and longest > sliding_window:
        at = torch.arange(longest)
        far = (at[:, None] - at[None, :]).abs() >= sliding_window
        scores = scores.masked_fill(far, -1e4)
    weights = scores.softmax(-1)
    if dropout:
        weights = torch.nn.functional.dropout(weights, dropout)
    out = torch.matmul(weights, padded[2]).transpose(1, 2).reshape(n * longest, *q.shape[1:])
    if group.places is None:
        return out
    unpadded: torch.Tensor = _Unpad.apply(out, group.places)
    return unpadded


@functools.cache
def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(ATTENTION, _attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def position_offset(model: Any) -> int:
    """Position of the first piece: RoBERTa counts from ``pad_token_id + 1``."""
    config = model.config
    return int(config.pad_token_id) + 1 if "roberta" in config.model_type else 0


def packed_inputs(
    ids: Sequence[Sequence[int]], offset: int
) -> dict[str, torch.Tensor | Packing | None]:
    """Arguments of the model for units of piece ``ids``, best given in order of length."""
    lengths = [len(row) for row in ids]
    return {
        "input_ids": torch.tensor([[i for row in ids for i in row]]),
        "position_ids": torch.cat([torch.arange(n) + offset for n in lengths]).unsqueeze(0),
        "attention_mask": None,
        "packing": pack(lengths),
    }


def enable_packing(model: Any) -> bool:
    """Switch ``model`` to packed attention if its outputs stay the same; say whether it was done.

    Three made-up units go through it packed and padded, in evaluation mode and float32.
    """
    before = model.config._attn_implementation
    training = model.training
    longest = min(getattr(model.config, "max_position_embeddings", 160) or 160, 160) - 4
    lengths = [max(n, 3) for n in (longest // 20, longest // 19, longest)]
    n_ids = model.get_input_embeddings().num_embeddings
    generator = torch.Generator().manual_seed(0)
    # Id 0 and the padding id are avoided: some encoders treat padding by its id.
    pad = model.config.pad_token_id or 0
    ids = [
        [i if i != pad else (pad + 1) % n_ids for i in row]
        for row in (torch.randint(1, n_ids, (n,), generator=generator).tolist() for n in lengths)
    ]
    width = max(lengths)
    padded = torch.tensor([row + [pad] * (width - len(row)) for row in ids])
    mask = torch.tensor([[1] * n + [0] * (width - n) for n in lengths])
    model.eval()
    same = False
    try:
        with torch.inference_mode():
            plain = model(input_ids=padded, attention_mask=mask).logits[mask.bool()]
            _register()
            model.set_attn_implementation(ATTENTION)
            packed = model(**packed_inputs(ids, position_offset(model))).logits[0]
        scale = float(plain.std()) + 1e-6
        same = packed.shape == plain.shape and float((packed - plain).abs().max()) < 1e-2 * scale
    except _FAILURES:
        same = False
    finally:
        model.train(training)
        if not same:
            model.set_attn_implementation(before)
    return same
