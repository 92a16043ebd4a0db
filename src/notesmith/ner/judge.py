"""What students that did not train on a document say of its labels, and how sure they are.

Each round trains a committee on folds; a document's tag probabilities are those of the member that
did not see it, averaged over rounds. A mention is as sure as its least sure word (the word after
it counts, as one that does not go on), and is denied as surely as its least sure word is O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from notesmith.config.student import NerConfig
from notesmith.document import Document, Entity, Span, labels_of
from notesmith.ner.crossfit import train_committee
from notesmith.ner.decode import best_tags
from notesmith.progress import OnProgress, silent
from notesmith.words import to_entities

_ROUND = 1000  # Members of one round have neighbouring seeds.


@dataclass(frozen=True, slots=True)
class Judged:
    """The opinion of one document.

    ``confidence`` belongs to ``marks``, the mentions that were found. ``denial`` belongs to the
    document's own mentions: how sure it is, 0 to 1, that no word of each is part of a mention.
    """

    marks: tuple[Entity, ...]
    confidence: tuple[float, ...]
    denial: tuple[float, ...]


def judge_held_out(
    docs: Sequence[Document],
    *,
    config: NerConfig,
    n_members: int = 3,
    rounds: int = 1,
    seed: int,
    on_progress: OnProgress = silent,
) -> list[Judged]:
    """Judge every document by students that were trained on others (no patient on both sides).

    Raises:
        StageError: fewer patients than members, or fewer than two members.
    """
    labels = labels_of(docs)
    sums: list[NDArray[np.float64]] = []
    words: list[tuple[Span, ...]] = []
    for i in range(rounds):
        committee = train_committee(
            docs,
            config=config,
            n_members=n_members,
            labels=labels,
            seed=seed + i * _ROUND,
            on_progress=on_progress,
        )
        scores = committee.scores_held_out(docs)
        words = [score.words for score in scores]
        found = [score.probabilities.astype(np.float64) for score in scores]
        sums = found if not sums else [a + b for a, b in zip(sums, found, strict=True)]
    return [
        judged(doc, spans, total / rounds, labels)
        for doc, spans, total in zip(docs, words, sums, strict=True)
    ]


def judged(
    doc: Document, words: Sequence[Span], probabilities: NDArray[np.float64], labels: Sequence[str]
) -> Judged:
    """Turn tag probabilities into mentions with confidence.

    Args:
        doc: the document whose mentions may be denied.
        words: character ranges of its words.
        probabilities: one row a word, one column a tag (``tag_names`` order).
        labels: the labels, in the order of the tags.
    """
    tags = best_tags(np.log(np.maximum(probabilities, 1e-12)).astype(np.float32))
    marks = to_entities(tags, words, labels)
    confidence: list[float] = []
    for ent in marks:
        rows = _rows(ent, words)
        sure = [float(probabilities[i, tags[i]]) for i in rows]
        after = rows[-1] + 1
        if after < len(words):
            sure.append(1 - float(probabilities[after, 2 * labels.index(ent.label) + 2]))
        confidence.append(min(sure))
    denial = [
        min((float(probabilities[i, 0]) for i in _rows(ent, words)), default=0.0)
        for ent in doc.entities
    ]
    return Judged(tuple(marks), tuple(confidence), tuple(denial))


def _rows(ent: Entity, words: Sequence[Span]) -> list[int]:
    """The words that the hull of ``ent`` touches."""
    return [i for i, (start, end) in enumerate(words) if start < ent.end and ent.start < end]
