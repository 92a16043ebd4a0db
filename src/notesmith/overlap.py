"""The one index of n-grams: which known text another one repeats, and how alike the two are.

Two measures, both exact. Jaccard similarity (shared n-grams over all n-grams of the two) finds
near-duplicates. Containment (share of a text's own n-grams that one known text holds) finds copies,
however long the known text or what was written around it. Thresholds are left to the callers.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from typing import Generic, NoReturn, TypeVar

WORD = re.compile(r"\w+")
_HELD_OUT_WORDS = 8

Gram = TypeVar("Gram", bound=Hashable)


def runs(words: Sequence[str], size: int) -> list[Sequence[str]]:
    """All runs of ``size`` words; fewer words are one run."""
    return [words[i : i + size] for i in range(max(1, len(words) - size + 1))]


def text_ngrams(text: str, size: int) -> frozenset[str]:
    """The runs of ``size`` words of ``text``, case folded, without punctuation."""
    return frozenset(map(" ".join, runs(WORD.findall(text.casefold()), size)))


@dataclass(frozen=True, slots=True)
class Match:
    """How alike a text is to the known one of this key, 0 to 1; None where nothing is shared."""

    key: str | None
    likeness: float


class OverlapIndex(Generic[Gram]):
    """Known texts by their n-grams, numbered from 0; with a limit, the oldest leave first."""

    def __init__(self, texts: Iterable[frozenset[Gram]] = (), *, limit: int | None = None) -> None:
        """Know ``texts`` by the n-grams of each; keep the ``limit`` latest, or all."""
        self._limit = limit
        self._texts: dict[int, tuple[str, frozenset[Gram]]] = {}
        self._holders: dict[Gram, list[int]] = {}
        self._n_added = 0
        for grams in texts:
            self.add(grams)

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def grams(self) -> list[frozenset[Gram]]:
        """The n-grams of each known text, oldest first."""
        return [grams for _, grams in self._texts.values()]

    def add(self, grams: frozenset[Gram], key: str = "") -> None:
        """Remember a text, and forget the oldest where the limit is passed.

        ``key`` is what a match will name; texts may share one.
        """
        self._texts[self._n_added] = key, grams
        for gram in grams:
            self._holders.setdefault(gram, []).append(self._n_added)
        self._n_added += 1
        while self._limit is not None and len(self) > self._limit:
            _, old = self._texts.pop(self._n_added - len(self))
            for gram in old:
                del self._holders[gram][0]  # holders stand in the order in which they came
                if not self._holders[gram]:
                    del self._holders[gram]

    def shared(
        self,
        grams: frozenset[Gram],
        *,
        besides: Collection[int] = (),
        among: Collection[int] | None = None,
        common: int | None = None,
    ) -> Counter[int]:
        """How many of ``grams`` each known text holds, by its number, if it holds any.

        Args:
            grams: of the text that is asked about.
            besides: numbers of texts that do not count.
            among: numbers of the only texts that count; all if None.
            common: an n-gram that more texts hold is boilerplate and does not count.
        """
        found = (self._holders.get(gram, ()) for gram in grams)
        if common is not None:
            found = (holders for holders in found if len(holders) <= common)
        counts = Counter(chain.from_iterable(found))
        if among is not None:
            counts = Counter({n: counts[n] for n in among if n in counts})
        for n in besides:
            del counts[n]
        return counts

    def nearest(self, grams: frozenset[Gram], at_least: float) -> Match | None:
        """The known text of the largest Jaccard similarity, if that is ``at_least`` (0 to 1).

        Of several the first one known.
        """
        # A text this similar holds so many of the n-grams that it cannot lack all of the rarest few
        # (their number is rounded up).
        n_asked = len(grams) - int(at_least * len(grams)) + 1
        found = sorted((self._holders.get(gram, ()) for gram in grams), key=len)[:n_asked]
        best: Match | None = None
        for number in sorted({number for holders in found for number in holders}):
            key, known = self._texts[number]
            n_shared = len(grams & known)
            likeness = n_shared / (len(grams) + len(known) - n_shared)
            if likeness >= at_least and (best is None or likeness > best.likeness):
                best = Match(key, likeness)
        return best

    def container(
        self,
        grams: frozenset[Gram],
        *,
        besides: Collection[int] = (),
        among: Collection[int] | None = None,
    ) -> Match:
        """The known text that holds the largest share of ``grams``, the first of several.

        A text without n-grams says nothing new: its share is 1. See ``shared`` for the options.
        """
        if not grams:
            return Match(None, 1.0)
        counts = self.shared(grams, besides=besides, among=among)
        if not counts:
            return Match(None, 0.0)
        number = max(sorted(counts), key=counts.__getitem__)
        return Match(self._texts[number][0], counts[number] / len(grams))


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Whether a text repeats a held-out document; neither shown nor pickled.

    Hashes of runs of words can be turned back into words by whoever can hash a dictionary, so
    these 64-bit hashes are keyed by a random key of this value's own and stay in its process.
    """

    _key: bytes = field(repr=False)
    _grams: frozenset[bytes] = field(repr=False)

    @classmethod
    def of(cls, texts: Iterable[str]) -> HeldOut:
        """Hash the word 8-grams of ``texts`` (whole where they are shorter) under a new key."""
        key = secrets.token_bytes(32)
        return cls(key, frozenset(gram for text in texts for gram in _hashes(text, key)))

    def repeated_ratio(self, text: str) -> float:
        """Share of the word 8-grams of ``text`` that stand in held-out texts, 0 to 1."""
        own = _hashes(text, self._key)
        return len(own & self._grams) / len(own)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a copy could reach a disk or another process."""
        raise TypeError("hashes of held-out text do not leave their process")


def _hashes(text: str, key: bytes) -> frozenset[bytes]:
    return frozenset(
        blake2b(gram.encode(), key=key, digest_size=8).digest()
        for gram in text_ngrams(text, _HELD_OUT_WORDS)
    )
