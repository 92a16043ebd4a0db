"""From what an annotator thinks of a note to what a student learns from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from notesmith.corpus.formats.unread import joined
from notesmith.document import Document
from notesmith.errors import StageError, shown_doc
from notesmith.ner.decode import WordScores
from notesmith.words import IGNORED, tag_words

_BINS = 10


def mean_scores(
    docs: Sequence[Document], said: Mapping[str, Mapping[str, WordScores]]
) -> list[WordScores]:
    """The mean of what annotators say of the words of ``docs``, each with equal weight.

    Args:
        docs: the notes.
        said: by annotator and id, the distributions of each note; attributes are left out.

    Raises:
        StageError: an annotator lacks a note, cut it into other words, or knows other labels.
    """
    return [
        _mean_of(doc, {name: found.get(doc.id) for name, found in said.items()}) for doc in docs
    ]


def _mean_of(doc: Document, said: Mapping[str, WordScores | None]) -> WordScores:
    first: WordScores | None = None
    total = np.zeros((0, 0))
    for name, scores in said.items():
        if scores is None:
            raise StageError(f"{shown_doc(doc.id)}: annotator {name!r} left it out")
        if first is None:
            first, total = scores, scores.probabilities.astype(np.float64)
        elif scores.words != first.words or scores.probabilities.shape != total.shape:
            raise StageError(
                f"{shown_doc(doc.id)}: annotator {name!r} has other words or labels than the others"
            )
        else:
            total = total + scores.probabilities
    if first is None:
        raise StageError("no annotator is named; name one in annotate.by")
    return WordScores(first.words, (total / len(said)).astype(np.float32))


def calibration_error(
    gold: Sequence[Document], scores: Sequence[WordScores], labels: Sequence[str]
) -> float:
    """Expected calibration error of the most probable tags of words, from 0 to 1.

    Words are put into ten bins of equal width by the probability of their most probable tag; the
    error is the mean over words of the gap between a bin's mean probability and the share of its
    words whose tag is right (Guo and others 2017). Masked words are left out; 0 where none is left.
    """
    best: list[float] = []
    right: list[bool] = []
    for doc, one in zip(gold, scores, strict=True):
        tags = np.array(tag_words(doc, one.words, labels).tags, dtype=np.int64)
        known = tags != IGNORED
        best += one.probabilities.max(axis=1, initial=0)[known].tolist()
        right += (one.probabilities.argmax(axis=1)[known] == tags[known]).tolist()
    if not best:
        return 0.0
    p, hit = np.array(best), np.array(right, dtype=np.float64)
    bins = np.minimum((p * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.bincount(bins, weights=p - hit, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(p))


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
