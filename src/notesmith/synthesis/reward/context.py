"""How new the context of a mention is: word 3-grams with mentions masked to their label.

Grams are kept as hashes, for size: whoever hashes a dictionary gets their words back, so an index,
and the state it is resumed from, are to be treated as text.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b

from notesmith.document import Document

Grams = frozenset[int]
_SIZE = 3
_WORD = re.compile(r"\w+")
_DIGITS = re.compile(r"\d+")


def context_tokens(doc: Document) -> list[str]:
    """Words of ``doc``, case folded, numbers alike, each mention as its label in angle brackets.

    Only ``doc.entities`` are masked: marks around just any words cannot make a copy look new.
    """
    tokens: list[str] = []
    at = 0
    for (start, end), label in sorted((s, e.label) for e in doc.entities for s in e.spans):
        if start < at:
            continue  # inside or across a mention that is masked already
        tokens += _words(doc.text[at:start])
        tokens.append(f"<{label}>")
        at = end
    return tokens + _words(doc.text[at:])


def _words(text: str) -> list[str]:
    return [_DIGITS.sub("0", word) for word in _WORD.findall(text.casefold())]


def context_grams(doc: Document) -> Grams:
    """Hashes of the 3-grams of ``context_tokens`` that hold at least one word besides mentions.

    A shorter text is one gram. A text of nothing but mentions has none.
    """
    tokens = context_tokens(doc)
    runs = [tokens[i : i + _SIZE] for i in range(max(1, len(tokens) - _SIZE + 1))]
    return frozenset(
        _hash(" ".join(run)) for run in runs if any(not token.startswith("<") for token in run)
    )


def _hash(gram: str) -> int:
    return int.from_bytes(blake2b(gram.encode(), digest_size=8).digest(), "big")


class ContextIndex:
    """Texts by their grams; with a limit, the oldest leave first."""

    def __init__(self, limit: int | None = None) -> None:
        """Keep the ``limit`` latest texts, or all."""
        self._limit = limit
        self._kept: deque[tuple[int, Grams]] = deque()
        self._where: dict[int, set[int]] = {}
        self._n = 0

    @classmethod
    def of(cls, grams: Iterable[Grams]) -> ContextIndex:
        """An index without limit; texts are numbered from 0."""
        index = cls()
        for found in grams:
            index.add(found)
        return index

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, grams: Grams) -> None:
        """Remember a text, and forget the oldest where the limit is passed."""
        self._kept.append((self._n, grams))
        for gram in grams:
            self._where.setdefault(gram, set()).add(self._n)
        self._n += 1
        while self._limit is not None and len(self._kept) > self._limit:
            number, old = self._kept.popleft()
            for gram in old:
                self._where[gram].discard(number)
                if not self._where[gram]:
                    del self._where[gram]

    def similarity(
        self,
        grams: Grams,
        *,
        besides: Collection[int] = (),
        among: Collection[int] | None = None,
    ) -> float:
        """Largest share of ``grams`` that stand in one text, 0 to 1.

        A text without grams says nothing new: its similarity is 1. Containment and not Jaccard,
        so that a long text around it does not hide a copied sentence.

        Args:
            grams: of the text that is asked about.
            besides: numbers of texts that do not count.
            among: numbers of the only texts that count; all if None.
        """
        if not grams:
            return 1.0
        hits = Counter(
            n
            for gram in grams
            for n in self._where.get(gram, ())
            if n not in besides and (among is None or n in among)
        )
        return max(hits.values(), default=0) / len(grams)

    def to_json(self) -> list[list[int]]:
        """The texts kept, oldest first, each as its sorted hashes."""
        return [sorted(grams) for _, grams in self._kept]

    def restore(self, texts: Iterable[Sequence[int]]) -> None:
        """Replace what is kept by what ``to_json`` gave."""
        self._kept.clear()
        self._where.clear()
        for found in texts:
            self.add(frozenset(int(gram) for gram in found))
