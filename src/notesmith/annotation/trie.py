"""Many names found in a text at once: a tree of words, walked from each word of the text.

The time is that of the text times the words of its longest match, whatever the number of names.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from notesmith.document import Span
from notesmith.words import words

V = TypeVar("V")

_HYPHENS = frozenset("-‐‑‒–−")


@dataclass(frozen=True, slots=True)
class Form:
    """How a name is matched: by its words, exactly, or with case and hyphens folded.

    White space between words has no part in it: ``beta catenin`` has the form of ``Beta-catenin``.
    """

    words: tuple[str, ...]
    exact: bool

    @classmethod
    def of(cls, name: str, exact_characters: int) -> Form:
        """The form of ``name``: exact where it is that short, or all in capitals."""
        name = name.strip()
        exact = len(name) <= exact_characters or name.isupper()
        found = (_plain(name[start:end]) for start, end in words(name))
        if exact:
            return cls(tuple(found), exact=True)
        return cls(tuple(word.casefold() for word in found if word not in _HYPHENS), exact=False)

    @property
    def is_name(self) -> bool:
        """Whether it is long enough to be looked for: two characters, a letter or digit of them."""
        characters = "".join(self.words)
        return len(characters) > 1 and any(map(str.isalnum, characters))


@dataclass(frozen=True, slots=True)
class Match(Generic[V]):
    """A name that stands at ``span``, whole words."""

    span: Span
    value: V


class Trie(Generic[V]):
    """Forms with a value each. State: the trees, and ``n_steps``, words compared so far."""

    def __init__(self) -> None:
        self.n_steps = 0
        self._exact: _Node[V] = _Node()
        self._folded: _Node[V] = _Node()

    def add(self, form: Form, value: V) -> None:
        """Add a form; the last value of equal ones holds."""
        node = self._exact if form.exact else self._folded
        for word in form.words:
            node = node.following.setdefault(word, _Node())
        node.values = (value,)

    def matches(
        self, text: str, *, unless: Callable[[V], bool] = lambda value: False
    ) -> list[Match[V]]:
        """The names in ``text`` from left to right, the longest at each place; none overlap.

        An exact form goes before a folded one of the same words. Values for which ``unless`` holds
        are passed over.
        """
        spans = words(text)
        plain = [_plain(text[start:end]) for start, end in spans]
        # What is folded skips hyphens, so that it needs the place of each word that stays.
        kept = [i for i, word in enumerate(plain) if word not in _HYPHENS]
        folded = [plain[i].casefold() for i in kept]
        every = list(range(len(plain)))
        found: list[Match[V]] = []
        at = fold_at = 0
        while at < len(plain):
            while fold_at < len(kept) and kept[fold_at] < at:
                fold_at += 1
            best = self._longest(self._exact, plain, every, at, unless)
            if fold_at < len(kept) and kept[fold_at] == at:
                other = self._longest(self._folded, folded, kept, fold_at, unless)
                if other is not None and (best is None or other[0] > best[0]):
                    best = other
            if best is None:
                at += 1
            else:
                last, value = best
                found.append(Match((spans[at][0], spans[last][1]), value))
                at = last + 1
        return found

    def _longest(
        self,
        node: _Node[V],
        text: list[str],
        places: list[int],
        at: int,
        unless: Callable[[V], bool],
    ) -> tuple[int, V] | None:
        """The last word, by its place, and the value of the longest form that begins at ``at``."""
        best: tuple[int, V] | None = None
        for i in range(at, len(text)):
            self.n_steps += 1
            following = node.following.get(text[i])
            if following is None:
                break
            node = following
            if node.values and not unless(node.values[0]):
                best = places[i], node.values[0]
        return best


class _Node(Generic[V]):
    """The words that may follow, and the value of the form that ends here, if one does."""

    __slots__ = ("following", "values")

    def __init__(self) -> None:
        self.following: dict[str, _Node[V]] = {}
        self.values: tuple[V, ...] = ()


def _plain(word: str) -> str:
    return word if word.isascii() else unicodedata.normalize("NFC", word)
