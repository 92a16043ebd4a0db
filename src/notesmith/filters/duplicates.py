"""Near-duplicates, within made text and against gold, and copies of one gold unit.

MinHash LSH (datasketch) proposes pairs, an exact Jaccard similarity of word n-grams decides, so a
drop is never an accident of hashing. MinHash may miss a pair near the threshold: the proposal
threshold is set below the exact one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from datasketch import MinHash, MinHashLSH

_WORD = re.compile(r"\w+")
_PERMUTATIONS = 64


def shingles(text: str, size: int = 3) -> frozenset[str]:
    """Word n-grams, case folded; a text shorter than ``size`` words is one shingle."""
    words = _WORD.findall(text.casefold())
    if len(words) <= size:
        return frozenset([" ".join(words)])
    return frozenset(" ".join(words[i : i + size]) for i in range(len(words) - size + 1))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Size of the intersection over the size of the union."""
    union = len(a | b)
    return len(a & b) / union if union else 1.0


class DuplicateIndex:
    """Texts seen so far; ``find`` tells which of them a new text nearly repeats."""

    def __init__(self, threshold: float) -> None:
        """Texts at or above ``threshold`` Jaccard similarity (0 to 1) count as duplicates."""
        self._threshold = threshold
        proposal = max(0.05, threshold - 0.25)
        self._lsh: Any = MinHashLSH(threshold=proposal, num_perm=_PERMUTATIONS)
        self._shingles: dict[str, frozenset[str]] = {}

    def _minhash(self, grams: frozenset[str]) -> MinHash:
        minhash = MinHash(num_perm=_PERMUTATIONS, seed=1)
        minhash.update_batch([gram.encode() for gram in sorted(grams)])
        return minhash

    def add(self, key: str, text: str) -> None:
        """Remember ``text`` under ``key``, which must be new."""
        grams = shingles(text)
        self._shingles[key] = grams
        self._lsh.insert(key, self._minhash(grams))

    def find(self, text: str) -> str | None:
        """The key of the most similar known text at or above the threshold, or None."""
        grams = shingles(text)
        best = max(
            ((jaccard(grams, self._shingles[key]), key) for key in self._propose(grams)),
            default=(0.0, ""),
        )
        return best[1] if best[0] >= self._threshold and best[1] else None

    def _propose(self, grams: frozenset[str]) -> Iterable[str]:
        return sorted(self._lsh.query(self._minhash(grams)))


class CopyIndex:
    """Gold units by their word n-grams: how much of a text stands in any one of them."""

    def __init__(self, texts: Sequence[str], *, size: int = 8) -> None:
        """Index ``texts`` by n-grams of ``size`` words."""
        self._size = size
        self._where: dict[str, set[int]] = {}
        for i, text in enumerate(texts):
            for gram in shingles(text, size):
                self._where.setdefault(gram, set()).add(i)

    def copied_ratio(self, text: str) -> float:
        """Largest share of the text's n-grams that stand in a single indexed text, 0 to 1."""
        grams = shingles(text, self._size)
        hits: dict[int, int] = {}
        for gram in grams:
            for i in self._where.get(gram, ()):
                hits[i] = hits.get(i, 0) + 1
        return max(hits.values(), default=0) / len(grams)
