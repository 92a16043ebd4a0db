"""Rows of token ids, and the parts in which they go through the model.

A part is either a pack or padded rows. In a pack the completions of one prompt make one sequence:
the prompt once, then each completion, which sees the prompt and itself. That is a third fewer
tokens with prompts as long as completions, and no padding. Where a model's attention cannot be told
so, rows are padded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from notesmith.lm.constrain import Forbidden, joined
from notesmith.lm.score import part_tokens, project
from notesmith.lm.training.processes import Processes

# Models whose attention takes a mask of any shape as it is given.
_PACKED = frozenset({"gemma3_text", "llama", "mistral", "qwen3"})


@dataclass(frozen=True, slots=True)
class Row:
    """An example in token ids; the last ``n_completion`` of them bear the loss."""

    ids: tuple[int, ...]
    n_completion: int

    @property
    def prompt(self) -> tuple[int, ...]:
        """What stands before the completion."""
        return self.ids[: len(self.ids) - self.n_completion]

    @property
    def completion(self) -> tuple[int, ...]:
        """What bears the loss."""
        return self.ids[len(self.ids) - self.n_completion :]


class Part(Protocol):
    """Rows that go through the model together: their numbers in the batch, and their lengths.

    ``lengths`` counts the completion tokens of each, in the order of ``rows``.
    """

    @property
    def rows(self) -> tuple[int, ...]: ...

    @property
    def lengths(self) -> tuple[int, ...]: ...

    def log_probs(self, model: Any, temperature: float) -> Tensor:
        """Log-probability of every completion token, row by row, in nats.

        Of the softmax at ``temperature`` over what could be drawn there: the whole vocabulary, but
        for what was forbidden. Only positions that predict a completion token meet the vocabulary.
        """
        ...


@dataclass(frozen=True, slots=True)
class Loss:
    """A part's share of the loss of its batch, and its shares of other means over the batch."""

    value: Tensor
    means: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from.

    The parts go through the model one after the other, so that memory does not grow with the
    batch. The shares that ``loss`` gives them add up to the loss of the batch. ``n_tokens`` counts
    prompts too, padding not.
    """

    parts: Sequence[Part]
    loss: Callable[[Any, Part], Loss]
    n_tokens: int


def parts_for(
    model: Any, rows: Sequence[Row], *, pad_id: int, forbidden: Sequence[Forbidden] | None = None
) -> list[Part]:
    """Divide ``rows`` into packs, or padded parts, of as many tokens as ``model`` takes together.

    Where several processes train, a part is no more than a process's share. A row that is longer
    stands alone. ``forbidden`` tells of each row what its completion tokens could not have been.
    """
    if not _takes_packs(model, max(len(row.ids) for row in rows)):
        return padded_parts(model, rows, pad_id=pad_id, forbidden=forbidden)
    # As they count in a pack: each prompt once, a completion's last token not.
    n_prompts = sum(len(prompt) for prompt in {row.prompt for row in rows})
    whole = n_prompts + sum(row.n_completion - 1 for row in rows)
    packs = list(_filled(rows, _tokens_of_a_part(model, whole)))
    return [_packed(rows, numbers, _rules(forbidden, numbers)) for numbers in packs]


def padded_parts(
    model: Any,
    rows: Sequence[Row],
    *,
    pad_id: int,
    forbidden: Sequence[Forbidden] | None = None,
    together: int = 1,
) -> list[Part]:
    """``parts_for`` without packs: the longest rows first, padded to the longest of their part.

    ``together`` neighbouring rows are never parted.
    """
    lengths = np.array([len(row.ids) for row in rows]).reshape(-1, together).max(axis=1)
    order = np.argsort(-lengths, kind="stable")
    tokens = _tokens_of_a_part(model, int(lengths.max()) * len(rows))
    parts: list[Part] = []
    while len(order):
        n = max(1, tokens // (int(lengths[order[0]]) * together))
        numbers = [int(i) * together + k for i in order[:n] for k in range(together)]
        own = tuple(rows[i] for i in numbers)
        parts.append(Padded(tuple(numbers), own, pad_id, _rules(forbidden, numbers)))
        order = order[n:]
    return parts


def _tokens_of_a_part(model: Any, whole: int) -> int:
    return min(part_tokens(model), -(-whole // Processes.at(model.device).n))


def _rules(forbidden: Sequence[Forbidden] | None, numbers: Sequence[int]) -> Forbidden | None:
    return None if forbidden is None else joined([forbidden[i] for i in numbers])


def order_by_length(lengths: Sequence[int], batch_size: int, *, seed: int, epoch: int) -> list[int]:
    """Order of the examples of an epoch in which those of a batch are nearly equally long.

    Lengths are blurred by a tenth, so that batches differ between epochs; what does not fill a
    batch comes last and is drawn from all lengths.
    """
    rng = np.random.default_rng([seed, epoch])
    n_batches, n_rest = divmod(len(lengths), batch_size)
    order = rng.permutation(len(lengths))
    rest, chosen = order[:n_rest], order[n_rest:]
    blurred = np.array(lengths, dtype=float)[chosen] * rng.uniform(0.9, 1.1, len(chosen))
    batches = chosen[np.argsort(blurred)].reshape(n_batches, batch_size)
    return [int(i) for i in (*rng.permutation(batches).reshape(-1), *rest)]


def _takes_packs(model: Any, longest: int) -> bool:
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    return (
        config.model_type in _PACKED
        and config._attn_implementation == "sdpa"
        # Within the window every layer sees all that came before.
        and (window is None or longest <= window)
    )


@dataclass(frozen=True, slots=True)
class Pack:
    """One sequence: ``ids`` and ``positions`` ``(n,)``, who sees whom ``(n, n)``.

    Token ``targets[i]`` follows the hidden state at ``predictors[i]``.
    """

    rows: tuple[int, ...]
    lengths: tuple[int, ...]
    ids: Tensor
    positions: Tensor
    sees: Tensor
    predictors: Tensor
    targets: Tensor
    forbidden: Forbidden | None = None

    def log_probs(self, model: Any, temperature: float) -> Tensor:
        """See ``Part``."""
        device = model.device
        hidden = model.base_model(
            input_ids=self.ids[None].to(device),
            position_ids=self.positions[None].to(device),
            attention_mask=self.sees[None, None].to(device),
            use_cache=False,
        ).last_hidden_state[0]
        chosen = hidden[self.predictors.to(device)]
        return _of_targets(model, chosen, self.targets.to(device), temperature, self.forbidden)


@dataclass(frozen=True, slots=True)
class Padded:
    """Rows padded on the right."""

    rows: tuple[int, ...]
    own: tuple[Row, ...]
    pad_id: int
    forbidden: Forbidden | None = None

    @property
    def lengths(self) -> tuple[int, ...]:
        """See ``Part``."""
        return tuple(row.n_completion for row in self.own)

    def log_probs(self, model: Any, temperature: float) -> Tensor:
        """See ``Part``."""
        width = max(len(row.ids) for row in self.own)
        ids = torch.full((len(self.own), width), self.pad_id)
        mask = torch.zeros_like(ids)
        predictors = torch.zeros_like(ids, dtype=torch.bool)
        for i, row in enumerate(self.own):
            n = len(row.ids)
            ids[i, :n] = torch.tensor(row.ids)
            mask[i, :n] = 1
            predictors[i, n - row.n_completion - 1 : n - 1] = True
        hidden = model.base_model(
            input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False
        ).last_hidden_state
        targets = torch.tensor([i for row in self.own for i in row.completion])
        chosen = hidden[predictors.to(model.device)]
        return _of_targets(model, chosen, targets.to(model.device), temperature, self.forbidden)


def _of_targets(
    model: Any,
    hidden: Tensor,
    targets: Tensor,
    temperature: float,
    forbidden: Forbidden | None,
) -> Tensor:
    logits = project(model, hidden)
    if temperature != 1:
        logits = logits / temperature
    if forbidden is not None:
        # Else what a bad completion loses could go to tokens that are never drawn, hence never
        # punished, until they are all that the policy wants.
        mask = torch.from_numpy(forbidden.mask(logits.shape[-1]))
        logits = logits.masked_fill(mask.to(logits.device), -torch.inf)
    return torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])[:, 0]


def _filled(rows: Sequence[Row], max_tokens: int) -> Iterator[list[int]]:
    """Numbers of the rows of each pack; rows of one prompt side by side."""
    same: dict[tuple[int, ...], list[int]] = {}
    for i, row in enumerate(rows):
        same.setdefault(row.prompt, []).append(i)
    numbers: list[int] = []
    n, last = 0, None
    for prompt, members in same.items():
        for i in members:
            # A completion's last token predicts nothing that is asked.
            own = rows[i].n_completion - 1
            more = own + (0 if prompt == last else len(prompt))
            if numbers and n + more > max_tokens:
                yield numbers
                numbers, n, more = [], 0, own + len(prompt)
            numbers.append(i)
            n, last = n + more, prompt
    if numbers:
        yield numbers


def _packed(rows: Sequence[Row], numbers: Sequence[int], forbidden: Forbidden | None) -> Pack:
    ids: list[int] = []
    positions: list[int] = []
    # Each token's segment, and the one that it goes on from: its prompt, or itself.
    segments: list[int] = []
    parents: list[int] = []
    predictors: list[int] = []
    targets: list[int] = []

    def add(tokens: Sequence[int], first: int, segment: int, parent: int) -> None:
        ids.extend(tokens)
        positions.extend(range(first, first + len(tokens)))
        segments.extend([segment] * len(tokens))
        parents.extend([parent] * len(tokens))

    n_segments = 0
    for prompt, members in groupby(numbers, key=lambda i: rows[i].prompt):
        parent = n_segments
        add(prompt, 0, parent, parent)
        n_segments += 1
        end_of_prompt = len(ids) - 1
        for i in members:
            completion = rows[i].completion
            predictors += [end_of_prompt, *range(len(ids), len(ids) + len(completion) - 1)]
            targets += completion
            add(completion[:-1], len(prompt), n_segments, parent)
            n_segments += 1
    segment, parent_of = torch.tensor(segments), torch.tensor(parents)
    place = torch.arange(len(ids))
    sees = (segment[:, None] == segment) | (parent_of[:, None] == segment)
    return Pack(
        tuple(numbers),
        tuple(rows[i].n_completion for i in numbers),
        torch.tensor(ids),
        torch.tensor(positions),
        sees & (place[:, None] >= place),
        torch.tensor(predictors),
        torch.tensor(targets),
        forbidden,
    )
