"""Held-out documents by hash, and a check that nothing used for training holds any of them.

Text is compared after case folding, letters and digits only: as a whole, and by runs of words, so
that a copied part is found too. Results carry ids and shares, never text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from notesmith.document import Document
from notesmith.errors import StageError

_WORD = re.compile(r"[^\W_]+")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Hashes of held-out documents: whole texts, and runs of ``n`` words."""

    n: int
    texts: frozenset[bytes]
    runs: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Leak:
    """A text that holds held-out words: its ``id``, why, and the share of its runs found."""

    id: str
    reason: str
    shared_ratio: float


@dataclass(frozen=True, slots=True)
class LeakResult:
    """What was found, and how much was looked at."""

    leaks: tuple[Leak, ...]
    n_checked: int


def fingerprint(docs: Iterable[Document], *, n: int = 12) -> Fingerprint:
    """Hash held-out documents; ``n`` is the words of a run."""
    if n < 1:
        raise StageError(f"a run needs one word at least, got {n}")
    texts: set[bytes] = set()
    runs: set[bytes] = set()
    for doc in docs:
        words = _words(doc.text)
        if words:
            texts.add(_hash(words))
        runs.update(_runs(words, n))
    return Fingerprint(n, frozenset(texts), frozenset(runs))


def find_leaks(
    held_out: Fingerprint, docs: Iterable[Document], *, max_shared_ratio: float = 0.0
) -> LeakResult:
    """Find the documents that hold text of the held-out ones.

    Args:
        held_out: of the dev and test documents.
        docs: training documents, made documents, prompts as documents.
        max_shared_ratio: share of a document's runs that may be found among the held-out ones; 0
            allows none. Boilerplate that both sets share honestly needs more.
    """
    leaks: list[Leak] = []
    n_checked = 0
    for doc in docs:
        n_checked += 1
        words = _words(doc.text)
        if words and _hash(words) in held_out.texts:
            leaks.append(Leak(doc.id, "same text", 1.0))
            continue
        own = _runs(words, held_out.n)
        shared = sum(run in held_out.runs for run in own) / len(own) if own else 0.0
        if shared > max_shared_ratio:
            leaks.append(Leak(doc.id, f"shares runs of {held_out.n} words", shared))
    return LeakResult(tuple(leaks), n_checked)


def check_no_leak(
    held_out: Fingerprint,
    docs: Iterable[Document],
    *,
    what: str,
    max_shared_ratio: float = 0.0,
) -> int:
    """Return how many documents were checked.

    Raises:
        StageError: one of them holds held-out text; it names ``what`` they are for, and their ids.
    """
    result = find_leaks(held_out, docs, max_shared_ratio=max_shared_ratio)
    if result.leaks:
        shown = ", ".join(repr(leak.id) for leak in result.leaks[:_SHOWN])
        more = f" and {len(result.leaks) - _SHOWN} more" if len(result.leaks) > _SHOWN else ""
        raise StageError(
            f"{what}: {len(result.leaks)} of {result.n_checked} documents hold held-out text: "
            f"{shown}{more}"
        )
    return result.n_checked


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _runs(words: Sequence[str], n: int) -> list[bytes]:
    return [_hash(words[i : i + n]) for i in range(len(words) - n + 1)]


def _hash(words: Sequence[str]) -> bytes:
    return hashlib.blake2b(" ".join(words).encode(), digest_size=16).digest()
