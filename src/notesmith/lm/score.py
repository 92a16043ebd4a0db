"""Log-probability of continuations under a language model, in batches sorted by length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from notesmith.lm.load import LanguageModel


# Tokens, padding included, that go through the model together where a row does not have more. A
# larger part is no faster a token on a processor; a GPU needs them, within its memory: logits of a
# part take a gigabyte for every 4,096 tokens and 64,000 words of vocabulary.
PART_TOKENS = 512
GPU_PART_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class ContinuationScore:
    """Sum of natural-log probabilities over a continuation's ``n_tokens`` tokens."""

    log_prob: float
    n_tokens: int

    @property
    def mean(self) -> float:
        """Log-probability a token; 0 for an empty continuation."""
        return self.log_prob / self.n_tokens if self.n_tokens else 0.0


def score_continuations(
    lm: LanguageModel, prompts: Sequence[str], continuations: Sequence[str], *, batch_size: int = 64
) -> list[ContinuationScore]:
    """Score ``continuations[i]`` after ``prompts[i]``; the end of text is not scored.

    A prompt that several continuations share is read once: its keys and values are kept. Only the
    positions that predict a continuation are projected onto the vocabulary.
    """
    import torch

    if len(prompts) != len(continuations):
        raise ValueError(f"{len(prompts)} prompts but {len(continuations)} continuations")
    # Without a first token the first one of a continuation has nothing to follow.
    heads = [tuple(ids) or (lm.eos_ids[0],) for ids in lm.encode_prompts(prompts)]
    tails = lm.encode_all(continuations)
    scores = [ContinuationScore(0.0, 0)] * len(heads)
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, head in enumerate(heads):
        if tails[i]:
            groups.setdefault(head, []).append(i)
    lm.model.eval()
    with torch.inference_mode():
        for batch in _batches(groups, tails, batch_size, part_tokens(lm.model)):
            together = [heads[i] for i in batch], [tails[i] for i in batch]
            for i, log_prob in zip(batch, _score_batch(lm, *together), strict=True):
                scores[i] = ContinuationScore(log_prob, len(tails[i]))
    return scores


def token_log_probs(
    lm: LanguageModel,
    prompts: Sequence[str],
    completions: Sequence[Sequence[int]],
    *,
    batch_size: int = 64,
) -> list[tuple[float, ...]]:
    """Natural-log probability of each token of ``completions[i]`` after ``prompts[i]``.

    Completions are token ids as they were drawn, without the end of text.
    """
    import torch

    heads = [tuple(ids) or (lm.eos_ids[0],) for ids in lm.encode_prompts(prompts)]
    found: list[tuple[float, ...]] = [()] * len(heads)
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, head in enumerate(heads):
        if completions[i]:
            groups.setdefault(head, []).append(i)
    lm.model.eval()
    with torch.inference_mode():
        for batch in _batches(groups, completions, batch_size, part_tokens(lm.model)):
            tails = [completions[i] for i in batch]
            chosen = iter(_chosen(lm, [heads[i] for i in batch], tails).tolist())
            for i, tail in zip(batch, tails, strict=True):
                found[i] = tuple(next(chosen) for _ in tail)
    return found


def _batches(
    groups: Mapping[tuple[int, ...], list[int]],
    tails: Sequence[Sequence[int]],
    size: int,
    max_tokens: int,
) -> Iterator[list[int]]:
    """Rows of one prompt together; rows whose prompt is their own, by length, in common batches."""
    alone: list[int] = []
    lengths: dict[int, int] = {}
    for head, members in groups.items():
        # A prompt of one token is not worth reading apart.
        if len(members) == 1 or len(head) == 1:
            alone += members
            lengths |= {i: len(head) + len(tails[i]) for i in members}
        else:
            members = sorted(members, key=lambda i: (-len(tails[i]), i))
            yield from (members[k : k + size] for k in range(0, len(members), size))
    alone.sort(key=lambda i: (-lengths[i], i))
    while alone:
        n = max(1, min(size, max_tokens // lengths[alone[0]]))
        yield alone[:n]
        alone = alone[n:]


def _score_batch(
    lm: LanguageModel, heads: Sequence[Sequence[int]], tails: Sequence[Sequence[int]]
) -> list[float]:
    sums = _chosen(lm, heads, tails).double().cumsum(0).tolist()
    ends = accumulate(map(len, tails))
    totals = [sums[end - 1] for end in ends]
    return [b - a for a, b in zip([0.0, *totals], totals, strict=False)]


def _chosen(
    lm: LanguageModel, heads: Sequence[Sequence[int]], tails: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Log-probability of each token of ``tails``, one after another."""
    import torch

    n_shared = 0
    cache = None
    if len(heads) > 1 and all(head == heads[0] for head in heads):
        # All but the last token of the prompt, which predicts the first of each continuation.
        n_shared = len(heads[0]) - 1
        cache = _read(lm, heads[0][:n_shared], len(heads)) if n_shared else None
    # The last token predicts nothing that is asked, so it is not run.
    rows = [[*head, *tail][n_shared:-1] for head, tail in zip(heads, tails, strict=True)]
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), lm.pad_id)
    mask = torch.zeros((len(rows), n_shared + width), dtype=torch.long)
    wanted = torch.zeros((len(rows), width), dtype=torch.bool)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : n_shared + len(tokens)] = 1
        first = len(heads[row]) - 1 - n_shared
        wanted[row, first : first + len(tails[row])] = True
    targets = torch.tensor([token for tail in tails for token in tail], device=lm.device)
    hidden = lm.model.base_model(
        input_ids=ids.to(lm.device),
        attention_mask=mask.to(lm.device),
        past_key_values=cache,
        use_cache=cache is not None,
    ).last_hidden_state
    logits = project(lm.model, hidden[wanted.to(lm.device)])
    return torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])[:, 0]


def _read(lm: LanguageModel, head: Sequence[int], copies: int) -> Any:
    """Keys and values of one prompt, once a row of the batch that goes on from it."""
    import torch
    from transformers import DynamicCache

    ids = torch.tensor([list(head)], device=lm.device)
    cache = DynamicCache(config=lm.model.config)
    lm.model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(copies)
    return cache


def part_tokens(model: PreTrainedModel) -> int:
    """Tokens that go through ``model`` together."""
    return PART_TOKENS if model.device.type == "cpu" else GPU_PART_TOKENS


def project(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """Logits in float32 of chosen hidden states ``(n, hidden size)``, soft cap included."""
    import torch

    logits = model.get_output_embeddings()(hidden).float()
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap
