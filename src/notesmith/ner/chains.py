"""Tags of words as legal chains, in which ``I-x`` follows only ``B-x`` or ``I-x``.

Documents are computed side by side, word by word: NumPy's calls then cost once for a group of them.
Tags are in ``tag_names`` order: O, then B and I of each label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_TINY = 1e-12
# Numbers of a table that is padded to the longest document of its group: 4 MiB.
_MOST_NUMBERS = 1 << 19


def groups(lengths: Sequence[int], n_tags: int) -> Iterator[slice]:
    """Neighbouring documents of so many words that are computed together."""
    first, longest = 0, 0
    for i, length in enumerate(lengths):
        longest = max(longest, length)
        if i > first and (i + 1 - first) * longest * n_tags > _MOST_NUMBERS:
            yield slice(first, i)
            first, longest = i, length
    if first < len(lengths):
        yield slice(first, len(lengths))


def _padded(tables: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """``tables`` side by side: (words, documents, tags), zeros behind the end of each."""
    longest = max(len(table) for table in tables)
    found = np.zeros((longest, len(tables), tables[0].shape[1]))
    for d, table in enumerate(tables):
        found[: len(table), d] = table
    return found


def best_chains(tables: Sequence[NDArray[np.float32]]) -> list[list[int]]:
    """The most probable tags of each document that make a legal chain (Viterbi).

    Args:
        tables: log probabilities, one row a word, one column a tag; a table may have no row.
    """
    lengths = np.array([len(table) for table in tables], dtype=np.int64)
    if not lengths.any():
        return [[] for _ in tables]
    rows = _padded(tables)
    longest, n_docs, n_tags = rows.shape
    inner = np.arange(2, n_tags, 2)
    score = rows[0].copy()
    score[:, inner] = -np.inf
    back = np.empty((longest, n_docs, n_tags), dtype=np.int32)
    for i in range(1, longest):
        pointers = np.repeat(score.argmax(axis=1)[:, None], n_tags, axis=1)
        came = np.repeat(score.max(axis=1)[:, None], n_tags, axis=1)
        from_inner = score[:, inner] > score[:, inner - 1]
        pointers[:, inner] = np.where(from_inner, inner, inner - 1)
        came[:, inner] = np.where(from_inner, score[:, inner], score[:, inner - 1])
        # Behind its end a document stays as it is.
        goes_on = (i < lengths)[:, None]
        back[i] = np.where(goes_on, pointers, np.arange(n_tags))
        score = np.where(goes_on, came + rows[i], score)
    tags = np.empty((longest, n_docs), dtype=np.int64)
    tags[-1] = score.argmax(axis=1)
    for i in range(longest - 1, 0, -1):
        tags[i - 1] = back[i, np.arange(n_docs), tags[i]]
    return [tags[:length, d].tolist() for d, length in enumerate(lengths)]


def chain_marginals(tables: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    """Tag probabilities of each word among the legal chains (forward-backward).

    A legal chain has the product of its words' probabilities, divided by the sum over all of them.
    So a word before a sure ``I-x`` is a sure ``B-x`` or ``I-x`` itself.

    Args:
        tables: probabilities, one row a word, one column a tag; a table may have no row.
    """
    lengths = np.array([len(table) for table in tables], dtype=np.int64)
    if not lengths.any():
        return [table.astype(np.float64) for table in tables]
    rows = _padded(tables)
    longest, _, n_tags = rows.shape
    inner = np.arange(2, n_tags, 2)
    free = np.ones(n_tags, bool)
    free[inner] = False
    before, after = np.ones_like(rows), np.ones_like(rows)
    for i in range(longest):
        came = np.repeat(free[None].astype(np.float64), len(tables), axis=0)
        if i:
            came *= before[i - 1].sum(axis=1, keepdims=True)
            came[:, inner] = before[i - 1][:, inner] + before[i - 1][:, inner - 1]
        before[i] = _normalised(came * rows[i])
    for i in range(longest - 2, -1, -1):
        following = rows[i + 1] * after[i + 1]
        found = np.repeat(following[:, free].sum(axis=1)[:, None], n_tags, axis=1)
        found[:, inner] += following[:, inner]
        found[:, inner - 1] += following[:, inner]
        # What follows the last word of a document says nothing of it.
        after[i] = np.where((i + 1 < lengths)[:, None], _normalised(found), 1.0)
    both = before * after
    return [_normalised(both[:length, d]) for d, length in enumerate(lengths)]


def _normalised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows / np.maximum(rows.sum(axis=1, keepdims=True), _TINY)
