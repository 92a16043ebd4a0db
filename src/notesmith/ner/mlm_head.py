"""A masked language model as adaptation trains it: few rows of its vocabulary, few of its places.

Scores over the vocabulary are the dearest layer of a small encoder, so they are computed for masked
pieces alone, and over the token ids that occur in the notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from notesmith.errors import ModelError
from notesmith.ner.packing import packed_inputs


def head_parameters(model: Any) -> list[torch.nn.Parameter]:
    """The parameters above the encoder; one that is tied to the embeddings is the encoder's."""
    base = f"{model.base_model_prefix}."
    return [p for name, p in model.named_parameters() if not name.startswith(base)]


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
    with _only(model.base_model, places):
        logits = model(**inputs).logits[0]
    return torch.nn.functional.cross_entropy(logits.float(), targets)


@contextmanager
def _only(encoder: Any, places: torch.Tensor) -> Iterator[None]:
    """Let ``encoder`` give its states at ``places`` alone, so that the head works on no others."""

    def keep(module: Any, arguments: Any, output: Any) -> Any:
        states = output.last_hidden_state
        output.last_hidden_state = states.flatten(0, 1).index_select(0, places).unsqueeze(0)
        return output

    handle = encoder.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()
