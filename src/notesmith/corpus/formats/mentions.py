"""Mentions of one text while they are read: entities, and stretches whose mention is unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from notesmith.corpus.formats.json_values import is_whole
from notesmith.corpus.formats.unread import joined
from notesmith.corpus.problems import Tally
from notesmith.document import Entity, Span
from notesmith.errors import CorpusError, OffsetError

_FIELDS = frozenset({"id", "start", "end", "start_offset", "end_offset", "label", "text"})


@dataclass(slots=True)
class Mentions:
    """What was read so far of one text's mentions.

    A mention that cannot be read is raised, or where problems are counted its stretch is put to
    ``masked``: it is unknown, not absent. ``ids`` finds an entity by the id its tool gave.
    """

    text: str
    where: str
    tally: Tally
    entities: list[Entity] = field(default_factory=list)
    masked: list[Span] = field(default_factory=list)
    ids: dict[str | int, str | None] = field(default_factory=dict)
    _there: dict[tuple[str, Span], Entity] = field(default_factory=dict)

    def add(
        self,
        name: str,
        span: tuple[object, object],
        label: object,
        *,
        written: object = None,
        given: object = None,
    ) -> Entity | None:
        """Add the mention ``name``; an identical one that is there already is given instead.

        Args:
            name: where it stands in its record, for messages.
            span: its start and end as they were written.
            label: its label as it was written.
            written: its text as its tool wrote it; white space may differ.
            given: its id in its tool.

        Raises:
            CorpusError: it cannot be read, and nothing says which stretch of the text is unknown.
        """
        ent: Entity | None = None
        try:
            ent = self._entity(span, label, written)
        except CorpusError as error:
            self.refuse(name, error, self._stretches(span, written))
        if isinstance(given, str | int):
            self.ids[given] = None if ent is None else ent.id
        return ent

    def add_all(self, field_name: str, items: Iterable[object]) -> None:
        """Add mentions that are ``[start, end, label]``, or objects with these fields."""
        for i, item in enumerate(items):
            name = f"{field_name}[{i}]"
            if isinstance(item, dict):
                self.add(
                    name,
                    span_of(item),
                    item.get("label"),
                    written=item.get("text"),
                    given=item.get("id"),
                )
                further = len(item.keys() - _FIELDS)
            elif isinstance(item, list) and len(item) >= 3:
                self.add(name, (item[0], item[1]), item[2])
                further = len(item) - 3
            else:
                raise CorpusError(
                    f"{name}: a mention must be [start, end, label], or an object with these fields"
                )
            self.tally.note("further fields of mentions left out", further)

    def mask(self, span: tuple[object, object], what: str) -> None:
        """Mask a stretch that is known to be unknown, and count ``what``."""
        self.tally.note(what)
        self.masked += self._stretches(span, None)

    def refuse(self, name: str, error: CorpusError, stretches: list[Span]) -> None:
        """Raise ``error``, or mask ``stretches`` where problems are counted.

        Raises:
            CorpusError: problems are raised, or nothing says which stretch is unknown.
        """
        if not stretches:
            raise type(error)(f"{name}: {error}") from None
        self.tally.mask("mention", type(error)(f"{self.where}: {name}: {error}"))
        self.masked += stretches

    def _entity(self, span: tuple[object, object], label: object, written: object) -> Entity:
        start, end = span
        if not is_whole(start) or not is_whole(end):
            raise CorpusError("start and end must be whole numbers; correct them")
        if not isinstance(label, str):
            raise CorpusError("the label must be a string; write its name")
        if end > len(self.text):
            raise OffsetError(
                f"[{start}, {end}) is past end {len(self.text)}; correct the offsets (code points, "
                "end exclusive)"
            )
        ent = Entity(f"T{len(self.entities) + 1}", label, ((start, end),))
        if isinstance(written, str):
            self._check(ent, written)
        known = self._there.setdefault((label, (start, end)), ent)
        if known is ent:
            self.entities.append(ent)
        else:
            self.tally.note("identical mentions collapsed")
        return known

    def _check(self, ent: Entity, written: str) -> None:
        found = self.text[ent.start : ent.end]
        if found == written:
            return
        if "".join(found.split()) != "".join(written.split()):
            raise OffsetError(
                f"[{ent.start}, {ent.end}): its text differs from the text there; correct the "
                "offsets (code points, end exclusive)"
            )
        self.tally.note("mention texts that differ in white space (offsets kept)")

    def _stretches(self, span: tuple[object, object], written: object) -> list[Span]:
        """Where the mention may be: at its offsets, and wherever the text it names stands."""
        found: list[Span] = []
        start, end = span
        if is_whole(start) and is_whole(end) and 0 <= start < min(end, len(self.text)):
            found.append((start, min(end, len(self.text))))
        if isinstance(written, str) and written.strip():
            found += [m.span() for m in re.finditer(re.escape(written.strip()), self.text)]
        return found

    def unknown(self) -> tuple[Span, ...]:
        """The masked stretches, sorted and joined where they overlap."""
        return joined(self.masked)


def span_of(item: Mapping[str, Any]) -> tuple[object, object]:
    """Start and end of a mention as they were written; doccano calls them offsets."""
    if "start_offset" in item:
        return item["start_offset"], item.get("end_offset")
    return item.get("start"), item.get("end")
