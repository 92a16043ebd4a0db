"""Prodigy's tasks of one text by one annotator, as one document.

Prodigy keeps every answer: a text is there once for each pass over it. As its own ``data-to-spacy``
does, the spans of all passes are put together. What is annotated by hand counts alone; where there
are only answers to questions about single spans, the rest of the text is masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from notesmith.corpus.formats.mentions import joined
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


@dataclass(frozen=True, slots=True)
class _Mention:
    entity: Entity
    task: Task


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
    found: dict[tuple[str, tuple[Span, ...]], _Mention] = {}
    now: dict[tuple[int, str], tuple[str, tuple[Span, ...]]] = {}
    clashing: set[tuple[str, tuple[Span, ...]]] = set()
    for n, task in enumerate(tasks):
        new: list[_Mention] = []
        for ent in task.doc.entities:
            key = now[n, ent.id] = ent.label, ent.spans
            if key in found:
                continue
            mention = _Mention(ent, task)
            new.append(mention)
            for other in found.values():
                if _clash(mention, other):
                    tally.mask("mention", _clash_error(mention, other))
                    clashing |= {key, (other.entity.label, other.entity.spans)}
        found |= {(x.entity.label, x.entity.spans): x for x in new}
    kept = [key for key in found if key not in clashing]
    ids = {key: f"T{i}" for i, key in enumerate(kept, 1)}
    entities = tuple(replace(found[key].entity, id=ids[key]) for key in kept)
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


def _clash(one: _Mention, other: _Mention) -> bool:
    """Whether two mentions of different tasks overlap where they may not."""
    if one.entity.start >= other.entity.end or other.entity.start >= one.entity.end:
        return False
    may_nest = one.task.nests or other.task.nests
    return not (may_nest and one.entity.label != other.entity.label)


def _clash_error(one: _Mention, other: _Mention) -> CorpusError:
    here, there = ((x.entity.start, x.entity.end) for x in (one, other))
    return CorpusError(
        f"{one.task.where}: {shown_doc(one.task.doc.id)}: [{here[0]}, {here[1]}) overlaps "
        f"[{there[0]}, {there[1]}) of another task of this text ({other.task.where}); keep one "
        "of the two lines"
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
