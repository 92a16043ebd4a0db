"""Documents in order of how much their words are like those of one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from notesmith.words import words as words_of


def most_alike(texts: Sequence[str], first: int) -> list[int]:
    """Positions of all ``texts``, from ``first`` to the one that is least like it.

    Likeness is the cosine of the texts' words, each weighted by (1 + log n) · log(N / d): n times
    in the text, in d of N texts (tf-idf with sublinear counts; Manning and others 2008, 6.4.1).
    Ties stand in the order of ``texts``.
    """
    counts = [Counter(text[a:b].casefold() for a, b in words_of(text)) for text in texts]
    held = Counter(word for each in counts for word in each)
    weights = [
        {word: (1 + np.log(n)) * np.log(len(texts) / held[word]) for word, n in each.items()}
        for each in counts
    ]
    norms = [np.sqrt(sum(value**2 for value in each.values())) for each in weights]
    own = weights[first]
    likeness = [
        sum(value * own.get(word, 0.0) for word, value in each.items()) / norm if norm else 0.0
        for each, norm in zip(weights, norms, strict=True)
    ]
    order = sorted(range(len(texts)), key=lambda i: (-likeness[i], i))
    return [first, *(i for i in order if i != first)]
