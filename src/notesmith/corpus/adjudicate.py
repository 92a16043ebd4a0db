"""Make one reading of several annotators', by a rule, and say what it decided.

What the rule cannot decide is masked: a student learns there neither a mention nor its absence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from notesmith.corpus.disputes import (
    Disagreement,
    Readings,
    Version,
    by_document,
    disagreement,
    overlap,
    places,
    version,
    versions_of,
)
from notesmith.corpus.formats.uima import ANNOTATOR
from notesmith.corpus.problems import Tally
from notesmith.document import ConceptRelation, Document, Entity, Provenance, Relation, Span
from notesmith.errors import ConfigError, CorpusError, shown_doc, shown_name

Rule = Literal["majority", "union", "intersection"]
ANNOTATORS = "annotators"
"""Metadata of an adjudicated document: who has read it."""


@dataclass(frozen=True, slots=True)
class Adjudicated:
    """One document an id, counts of what was decided, and the places that were not."""

    docs: list[Document]
    counts: dict[str, int]
    undecided: list[Disagreement]


def adjudicate(
    annotators: Mapping[str, Sequence[Document]],
    *,
    rule: Rule,
    prefer: str | None = None,
    truth: Mapping[str, Document] | None = None,
    mask: bool = True,
    tally: Tally | None = None,
) -> Adjudicated:
    """Decide every document that annotators have read.

    The ground truth of a document is taken as it is, then the reading of ``prefer``, then that of
    an only annotator. Of several readings, by ``rule``:

    - ``majority``: a mention is kept that more than half have marked with this label and these
      ranges. A place where half or more have marked something else is undecided; what fewer have
      marked is left out.
    - ``union``: a mention is kept that anybody has marked. Of versions that overlap and that nobody
      has marked both, the one of more annotators is kept, then the longer; labels of one place that
      are even are undecided.
    - ``intersection``: a mention is kept that all have marked; every other place is undecided.

    Attributes and concept ids of a kept mention are those that most of its annotators gave, the
    first of them where they are even. Relations between kept mentions are kept by the same rule.

    Args:
        annotators: documents by annotator.
        rule: how several readings are decided.
        prefer: the annotator whose reading is taken where there is one.
        truth: documents that are decided already, by id.
        mask: mask what is undecided; otherwise it is left out, as if nobody had marked it.
        tally: what to do with documents whose texts differ; an error if None.

    Raises:
        ConfigError: ``prefer`` is none of the annotators.
        CorpusError: texts of one id differ.
    """
    if prefer is not None and prefer not in annotators:
        raise ConfigError(
            f"no annotator {prefer!r} to prefer; there are {', '.join(map(shown_name, annotators))}"
        )
    tally = tally or Tally()
    every = by_document(annotators, tally)
    truth = truth or {}
    docs: list[Document] = []
    undecided: list[Disagreement] = []
    for doc_id in dict.fromkeys((*every, *truth)):
        readings = every.get(doc_id, {})
        if doc_id in truth:
            doc = truth[doc_id]
            if any(reading.text != doc.text for reading in readings.values()):
                error = (
                    f"{shown_doc(doc_id)}: the text of the ground truth differs; export them anew"
                )
                tally.drop("document whose texts differ", CorpusError(error))
                continue
            docs.append(_signed(doc, readings, "ground truth"))
            tally.note("documents taken from the ground truth")
        elif prefer in readings and prefer is not None:
            docs.append(_signed(readings[prefer], readings, f"{prefer} preferred"))
            tally.note(f"documents as {prefer} has read them")
        elif len(readings) == 1:
            docs.append(_signed(next(iter(readings.values())), readings, "only annotator"))
            tally.note("documents with one annotator, taken as they are")
        else:
            case = _Case(doc_id, readings, rule, mask, tally)
            docs.append(case.document())
            undecided += case.undecided
            tally.note(f"documents decided by {rule}")
    return Adjudicated(docs, dict(sorted(tally.counts.items())), undecided)


def _signed(doc: Document, readings: Readings, how: str) -> Document:
    """``doc`` with who has read it and how it was chosen."""
    metadata = {name: value for name, value in doc.metadata.items() if name != ANNOTATOR}
    if readings:
        metadata[ANNOTATORS] = ", ".join(readings)
    provenance = replace(doc.provenance, stage=f"adjudicated: {how}")
    return replace(doc, provenance=provenance, metadata=metadata)


@dataclass(slots=True)
class _Case:
    """The readings of one document while they are decided."""

    doc_id: str
    readings: Readings
    rule: Rule
    mask: bool
    tally: Tally
    undecided: list[Disagreement] = field(default_factory=list)

    def document(self) -> Document:
        versions = versions_of(self.readings)
        all_agree = sum(len(marks) == len(self.readings) for marks in versions.values())
        kept, open_places = self._decide(versions)
        self.tally.note("mentions that all have marked", all_agree)
        self.tally.note("mentions kept by the rule", len(kept) - all_agree)
        n_open = sum(len(place) for place in open_places)
        self.tally.note("mentions left out by the rule", len(versions) - len(kept) - n_open)
        taken = [span for key in kept for span in key[1]]
        masked = {span for doc in self.readings.values() for span in doc.masked}
        for place in open_places:
            self.undecided.append(disagreement(self.doc_id, self.readings, place, versions))
            free = _without([span for key in place for span in key[1]], taken)
            masked.update(free if self.mask else ())
            how = "masked" if self.mask and free else "left out"
            self.tally.note(f"places undecided, {how}")
        entities = self._entities(sorted(kept, key=_by_place), versions)
        names = {version(ent): ent.id for ent in entities}
        first = next(iter(self.readings.values()))
        doc = replace(
            first,
            entities=tuple(entities),
            relations=self._relations(names),
            concept_relations=self._concept_relations(),
            masked=tuple(sorted(masked)),
            provenance=Provenance(kind=self._kind()),
        )
        return _signed(doc, self.readings, f"{self.rule} of {len(self.readings)}")

    def _kind(self) -> Literal["gold", "silver", "synthetic", "augmented"]:
        """Gold, if all readings are."""
        kinds = [doc.provenance.kind for doc in self.readings.values()]
        return next((kind for kind in kinds if kind != "gold"), "gold")

    def _decide(
        self, versions: Mapping[Version, Mapping[str, Entity]]
    ) -> tuple[set[Version], list[list[Version]]]:
        """The versions that are kept, and the places that are undecided."""
        if self.rule == "union":
            return _united(versions)
        kept = {key for key, marks in versions.items() if self._carries(len(marks))}
        rest = places(key for key in versions if key not in kept)
        if self.rule == "majority":
            rest = [
                place
                for place in rest
                if 2 * len({name for key in place for name in versions[key]}) >= len(self.readings)
            ]
        return kept, rest

    def _carries(self, n: int) -> bool:
        """Whether ``n`` annotators are enough."""
        if self.rule == "majority":
            return 2 * n > len(self.readings)
        return n >= (1 if self.rule == "union" else len(self.readings))

    def _entities(
        self, kept: Sequence[Version], versions: Mapping[Version, Mapping[str, Entity]]
    ) -> list[Entity]:
        found: list[Entity] = []
        for i, key in enumerate(kept, 1):
            given = Counter(
                (ent.attributes, tuple(sorted(ent.normalized))) for ent in versions[key].values()
            )
            self.tally.note("mentions whose attributes differ, those of most kept", len(given) > 1)
            attributes, normalized = given.most_common(1)[0][0]
            found.append(Entity(f"T{i}", *key, attributes, normalized))
        return found

    def _relations(self, names: Mapping[Version, str]) -> tuple[Relation, ...]:
        """Relations that carry; what stands between mentions that are not kept is left out."""
        votes: Counter[Hashable] = Counter()
        ends: dict[Hashable, tuple[str, Version, Version, bool]] = {}
        for doc in self.readings.values():
            of = {ent.id: version(ent) for ent in doc.entities}
            mine = set()
            for rel in doc.relations:
                pair = of[rel.head], of[rel.tail]
                joined: Hashable = frozenset(pair) if rel.symmetric else pair
                key: Hashable = (rel.label, joined)
                ends.setdefault(key, (rel.label, *pair, rel.symmetric))
                mine.add(key)
            votes.update(mine)
        found: list[Relation] = []
        for key, (label, head, tail, symmetric) in ends.items():
            if self._carries(votes[key]) and head in names and tail in names:
                number = f"R{len(found) + 1}"
                found.append(Relation(number, label, names[head], names[tail], symmetric))
        self.tally.note("relations left out", len(ends) - len(found))
        return tuple(found)

    def _concept_relations(self) -> tuple[ConceptRelation, ...]:
        votes = Counter(x for doc in self.readings.values() for x in {*doc.concept_relations})
        order = dict.fromkeys(x for d in self.readings.values() for x in d.concept_relations)
        found = tuple(rel for rel in order if self._carries(votes[rel]))
        self.tally.note("concept relations left out", len(order) - len(found))
        return found


def _by_place(key: Version) -> tuple[int, int, str]:
    return key[1][0][0], -key[1][-1][1], key[0]


def _united(
    versions: Mapping[Version, Mapping[str, Entity]],
) -> tuple[set[Version], list[list[Version]]]:
    """What ``union`` keeps and cannot decide."""

    def conflict(one: Version, other: Version) -> bool:
        return overlap(one[1], other[1]) and not versions[one].keys() & versions[other].keys()

    def size(key: Version) -> int:
        return sum(end - start for start, end in key[1])

    even = {
        key
        for key in versions
        for other in versions
        if key != other
        and key[1] == other[1]
        and len(versions[key]) == len(versions[other])
        and conflict(key, other)
    }
    kept: set[Version] = set()
    order = sorted(versions, key=lambda key: (-len(versions[key]), -size(key), _by_place(key)))
    for key in order:
        if key not in even and not any(conflict(key, other) for other in kept):
            kept.add(key)
    open_keys = [key for key in even if not any(conflict(key, other) for other in kept)]
    return kept, places(open_keys)


def _without(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """The parts of ``spans`` outside ``taken``, joined where they touch."""
    inside = {at for start, end in spans for at in range(start, end)}
    inside -= {at for start, end in taken for at in range(start, end)}
    found: list[Span] = []
    for at in sorted(inside):
        if found and found[-1][1] == at:
            found[-1] = found[-1][0], at + 1
        else:
            found.append((at, at + 1))
    return found
