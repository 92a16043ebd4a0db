"""Distributions over tags that a student learns in the place of hard labels.

A committee's mean probabilities (see ``Votes``) on unlabelled documents, on gold that its members
did not see, or on made text. All functions give new ``WordScores``; rows sum to one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from notesmith.document import Document
from notesmith.errors import ConfigError
from notesmith.ner.decode import WordScores
from notesmith.words import IGNORED, tag_words

_TINY = 1e-12


def tempered(scores: WordScores, temperature: float) -> WordScores:
    """Probabilities to the power 1/``temperature``: below 1 sharper, above 1 flatter.

    Raises:
        ConfigError: ``temperature`` is not above 0.
    """
    if not temperature > 0:
        raise ConfigError(f"temperature {temperature} is not above 0")
    if temperature == 1:
        return scores
    logs = np.log(np.maximum(scores.probabilities.astype(np.float64), _TINY)) / temperature
    raised = np.exp(logs - logs.max(axis=1, keepdims=True, initial=-np.inf))
    return replace(scores, probabilities=_rows(raised))


def mixed(
    scores: WordScores, doc: Document, labels: tuple[str, ...], *, hard_ratio: float
) -> WordScores:
    """A share of ``doc``'s own labels in the distributions of all its words.

    Args:
        scores: what others say of ``doc``.
        doc: with its own entities.
        labels: in the order of the tags.
        hard_ratio: 0 leaves ``scores``, 1 leaves the entities alone.
    """
    hard = _one_hot(scores, doc, labels)
    return replace(
        scores, probabilities=_rows(hard_ratio * hard + (1 - hard_ratio) * scores.probabilities)
    )


def hard_at_entities(scores: WordScores, doc: Document, labels: tuple[str, ...]) -> WordScores:
    """``doc``'s own entities as they are, and ``scores`` for all other words.

    Made text is so: what was asked for is known, and the rest is what students think of it.
    """
    hard = _one_hot(scores, doc, labels)
    held = hard[:, 0] == 0
    return replace(scores, probabilities=_rows(np.where(held[:, None], hard, scores.probabilities)))


def _one_hot(scores: WordScores, doc: Document, labels: tuple[str, ...]) -> NDArray[np.float64]:
    """One row a word; of a masked word what ``scores`` say, for nothing else is known of it."""
    rows = scores.probabilities.astype(np.float64)
    tags = np.array(tag_words(doc, scores.words, labels).tags, dtype=np.int64)
    known = np.flatnonzero(tags != IGNORED)
    rows[known] = 0
    rows[known, tags[known]] = 1
    return rows


def _rows(values: NDArray[np.floating]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (values / values.sum(axis=1, keepdims=True)).astype(np.float32)
    return found
