"""From what an annotator thinks of a note to what a student learns from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from notesmith.corpus.formats.unread import joined
from notesmith.document import Document, Span
from notesmith.errors import StageError, shown_doc
from notesmith.ner.decode import SCORE, WordScores


def mean_scores(
    docs: Sequence[Document],
    said: Mapping[str, Mapping[str, WordScores]],
    *,
    spoken: Mapping[str, Mapping[str, Sequence[Span]]] = {},
) -> list[WordScores]:
    """The mean of what annotators say of the words of ``docs``, each with equal weight.

    Args:
        docs: the notes.
        said: by annotator and id, the distributions of each note; attributes are left out.
        spoken: by annotator and id, the ranges that it has an opinion of, where it has none of
            other words: a dictionary knows its names, and nothing of a word that it lacks. Words of
            which nobody has an opinion get the mean of all.

    Raises:
        StageError: an annotator lacks a note, cut it into other words, or knows other labels.
    """
    return [
        _mean_of(
            doc,
            {name: found.get(doc.id) for name, found in said.items()},
            {name: ranges.get(doc.id, ()) for name, ranges in spoken.items()},
        )
        for doc in docs
    ]


def ranges_of(docs: Sequence[Document]) -> dict[str, list[Span]]:
    """By document, the ranges of its mentions."""
    return {doc.id: [span for ent in doc.entities for span in ent.spans] for doc in docs}


def _mean_of(
    doc: Document,
    said: Mapping[str, WordScores | None],
    spoken: Mapping[str, Sequence[Span]],
) -> WordScores:
    first: WordScores | None = None
    rows: list[NDArray[np.float64]] = []
    weights: list[NDArray[np.float64]] = []
    for name, scores in said.items():
        if scores is None:
            raise StageError(f"{shown_doc(doc.id)}: annotator {name!r} left it out")
        first = first or scores
        if (
            scores.words != first.words
            or scores.probabilities.shape[1] != first.probabilities.shape[1]
        ):
            raise StageError(
                f"{shown_doc(doc.id)}: annotator {name!r} has other words or labels than the others"
            )
        rows.append(scores.probabilities.astype(np.float64))
        weights.append(_opinions(scores, spoken.get(name)))
    if first is None:
        raise StageError("no annotator is named; name one in annotate.by")
    weight = np.stack(weights)[:, :, None]
    weight[:, weight.sum(axis=(0, 2)) == 0] = 1
    mean = (weight * np.stack(rows)).sum(axis=0) / weight.sum(axis=0)
    return WordScores(first.words, mean.astype(np.float32))


def _opinions(scores: WordScores, ranges: Sequence[Span] | None) -> NDArray[np.float64]:
    """1 for each word that an annotator has an opinion of, else 0."""
    if ranges is None:
        return np.ones(len(scores.words))
    return np.array(
        [any(start < b and a < end for a, b in ranges) for start, end in scores.words],
        dtype=np.float64,
    )


def with_attributes(doc: Document, others: Iterable[Document]) -> Document:
    """``doc`` with the attributes that the first of ``others`` to have the same mention gave it.

    They stand beside its score. They are not averaged, as not every annotator knows them.
    """
    known: dict[tuple[str, tuple[Span, ...]], tuple[str, ...]] = {}
    for other in others:
        for ent in other.entities:
            own = tuple(x for x in ent.attributes if not x.startswith(SCORE))
            known.setdefault((ent.label, ent.spans), own)
    given = (
        replace(ent, attributes=(*ent.attributes, *known.get((ent.label, ent.spans), ())))
        for ent in doc.entities
    )
    return replace(doc, entities=tuple(given))


def mask_doubtful(doc: Document, scores: WordScores, *, doubtful: float) -> Document:
    """``doc`` with every word masked whose most probable tag has less than this probability.

    A mention that holds a doubtful word is masked as a whole: with a part of it hidden, the rest
    would be learnt as a mention with other borders. ``doubtful`` is from 0 (nothing is) to 1.
    """
    unsure = np.flatnonzero(scores.probabilities.max(axis=1, initial=0) < doubtful)
    ranges = [scores.words[int(i)] for i in unsure]
    held = {
        ent.id
        for ent in doc.entities
        if any(s < end and start < e for s, e in ent.spans for start, end in ranges)
    }
    spans = [span for ent in doc.entities if ent.id in held for span in ent.spans]
    kept = tuple(ent for ent in doc.entities if ent.id not in held)
    return replace(doc.with_entities(kept), masked=joined([*doc.masked, *ranges, *spans]))
