"""How new the context of a mention is: word 3-grams with mentions masked to their label.

Grams are kept as hashes, for size: whoever hashes a dictionary gets their words back, so an index,
and the state it is resumed from, are to be treated as text.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from notesmith.document import Document
from notesmith.overlap import WORD, runs

Grams = frozenset[int]
_SIZE = 3
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
    return [_DIGITS.sub("0", word) for word in WORD.findall(text.casefold())]


def context_grams(doc: Document) -> Grams:
    """Hashes of the 3-grams of ``context_tokens`` that hold at least one word besides mentions.

    A shorter text is one gram. A text of nothing but mentions has none.
    """
    tokens = context_tokens(doc)
    return frozenset(
        _hash(" ".join(run))
        for run in runs(tokens, _SIZE)
        if any(not token.startswith("<") for token in run)
    )


def _hash(gram: str) -> int:
    return int.from_bytes(blake2b(gram.encode(), digest_size=8).digest(), "big")
