r"""brat standoff: a ``.txt`` and an ``.ann`` file a document, its id the path below the folder.

Events fold into their triggers: one without arguments is just its trigger, arguments become
relations from the trigger. A ``*`` line is a symmetric relation between each two of its members.
Attributes are flags (``negated``) or ``NAME=VALUE``; normalisations (``N``) become concept ids;
notes (``#``) are kept in ``metadata["notes"]``. A round trip means equal documents, not equal
bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations, islice
from math import isqrt
from pathlib import Path

from notesmith.corpus.formats.pubtator import LINE_ENDS, check_mention
from notesmith.corpus.problems import Tally, iter_lines, read_text
from notesmith.document import Document, Entity, Relation
from notesmith.errors import CorpusError, OffsetError, shown_doc, shown_id
from notesmith.files.write import atomic_folder, file_name, write_part

NOTES = "notes"
_SPANS = re.compile(r"(\S+) ([0-9]{1,9} [0-9]{1,9}(?:;[0-9]{1,9} [0-9]{1,9})*)")
_KINDS = "TEAMNR*#"
_NOTE = re.compile(r"\S*\t\S*\t[^\r\n]*")  # kind, target, text


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
    ``alone``.
    """
    halves = {".ann": ".txt", ".txt": ".ann"}
    # Ids may hold dots: only the last suffix changes.
    other = path.with_suffix(halves.get(path.suffix, ".txt"))
    if not other.exists():
        error = f"{path}: no {other.name} beside it; add it, or move the file away"
        tally.drop(f"{path.suffix} file without its {other.suffix} file", CorpusError(error))
        return
    if path.suffix == ".txt":
        if not alone:
            return
        path, other = other, path
    text = read_text(other, tally)
    if text is not None:
        with tally.dropping("document", f"{path}: doc {doc_id!r}"):
            yield _Reading(path, doc_id, text, tally).document()


@dataclass(slots=True)
class _Reading:
    """One ``.ann`` file while it is read; lines may stand in any order."""

    path: Path
    doc_id: str
    text: str
    tally: Tally
    entities: dict[str, Entity] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)
    relation_ids: set[str] = field(default_factory=set)
    notes: list[dict[str, str]] = field(default_factory=list)
    n_symmetric: int = 0

    def document(self) -> Document:
        rows: dict[str, list[tuple[int, list[str]]]] = {kind: [] for kind in _KINDS}
        for line in iter_lines(self.path, self.tally):
            if not line.text or not line.text.strip():
                continue
            kind = "A" if line.text[0] == "M" else line.text[0]
            if kind in rows:
                rows[kind].append((line.number, line.text.split("\t", 2)))
            else:
                self._drop("line", line.number, "of no known kind; is the file cut off?")
        self._each(rows["T"], self._entity, "mention")
        self._each(rows["E"], self._event, "event")
        self._each(rows["A"], self._attribute, "attribute")
        self._each(rows["N"], self._normalization, "normalisation")
        # Relations keep the order of their lines.
        self._each(sorted([*rows["R"], *rows["*"]]), self._relation, "relation")
        self._each(rows["E"], self._arguments, "argument")
        self._each(rows["#"], self._note, "note")
        return Document(
            id=self.doc_id,
            text=self.text,
            entities=tuple(self.entities.values()),
            relations=tuple(self.relations),
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

    def _entity(self, row: list[str]) -> None:
        ent_id, body = row[0], row[1]
        match = _SPANS.fullmatch(body.rstrip(" "))
        if match is None or len(row) < 3:
            raise CorpusError(
                f"{shown_id(ent_id)}: a mention needs label, offsets and text; is the file cut off?"
            )
        if ent_id in self.entities:
            raise CorpusError(f"{shown_id(ent_id)} stands twice; number one anew")
        label = match.group(1)
        pairs = [pair.split(" ") for pair in match.group(2).split(";")]
        spans = tuple(sorted((int(start), int(end)) for start, end in pairs))
        where = f"{shown_id(ent_id)} [{spans[0][0]}, {spans[-1][1]})"
        if spans[-1][1] > len(self.text):
            raise OffsetError(f"{where} is past end {len(self.text)}; correct the offsets")
        entity = Entity(ent_id, label, spans)
        hint = where
        if "\r\n" in self.text:
            hint = f"{where} (offsets count \\r\\n as two)"
        check_mention(entity.mention(self.text), row[2], hint, self.tally)
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


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to the folder ``path``; returns what the format cannot hold, counted."""
    lost: Counter[str] = Counter()
    names: dict[str, str] = {}
    for doc in docs:
        name = file_name(doc.id)
        if names.setdefault(name, doc.id) != doc.id:
            raise CorpusError(f"{shown_doc(doc.id)}: two documents would share a file; use jsonl")
    with atomic_folder(path) as folder:
        for doc in docs:
            base = folder / file_name(doc.id)
            write_part(base.parent / f"{base.name}.txt", doc.text)
            lines = "".join(f"{line}\n" for line in _lines(doc, lost))
            write_part(base.parent / f"{base.name}.ann", lines)
    return lost


def _lines(doc: Document, lost: Counter[str]) -> Iterator[str]:
    ids = _numbered([ent.id for ent in doc.entities], "T")
    lost["entity ids numbered anew"] += sum(old != new for old, new in ids.items())
    n_attributes = n_concepts = 0
    for ent in doc.entities:
        spans = ";".join(f"{start} {end}" for start, end in ent.spans)
        mention = " ".join(LINE_ENDS.sub(" ", doc.text[s:e]) for s, e in ent.spans)
        yield f"{ids[ent.id]}\t{_word(doc, ent.label)} {spans}\t{mention}"
        for attribute in ent.attributes:
            n_attributes += 1
            name, _, value = attribute.partition("=")
            words = [name, ids[ent.id], *([value] if value else [])]
            yield f"A{n_attributes}\t{' '.join(_word(doc, word) for word in words)}"
        for concept in ent.normalized:
            n_concepts += 1
            yield f"N{n_concepts}\tReference {ids[ent.id]} {_word(doc, concept)}"
    yield from _relation_lines(doc, ids, lost)
    notes = _notes(doc)
    for i, (kind, of, text) in enumerate(notes, 1):
        yield f"#{i}\t{kind} {ids.get(of, of)}\t{text}"
    rest = any(name != NOTES or not notes for name in doc.metadata)
    lost["concept relations left out"] += len(doc.concept_relations)
    lost["documents whose metadata, sections or provenance were left out"] += bool(
        rest or doc.masked or doc.sections or doc.provenance.kind != "gold"
    )


def _notes(doc: Document) -> list[tuple[str, str, str]]:
    """Kind, target and text of each note; none where metadata of that name are something else."""
    notes = doc.metadata.get(NOTES)
    if not isinstance(notes, list) or not all(isinstance(note, dict) for note in notes):
        return []
    rows = [(note.get("kind"), note.get("of"), note.get("text")) for note in notes]
    is_note = all(
        all(isinstance(cell, str) for cell in row) and _NOTE.fullmatch("\t".join(row))
        for row in rows
    )
    return rows if is_note else []


def _word(doc: Document, word: str) -> str:
    if not word or re.search(r"\s", word):
        raise CorpusError(
            f"{shown_doc(doc.id)}: a label, attribute or concept is empty or holds white space, "
            "which brat cannot hold; rename it with a label map, or use jsonl"
        )
    return word


def _numbered(ids: Sequence[str], letter: str) -> dict[str, str]:
    """New id by old: brat's own kind (``T`` and digits) stays, others get the next free number."""
    own = re.compile(rf"{letter}[0-9]+")
    taken = {old for old in ids if own.fullmatch(old)}
    new: dict[str, str] = {}
    n = 0
    for old in ids:
        if old in taken:
            new[old] = old
            continue
        while (name := f"{letter}{(n := n + 1)}") in taken:
            pass
        new[old] = name
    return new


def _relation_lines(doc: Document, ids: Mapping[str, str], lost: Counter[str]) -> Iterator[str]:
    directed = _numbered([rel.id for rel in doc.relations if not rel.symmetric], "R")
    n_symmetric = at = 0
    while at < len(doc.relations):
        rel = doc.relations[at]
        label = _word(doc, rel.label)
        if not rel.symmetric:
            lost["relation ids numbered anew"] += directed[rel.id] != rel.id
            yield f"{directed[rel.id]}\t{label} Arg1:{ids[rel.head]} Arg2:{ids[rel.tail]}"
            at += 1
            continue
        members = _group(doc.relations, at)
        for _ in combinations(members, 2):
            n_symmetric += 1
            lost["relation ids numbered anew"] += doc.relations[at].id != f"*{n_symmetric}"
            at += 1
        yield f"*\t{label} {' '.join(ids[member] for member in members)}"


def _group(relations: Sequence[Relation], at: int) -> list[str]:
    """Members of the longest run at ``at`` that one ``*`` line would give."""
    first = relations[at]
    members = [first.head]
    # A line of n members gives n (n - 1) / 2 relations, and no more of them are left.
    for rel in islice(relations, at, at + 2 * isqrt(len(relations) - at) + 1):
        if not rel.symmetric or (rel.label, rel.head) != (first.label, first.head):
            break
        members.append(rel.tail)

    def is_line(members: Sequence[str]) -> bool:
        pairs = combinations(members, 2)
        n = len(members) * (len(members) - 1) // 2
        return at + n <= len(relations) and all(
            rel.symmetric and (rel.label, rel.head, rel.tail) == (first.label, *pair)
            for rel, pair in zip(islice(relations, at, at + n), pairs, strict=True)
        )

    while len(members) > 2:
        # The first pair without the head tells most that are none.
        after = at + len(members) - 1
        begins = after < len(relations) and relations[after].head == members[1]
        if begins and is_line(members):
            break
        members.pop()
    return members
