"""PubTator: title and abstract lines, tab-separated mentions with concept ids, concept relations.

The text is title, one space, abstract; offsets count code points of it. Documents are apart by
blank lines. ``-1`` stands for a mention without a concept; ``|`` or ``;`` joins the concepts of a
composite, unless the cell is one variant of tmVar (``c|SUB|A|5|G``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import ne
from pathlib import Path

from notesmith.corpus.formats.unread import Unread, masks
from notesmith.corpus.problems import Tally, iter_lines
from notesmith.document import ConceptRelation, Document, Entity, Section
from notesmith.errors import CorpusError, OffsetError, shown_doc, shown_id
from notesmith.files.write import atomic_write_text
from notesmith.segments import sentences

NO_CONCEPT = "-1"
_TEXT_LINE = re.compile(r"([^|\t]+)\|([ta])\|(.*)", re.DOTALL)
# What would end a column or a line, for readers that know more line ends than ours.
LINE_ENDS = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# Not ``isdigit``, for which superscripts and digits of other scripts are digits too.
_OFFSET = re.compile(r"[0-9]{1,9}")
_JOINT = re.compile(r"[|;]")
# tmVar: a letter of the sequence if it is known, and the kind of change.
_VARIANT = re.compile(r"(?:tmVar:)?[a-z]?\|[A-Za-z]+\|.*")
_RS_NUMBER = re.compile(r"(?:RSID:|RS#:|rs)[0-9]+")
_RELATION_COLUMNS = 4
_CUT_OFF = "is the file cut off?"


def claims(head: str) -> bool:
    """Whether a file that begins with ``head`` is PubTator."""
    for line in head.split("\n"):
        if line.strip():
            match = _TEXT_LINE.match(line)
            return bool(match and match.group(2) == "t")
    return False


@dataclass(slots=True)
class _Block:
    """The lines of one document."""

    path: Path
    number: int
    id: str
    title: str
    abstract: str | None = None
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    broken: bool = False
    cut_off: bool = False

    def where(self, number: int | None = None) -> str:
        return f"{self.path}:{number or self.number}: {shown_doc(self.id)}"


def read(path: Path, tally: Tally) -> Iterator[Document]:
    """Read the documents of one PubTator file."""
    blocks = list(_blocks(path, tally))
    # Some corpora have no concept column at all; in one that has, the last line may be cut off.
    widths = {len(row) for block in blocks for _, row in block.rows if _has_offsets(row)}
    for block in blocks:
        if block.broken:
            tally.note("dropped: document with an unreadable line")
            continue
        with tally.dropping("document", block.where()):
            yield _document(block, 5 if max(widths, default=6) < 6 else 6, tally)


def _has_offsets(row: list[str]) -> bool:
    return len(row) > 2 and all(map(_OFFSET.fullmatch, row[1:3]))


def _is_mention_like(row: list[str]) -> bool:
    """Whether a line is a mention's, one offset of which may be wrong."""
    return _has_offsets(row) or (len(row) > _RELATION_COLUMNS and bool(_OFFSET.fullmatch(row[1])))


def _is_relation(row: list[str]) -> bool:
    """Whether a line begins as one of a relation."""
    return len(row) > 1 and not _OFFSET.fullmatch(row[1])


def _blocks(path: Path, tally: Tally) -> Iterator[_Block]:
    block: _Block | None = None
    ended = True
    for line in iter_lines(path, tally):
        ended &= line.ended
        if line.text is None:
            if block:
                block.broken = True
            continue
        if not line.text.strip():
            continue
        match = _TEXT_LINE.fullmatch(line.text)
        with tally.dropping("line", f"{path}:{line.number}"):
            if match and match.group(2) == "t":
                if block:
                    yield block
                block = _Block(path, line.number, match.group(1), match.group(3))
            elif block is None:
                raise CorpusError("stands before any title line (ID|t|TITLE); is it PubTator?")
            elif match:
                if match.group(1) != block.id or block.abstract is not None:
                    raise CorpusError(f"{shown_doc(block.id)}: abstract line out of place")
                block.abstract = match.group(3)
            else:
                row = line.text.split("\t")
                if row[0] != block.id or not (_is_mention_like(row) or _is_relation(row)):
                    # It may be anything, a mention too.
                    block.broken = True
                    raise CorpusError(
                        f"{shown_doc(block.id)}: neither text, mention nor relation of this "
                        f"document (columns: {len(row)}; a mention has 5 or 6, a relation 4 or "
                        f"5); {_CUT_OFF}"
                    )
                block.rows.append((line.number, row))
                block.cut_off = not line.ended
    tally.note("files whose last line has no line end: cut off?", not ended)
    if block:
        yield block


def _document(block: _Block, n_columns: int, tally: Tally) -> Document:
    if block.abstract is None:
        raise CorpusError(f"no abstract line (ID|a|ABSTRACT); {_CUT_OFF}")
    text = f"{block.title} {block.abstract}" if block.abstract else block.title
    entities: list[Entity] = []
    relations: list[ConceptRelation] = []
    unread: list[Unread] = []
    for number, row in block.rows:
        is_last = block.cut_off and (number, row) == block.rows[-1]
        if _is_mention_like(row):
            least = n_columns if is_last else 5
            try:
                entities.append(_entity(row, f"T{len(entities) + 1}", text, least, tally))
            except CorpusError as error:
                tally.mask("mention", type(error)(f"{block.where(number)}: {error}"))
                spans = ((int(row[1]), int(row[2])),) if _has_offsets(row) else ()
                unread.append(Unread(spans, row[3] if len(row) > 3 else ""))
        elif len(row) in (_RELATION_COLUMNS, _RELATION_COLUMNS + 1) and all(row[:4]):
            relations.append(ConceptRelation(*row[1:4]))
            tally.note("novelty of relations left out", len(row) > _RELATION_COLUMNS)
        else:
            said = f"{block.where(number)}: a relation line has 4 or 5 filled columns; {_CUT_OFF}"
            tally.drop("relation", CorpusError(said))
    masked = masks(text, unread, entities)
    if masked is None:
        raise CorpusError("a mention that cannot be read may stand anywhere in it")
    return Document(
        id=block.id,
        text=text,
        entities=tuple(entities),
        concept_relations=tuple(relations),
        sections=_sections(block),
        masked=masked,
    )


def _sections(block: _Block) -> tuple[Section, ...]:
    if not block.abstract:
        return ()
    n = len(block.title)
    return (Section("title", 0, n), Section("abstract", n + 1, n + 1 + len(block.abstract)))


def _entity(row: list[str], ent_id: str, text: str, n_columns: int, tally: Tally) -> Entity:
    if len(row) < n_columns or not _has_offsets(row) or not row[4]:
        said = "6" if n_columns == 6 else "5 or 6"
        raise CorpusError(f"a mention line has {said} filled columns; {_CUT_OFF}")
    start, end = int(row[1]), int(row[2])
    span = f"{ent_id!r} [{start}, {end})"
    if end > len(text):
        raise OffsetError(f"{span} is past end {len(text)}; correct the offsets")
    raw = _concepts(row[5]) if len(row) > 5 else []
    concepts = tuple(concept.strip() for concept in raw)
    tally.note("concept ids with outer white space, trimmed", sum(map(ne, raw, concepts)))
    if NO_CONCEPT in concepts or concepts in ((), ("",)):
        tally.note("mentions without a concept")
    rs_numbers = [cell for cell in row[6:] if _RS_NUMBER.fullmatch(cell)]
    entity = Entity(
        ent_id,
        row[4],
        ((start, end),),
        normalized=tuple(c for c in (*concepts, *rs_numbers) if c and c != NO_CONCEPT),
    )
    check_mention(text[start:end], row[3], span, tally)
    tally.note("lists of a composite mention's parts left out", len(row) > 6 and not rs_numbers)
    return entity


def _concepts(cell: str) -> list[str]:
    return [cell] if _VARIANT.fullmatch(cell) else _JOINT.split(cell)


def check_mention(found: str, written: str, span: str, tally: Tally) -> None:
    """Compare the text at the offsets with the mention column: white space may differ, counted.

    Raises:
        OffsetError: they differ in more than white space.
    """
    if found == written:
        return
    if "".join(found.split()) != "".join(written.split()):
        raise OffsetError(
            f"{span}: the mention column differs from the text there; correct the offsets"
        )
    tally.note("mention columns that differ in white space (offsets kept)")


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to one file; returns what the format cannot hold, counted."""
    lost: Counter[str] = Counter()
    parts = ["\n".join([*_lines(doc, lost), "", ""]) for doc in docs]
    atomic_write_text(path, "".join(parts))
    return lost


def _lines(doc: Document, lost: Counter[str]) -> Iterable[str]:
    if not doc.id.strip() or re.search(r"[|\t\r\n]", doc.id):
        raise CorpusError(f"{shown_doc(doc.id)}: the id holds '|', a tab or a line end; use jsonl")
    # Same length, so that offsets stand.
    text = re.sub(r"[\r\n]", " ", doc.text)
    lost["line ends written as spaces"] += sum(a != b for a, b in zip(text, doc.text, strict=True))
    cut = _title_end(doc, text)
    yield f"{doc.id}|t|{text[:cut]}"
    yield f"{doc.id}|a|{text[cut + 1 :]}"
    for i, ent in enumerate(doc.entities, 1):
        concepts = _concept_cells(ent)
        if concepts is None or re.search(r"[\t\r\n]", "".join([ent.label, *concepts])):
            raise CorpusError(
                f"{shown_doc(doc.id)}: {shown_id(ent.id)} has a tab, '|' or ';' in label or concept"
            )
        lost["discontinuous mentions written whole"] += len(ent.spans) > 1
        lost["attributes left out"] += len(ent.attributes)
        lost["entity ids numbered anew"] += ent.id != f"T{i}"
        mention = LINE_ENDS.sub(" ", text[ent.start : ent.end])
        yield "\t".join([doc.id, str(ent.start), str(ent.end), mention, ent.label, *concepts])
    for rel in doc.concept_relations:
        yield "\t".join([doc.id, rel.label, rel.head, rel.tail])
    lost["relations left out"] += len(doc.relations)
    lost["documents whose metadata or provenance was left out"] += bool(
        doc.metadata or doc.masked or doc.provenance.kind != "gold"
    )


def _concept_cells(ent: Entity) -> list[str] | None:
    """The cells of the concepts of ``ent``; None if they could not be read back."""
    if not ent.normalized:
        return [NO_CONCEPT]
    first, *rest = ent.normalized
    if _VARIANT.fullmatch(first) and all(map(_RS_NUMBER.fullmatch, rest)):
        return [first, *rest]
    cell = "|".join(ent.normalized)
    return [cell] if _concepts(cell) == list(ent.normalized) else None


def _title_end(doc: Document, text: str) -> int:
    """Where the title ends; the whole text is the title if no space can be given up."""
    ends = [s.end for s in doc.sections if s.name == "title" and s.start == 0]
    ends += [end for _, end in sentences(text)[:1]]
    for end in ends:
        if text[end : end + 1] == " " and len(text) > end + 1:
            return end
    return len(text)
