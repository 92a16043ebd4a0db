"""Prodigy's tasks of one text by one annotator, as one document.

Prodigy keeps every answer: a text is there once for each pass over it. As its own ``data-to-spacy``
does, the spans of all passes are put together. What is annotated by hand counts alone; where there
are only answers to questions about single spans, the rest of the text is masked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from notesmith.corpus.formats.unread import joined
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Relation, Span
from notesmith.errors import CorpusError, shown_doc


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a text: its line, and what it says.

    ``is_partial`` if only single spans were asked for; ``nests`` if its interface lets mentions
    overlap.
    """

    where: str
    doc: Document
    is_partial: bool
    nests: bool


_Key = tuple[str, tuple[Span, ...]]
"""Label and place of a mention: the same in whichever task."""


def joined_tasks(tasks: Sequence[Task], tally: Tally) -> Document:
    """The document that ``tasks`` of one text make.

    Raises:
        CorpusError: two tasks mark mentions that overlap and differ. Where problems are counted
            both stretches are masked.
    """
    by_hand = [task for task in tasks if not task.is_partial]
    if by_hand:
        what = "answers to questions about one span left out (their text is annotated by hand)"
        tally.note(what, len(tasks) - len(by_hand))
        tasks = by_hand
    doc = tasks[0].doc if len(tasks) == 1 else _union(tasks, tally)
    if by_hand:
        return doc
    tally.note("texts of which only single spans were asked for (the rest is masked)")
    return replace(doc, masked=_outside(doc))


def _union(tasks: Sequence[Task], tally: Tally) -> Document:
    first = tasks[0].doc
    said = {frozenset((ent.label, ent.spans) for ent in task.doc.entities) for task in tasks}
    tally.note(
        "identical tasks of one text merged" if len(said) == 1 else "tasks of one text joined",
        len(tasks) - 1,
    )
    found: dict[_Key, Entity] = {}
    said_by: dict[_Key, set[int]] = {}
    now: dict[tuple[int, str], _Key] = {}
    for n, task in enumerate(tasks):
        for ent in task.doc.entities:
            key = now[n, ent.id] = ent.label, ent.spans
            found.setdefault(key, ent)
            said_by.setdefault(key, set()).add(n)
    clashing: set[_Key] = set()
    for one, other in _clashes(found, said_by, tasks):
        where = tasks[min(said_by[one])].where, tasks[min(said_by[other])].where
        tally.mask("mention", _clash_error(first.id, (found[one], found[other]), where))
        clashing |= {one, other}
    kept = [key for key in found if key not in clashing]
    ids = {key: f"T{i}" for i, key in enumerate(kept, 1)}
    entities = tuple(replace(found[key], id=ids[key]) for key in kept)
    links: dict[tuple[str, str, str], None] = {}
    for n, task in enumerate(tasks):
        for rel in task.doc.relations:
            head, tail = now[n, rel.head], now[n, rel.tail]
            if head in ids and tail in ids:
                links[rel.label, ids[head], ids[tail]] = None
            else:
                tally.note("relations of masked mentions left out")
    metadata: dict[str, object] = {}
    for task in reversed(tasks):
        metadata |= task.doc.metadata
    unknown = [span for task in tasks for span in task.doc.masked]
    unknown += [span for _, spans in clashing for span in spans]
    return replace(
        first,
        entities=entities,
        relations=tuple(Relation(f"R{i}", *link) for i, link in enumerate(links, 1)),
        masked=joined(unknown),
        metadata=metadata,
    )


def _clashes(
    found: Mapping[_Key, Entity], said_by: Mapping[_Key, set[int]], tasks: Sequence[Task]
) -> Iterator[tuple[_Key, _Key]]:
    """Mentions that overlap, no task marks both, and the interfaces do not allow for it."""
    open_ones: list[_Key] = []
    for key in sorted(found, key=lambda key: found[key].start):
        open_ones = [other for other in open_ones if found[other].end > found[key].start]
        for other in open_ones:
            may_nest = any(tasks[n].nests for n in said_by[key] | said_by[other])
            if said_by[key].isdisjoint(said_by[other]) and not (may_nest and key[0] != other[0]):
                # The later task is the one to look at.
                later = min(said_by[key]) > min(said_by[other])
                yield (key, other) if later else (other, key)
        open_ones.append(key)


def _clash_error(doc_id: str, pair: tuple[Entity, Entity], where: tuple[str, str]) -> CorpusError:
    one, other = pair
    return CorpusError(
        f"{where[0]}: {shown_doc(doc_id)}: [{one.start}, {one.end}) overlaps "
        f"[{other.start}, {other.end}) of another task of this text ({where[1]}); keep one of the "
        "two lines"
    )


def _outside(doc: Document) -> tuple[Span, ...]:
    """What no mention covers, and what is masked already."""
    gaps: list[Span] = list(doc.masked)
    at = 0
    for start, end in joined([span for ent in doc.entities for span in ent.spans]):
        gaps.append((at, start))
        at = end
    gaps.append((at, len(doc.text)))
    return joined([(start, end) for start, end in gaps if start < end])
