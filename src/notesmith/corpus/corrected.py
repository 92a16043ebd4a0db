"""Merge corrected documents over gold: what a person changed counts, what a tool lost does not.

A mention that the correction has where gold has it, with the same label, is gold's own. Text,
metadata, sections, masks and concept relations are gold's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from notesmith.corpus.disputes import Kind, disagreements, first_difference, overlap
from notesmith.corpus.doubtful import is_suggestion, without_marks
from notesmith.corpus.formats.label_studio_write import SCORE
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Provenance, Relation
from notesmith.errors import CorpusError, shown_doc

STAGE = "corrected"
HOLDING = ("label-studio", "brat", "uima", "jsonl")
"""Formats that hold attributes, concept ids and relations; others would undo them."""

_CHANGES: Mapping[Kind, str] = {
    "label": "labels of mentions changed",
    "boundary": "boundaries of mentions changed",
    "boundary and label": "boundaries and labels of mentions changed",
    "attributes": "attributes or concept ids of mentions changed",
}


@dataclass(frozen=True, slots=True)
class Corrected:
    """Gold with its corrections in place, the ids that changed, and counts of what did."""

    docs: list[Document]
    changed: tuple[str, ...]
    counts: dict[str, int]


def merge_corrections(
    gold: Sequence[Document], corrected: Sequence[Document], *, tally: Tally | None = None
) -> Corrected:
    """Put the corrections of documents in their place, by id.

    A document that changed has the provenance *gold*, stage ``corrected``, itself as its parent.
    Suggestions that nobody gave a label are left out, and so are the marks of doubt.

    Args:
        gold: the documents as they were.
        corrected: some of them, corrected.
        tally: what to do with documents whose text has changed; an error if None.

    Raises:
        CorpusError: none of the corrected documents is in gold, or a text has changed.
    """
    tally = tally or Tally()
    by_id = {doc.id: doc for doc in corrected}
    known = {doc.id for doc in gold}
    if not known & by_id.keys():
        raise CorpusError(
            f"none of {len(by_id)} corrected documents is among the {len(known)} of gold; "
            "the ids differ: is it the corpus that was written for correction?"
        )
    tally.note("corrected documents that gold lacks, left out", len(by_id.keys() - known))
    docs: list[Document] = []
    changed: list[str] = []
    for doc in gold:
        found = by_id.get(doc.id)
        merged = doc if found is None or _differs(doc, found, tally) else _merge(doc, found, tally)
        docs.append(merged)
        if merged is not doc:
            changed.append(doc.id)
    tally.note("documents changed", len(changed))
    tally.note("documents unchanged", len(known & by_id.keys()) - len(changed))
    tally.note("documents without a correction", len(known - by_id.keys()))
    return Corrected(docs, tuple(changed), dict(sorted(tally.counts.items())))


def same_text(was: str, found: str) -> bool:
    """Whether a text came back as it was; a control character that became a space is no change."""
    return len(was) == len(found) and all(
        a == b or (b == " " and unicodedata.category(a) == "Cc")
        for a, b in zip(was, found, strict=True)
    )


def _differs(doc: Document, found: Document, tally: Tally) -> bool:
    if same_text(doc.text, found.text):
        return False
    at = first_difference(doc.text, found.text)
    error = (
        f"{shown_doc(doc.id)}: the text differs from gold's from offset {at}; correct labels only"
    )
    tally.drop("corrected document whose text differs", CorpusError(error))
    return True


def _merge(doc: Document, found: Document, tally: Tally) -> Document:
    tally.note(
        "suggestions that nobody labelled, left out", sum(map(is_suggestion, found.entities))
    )
    final = _entities(doc, [ent for ent in found.entities if not is_suggestion(ent)])
    old = {ent.id for ent in doc.entities}
    by_id = {ent.id: ent for ent in final.values()}
    entities = [by_id[ent.id] for ent in doc.entities if ent.id in by_id]
    entities += [ent for ent in final.values() if ent.id not in old]
    starts = [ent.start for ent in doc.entities]
    if starts == sorted(starts):
        entities.sort(key=lambda ent: ent.start)
    relations = _relations(doc, found, {ent_id: ent.id for ent_id, ent in final.items()})
    if {*entities} == {*doc.entities} and {*relations} == {*doc.relations}:
        return doc
    merged = replace(
        doc,
        entities=tuple(entities),
        relations=relations,
        provenance=Provenance("gold", (doc.id,), stage=STAGE),
    )
    _count(doc, merged, tally)
    return merged


def _entities(doc: Document, found: Sequence[Entity]) -> dict[str, Entity]:
    """The mention that each of ``found`` becomes, by its id."""
    own: dict[tuple[str, int, int], list[Entity]] = {}
    for ent in doc.entities:
        # The hull, so that a mention in several parts is one that any tool can give back.
        own.setdefault((ent.label, ent.start, ent.end), []).append(ent)
    final: dict[str, Entity] = {}
    for ent in found:
        if same := own.get((ent.label, ent.start, ent.end)):
            final[ent.id] = _updated(same.pop(0), ent)
    left = [ent for ents in own.values() for ent in ents]
    used = {ent.id for ent in final.values()}
    for ent in found:
        if ent.id not in final:
            before = _before(ent, left)
            if before is not None:
                left.remove(before)
            new = before.id if before else _free(ent.id, used | {x.id for x in left})
            used.add(new)
            final[ent.id] = replace(ent, id=new, attributes=_without_score(ent))
    return final


def _before(ent: Entity, left: Sequence[Entity]) -> Entity | None:
    """The mention of gold that ``ent`` was: at its place, else of its label and overlapping."""
    same = (x for x in left if (x.start, x.end) == (ent.start, ent.end))
    near = (x for x in left if x.label == ent.label and overlap(x.spans, ent.spans))
    return next(same, None) or next(near, None)


def _free(name: str, used: Collection[str]) -> str:
    """``name``, or one that is not used."""
    names = (name, *(f"C{n}" for n in range(1, len(used) + 2)))
    return next(x for x in names if x not in used)


def _updated(gold: Entity, found: Entity) -> Entity:
    """The mention of gold with the attributes and concept ids of the correction."""
    scores = {name for name in gold.attributes if name.startswith(f"{SCORE}=")}
    same = {*gold.normalized} == {*found.normalized}
    return replace(
        gold,
        attributes=tuple({*_without_score(found), *scores}),
        normalized=gold.normalized if same else found.normalized,
    )


def _without_score(ent: Entity) -> tuple[str, ...]:
    return tuple(name for name in without_marks(ent.attributes) if not name.startswith(f"{SCORE}="))


def _relations(doc: Document, found: Document, ids: Mapping[str, str]) -> tuple[Relation, ...]:
    """Gold's relations that the correction still has, in either form, and its new ones."""
    there = [
        replace(rel, head=ids[rel.head], tail=ids[rel.tail])
        for rel in found.relations
        if rel.head in ids and rel.tail in ids
    ]
    keys = {(rel.label, rel.head, rel.tail) for rel in there}
    keys |= {(rel.label, rel.tail, rel.head) for rel in there if rel.symmetric}
    kept: list[Relation] = []
    known: set[tuple[str, str, str]] = set()
    for rel in doc.relations:
        # A tool that knows no symmetric relation has it in one direction.
        ways = {(rel.label, rel.head, rel.tail)}
        ways |= {(rel.label, rel.tail, rel.head)} if rel.symmetric else set()
        known |= ways
        if keys & ways:
            kept.append(rel)
    used = {rel.id for rel in kept}
    for rel in there:
        if (rel.label, rel.head, rel.tail) not in known:
            known.add((rel.label, rel.head, rel.tail))
            new = _free(rel.id, used)
            used.add(new)
            kept.append(replace(rel, id=new))
    return tuple(kept)


def _count(doc: Document, merged: Document, tally: Tally) -> None:
    for place in disagreements(doc.id, {"removed": doc, "added": merged}):
        if place.kind == "only":
            (how,) = place.markers
            tally.note(f"mentions {how}", len(place.marks[how]))
        else:
            tally.note(_CHANGES[place.kind])
    n_kept = len({*doc.relations} & {*merged.relations})
    tally.note("relations removed", len({*doc.relations}) - n_kept)
    tally.note("relations added", len({*merged.relations}) - n_kept)
