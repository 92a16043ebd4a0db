"""Flat tags of tokens, IOB1, IOB2 or BIOES: what CoNLL and tables of tokens have in common."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Span
from notesmith.errors import CorpusError, shown_doc, shown_name
from notesmith.markup import nest

TagScheme = Literal["iob1", "iob2", "bioes"]
Notation = Literal["prefix", "underscore", "suffix", "plain"]
"""How a tag is written: B-LABEL, B_LABEL, LABEL-B, or the label alone."""

_LABEL = r"[^\s|,;]+(?: [^\s|,;]+)*"
_TAG = re.compile(rf"(?P<prefix>[BIESLUMW])-(?P<label>{_LABEL})")
_NOTATIONS: Mapping[Notation, re.Pattern[str]] = {
    "prefix": _TAG,
    "underscore": re.compile(rf"(?P<prefix>[BIESLUMW])_(?P<label>{_LABEL})"),
    "suffix": re.compile(rf"(?P<label>{_LABEL})-(?P<prefix>[BIESLUMW])"),
    "plain": re.compile(r"(?P<label>[^\W\d_][\w./&+-]*(?: [\w./&+-]+)*)"),
}
_WITH_PREFIX: tuple[Notation, ...] = ("prefix", "underscore", "suffix")
_MOST_PLAIN_LABELS = 100
_TWO_TAGS = re.compile(r"[|,;]")
# Other spellings of BIOES: last, unit, middle, whole.
_SAME_AS = {"L": "E", "U": "S", "M": "I", "W": "S"}
_SPACED = re.compile(r"[^ \t\r\n]+")
_WORDS = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its tag: prefix B, I, E, S or O, and label; ``number`` says where it stands."""

    number: int
    text: str
    prefix: str
    label: str


def is_tag(tag: str) -> bool:
    """Whether ``tag`` is O, or a prefix and a label."""
    return tag == "O" or _TAG.fullmatch(tag) is not None


def is_any_tag(tag: str) -> bool:
    """Whether ``tag`` is O, or a prefix and a label in any notation."""
    return tag == "O" or any(_NOTATIONS[name].fullmatch(tag) for name in _WITH_PREFIX)


def are_tags(tags: Collection[str]) -> bool:
    """Whether all ``tags`` are O or in one notation with prefixes, and some begin a mention."""
    begun = {tag for tag in tags if tag != "O"}
    return bool(begun) and any(all(map(_NOTATIONS[name].fullmatch, begun)) for name in _WITH_PREFIX)


def notation_of(tags: Collection[str]) -> Notation | None:
    """The notation in which all ``tags`` are tags; that of most files where one is at all.

    Labels alone must stand beside O. None if nothing looks like a tag.
    """
    begun = {tag for tag in tags if tag != "O"}
    for notation in _WITH_PREFIX:
        if all(map(_NOTATIONS[notation].fullmatch, begun)):
            return notation
    for notation in _WITH_PREFIX[:2]:
        if any(_NOTATIONS[notation].fullmatch(tag) or _holds_two(tag) for tag in begun):
            return notation
    if "O" not in tags:
        return None
    plain = len(begun) <= _MOST_PLAIN_LABELS and all(map(_NOTATIONS["plain"].fullmatch, begun))
    return "plain" if plain else "prefix"


def _holds_two(tag: str) -> bool:
    parts = _TWO_TAGS.split(tag)
    return len(parts) > 1 and all(is_tag(part.strip()) for part in parts)


def tagged(number: int, text: str, tag: str, notation: Notation = "prefix") -> Token:
    """The token with its tag taken apart.

    Raises:
        CorpusError: the tag is none.
    """
    if tag == "O":
        return Token(number, text, "O", "")
    match = _NOTATIONS[notation].fullmatch(tag)
    if match is None:
        if _holds_two(tag):
            raise CorpusError(
                "the tag is not O, B-LABEL, I-LABEL …; this format holds one flat tag a token "
                "(overlapping mentions need brat or jsonl)"
            )
        raise CorpusError(
            "the tag is not O, B-LABEL, I-LABEL …; correct it, or name the columns with "
            "--token-column and --tag-column"
        )
    prefix = match.groupdict().get("prefix", "I")
    return Token(number, text, _SAME_AS.get(prefix, prefix), match.group("label"))


def recognise(sentences: Iterable[Sequence[Token]]) -> TagScheme:
    """Name the scheme: BIOES by its letters, IOB1 where I begins and B only divides, else IOB2."""
    begins_inside = False
    divides_only = True
    for tokens in sentences:
        before = Token(0, "", "O", "")
        for token in tokens:
            if token.prefix in "ES":
                return "bioes"
            if token.prefix == "I" and token.label != before.label:
                begins_inside = True
            if token.prefix == "B" and token.label != before.label:
                divides_only = False
            before = token
    return "iob1" if begins_inside and divides_only else "iob2"


def mentions(
    tokens: Sequence[Token], scheme: TagScheme, doc_id: str, place: Path | str, tally: Tally
) -> Iterator[tuple[int, int]]:
    """First and last token of each mention.

    An ill-formed tag raises; where problems are counted it is read as the nearest legal one: what
    continues nothing begins a mention, what does not end is ended.
    """

    def wrong(token: Token, what: str) -> None:
        if tally.on_problem == "raise":
            where = f"{place}:{token.number}: {shown_doc(doc_id)}"
            remedy = "correct the tag, or name the scheme"
            tally.drop(what, CorpusError(f"{where}: {what} (read as {scheme.upper()}); {remedy}"))
        tally.note("ill-formed tags read as the nearest legal ones")

    start: int | None = None
    for i, token in enumerate(tokens):
        continues = (
            start is not None and token.prefix in "IE" and token.label == tokens[i - 1].label
        )
        if start is not None and not continues:
            if scheme == "bioes":
                wrong(tokens[i - 1], "the mention is not ended by E")
            yield start, i - 1
            start = None
        if token.prefix == "O":
            continue
        if start is None:
            if token.prefix in "IE" and scheme != "iob1":
                wrong(token, f"{token.prefix} continues no mention of this label")
            start = i
        if token.prefix in "ES":
            yield start, i
            start = None
    if start is not None:
        if scheme == "bioes":
            wrong(tokens[-1], "the mention is not ended by E")
        yield start, len(tokens) - 1


def tokens_of(text: str, sentence: Span, borders: Sequence[int], *, spaced: bool) -> Iterator[Span]:
    """Ranges of tokens, cut where a mention begins or ends."""
    pattern = _SPACED if spaced else _WORDS
    for match in pattern.finditer(text, *sentence):
        start, end = match.span()
        first, last = bisect_right(borders, start), bisect_left(borders, end)
        cuts = [start, *borders[first:last], end]
        for a, b in pairwise(cuts):
            if spaced or text[a:b].strip():
                yield a, b


def flat(doc: Document, lost: Counter[str]) -> list[Entity]:
    """The outermost mentions, none overlapping, in order."""
    entities, counts = nest(doc.entities)
    lost["discontinuous mentions written whole"] += counts["discontinuous"]
    kept: list[Entity] = []
    for ent in entities:
        if _TAG.fullmatch(f"B-{ent.label}") is None:
            raise CorpusError(
                f"{shown_doc(doc.id)}: label {shown_name(ent.label)} cannot be a tag; rename it"
            )
        if not kept or ent.start >= kept[-1].end:
            kept.append(ent)
    lost["nested or crossing mentions left out"] += len(doc.entities) - len(kept)
    return kept
