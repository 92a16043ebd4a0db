"""The loss of tags, also where a document does not know all labels."""

from __future__ import annotations

import torch

from notesmith.ner.batch import Batch
from notesmith.words import IGNORED


def tag_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Mean negative log-likelihood of the words' tags, in nats; ``IGNORED`` words are left out.

    A word tagged O where label L is unknown is O, or of L: its likelihood is the sum
    P(O) + P(B-L) + P(I-L), over all unknown labels (marginal likelihood, as Greenberg and others
    2018 train on corpora of different label sets). ``logits`` are (words, tags).
    """
    # A count of at least one: a wholly masked batch gives 0, not NaN.
    n = (batch.tags != IGNORED).sum().clamp(min=1)
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
