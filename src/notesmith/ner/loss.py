"""The loss of tags: hard ones, unknown labels, and distributions that other students gave."""

from __future__ import annotations

from dataclasses import replace

import torch

from notesmith.ner.batch import Batch
from notesmith.words import IGNORED


def tag_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Mean negative log-likelihood of the words' tags, in nats; ``IGNORED`` words are left out.

    A word tagged O where label L is unknown is O, or of L: its likelihood is the sum
    P(O) + P(B-L) + P(I-L), over all unknown labels (marginal likelihood, as Greenberg and others
    2018 train on corpora of different label sets). A word with a distribution has the cross-entropy
    with it (Hinton and others 2015, at one temperature). ``logits`` are (words, tags).
    """
    # A count of at least one: a wholly masked batch gives 0, not NaN.
    n = (batch.tags != IGNORED).sum().clamp(min=1)
    if batch.soft is not None:
        words, rows = batch.soft
        hard = batch.tags.clone()
        hard[words] = IGNORED
        apart = replace(batch, tags=hard, soft=None)
        n_hard = (hard != IGNORED).sum()
        total = tag_loss(logits, apart) * n_hard
        return (total - (rows * logits[words].log_softmax(-1)).sum()) / n
    if batch.unknown is None:
        total = torch.nn.functional.cross_entropy(
            logits, batch.tags, ignore_index=IGNORED, reduction="sum"
        )
        return total / n
    learnt = (batch.tags != IGNORED).nonzero().squeeze(1)
    possible = torch.zeros_like(logits, dtype=torch.bool)
    possible[learnt, batch.tags[learnt]] = True
    words, tags = batch.unknown
    possible[words, tags] = True
    log_p = logits.log_softmax(-1)[learnt].masked_fill(~possible[learnt], -torch.inf)
    return -log_p.logsumexp(-1).sum() / n
