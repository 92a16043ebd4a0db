"""Where annotators of one text differ: places of overlapping mentions, and in what they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Span
from notesmith.errors import CorpusError, shown_doc, shown_name

Kind = Literal["only", "label", "boundary", "boundary and label", "attributes"]
Version = tuple[str, tuple[Span, ...]]
"""A mention as annotators agree on it or not: label and ranges."""

Readings = Mapping[str, Document]
"""The readings of one text by annotator."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A place of a text, ``[start, end)``, that annotators label differently.

    ``marks`` holds the mentions in dispute by annotator; an annotator without one has none there.
    ``kind`` is ``only`` where some mark nothing there, else in what the marks differ
    (``attributes``: concept ids too).
    """

    doc_id: str
    start: int
    end: int
    kind: Kind
    marks: Mapping[str, tuple[Entity, ...]]

    @property
    def markers(self) -> tuple[str, ...]:
        """The annotators that mark something there."""
        return tuple(name for name, ents in self.marks.items() if ents)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in dispute, sorted."""
        return tuple(sorted({ent.label for ents in self.marks.values() for ent in ents}))

    def to_record(self) -> dict[str, Any]:
        """JSON values, without text."""
        marks = {
            name: [
                {"label": ent.label, "spans": [list(span) for span in ent.spans]} for ent in ents
            ]
            for name, ents in self.marks.items()
        }
        place = {"doc": self.doc_id, "start": self.start, "end": self.end}
        return {**place, "kind": self.kind, "marks": marks}


def by_document(
    annotators: Mapping[str, Sequence[Document]], tally: Tally
) -> dict[str, dict[str, Document]]:
    """The readings of each document by its id; those of different texts are wrong.

    Raises:
        CorpusError: two annotators have different texts of one id.
    """
    found: dict[str, dict[str, Document]] = {}
    for name, docs in annotators.items():
        for doc in docs:
            found.setdefault(doc.id, {})[name] = doc
    for doc_id, readings in list(found.items()):
        (first, doc), *others = readings.items()
        for name, other in others:
            if other.text != doc.text:
                error = CorpusError(
                    f"{shown_doc(doc_id)}: the texts of {shown_name(first)} and "
                    f"{shown_name(name)} differ from offset "
                    f"{first_difference(doc.text, other.text)}; give files of the same text"
                )
                tally.drop("document whose texts differ", error)
                del found[doc_id]
                break
    return found


def first_difference(one: str, other: str) -> int:
    """The first offset at which two different texts differ."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def version(ent: Entity) -> Version:
    """Label and ranges of ``ent``."""
    return ent.label, ent.spans


def versions_of(readings: Readings) -> dict[Version, dict[str, Entity]]:
    """Every version of a mention with those who mark it; one that stands twice counts once."""
    found: dict[Version, dict[str, Entity]] = {}
    for name, doc in readings.items():
        for ent in doc.entities:
            found.setdefault(version(ent), {}).setdefault(name, ent)
    return found


def disagreements(doc_id: str, readings: Readings) -> list[Disagreement]:
    """All places where the readings of a document differ, in the order of the text.

    Mentions that all mark alike are set aside first, so that a mention nested in one of them is
    a place of its own.
    """
    versions = versions_of(readings)
    agreed = {key for key, marks in versions.items() if len(marks) == len(readings)}
    disputed = {key: marks for key, marks in versions.items() if key not in agreed}
    found = [disagreement(doc_id, readings, place, disputed) for place in places(disputed)]
    for key in agreed:
        marks = versions[key]
        if len({(ent.attributes, tuple(sorted(ent.normalized))) for ent in marks.values()}) > 1:
            each = {name: (ent,) for name, ent in marks.items()}
            span = key[1][0][0], key[1][-1][1]
            found.append(Disagreement(doc_id, *span, "attributes", each))
    return sorted(found, key=lambda x: (x.start, x.end))


def disagreement(
    doc_id: str,
    readings: Iterable[str],
    place: Sequence[Version],
    versions: Mapping[Version, Mapping[str, Entity]],
) -> Disagreement:
    """The disagreement of the annotators ``readings`` on the versions of one place."""
    marks = {
        name: tuple(versions[key][name] for key in place if name in versions[key])
        for name in readings
    }
    spans = {frozenset(ent.spans for ent in ents) for ents in marks.values()}
    labels = {frozenset(ent.label for ent in ents) for ents in marks.values()}
    kind: Kind = "boundary and label"
    if not all(marks.values()):
        kind = "only"
    elif len(labels) == 1:
        kind = "boundary"
    elif len(spans) == 1:
        kind = "label"
    start = min(key[1][0][0] for key in place)
    return Disagreement(doc_id, start, max(key[1][-1][1] for key in place), kind, marks)


def places(versions: Iterable[Version]) -> list[list[Version]]:
    """Groups of versions that overlap, directly or through others, in the order of the text."""
    ordered = sorted(versions, key=lambda key: (key[1], key[0]))
    group_of = list(range(len(ordered)))

    def root(i: int) -> int:
        while group_of[i] != i:
            group_of[i] = group_of[group_of[i]]
            i = group_of[i]
        return i

    # Ranges in order: one that begins before the last end so far overlaps what holds that end.
    ranges = sorted((start, end, i) for i, key in enumerate(ordered) for start, end in key[1])
    last, holder = -1, 0
    for start, end, i in ranges:
        if start < last:
            one, other = sorted((root(i), root(holder)))
            group_of[other] = one
        if end > last:
            last, holder = end, i
    groups: dict[int, list[Version]] = {}
    for i, key in enumerate(ordered):
        groups.setdefault(root(i), []).append(key)
    return list(groups.values())


def overlap(one: Iterable[Span], other: Sequence[Span]) -> bool:
    """Whether two mentions share a code point."""
    return any(s < e2 and s2 < e for s, e in one for s2, e2 in other)
