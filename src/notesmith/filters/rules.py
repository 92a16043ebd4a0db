"""Filters that judge one candidate by itself: a reason to drop it, or None."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from notesmith.config.filters import FilterConfig
from notesmith.document import Document
from notesmith.filters.candidate import Candidate
from notesmith.markup import Fault
from notesmith.metrics import fold_mention

_MAX_PHRASE = 12


def judge(candidate: Candidate, config: FilterConfig, *, whole_words: bool = False) -> str | None:
    """Return the first reason to drop ``candidate``: parse, end, length, loop, words, requests.

    ``whole_words``: a mention that begins or ends inside a word is a fault.
    """
    if isinstance(candidate.result, Fault):
        return f"parse: {candidate.result.reason}"
    if not candidate.ended:
        return "no end"
    words = candidate.result.text.split()
    if len(words) < config.min_words:
        return "too short"
    if len(words) > config.max_words:
        return "too long"
    if has_loop(words, config.max_loop):
        return "loop"
    if whole_words and n_inside_words(candidate.result):
        return "mention inside a word"
    if config.require_requested and candidate.missing:
        return "requested mention missing"
    if config.require_requested and candidate.missing_attributes:
        return "requested attribute missing"
    if config.max_repeats is not None:
        repeats = n_repeated(candidate.result, candidate.requested)
        if repeats > config.max_repeats:
            return "requested mention repeated"
    return None


def asked_and_marked(
    doc: Document, wanted: Sequence[tuple[str, str]]
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """How often each (label, folded mention) is wanted, and how often it is marked in ``doc``."""
    return (
        Counter((label, fold_mention(mention)) for label, mention in wanted),
        Counter((e.label, fold_mention(e.mention(doc.text))) for e in doc.entities),
    )


def n_repeated(doc: Document, wanted: Sequence[tuple[str, str]]) -> int:
    """Mentions in ``doc`` of the (label, mention) pairs ``wanted`` beyond those asked for."""
    asked, marked = asked_and_marked(doc, wanted)
    return sum(max(0, marked[pair] - n) for pair, n in asked.items())


def n_inside_words(doc: Document) -> int:
    """Mentions with a letter or digit on both sides of their first or last border."""
    text = doc.text
    return sum(
        any(
            0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum()
            for place in (ent.start, ent.end)
        )
        for ent in doc.entities
    )


def has_loop(words: Sequence[str], times: int) -> bool:
    """Whether a phrase of 1 to 12 words stands ``times`` times in a row (case folded)."""
    folded = [w.casefold() for w in words]
    n = len(folded)
    for size in range(1, min(_MAX_PHRASE, n // times) + 1):
        run = 0
        for i in range(size, n):
            run = run + 1 if folded[i] == folded[i - size] else 0
            if run >= size * (times - 1):
                return True
    return False
