"""From what an annotator thinks of a note to what a student learns from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from notesmith.corpus.formats.unread import joined
from notesmith.document import Document
from notesmith.ner.decode import WordScores


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
