"""Doubtful gold: where students that did not see a document's labels contradict them surely.

Who judges arrives as a value: documents in, an opinion of each out (``notesmith.ner.judge``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from notesmith.corpus.check import Finding
from notesmith.document import Document, Entity, Span
from notesmith.words import word_around, words


class Judgement(Protocol):
    """The opinion of a document: mentions, the confidence of each, and the denial of its own."""

    @property
    def marks(self) -> Sequence[Entity]:
        """The mentions found; one range each."""

    @property
    def confidence(self) -> Sequence[float]:
        """How sure each of ``marks`` is, 0 to 1."""

    @property
    def denial(self) -> Sequence[float]:
        """How sure it is that each of the document's own mentions is none, 0 to 1."""


Judge = Callable[[Sequence[Document]], Sequence[Judgement]]
"""Judges each document by what was learnt from others."""


def committee_findings(
    splits: Mapping[str, Sequence[Document]], judge: Judge, *, confidence: float = 0.9
) -> list[Finding]:
    """What the judge denies, marks, or marks otherwise with at least this confidence; surest first.

    All splits are judged together, for what is doubted are labels and not a model. A mention that
    overlaps a longer one is passed over: students mark one of the two. Boundaries inside a word
    are taken to be those of the word, and masked ranges are passed over.
    """
    where = [(split, doc) for split, docs in splits.items() for doc in docs]
    findings: list[Finding] = []
    for (split, doc), opinion in zip(where, judge(_apart(where)), strict=True):
        sure = list(zip(opinion.marks, opinion.confidence, strict=True))
        findings += _of_gold(split, doc, opinion.denial, sure, confidence)
        findings += _unlabelled(split, doc, sure, confidence)
    return sorted(findings, key=lambda finding: -(finding.confidence or 0))


def _apart(where: Sequence[tuple[str, Document]]) -> list[Document]:
    """The documents with ids of their own, those of one id as of one patient."""
    return [
        replace(
            doc,
            id=f"{split}/{doc.id}",
            metadata={**doc.metadata, "patient": doc.metadata.get("patient") or f"doc {doc.id}"},
        )
        for split, doc in where
    ]


def _of_gold(
    split: str,
    doc: Document,
    denial: Sequence[float],
    sure: Sequence[tuple[Entity, float]],
    confidence: float,
) -> Iterator[Finding]:
    spans = words(doc.text)
    for ent, denied in zip(doc.entities, denial, strict=True):
        if any(_shadows(other, ent) for other in doc.entities):
            continue
        at = (split, doc.id, ent.label, ent.id, ent.start, ent.end)
        near = [(mark, p) for mark, p in sure if mark.start < ent.end and ent.start < mark.end]
        span = _whole_words(spans, ent)
        if any(mark.label == ent.label and (mark.start, mark.end) == span for mark, _ in near):
            continue
        same = [(mark, p) for mark, p in near if mark.label == ent.label]
        mark, p = max(same or near, key=lambda pair: pair[1], default=(ent, denied))
        if p < confidence:
            continue
        said = f"confidence {p:.2f}"
        if not near:
            yield Finding("committee denies", *at, detail=said, confidence=p)
        elif same:
            said = f"[{mark.start}, {mark.end}), {said}"
            yield Finding("committee sees other boundary", *at, detail=said, confidence=p)
        else:
            yield Finding(
                "committee sees other label",
                *at,
                detail=f"{mark.label}, {said}",
                confidence=p,
                suggested=mark.label,
            )


def _unlabelled(
    split: str, doc: Document, sure: Sequence[tuple[Entity, float]], confidence: float
) -> Iterator[Finding]:
    taken = [(ent.start, ent.end) for ent in doc.entities] + list(doc.masked)
    for mark, p in sure:
        if p >= confidence and not any(s < mark.end and mark.start < e for s, e in taken):
            at = (split, doc.id, mark.label, "", mark.start, mark.end)
            yield Finding("committee marks", *at, detail=f"confidence {p:.2f}", confidence=p)


def _shadows(other: Entity, ent: Entity) -> bool:
    """Whether a student would mark ``other`` rather than ``ent``, which it overlaps."""
    is_near = other.start < ent.end and ent.start < other.end
    return is_near and _rank(other) < _rank(ent)


def _rank(ent: Entity) -> tuple[int, int, str, str]:
    return ent.start - ent.end, ent.start, ent.label, ent.id


def _whole_words(spans: Sequence[Span], ent: Entity) -> Span:
    """The range of ``ent``, as far as the words that it cuts reach."""
    first, last = word_around(spans, ent.start), word_around(spans, ent.end)
    return first[0] if first else ent.start, last[1] if last else ent.end
