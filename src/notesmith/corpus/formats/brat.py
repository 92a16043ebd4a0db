r"""brat standoff: a ``.txt`` and an ``.ann`` file a document, its id the path below the folder.

Events fold into their triggers: one without arguments is just its trigger, arguments become
relations from the trigger. A ``*`` line is a symmetric relation between each two of its members.
Attributes are flags (``negated``) or ``NAME=VALUE``; normalisations (``N``) become concept ids;
notes (``#``) are kept in ``metadata["notes"]``. brat divides a mention at line ends: its fragments
that only white space divides are one range here. ``brat_offsets`` knows what else than code points
offsets may count, and ``brat_write`` writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path

from notesmith.corpus.formats import brat_offsets
from notesmith.corpus.formats.brat_offsets import Counting, NoteText, Written
from notesmith.corpus.formats.pubtator import check_mention
from notesmith.corpus.formats.unread import Unread, masks
from notesmith.corpus.problems import Tally, iter_lines
from notesmith.document import Document, Entity, Relation, Span
from notesmith.errors import CorpusError, OffsetError, shown_id

NOTES = "notes"
_MENTION = re.compile(r"(\S+) ([0-9]{1,9} [0-9]{1,9}(?:;[0-9]{1,9} [0-9]{1,9})*)")
_SPAN = re.compile(r"(?<![0-9])([0-9]{1,9}) ([0-9]{1,9})(?![0-9])")
_KINDS = "TEAMNR*#"
_NO_ANN = "notes without an .ann file, left out as not annotated"


def claims(path: Path) -> bool:
    """Whether ``path`` is part of a brat folder (a text without annotations beside others too)."""
    if path.suffix == ".ann":
        return True
    return path.suffix == ".txt" and (
        path.with_suffix(".ann").exists()
        or _holds_annotations(path.parent, path.parent.stat().st_mtime_ns)
    )


@lru_cache(maxsize=16)
def _holds_annotations(folder: Path, changed: int) -> bool:
    """Whether ``.ann`` files lie in ``folder``; looked up once, not for each of its texts."""
    return any(folder.glob("*.ann"))


def read(path: Path, doc_id: str, tally: Tally, *, alone: bool = False) -> Iterator[Document]:
    """Read the document of an ``.ann`` file and the ``.txt`` beside it.

    The ``.txt`` of a pair gives nothing itself, so that a folder can be walked, unless it is read
    ``alone``. One without ``.ann`` file was not annotated: it is left out and counted, for its
    mentions are unknown. An empty ``.ann`` file says that a note has none.
    """
    halves = {".ann": ".txt", ".txt": ".ann"}
    # Ids may hold dots: only the last suffix changes.
    other = path.with_suffix(halves.get(path.suffix, ".txt"))
    if not other.exists():
        if path.suffix == ".txt" and not alone:
            tally.note(_NO_ANN)
            return
        error = f"{path}: no {other.name} beside it; add it, or move the file away"
        tally.drop(f"{path.suffix} file without its {other.suffix} file", CorpusError(error))
        return
    if path.suffix == ".txt":
        if not alone:
            return
        path, other = other, path
    note = brat_offsets.read_note(other, tally)
    if note is not None:
        with tally.dropping("document", f"{path}: doc {doc_id!r}"):
            yield _Reading(path, doc_id, note, tally).document()


def joined(text: str, spans: Iterable[Span]) -> tuple[Span, ...]:
    """``spans`` in order; those that overlap, touch or have only white space between are one."""
    runs: list[Span] = []
    for start, end in sorted(spans):
        if runs and (start <= runs[-1][1] or text[runs[-1][1] : start].isspace()):
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return tuple(runs)


@dataclass(slots=True)
class _Reading:
    """One ``.ann`` file while it is read; lines may stand in any order."""

    path: Path
    doc_id: str
    note: NoteText
    tally: Tally
    counting: Counting = field(default_factory=Counting)
    unread: list[Unread] = field(default_factory=list)
    entities: dict[str, Entity] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)
    relation_ids: set[str] = field(default_factory=set)
    notes: list[dict[str, str]] = field(default_factory=list)
    n_symmetric: int = 0

    def document(self) -> Document:
        rows: dict[str, list[tuple[int, list[str]]]] = {kind: [] for kind in _KINDS}
        for line in iter_lines(self.path, self.tally):
            if line.text is None:
                self.unread.append(Unread())
                continue
            if not line.text.strip():
                continue
            kind = "A" if line.text[0] == "M" else line.text[0]
            if kind in rows:
                rows[kind].append((line.number, line.text.split("\t", 2)))
            elif _SPAN.search(line.text):
                rows["T"].append((line.number, line.text.split("\t", 2)))
            else:
                self._drop("line", line.number, "of no known kind; is the file cut off?")
        self._mentions(rows["T"])
        self._each(rows["E"], self._event, "event")
        self._each(rows["A"], self._attribute, "attribute")
        self._each(rows["N"], self._normalization, "normalisation")
        # Relations keep the order of their lines.
        self._each(sorted([*rows["R"], *rows["*"]]), self._relation, "relation")
        self._each(rows["E"], self._arguments, "argument")
        self._each(rows["#"], self._note, "note")
        masked = masks(self.note.text, self.unread, tuple(self.entities.values()))
        if masked is None:
            raise CorpusError("a mention that cannot be read may stand anywhere in it")
        return Document(
            id=self.doc_id,
            text=self.note.text,
            entities=tuple(self.entities.values()),
            relations=tuple(self.relations),
            masked=masked,
            metadata={NOTES: self.notes} if self.notes else {},
        )

    def _drop(self, what: str, number: int, why: str) -> None:
        self.tally.drop(what, CorpusError(f"{self.path}:{number}: doc {self.doc_id!r}: {why}"))

    def _each(
        self,
        rows: Sequence[tuple[int, list[str]]],
        take: Callable[[list[str]], None],
        what: str,
    ) -> None:
        for number, row in rows:
            with self.tally.dropping(what, f"{self.path}:{number}: doc {self.doc_id!r}"):
                if len(row) < 2:
                    raise CorpusError("a line needs an id, a tab and a body; is the file cut off?")
                take(row)

    def _target(self, ref: str) -> str:
        """The entity that ``ref``, a mention or an event, stands for."""
        ent_id = self.triggers.get(ref, ref)
        if ent_id not in self.entities:
            raise CorpusError(f"names unknown {shown_id(ref)}; add it, or remove this line")
        return ent_id

    def _mentions(self, rows: Sequence[tuple[int, list[str]]]) -> None:
        written = [mention for _, row in rows if (mention := _written(row))]
        self.counting = brat_offsets.counting(self.note, written)
        self.tally.note(f"files whose offsets count {self.counting.name}", self.counting.name != "")
        for number, row in rows:
            try:
                self._entity(row)
            except CorpusError as error:
                where = f"{self.path}:{number}: doc {self.doc_id!r}"
                self.tally.mask("mention", type(error)(f"{where}: {error}"))
                spans = _spans(row[1]) if len(row) > 1 else ()
                known = self.counting.spans(spans) or spans
                self.unread.append(Unread(known, row[2] if len(row) > 2 else ""))

    def _entity(self, row: list[str]) -> None:
        if len(row) < 2:
            raise CorpusError("a line needs an id, a tab and a body; is the file cut off?")
        ent_id = row[0]
        written = _written(row)
        if not ent_id.startswith("T"):
            raise CorpusError("of no known kind; is the file cut off?")
        if written is None:
            raise CorpusError(
                f"{shown_id(ent_id)}: a mention needs label, offsets and text; is the file cut off?"
            )
        if ent_id in self.entities:
            raise CorpusError(f"{shown_id(ent_id)} stands twice; number one anew")
        text = self.note.text
        spans = self.counting.spans(written.spans)
        ends = [at for span in written.spans for at in span]
        where = f"{shown_id(ent_id)} [{min(ends)}, {max(ends)})"
        if spans is None:
            raise OffsetError(f"{where} fits no place in the text; correct the offsets")
        if max(end for _, end in spans) > len(text):
            raise OffsetError(f"{where} is past end {len(text)}; correct the offsets")
        if any(start >= end for start, end in spans):
            raise OffsetError(f"{where} is empty or negative; correct the offsets")
        entity = Entity(ent_id, row[1].split(" ", 1)[0], joined(text, spans))
        in_order = written.placed(text, spans) or spans
        found = " ".join(text[start:end] for start, end in in_order)
        if not self.counting.name and brat_offsets.has_other_ways(self.note):
            where += r" (offsets count code points, \r\n as two; no other way fits more mentions)"
        check_mention(found, written.text, where, self.tally)
        self.entities[ent_id] = entity

    def _event(self, row: list[str]) -> None:
        head = (row[1].split() or [""])[0]
        _, _, trigger = head.partition(":")
        self.triggers[row[0]] = self._target(trigger)
        self.tally.note("events folded into their triggers")

    def _arguments(self, row: list[str]) -> None:
        for argument in row[1].split()[1:]:
            role, _, ref = argument.partition(":")
            if row[0] not in self.triggers:
                raise CorpusError(f"event {shown_id(row[0])} was dropped with its trigger")
            n = len(self.relation_ids) + 1
            while (rel_id := f"R{n}") in self.relation_ids:
                n += 1
            self._add(Relation(rel_id, role, self._target(row[0]), self._target(ref)))
            self.tally.note("event arguments made relations")

    def _attribute(self, row: list[str]) -> None:
        words = row[1].split()
        if len(words) not in (2, 3):
            raise CorpusError(f"{shown_id(row[0])}: an attribute needs a name and what it is of")
        if words[1].startswith("R") and words[1] not in self.entities:
            self.tally.note("attributes of relations left out")
            return
        ent = self.entities[self._target(words[1])]
        attribute = words[0] if len(words) == 2 else f"{words[0]}={words[2]}"
        self.entities[ent.id] = replace(ent, attributes=(*ent.attributes, attribute))

    def _normalization(self, row: list[str]) -> None:
        words = row[1].split()
        if len(words) != 3:
            raise CorpusError(
                f"{shown_id(row[0])}: a normalisation needs a kind, a mention and a concept"
            )
        ent = self.entities[self._target(words[1])]
        self.entities[ent.id] = replace(ent, normalized=(*ent.normalized, words[2]))

    def _relation(self, row: list[str]) -> None:
        label, *refs = row[1].split() or [""]
        if row[0] == "*":
            if len(refs) < 2:
                raise CorpusError("a symmetric relation needs two members or more")
            members = [self._target(ref) for ref in refs]
            for head, tail in combinations(members, 2):
                self.n_symmetric += 1
                self._add(Relation(f"*{self.n_symmetric}", label, head, tail, symmetric=True))
            self.tally.note("symmetric relation lines")
            return
        ends = [self._target(ref.partition(":")[2]) for ref in refs]
        if len(ends) != 2:
            raise CorpusError(
                f"{shown_id(row[0])}: a relation needs two ends; is the file cut off?"
            )
        if row[0] in self.relation_ids:
            raise CorpusError(f"{shown_id(row[0])} stands twice; number one anew")
        self._add(Relation(row[0], label, ends[0], ends[1]))

    def _add(self, relation: Relation) -> None:
        self.relation_ids.add(relation.id)
        self.relations.append(relation)

    def _note(self, row: list[str]) -> None:
        kind, _, ref = row[1].partition(" ")
        text = row[2] if len(row) > 2 else ""
        self.notes.append({"kind": kind, "of": self.triggers.get(ref, ref), "text": text})
        self.tally.note("notes kept")


def _written(row: list[str]) -> Written | None:
    """The mention of a line; None where offsets or text are not as they should be."""
    match = _MENTION.fullmatch(row[1].rstrip(" ")) if len(row) > 2 else None
    return Written(_spans(match.group(2)), row[2]) if match else None


def _spans(body: str) -> tuple[Span, ...]:
    return tuple((int(start), int(end)) for start, end in _SPAN.findall(body))
