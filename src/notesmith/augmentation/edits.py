"""Rewrite parts of a document's text and re-derive every offset from the edits."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from notesmith.document import Document, Entity, Provenance, Section, Span
from notesmith.errors import StageError, shown_doc

WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[Span]:
    """Ranges of words and of single punctuation marks."""
    return [match.span() for match in WORD.finditer(text)]


def only_words(text: str) -> list[Span]:
    """Ranges of words, punctuation left out."""
    return [(start, end) for start, end in words(text) if text[start].isalnum()]


@dataclass(frozen=True, slots=True)
class Edit:
    """Put ``text`` in place of ``[start, end)``."""

    start: int
    end: int
    text: str


def apply_edits(doc: Document, edits: Sequence[Edit], *, doc_id: str, stage: str) -> Document:
    """Return ``doc`` with ``edits`` made; entities, relations, sections and masks keep their place.

    A span's border that lies inside an edited range moves to the nearer end of the new text, so a
    mention that is replaced whole, or holds an edit, keeps exactly its new extent. Concepts of a
    mention that became another string go, and the concept relations that rest on them.

    Raises:
        StageError: two edits overlap.
    """
    edits = sorted(edits, key=lambda e: (e.start, e.end))
    parts: list[str] = []
    starts: list[int] = []
    shifts: list[int] = []
    at = shift = 0
    for edit in edits:
        if edit.start < at:
            raise StageError(f"{shown_doc(doc.id)}: edits overlap at {edit.start}")
        parts += [doc.text[at : edit.start], edit.text]
        at = edit.end
        shift += len(edit.text) - (edit.end - edit.start)
        starts.append(edit.start)
        shifts.append(shift)
    parts.append(doc.text[at:])

    def move(offset: int, *, is_end: bool) -> int:
        # An offset at an edit's start belongs before it as a start, and as an end of what precedes.
        k = bisect_right(starts, offset) - 1
        if k < 0:
            return offset
        edit = edits[k]
        before = shifts[k - 1] if k else 0
        if offset >= edit.end and not (edit.start == edit.end == offset and not is_end):
            return offset + shifts[k]
        if offset == edit.start:
            return offset + before
        return edit.start + before + (len(edit.text) if is_end else 0)

    def move_span(span: Span) -> Span:
        return move(span[0], is_end=False), move(span[1], is_end=True)

    text = "".join(parts)
    entities: list[Entity] = []
    for ent in doc.entities:
        moved = replace(ent, spans=tuple(map(move_span, ent.spans)))
        is_same = moved.mention(text) == ent.mention(doc.text)
        entities.append(moved if is_same else replace(moved, normalized=()))
    gone = _concepts(doc.entities) - _concepts(entities)
    return replace(
        doc,
        id=doc_id,
        text=text,
        entities=tuple(entities),
        concept_relations=tuple(
            rel for rel in doc.concept_relations if not gone & {rel.head, rel.tail}
        ),
        sections=tuple(Section(s.name, *move_span((s.start, s.end))) for s in doc.sections),
        masked=tuple(map(move_span, doc.masked)),
        provenance=Provenance("augmented", (doc.id,), stage=stage),
    )


def _concepts(entities: Iterable[Entity]) -> set[str]:
    return {concept for ent in entities for concept in ent.normalized}


def plain_entities(doc: Document) -> list[Entity]:
    """Entities of one range that neither hold nor touch another entity, in order of offset."""
    ordered = sorted(doc.entities, key=lambda e: (e.start, e.end))
    plain: list[Entity] = []
    reach = -1
    for i, ent in enumerate(ordered):
        following = ordered[i + 1].start if i + 1 < len(ordered) else len(doc.text) + 1
        if len(ent.spans) == 1 and ent.start >= reach and ent.end <= following:
            plain.append(ent)
        reach = max(reach, ent.end)
    return plain
