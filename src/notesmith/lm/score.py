"""Log-probability of continuations under a language model, in batches sorted by length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from notesmith.lm.load import LanguageModel


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

    Only the positions that predict a continuation are projected onto the vocabulary.
    """
    import torch

    if len(prompts) != len(continuations):
        raise ValueError(f"{len(prompts)} prompts but {len(continuations)} continuations")
    # Without a first token the first one of a continuation has nothing to follow.
    heads = [ids or [lm.eos_ids[0]] for ids in lm.encode_prompts(prompts)]
    tails = lm.encode_all(continuations)
    order = sorted(range(len(heads)), key=lambda i: (-len(heads[i]) - len(tails[i]), i))
    scores = [ContinuationScore(0.0, 0)] * len(heads)
    lm.model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            for i, log_prob in zip(batch, _score_batch(lm, heads, tails, batch), strict=True):
                scores[i] = ContinuationScore(log_prob, len(tails[i]))
    return scores


def _score_batch(
    lm: LanguageModel,
    heads: Sequence[Sequence[int]],
    tails: Sequence[Sequence[int]],
    batch: Sequence[int],
) -> list[float]:
    import torch

    # The last token predicts nothing that is asked, so it is not run.
    rows = [[*heads[i], *tails[i]][:-1] or list(heads[i]) for i in batch]
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), lm.pad_id)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    wanted = torch.zeros((len(rows), width), dtype=torch.bool)
    for row, (i, tokens) in enumerate(zip(batch, rows, strict=True)):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
        first = len(heads[i]) - 1
        wanted[row, first : first + len(tails[i])] = True
    targets = torch.tensor([token for i in batch for token in tails[i]], device=lm.device)
    hidden = lm.model.base_model(
        input_ids=ids.to(lm.device), attention_mask=mask.to(lm.device), use_cache=False
    ).last_hidden_state
    logits = project(lm.model, hidden[wanted.to(lm.device)])
    chosen = torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])[:, 0]
    ends = torch.tensor([len(tails[i]) for i in batch]).cumsum(0).tolist()
    sums = chosen.double().cumsum(0).tolist()
    totals = [sums[end - 1] if end else 0.0 for end in ends]
    return [b - a for a, b in zip([0.0, *totals], totals, strict=False)]


def project(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """Logits in float32 of chosen hidden states ``(n, hidden size)``, soft cap included."""
    import torch

    logits = model.get_output_embeddings()(hidden).float()
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap
