r"""Write brat standoff: a ``.txt`` and an ``.ann`` file a document.

A mention that runs over a line end is written as brat itself writes it, as one fragment a line
(``__create_span`` of its ``server/src/annotator.py``). A round trip means equal documents, not
equal bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice
from math import isqrt
from pathlib import Path

from notesmith.corpus.formats.brat import NOTES, joined
from notesmith.corpus.formats.pubtator import LINE_ENDS
from notesmith.document import Document, Entity, Relation, Span
from notesmith.errors import CorpusError, shown_doc
from notesmith.files.write import atomic_folder, file_name, write_part

_NOTE = re.compile(r"\S*\t\S*\t[^\r\n]*")  # kind, target, text
_WHITE = re.compile(r"\s+")
_BOM = "\ufeff"


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
            # A reader takes the first mark for that of the file.
            mark = _BOM if doc.text.startswith(_BOM) else ""
            write_part(base.parent / f"{base.name}.txt", mark + doc.text)
            lines = "".join(f"{line}\n" for line in _lines(doc, lost))
            write_part(base.parent / f"{base.name}.ann", lines)
    return lost


def _lines(doc: Document, lost: Counter[str]) -> Iterator[str]:
    ids = _numbered([ent.id for ent in doc.entities], "T")
    lost["entity ids numbered anew"] += sum(old != new for old, new in ids.items())
    n_attributes = n_concepts = 0
    for ent in doc.entities:
        lost["discontinuous mentions whose parts only white space divides, joined"] += (
            joined(doc.text, ent.spans) != ent.spans
        )
        fragments = list(_fragments(doc.text, ent))
        spans = ";".join(f"{start} {end}" for start, end in fragments)
        mention = " ".join(LINE_ENDS.sub(" ", doc.text[s:e]) for s, e in fragments)
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


def _fragments(text: str, ent: Entity) -> Iterator[Span]:
    """The ranges of ``ent``, divided at line ends, which outer white space does not count as."""
    for start, end in joined(text, ent.spans):
        at = start
        for gap in _WHITE.finditer(text, start, end):
            if "\n" in gap.group() and start < gap.start() and gap.end() < end:
                yield at, gap.start()
                at = gap.end()
        yield at, end


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
