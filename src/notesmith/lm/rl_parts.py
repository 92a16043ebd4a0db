"""Log-probabilities of completions, part by part, so that memory does not grow with the batch.

Completions of one prompt go through the model as one sequence: the prompt once, then each
completion, which sees the prompt and itself. That is a third fewer tokens with prompts as long as
completions, and no padding. Where a model's attention cannot be told so, rows are padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import torch
from torch import Tensor

from notesmith.lm.constrain import Forbidden, joined
from notesmith.lm.score import project
from notesmith.lm.sft import Row
from notesmith.lm.trainer import collate, completion_states, row_parts

# Models whose attention takes a mask of any shape as it is given.
_PACKED = frozenset({"gemma3_text", "llama", "mistral", "qwen3"})


class Part(Protocol):
    """Rows that go through the model together."""

    @property
    def rows(self) -> tuple[int, ...]: ...

    def log_probs(self, model: Any, temperature: float) -> Tensor:
        """Log-probability of every completion token, row by row, in nats.

        Of the softmax at ``temperature`` over what could be drawn there: the whole vocabulary, but
        for what was forbidden. Only positions that predict a completion token meet the vocabulary.
        """
        ...


def parts_for(
    model: Any,
    rows: Sequence[Row],
    max_tokens: int,
    *,
    pad_id: int,
    forbidden: Sequence[Forbidden] | None = None,
) -> list[Part]:
    """Divide ``rows`` into parts of at most ``max_tokens``; a row that is longer stands alone.

    ``forbidden`` tells of each row what its completion tokens could not have been.
    """

    def rules(numbers: Sequence[int]) -> Forbidden | None:
        return None if forbidden is None else joined([forbidden[i] for i in numbers])

    longest = max(len(row.ids) for row in rows)
    if _takes_packs(model, longest):
        packs = list(_filled(rows, max_tokens))
        return [_packed(rows, numbers, rules(numbers)) for numbers in packs]
    lengths = torch.tensor([len(row.ids) for row in rows])
    return [
        Padded(tuple(numbers), tuple(rows[i] for i in numbers), pad_id, rules(numbers))
        for numbers in (found.tolist() for found in row_parts(lengths, max_tokens))
    ]


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
    """Rows padded on the right, as the trainer of fine-tuning has them."""

    rows: tuple[int, ...]
    own: tuple[Row, ...]
    pad_id: int
    forbidden: Forbidden | None = None

    def log_probs(self, model: Any, temperature: float) -> Tensor:
        """See ``Part``."""
        features = [{"input_ids": row.ids, "n_completion": row.n_completion} for row in self.own]
        inputs = {k: v.to(model.device) for k, v in collate(features, self.pad_id).items()}
        return _of_targets(model, *completion_states(model, inputs), temperature, self.forbidden)


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


def _prompt(row: Row) -> tuple[int, ...]:
    return row.ids[: len(row.ids) - row.n_completion]


def _filled(rows: Sequence[Row], max_tokens: int) -> Iterator[list[int]]:
    """Numbers of the rows of each pack; rows of one prompt side by side."""
    same: dict[tuple[int, ...], list[int]] = {}
    for i, row in enumerate(rows):
        same.setdefault(_prompt(row), []).append(i)
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
    for prompt, members in groupby(numbers, key=lambda i: _prompt(rows[i])):
        parent = n_segments
        add(prompt, 0, parent, parent)
        n_segments += 1
        end_of_prompt = len(ids) - 1
        for i in members:
            completion = rows[i].ids[len(prompt) :]
            predictors += [end_of_prompt, *range(len(ids), len(ids) + len(completion) - 1)]
            targets += completion
            add(completion[:-1], len(prompt), n_segments, parent)
            n_segments += 1
    segment, parent_of = torch.tensor(segments), torch.tensor(parents)
    place = torch.arange(len(ids))
    sees = (segment[:, None] == segment) | (parent_of[:, None] == segment)
    return Pack(
        tuple(numbers),
        torch.tensor(ids),
        torch.tensor(positions),
        sees & (place[:, None] >= place),
        torch.tensor(predictors),
        torch.tensor(targets),
        forbidden,
    )
