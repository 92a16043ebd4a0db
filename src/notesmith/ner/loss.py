"""The loss of tags: hard ones, unknown labels, doubted ones, distributions of other students."""

from __future__ import annotations

import torch

from notesmith.ner.batch import Batch
from notesmith.words import IGNORED


def tag_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Mean negative log-likelihood of the words' tags, in nats; ``IGNORED`` words are left out.

    A word tagged O where label L is unknown is O, or of L: its likelihood p is the sum
    P(O) + P(B-L) + P(I-L), over all unknown labels (marginal likelihood, as Greenberg and others
    2018 train on corpora of different label sets).

    A word with a distribution has the cross-entropy with it (Hinton and others 2015, at one
    temperature).

    A doubted word, whose tag is right with probability w, has the noise-aware loss
    -w log p - (1 - w) log(1 - p) of Jiang and others 2021 ("Named Entity Recognition with Small
    Strongly Labeled and Large Weakly Labeled Data", ACL), whose code has it as ``corrected_nll`` in
    ``bert-ner/modeling.py`` of amzn/amazon-weak-ner-needle. Theirs is of a whole sequence under a
    CRF; here a word is one decision, so it is of a word. Its minimum is at p = w: with w below one
    half the student learns that the tag is wrong.

    Args:
        logits: (words, tags).
        batch: the words' tags and what else is known of them.
    """
    # A count of at least one: a wholly masked batch gives 0, not NaN.
    n = (batch.tags != IGNORED).sum().clamp(min=1)
    hard = batch.tags
    apart: list[torch.Tensor] = []
    if batch.soft is not None:
        words, rows = batch.soft
        hard = hard.index_fill(0, words, IGNORED)
        apart.append(-(rows * logits[words].log_softmax(-1)).sum())
    if batch.doubted is not None:
        words, sure = batch.doubted
        hard = hard.index_fill(0, words, IGNORED)
        apart.append(_noise_aware(logits[words], _possible(logits, batch)[words], sure))
    if batch.unknown is None:
        total = torch.nn.functional.cross_entropy(
            logits, hard, ignore_index=IGNORED, reduction="sum"
        )
    else:
        learnt = (hard != IGNORED).nonzero().squeeze(1)
        total = -_log_sums(logits[learnt], _possible(logits, batch)[learnt]).sum()
    return sum(apart, total) / n


def _possible(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The tags that each word may have: (words, tags); none of an ``IGNORED`` word."""
    possible = torch.zeros_like(logits, dtype=torch.bool)
    learnt = (batch.tags != IGNORED).nonzero().squeeze(1)
    possible[learnt, batch.tags[learnt]] = True
    if batch.unknown is not None:
        words, tags = batch.unknown
        possible[words, tags] = True
    return possible


def _log_sums(logits: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
    """Log of the summed probability of the marked ``tags`` of each word."""
    return logits.log_softmax(-1).masked_fill(~tags, -torch.inf).logsumexp(-1)


def _noise_aware(logits: torch.Tensor, possible: torch.Tensor, sure: torch.Tensor) -> torch.Tensor:
    """Sum of the noise-aware losses of doubted words.

    log(1 - p) is the log of the summed probability of all other tags, so it stays finite where p
    rounds to 1. A word that may have any tag has no others, and teaches nothing.
    """
    some = ~possible.all(-1)
    logits, possible, sure = logits[some], possible[some], sure[some]
    right, wrong = _log_sums(logits, possible), _log_sums(logits, ~possible)
    return -(sure * right + (1 - sure) * wrong).sum()
