"""Leakage of held-out documents: made text that repeats dev or test, found through hashes alone.

The filter never sees a held-out text, only one-way hashes of its word 8-grams, so that what is
sealed stays sealed.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from notesmith.filters.duplicates import shingles

_SIZE = 8


def fingerprints(texts: Iterable[str]) -> frozenset[int]:
    """64-bit hashes of all word 8-grams of ``texts`` (whole texts where they are shorter)."""
    return frozenset(_hash(gram) for text in texts for gram in shingles(text, _SIZE))


def leaks(text: str, held_out: frozenset[int]) -> bool:
    """Whether any word 8-gram of ``text`` is among the fingerprints of held-out documents."""
    return any(_hash(gram) in held_out for gram in shingles(text, _SIZE))


def _hash(gram: str) -> int:
    return int.from_bytes(blake2b(gram.encode(), digest_size=8).digest(), "big")
