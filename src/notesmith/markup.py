r"""The only parser of a language model's output: text with its entities marked in place.

Inline form: ``No <Problem>chest pain</> today``. One open mark a label and one shared close mark;
the marks are reserved tokens where a tokenizer has some to spare, plain tags elsewhere, and the
code is the same. Attributes that have marks of their own stand right after the open mark:
``<Problem><+negated>chest pain</>``. With ``details`` a block there holds an id and all attributes
instead: ``<Problem>{#p1 negated}chest pain</>``. A literal mark or backslash in the text is escaped
with a backslash. Offsets are exact by construction. Parsing never guesses: it gives a document or a
fault.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, shown_id, shown_name

FaultReason = Literal[
    "unknown mark",
    "bad escape",
    "bad details",
    "close without open",
    "open without close",
    "empty mention",
    "misplaced attribute",
]
ESCAPE = "\\"
_DETAILS = re.compile(r"\{([^{}\n]*)\}")
_WORD = re.compile(r"[^\s{}#]+")


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of a label set: ``opens[i]`` opens ``labels[i]``, ``close`` ends any mention.

    ``attribute_marks[i]`` gives the mention whose open mark it follows ``attributes[i]``, spelt as
    in ``Entity.attributes``.
    """

    labels: tuple[str, ...]
    opens: tuple[str, ...]
    close: str
    attributes: tuple[str, ...] = ()
    attribute_marks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        marks = self.all
        if len(self.labels) != len(self.opens):
            raise ConfigError(f"{len(self.labels)} labels but {len(self.opens)} open marks")
        if len(self.attributes) != len(self.attribute_marks):
            raise ConfigError(
                f"{len(self.attributes)} attributes but {len(self.attribute_marks)} marks"
            )
        named = [self.labels, self.attributes, marks]
        if any(len(set(names)) != len(names) for names in named):
            raise ConfigError("labels, attributes and marks must be distinct")
        if not all((*self.labels, *self.attributes)):
            raise ConfigError("a label or an attribute is empty")
        firsts = {mark[:1] for mark in marks}
        for mark in marks:
            if not mark or ESCAPE in mark or mark.startswith("{"):
                raise ConfigError(
                    f"mark {mark!r} is empty, holds a backslash or begins with a brace"
                )
            # With these two, no mark can arise from a mark and the text beside it.
            if not firsts.isdisjoint(mark[1:]):
                raise ConfigError(f"mark {mark!r} holds the first character of a mark inside")
        for mark, other in pairwise(sorted(marks)):
            if other.startswith(mark):
                raise ConfigError(f"mark {mark!r} begins another mark")

    @property
    def all(self) -> tuple[str, ...]:
        """Every mark: the open marks, the close mark, those of attributes."""
        return (*self.opens, self.close, *self.attribute_marks)

    @classmethod
    def plain(cls, labels: Sequence[str], attributes: Sequence[str] = ()) -> Marks:
        """Tags a person can read: ``<Label>`` and ``</>``, and ``<+attribute>``."""
        return cls(
            tuple(labels),
            tuple(f"<{label}>" for label in labels),
            "</>",
            tuple(attributes),
            tuple(f"<+{attribute}>" for attribute in attributes),
        )

    @classmethod
    def reserved(
        cls, labels: Sequence[str], tokens: Sequence[str], attributes: Sequence[str] = ()
    ) -> Marks:
        """Use ``tokens`` (unused ones of a tokenizer): the first closes, the next open.

        Those that follow are the marks of attributes.

        Raises:
            ConfigError: fewer tokens than marks.
        """
        n, n_all = len(labels) + 1, len(labels) + 1 + len(attributes)
        if len(tokens) < n_all:
            and_attributes = f" and {len(attributes)} attributes" if attributes else ""
            raise ConfigError(f"{len(labels)} labels{and_attributes} need {n_all} reserved tokens")
        return cls(
            tuple(labels),
            tuple(tokens[1:n]),
            tokens[0],
            tuple(attributes),
            tuple(tokens[n:n_all]),
        )

    @classmethod
    def fitting(
        cls, labels: Sequence[str], reserved: Sequence[str], attributes: Sequence[str] = ()
    ) -> Marks:
        """``reserved`` tokens where there are enough of them for all marks, else plain tags."""
        if len(reserved) > len(labels) + len(attributes):
            return cls.reserved(labels, reserved, attributes)
        return cls.plain(labels, attributes)

    def opener(self, label: str) -> str:
        """The open mark of ``label``."""
        try:
            return self.opens[self.labels.index(label)]
        except ValueError:
            raise ConfigError(f"label {shown_name(label)} has no mark; give it one") from None

    def in_words(self) -> dict[str, str]:
        """Each mark as the words of its label or attribute; the close mark as a bracket.

        That is what the embedding of a spare token may begin as.
        """
        named = dict(zip(self.opens, map(_words, self.labels), strict=True)) | {self.close: ")"}
        return named | dict(zip(self.attribute_marks, map(_words, self.attributes), strict=True))

    def pattern(self) -> re.Pattern[str]:
        """Matches an escape or a mark; longer marks first."""
        return _pattern(tuple(sorted(self.all, key=lambda m: (-len(m), m))))


def _words(label: str) -> str:
    """Label ``Lab_value`` or ``LabValue`` as `` lab value``."""
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label)
    return " " + " ".join(re.split(r"[\W_]+", parts.lower())).strip()


@lru_cache(maxsize=64)
def _pattern(marks: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join([re.escape(ESCAPE), _either([*marks])]))


def _either(marks: Sequence[str]) -> str:
    """A pattern of any of ``marks``, none of which begins another.

    It branches by the next character, so that a search takes no longer with many marks.
    """
    if len(marks) < 8:
        return "|".join(re.escape(mark) for mark in marks)
    first, last = min(marks), max(marks)
    n = next(i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    begin = first[:n]
    branches: dict[str, list[str]] = {}
    for mark in marks:
        rest = mark[n:]
        branches.setdefault(rest[:1], []).append(rest[1:])
    # A look at the next character leaves a branch at once.
    inner = "|".join(f"{re.escape(first)}(?:{_either(rests)})" for first, rests in branches.items())
    return f"{re.escape(begin)}(?:{inner})"


@dataclass(frozen=True, slots=True)
class Rendered:
    """Marked text, and how many entities had to be flattened or left out, by reason."""

    text: str
    flattened: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why marked text is not a document, and at which offset of it."""

    reason: FaultReason
    offset: int


def nest(entities: Iterable[Entity]) -> tuple[list[Entity], Counter[str]]:
    """Return entities that nest properly, outermost first, and counts of what was changed.

    A discontinuous entity becomes its first to last offset; of two that cross, the later is left
    out. Identical spans are ordered by label, then id.
    """
    counts: Counter[str] = Counter()
    flat: list[Entity] = []
    for ent in entities:
        if len(ent.spans) > 1:
            counts["discontinuous"] += 1
            ent = Entity(ent.id, ent.label, ((ent.start, ent.end),), ent.attributes, ent.normalized)
        flat.append(ent)
    flat.sort(key=lambda e: (e.start, -e.end, e.label, e.id))
    kept: list[Entity] = []
    stack: list[Entity] = []
    for ent in flat:
        while stack and stack[-1].end <= ent.start:
            stack.pop()
        if stack and ent.end > stack[-1].end:
            counts["crossing"] += 1
            continue
        kept.append(ent)
        stack.append(ent)
    return kept, counts


def flatten(entities: Iterable[Entity]) -> tuple[list[Entity], Counter[str]]:
    """Return entities of which none holds another, in order, and counts of what was changed.

    As ``nest`` does, and of nested ones the outermost stays.
    """
    nested, counts = nest(entities)
    flat: list[Entity] = []
    for ent in nested:
        if flat and ent.start < flat[-1].end:
            counts["nested"] += 1
        else:
            flat.append(ent)
    return flat, counts


def render(
    doc: Document, marks: Marks, *, details: bool = False, brief: Container[str] = ()
) -> Rendered:
    """Write ``doc`` with its entities marked in place.

    Args:
        doc: the document; its relations and sections are not written.
        marks: the marks of every label that occurs in it; attributes without a mark are left out.
        details: write each entity's id and attributes in a block after its open mark, and no mark
            of an attribute.
        brief: ids of entities whose block is left out all the same.

    Raises:
        ConfigError: a label has no mark, or an id or attribute cannot be written in a block.
    """
    ents, counts = nest(doc.entities)
    pattern = marks.pattern()
    opener = dict(zip(marks.labels, marks.opens, strict=True))
    attribute_marks = list(zip(marks.attributes, marks.attribute_marks, strict=True))
    out: list[str] = []
    at = 0
    stack: list[Entity] = []

    def write(upto: int) -> None:
        nonlocal at
        out.append(pattern.sub(lambda m: ESCAPE + m.group(), doc.text[at:upto]))
        at = upto

    def close(before: int) -> None:
        while stack and stack[-1].end <= before:
            write(stack.pop().end)
            out.append(marks.close)

    for ent in ents:
        close(ent.start)
        write(ent.start)
        out.append(opener.get(ent.label) or marks.opener(ent.label))
        if not details:
            out += [m for a, m in attribute_marks if a in ent.attributes]
        elif ent.id not in brief:
            out.append(_details_block(ent))
        stack.append(ent)
    close(len(doc.text))
    write(len(doc.text))
    return Rendered("".join(out), dict(counts))


def _details_block(ent: Entity) -> str:
    words = [f"#{ent.id}", *ent.attributes]
    for word in (ent.id, *ent.attributes):
        if not _WORD.fullmatch(word):
            raise ConfigError(
                f"entity {shown_id(ent.id)}: id or attribute cannot be written in a details block"
            )
    return "{" + " ".join(words) + "}"


def parse(marked: str, marks: Marks, *, doc_id: str, details: bool = False) -> Document | Fault:
    """Read marked text back; the inverse of ``render``.

    Without ``details``, entities are named T1, T2, … in the order of their open marks. With it, an
    entity whose block names no id gets the next free one of these.

    Returns:
        the document, or the first fault with its offset in ``marked``. It never raises for any
        ``marked``.
    """
    by_open = dict(zip(marks.opens, marks.labels, strict=True))
    attribute_of = dict(zip(marks.attribute_marks, marks.attributes, strict=True))
    pattern = marks.pattern()
    text: list[str] = []
    length = 0
    opened: list[_Open] = []
    done: list[_Open] = []
    at = 0
    head = -1  # where the marks end that began the innermost mention

    def take(piece: str) -> None:
        nonlocal length
        text.append(piece)
        length += len(piece)

    while match := pattern.search(marked, at):
        take(marked[at : match.start()])
        token, at = match.group(), match.end()
        if token == ESCAPE:
            literal = pattern.match(marked, at)
            if literal is None:
                return Fault("bad escape", match.start())
            take(literal.group())
            at = literal.end()
        elif token == marks.close:
            if not opened:
                return Fault("close without open", match.start())
            ent = opened.pop()
            if ent.start == length:
                return Fault("empty mention", match.start())
            ent.end = length
        elif token in attribute_of:
            own = attribute_of[token]
            if match.start() != head or own in opened[-1].attributes:
                return Fault("misplaced attribute", match.start())
            opened[-1].attributes += (own,)
            head = at
        else:
            ent = _Open(by_open[token], length)
            head = ent.read(marked, at) if details else at
            if head < 0:
                return Fault("bad details", at)
            at = head
            opened.append(ent)
            done.append(ent)
    if opened:
        return Fault("open without close", len(marked))
    take(marked[at:])
    return _assemble(doc_id, "".join(text), done)


@dataclass(slots=True)
class _Open:
    """A mention being read."""

    label: str
    start: int
    end: int = -1
    id: str | None = None
    attributes: tuple[str, ...] = ()

    def read(self, marked: str, at: int) -> int:
        """Take id and attributes from a details block at ``at``, if one is there.

        Returns:
            where it ends; -1 if it is malformed.
        """
        if not marked.startswith("{", at):
            return at
        block = _DETAILS.match(marked, at)
        if block is None:
            return -1
        words = block.group(1).split(" ") if block.group(1) else []
        if words and words[0].startswith("#"):
            self.id = words.pop(0)[1:]
        self.attributes = tuple(words)
        named = words if self.id is None else [self.id, *words]
        return block.end() if all(_WORD.fullmatch(word) for word in named) else -1


def _assemble(doc_id: str, text: str, found: Sequence[_Open]) -> Document | Fault:
    named = [ent.id for ent in found if ent.id]
    if len(set(named)) != len(named):
        return Fault("bad details", 0)
    taken = set(named)
    entities: list[Entity] = []
    n = 0
    for ent in found:
        ent_id = ent.id
        while ent_id is None:
            n += 1
            ent_id = f"T{n}" if f"T{n}" not in taken else None
        entities.append(Entity(ent_id, ent.label, ((ent.start, ent.end),), ent.attributes))
    return Document(doc_id, text, tuple(entities))


def to_lm(marked: str, marks: Marks) -> str:
    """Move each open mark, with its attributes, before the space that precedes it.

    In ``of<Disease> colon cancer</> and`` the tokenizer sees every word as it does in running text.
    """
    return re.sub(rf" ((?:{_opens(marks)})+)", r"\1 ", marked)


def from_lm(marked: str, marks: Marks) -> str:
    """The inverse of ``to_lm``; white space before a close mark moves behind it."""
    marked = re.sub(rf"((?:{_opens(marks)})+)([ \n]+)", r"\2\1", marked)
    return re.sub(rf"([ \n]+)({re.escape(marks.close)})", r"\2\1", marked)


def _opens(marks: Marks) -> str:
    begins = (*marks.opens, *marks.attribute_marks)
    return "|".join(re.escape(mark) for mark in sorted(begins, key=len, reverse=True))
