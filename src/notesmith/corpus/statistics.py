"""Count what a corpus holds; numbers and labels only, never text."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from notesmith.document import Document
from notesmith.segments import join_over_entities, sentences


@dataclass(frozen=True, slots=True)
class LabelStatistics:
    """One label: mentions, distinct strings (case ignored), documents, words of a mention."""

    label: str
    n_mentions: int
    n_distinct: int
    n_documents: int
    mean_words: float


@dataclass(frozen=True, slots=True)
class CorpusStatistics:
    """Counts of a corpus.

    ``n_nested`` pairs of mentions stand on the same or nested spans, ``n_crossing`` cross.
    ``mention_free_ratio`` is the share of sentences without a mention.
    """

    n_documents: int
    n_patients: int
    n_characters: int
    n_words: int
    n_sentences: int
    n_mentions: int
    n_discontinuous: int
    n_nested: int
    n_crossing: int
    mention_free_ratio: float
    labels: tuple[LabelStatistics, ...]
    attributes: dict[str, int]
    relations: dict[str, int]
    concept_relations: dict[str, int]
    kinds: dict[str, int]
    provenance: dict[str, int]

    def to_record(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def describe(docs: Sequence[Document]) -> CorpusStatistics:
    """Count ``docs``."""
    n_sentences = n_free = n_nested = n_crossing = 0
    for doc in docs:
        sents = join_over_entities(sentences(doc.text), doc)
        starts = sorted(ent.start for ent in doc.entities)
        n_sentences += len(sents)
        n_free += sum(bisect_left(starts, s) == bisect_left(starts, e) for s, e in sents)
        nested, crossing = _overlaps(doc)
        n_nested += nested
        n_crossing += crossing
    patients = {doc.metadata["patient"] for doc in docs if "patient" in doc.metadata}
    entities = [ent for doc in docs for ent in doc.entities]
    return CorpusStatistics(
        n_documents=len(docs),
        n_patients=len(patients),
        n_characters=sum(len(doc.text) for doc in docs),
        n_words=sum(len(doc.text.split()) for doc in docs),
        n_sentences=n_sentences,
        n_mentions=len(entities),
        n_discontinuous=sum(len(ent.spans) > 1 for ent in entities),
        n_nested=n_nested,
        n_crossing=n_crossing,
        mention_free_ratio=n_free / n_sentences if n_sentences else 0.0,
        labels=_labels(docs),
        attributes=_ordered(Counter(a for ent in entities for a in ent.attributes)),
        relations=_ordered(Counter(rel.label for doc in docs for rel in doc.relations)),
        concept_relations=_ordered(
            Counter(rel.label for doc in docs for rel in doc.concept_relations)
        ),
        kinds=_ordered(Counter(str(d.metadata["kind"]) for d in docs if "kind" in d.metadata)),
        provenance=_ordered(Counter(doc.provenance.kind for doc in docs)),
    )


def _labels(docs: Sequence[Document]) -> tuple[LabelStatistics, ...]:
    mentions: dict[str, list[str]] = defaultdict(list)
    n_documents: Counter[str] = Counter()
    for doc in docs:
        n_documents.update(doc.labels)
        for ent in doc.entities:
            mentions[ent.label].append(ent.mention(doc.text).casefold())
    return tuple(
        LabelStatistics(
            label=label,
            n_mentions=len(found),
            n_distinct=len(set(found)),
            n_documents=n_documents[label],
            mean_words=sum(len(mention.split()) for mention in found) / len(found),
        )
        for label, found in sorted(mentions.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def _overlaps(doc: Document) -> tuple[int, int]:
    """Pairs of mentions on the same or nested spans, and pairs that cross, by first and last."""
    nested = crossing = 0
    ends: list[int] = []  # Of those that go on, sorted.
    for start, end in sorted(((e.start, e.end) for e in doc.entities), key=lambda s: (s[0], -s[1])):
        del ends[: bisect_right(ends, start)]
        at = bisect_left(ends, end)
        nested += len(ends) - at
        crossing += at
        ends.insert(at, end)
    return nested, crossing


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
