"""Mentions that a student finds where made documents have none: added, or masked in doubt.

Made text is incomplete where a dictionary does not hold a name, or a language model did not mark
one: its words of no mention are less sure than its mentions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from notesmith.document import Document, Entity, Span
from notesmith.ner.decode import Decision, WordScores, decide, score_of

_SCORED = Decision({}, scores=True)


@dataclass(frozen=True, slots=True)
class Completed:
    """``docs`` in the order given, and how many mentions were ``added`` and ``masked`` in them."""

    docs: tuple[Document, ...]
    counts: Counter[str]


def complete(
    made: Sequence[Document],
    scores: Sequence[WordScores | None],
    labels: Sequence[str],
    *,
    least_score: float,
) -> Completed:
    """Add to ``made`` what ``scores`` find in words that have no mention and are not masked.

    A mention of at least ``least_score`` is added, with its score as an attribute; the words of one
    that is less sure are masked, for they are not known to be O. What stands is never changed: a
    found mention that shares a word with a standing one, or with masked text, is left out. Jiang
    and others 2021 complete weak labels so: the rule ``non_O_overwrite_over_accu`` in
    ``bert-ner/profile2refinedweakdata.py`` of amzn/amazon-weak-ner-needle.

    Args:
        made: with the labels that they have.
        scores: what a student thinks of their words, by document; None leaves a document as it is.
        labels: of the student, in the order of its tags.
        least_score: from 0 (all are added) to 1.
    """
    counts: Counter[str] = Counter()
    docs: list[Document] = []
    for doc, score in zip(made, scores, strict=True):
        if score is None:
            docs.append(doc)
            continue
        held = [*doc.masked, *((ent.start, ent.end) for ent in doc.entities)]
        found = [ent for ent in decide(score, labels, _SCORED) if not _touches(ent, held)]
        sure = [ent for ent in found if (score_of(ent) or 0.0) >= least_score]
        doubtful = [ent for ent in found if ent not in sure]
        counts += Counter(added=len(sure), masked=len(doubtful))
        docs.append(_with(doc, sure, [span for ent in doubtful for span in ent.spans]))
    return Completed(tuple(docs), counts)


def _touches(ent: Entity, ranges: Iterable[Span]) -> bool:
    return any(ent.start < end and start < ent.end for start, end in ranges)


def _with(doc: Document, added: Sequence[Entity], masked: Sequence[Span]) -> Document:
    if not added and not masked:
        return doc
    taken = {ent.id for ent in doc.entities}
    free = (name for n in range(1, len(taken) + len(added) + 1) if (name := f"C{n}") not in taken)
    return replace(
        doc,
        entities=(*doc.entities, *(replace(ent, id=next(free)) for ent in added)),
        masked=tuple(sorted((*doc.masked, *masked))),
    )
