"""How sure the label of each word of a made document is: what the noise-aware loss weighs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from notesmith.document import Document, Entity
from notesmith.errors import StageError, shown_doc, shown_id
from notesmith.ner.decode import WordScores, legal_marginals, mention_score, score_of
from notesmith.words import Run, TaggedWords


def word_confidence(
    doc: Document, tagged: TaggedWords, labels: Sequence[str], opinion: WordScores | None
) -> NDArray[np.float32]:
    """The probability that the tag of each word of ``doc`` is right: from 0 to 1, one a word.

    The words of a mention have the mention's own score (``decode.SCORE``). Where it has none, and
    for words of no mention, ``opinion`` says: a mention's score is that of ``mention_score``, a
    word of no mention has P(O), and P of labels that are unknown in ``doc`` besides. Without
    ``opinion`` these words are sure.

    Raises:
        StageError: a mention's score is not a number from 0 to 1.
    """
    sure = np.ones(len(tagged.tags), np.float32)
    marginals = legal_marginals(opinion.probabilities) if opinion is not None else None
    if marginals is not None:
        unknown = [i for i, label in enumerate(labels) if label in doc.unknown]
        free = [0, *(tag for i in unknown for tag in (2 * i + 1, 2 * i + 2))]
        sure[:] = marginals[:, free].sum(axis=1)
    for first, stop, ent in tagged.placed:
        score = _own_score(doc, ent)
        if score is None and marginals is not None:
            score = mention_score(marginals, Run(labels.index(ent.label), first, stop))
        sure[first:stop] = 1 if score is None else score
    return np.clip(sure, 0, 1)


def _own_score(doc: Document, ent: Entity) -> float | None:
    try:
        score = score_of(ent)
    except ValueError:
        score = -1.0
    if score is not None and not 0 <= score <= 1:
        raise StageError(
            f"{shown_doc(doc.id)}: the score of {shown_id(ent.id)} is not a number from 0 to 1; "
            "correct it, or set ner.integration.loss to plain"
        )
    return score
