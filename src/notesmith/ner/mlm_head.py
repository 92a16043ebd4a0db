"""A masked language model as adaptation trains it: few rows of its vocabulary, few of its places.

Scores over the vocabulary are the dearest layer of a small encoder, so they are computed for masked
pieces alone, and over the token ids that occur in the notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from notesmith.errors import ModelError
from notesmith.ner.packing import packed_inputs

# Models whose layer is attention, then what works on each piece alone.
_BERT = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra"})


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a masked language model; the vocabulary's table is the encoder's."""

    encoder: tuple[torch.nn.Parameter, ...]
    head: tuple[torch.nn.Parameter, ...]

    @classmethod
    def of(cls, model: Any) -> Parameters:
        """Those of ``model``; one that both use is named by its place in the encoder."""
        base = f"{model.base_model_prefix}."
        named = list(model.named_parameters())
        return cls(
            tuple(p for name, p in named if name.startswith(base)),
            tuple(p for name, p in named if not name.startswith(base)),
        )

    def freeze_encoder(self, frozen: bool) -> None:
        """Let no gradient reach the encoder, or let it again."""
        for parameter in self.encoder:
            parameter.requires_grad_(not frozen)


@contextmanager
def compact_vocabulary(model: Any, used: NDArray[np.int64]) -> Iterator[torch.Tensor]:
    """Train and score only the token ids that are ``used``; the rest stay as they were.

    Under the full softmax every piece that no note holds would be pushed away from all contexts.
    Yields the table from token id to row; on leaving, trained rows go back to their places.

    Raises:
        ModelError: the scores do not come from the table of embeddings.
    """
    table, scores = model.get_input_embeddings(), model.get_output_embeddings()
    if scores is None or scores.weight is not table.weight:
        raise ModelError("an encoder whose head has a vocabulary of its own cannot be adapted")
    rows = torch.from_numpy(used).to(table.weight.device)
    row_of = torch.zeros(table.num_embeddings, dtype=torch.int64)
    row_of[torch.from_numpy(used)] = torch.arange(len(used))
    small = torch.nn.Embedding.from_pretrained(table.weight.detach()[rows].clone(), freeze=False)
    decoder = torch.nn.Linear(small.embedding_dim, len(used), bias=scores.bias is not None)
    decoder.weight = small.weight
    if scores.bias is not None:
        decoder.bias = torch.nn.Parameter(scores.bias.detach()[rows].clone())
    model.set_input_embeddings(small)
    model.set_output_embeddings(decoder)
    try:
        yield row_of
    finally:
        with torch.no_grad():
            table.weight[rows] = small.weight
            if scores.bias is not None:
                scores.bias[rows] = decoder.bias
        model.set_input_embeddings(table)
        model.set_output_embeddings(scores)


def masked_loss(
    model: Any,
    seen: torch.Tensor,
    places: torch.Tensor,
    targets: torch.Tensor,
    *,
    packed_from: int | None,
) -> torch.Tensor:
    """Mean cross-entropy, in nats, of ``targets`` at ``places``.

    Args:
        model: a masked language model of transformers.
        seen: rows of the table (blocks, pieces), questions masked.
        places: of the questions, in the flattened ``seen``.
        targets: rows of the table that stood there.
        packed_from: position of the first piece if blocks go side by side in one row (see
            ``packing``), None if they go one below the other.
    """
    inputs: dict[str, Any] = {"input_ids": seen}
    if packed_from is not None:
        inputs = dict(packed_inputs(seen.tolist(), packed_from))
    with _only(model, places):
        logits = model(**inputs).logits[0]
    return torch.nn.functional.cross_entropy(logits.float(), targets)


@contextmanager
def _only(model: Any, places: torch.Tensor) -> Iterator[None]:
    """Drop all states but those at ``places`` as soon as no other piece looks at them.

    That is behind the last attention of BERT and RoBERTa, else behind the encoder.
    """
    encoder, is_bert = model.base_model, model.config.model_type in _BERT

    def keep(module: Any, arguments: Any, output: Any) -> Any:
        states = output[0].flatten(0, 1).index_select(0, places).unsqueeze(0)
        if is_bert:
            return (states, *output[1:])
        output.last_hidden_state = states
        return output

    last = encoder.encoder.layer[-1].attention if is_bert else encoder
    handle = last.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()
