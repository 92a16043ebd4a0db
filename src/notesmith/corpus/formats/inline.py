r"""Marked notes that a person can read and edit: one ``.txt`` file a note.

A header of ``key: value`` lines, a line ``---``, then the text with its entities marked in place::

    id: n017
    patient: p06
    kind: clinic letter
    date: 2021-03-09
    relation: drug-dose d1 -> s1
    relation: same p1 <-> p2
    ---
    Pt denies <Problem>{#p1 negated}chest pain</>. Started
    <Drug>{#d1}metoprolol</> <Dose>{#s1}25 mg</> for <Problem>palpitations</>.

Header: ``id`` (the file's path without suffix if absent), any number of ``relation: LABEL HEAD ->
TAIL`` (``<->`` for a symmetric one), and ``patient``, ``kind``, ``date`` or any other key, which go
to ``metadata`` as strings. A line that begins with ``#`` is a comment.

Body: ``<Label>`` opens a mention, ``</>`` closes it; mentions may nest. A label begins with a
letter and holds up to 100 letters, digits and ``_ - . /``. Right after the open mark a block may
hold ``#id`` first, then attributes, apart by one space; an entity without relations and attributes
needs no block and is named T1, T2, … in order. A literal backslash, ``</>`` or ``<Label>`` in the
text is written with a backslash before it; every other ``<`` stands as it is. One line end at the
end of the file does not belong to the text. Sections come from the text (``segments.sections``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from notesmith.corpus.problems import Tally, read_text
from notesmith.document import Document, Entity, Relation
from notesmith.errors import ConfigError, CorpusError, shown_doc, shown_name
from notesmith.files.write import atomic_folder, write_part
from notesmith.markup import Fault, Marks, nest, parse, render
from notesmith.segments import sections

_MARK = re.compile(r"<([A-Za-z][\w\-./]{0,99})>")
_KEY = re.compile(r"[A-Za-z][\w\-]*")
_RELATION = re.compile(r"(\S+)[ \t]+(\S+)[ \t]+(<?->)[ \t]+(\S+)")
_BREAKS = re.compile(r"[\r\n]")
_BREAK = re.compile(r"^---[ \t]*(\r?)\n", re.MULTILINE)
_REMEDIES = {
    "bad escape": r"write a literal backslash as \\",
    "bad details": "a block is {#id attribute …} with single spaces, each id once",
    "close without open": r"write a literal close mark as \</>",
    "open without close": "add </>",
    "empty mention": "remove the pair of marks",
}


def claims(head: str) -> bool:
    """Whether a file that begins with ``head`` is a marked note."""
    match = _BREAK.search(head)
    lines = _header_lines(head[: match.start()]) if match else []
    return any(map(_entry, lines)) and all(map(_is_header, lines))


def _header_lines(header: str) -> list[str]:
    return [line.removesuffix("\r") for line in header.split("\n")]


def _is_header(line: str) -> bool:
    return not line.strip() or line.startswith("#") or _entry(line) is not None


def _entry(line: str) -> tuple[str, str] | None:
    """Key and value of a header line, if it is one."""
    key, colon, value = line.partition(":")
    return (key, value.strip(" \t")) if colon and _KEY.fullmatch(key) else None


def read(path: Path, stem: str, tally: Tally) -> Iterator[Document]:
    """Read one marked note; ``stem`` is its id if the header names none."""
    content = read_text(path, tally)
    if content is None:
        return
    with tally.dropping("note", str(path)):
        yield _parse(content.removeprefix("\ufeff"), stem)


def _parse(content: str, stem: str) -> Document:
    match = _BREAK.search(content)
    if match is None:
        raise CorpusError("no line '---' between header and text; add it")
    body = content[match.end() :]
    body = body.removesuffix(f"{match.group(1)}\n")
    first_line = content.count("\n", 0, match.end()) + 1
    metadata: dict[str, str] = {}
    doc_id = stem
    relations: list[Relation] = []
    for number, line in enumerate(_header_lines(content[: match.start()]), 1):
        if not line.strip() or line.startswith("#"):
            continue
        entry = _entry(line)
        if entry is None:
            raise CorpusError(f"line {number}: a header line is 'key: value'")
        key, value = entry
        if key == "relation":
            relations.append(_relation(value, len(relations) + 1, number))
        elif key == "id":
            doc_id = value
        elif key in metadata:
            raise CorpusError(f"line {number}: its key stands twice; remove one")
        else:
            metadata[key] = value
    labels = sorted(set(_MARK.findall(body)))
    found = parse(body, Marks.plain(labels), doc_id=doc_id or stem, details=True)
    if isinstance(found, Fault):
        line_number = first_line + body.count("\n", 0, found.offset)
        raise CorpusError(
            f"line {line_number}: {shown_doc(doc_id)}: {found.reason}; {_REMEDIES[found.reason]}"
        )
    return Document(
        id=found.id,
        text=found.text,
        entities=found.entities,
        relations=tuple(relations),
        sections=sections(found.text),
        metadata=metadata,
    )


def _relation(value: str, n: int, number: int) -> Relation:
    match = _RELATION.fullmatch(value)
    if match is None:
        raise CorpusError(f"line {number}: a relation is 'LABEL HEAD -> TAIL'")
    label, head, arrow, tail = match.groups()
    return Relation(f"R{n}", label, head, tail, symmetric=arrow == "<->")


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to the folder ``path``; returns what the format cannot hold, counted."""
    lost: Counter[str] = Counter()
    names: set[str] = set()
    with atomic_folder(path) as folder:
        for doc in docs:
            write_part(folder / _file_name(doc.id, names), dumps(doc, lost))
    return lost


def _file_name(doc_id: str, taken: set[str]) -> str:
    base = name = re.sub(r"[^\w\-.]+", "_", doc_id).lstrip("._")[:60] or "note"
    n = 1
    while name.lower() in taken:
        n += 1
        name = f"{base}_{n}"
    taken.add(name.lower())
    return f"{name}.txt"


def dumps(doc: Document, lost: Counter[str] | None = None) -> str:
    """``doc`` as a marked note; ``lost`` counts what is left out.

    Raises:
        CorpusError: an id, label or attribute cannot be written.
    """
    lost = Counter() if lost is None else lost
    header = [f"id: {doc.id}"]
    for key, value in doc.metadata.items():
        line = f"{key}: {value}"
        if key in ("id", "relation") or _entry(line) != (key, value) or _BREAKS.search(line):
            lost["metadata left out"] += 1
        else:
            header.append(line)
    entities, flattened = nest(doc.entities)
    kept = {ent.id for ent in entities}
    lost["discontinuous mentions written whole"] += flattened["discontinuous"]
    lost["crossing mentions left out"] += flattened["crossing"]
    lost["concept ids left out"] += sum(len(ent.normalized) for ent in entities)
    lost["concept relations left out"] += len(doc.concept_relations)
    lost["masks, sections or provenance left out"] += bool(
        doc.masked or doc.provenance.kind != "gold" or doc.sections != sections(doc.text)
    )
    n = 0
    for rel in doc.relations:
        if rel.head not in kept or rel.tail not in kept:
            lost["relations left out"] += 1
            continue
        n += 1
        lost["relation ids numbered anew"] += rel.id != f"R{n}"
        arrow = "<->" if rel.symmetric else "->"
        header.append(f"relation: {rel.label} {rel.head} {arrow} {rel.tail}")
    for line in header:
        entry = _entry(line)
        if entry is None or _BREAKS.search(line):
            raise CorpusError(f"{shown_doc(doc.id)}: id or relation holds a line end; use jsonl")
        if entry[0] == "relation" and not _RELATION.fullmatch(entry[1]):
            raise CorpusError(f"{shown_doc(doc.id)}: a relation holds white space; use jsonl")
        if entry[0] == "id" and entry[1] != doc.id:
            raise CorpusError(f"{shown_doc(doc.id)}: the id has outer white space; use jsonl")
    return "\n".join([*header, "---", _body(doc, entities), ""])


def _body(doc: Document, entities: Sequence[Entity]) -> str:
    labels = {ent.label for ent in entities}
    for label in sorted(labels):
        if not _MARK.fullmatch(f"<{label}>"):
            raise CorpusError(
                f"{shown_doc(doc.id)}: label {shown_name(label)} cannot be a mark; rename it"
            )
    # What looks like a mark in the text is escaped, because a reader takes it for one.
    marks = Marks.plain(sorted(labels | set(_MARK.findall(doc.text))))
    try:
        return render(doc, marks, details=True, brief=_brief(doc, entities)).text
    except ConfigError as error:
        raise CorpusError(f"{shown_doc(doc.id)}: {error}") from error


def _brief(doc: Document, entities: Sequence[Entity]) -> frozenset[str]:
    """Ids of the entities that need no block: a reader would name them the same."""
    linked = {end for rel in doc.relations for end in (rel.head, rel.tail)}
    brief = [
        ent
        for ent in entities
        if not ent.attributes and ent.id not in linked and doc.text[ent.start] != "{"
    ]
    while True:
        taken = {ent.id for ent in entities} - {ent.id for ent in brief}
        free = (name for i in range(1, 2 * len(entities) + 1) if (name := f"T{i}") not in taken)
        same = [ent for ent, name in zip(brief, free, strict=False) if ent.id == name]
        if len(same) == len(brief):
            return frozenset(ent.id for ent in same)
        brief = same
