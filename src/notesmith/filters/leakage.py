"""Leakage of held-out documents: made text that repeats dev or test.

The filters get one value that answers whether a text repeats a held-out document, and nothing
else. Hashes of runs of words can be turned back into words by whoever can hash a dictionary, so
they are keyed by a random key of this value's own and stay in the process that made it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NoReturn

from notesmith.filters.duplicates import shingles

_SIZE = 8


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Keyed 64-bit hashes of all word 8-grams of held-out texts; neither shown nor pickled."""

    _key: bytes = field(repr=False)
    _grams: frozenset[bytes] = field(repr=False)

    @classmethod
    def of(cls, texts: Iterable[str]) -> HeldOut:
        """Hash ``texts`` (whole where they are shorter than 8 words) under a new key."""
        key = secrets.token_bytes(32)
        return cls(
            key, frozenset(_hash(gram, key) for text in texts for gram in shingles(text, _SIZE))
        )

    def repeats(self, text: str) -> bool:
        """Whether any word 8-gram of ``text`` stands in a held-out text."""
        return any(_hash(gram, self._key) in self._grams for gram in shingles(text, _SIZE))

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a copy could reach a disk or another process."""
        raise TypeError("hashes of held-out text do not leave their process")


def _hash(gram: str, key: bytes) -> bytes:
    return blake2b(gram.encode(), key=key, digest_size=8).digest()
