"""The one splitter: sections, sentences, passages and token budgets, with no entity cut.

The NER windows, the generator's unit, the annotator and the rewriter all use it. It is made of
rules, so that it runs offline and the same everywhere; it prefers joining to splitting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from notesmith.document import Document, Section, Span
from notesmith.errors import ConfigError

UNITS_IN_WINDOW = 3
"""A language model reads a unit, what is asked of it and a neighbour at once: each gets a share."""

Unit = Literal["sentence", "passage", "section", "document"]

_ABBREVIATIONS = frozenset(
    "dr mr mrs ms prof st vs fig figs no nos al approx ca cf e.g i.e eg ie inc dept resp spp sp "
    "etc ref refs vol pp pt pts hx dx rx tx sx fx b.i.d t.i.d q.i.d p.o i.v a.m p.m".split()
)
# White space is matched from its first character and never again from its second: a long run of it
# takes no longer for that.
_LINES = r"(?<!\s)(?:\s*\n\s*\n\s*|\s*\n(?=\s*(?:[-*•]|\d+[.)]\s|[A-Z])))"
_BREAK = re.compile(rf"(?<=[.!?])[\"')\]]*\s+|{_LINES}")
# The same with the full stops of other scripts: before white space (Devanagari, Myanmar, Khmer,
# Tibetan, Ethiopic), and of Chinese and Japanese, which put none behind them.
_CLOSERS = "」』”’）】》"
_BREAK_IN_ANY_SCRIPT = re.compile(
    rf"(?<=[.!?।॥။។།።])[\"')\]]*\s+|{_LINES}|"
    rf"(?<=[。！？｡])(?![。！？｡{_CLOSERS}])|(?<=[。！？｡][{_CLOSERS}])(?![{_CLOSERS}])"
)
# An abbreviation is shorter: where the last word begins before, it is none.
_LONGEST_WORD = 64
_HEADING = re.compile(
    r"^[ \t]*(?P<name>[A-Z][A-Za-z/&,' \-]{1,48}?)[ \t]*:(?=[ \t]|$)|"
    r"^[ \t]*(?P<caps>[A-Z][A-Z/&,' \-]{3,48})[ \t]*$",
    re.MULTILINE,
)


def sentences(text: str) -> list[Span]:
    """Split ``text`` into sentences: sorted, disjoint ranges without outer white space.

    A list item, a heading line and a paragraph end a sentence too, as clinical notes need.
    """
    spans: list[Span] = []
    start = 0
    pattern = _BREAK if text.isascii() else _BREAK_IN_ANY_SCRIPT
    for match in pattern.finditer(text):
        if _is_end(text, start, match):
            _append(text, start, match.start(), spans)
            start = match.end()
    _append(text, start, len(text), spans)
    return spans


def _is_end(text: str, start: int, match: re.Match[str]) -> bool:
    if "\n" in match.group():
        return True
    following = text[match.end() : match.end() + 1]
    if following.islower():
        return False
    end = match.start() + len(match.group().rstrip())
    word = _last_word(text, max(start, end - _LONGEST_WORD), end)
    if word is None:
        return True
    bare = word.lstrip("(\"'[").lower()
    return not (
        bare in _ABBREVIATIONS or (len(bare) == 1 and bare.isalpha() and following.isupper())
    )


def _last_word(text: str, start: int, end: int) -> str | None:
    """What stands before the full stop that ends ``text[start:end]``, quotes and brackets aside."""
    *_, last = text[start:end].rsplit(maxsplit=1) or [""]
    word = last.rstrip("\"')]")
    return word[:-1] if len(word) > 1 and word[-1] in ".!?" else None


def _append(text: str, start: int, end: int, spans: list[Span]) -> None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        spans.append((start, end))


def sections(text: str) -> tuple[Section, ...]:
    """Find headed sections (``PLAN:`` or a line in capitals); text before the first has no name."""
    heads = [(m.start(), (m.group("name") or m.group("caps")).strip()) for m in _find_heads(text)]
    bounds = [start for start, _ in heads] + [len(text)]
    found = [
        Section(name, start, bounds[i + 1])
        for i, (start, name) in enumerate(heads)
        if bounds[i + 1] > start
    ]
    if heads and heads[0][0] > 0 and text[: heads[0][0]].strip():
        found.insert(0, Section("", 0, heads[0][0]))
    return tuple(found)


def _find_heads(text: str) -> list[re.Match[str]]:
    return [m for m in _HEADING.finditer(text) if len((m.group("name") or "x").split()) <= 6]


def join_over_entities(spans: Sequence[Span], doc: Document) -> list[Span]:
    """Merge or widen ``spans`` until no entity of ``doc`` is cut by a border.

    An entity outside all of them, which can only be white space, adds no span.
    """
    ranges = [(start, end, True) for start, end in spans]
    ranges += [(ent.start, ent.end, False) for ent in doc.entities]
    merged: list[tuple[int, int, bool]] = []
    for start, end, is_span in sorted(ranges):
        if merged and start < merged[-1][1]:
            first, last, was_span = merged[-1]
            merged[-1] = (first, max(last, end), was_span or is_span)
        else:
            merged.append((start, end, is_span))
    return [(start, end) for start, end, is_span in merged if is_span]


def split(
    doc: Document,
    unit: Unit,
    *,
    passage_sentences: int = 3,
    max_tokens: int | None = None,
    count_tokens: Callable[[str], int] | None = None,
) -> list[Span]:
    """Return the ranges of ``doc`` that make its units, in order, no entity cut.

    Args:
        doc: the document.
        unit: what one unit is. ``section`` falls back to the document where none is found.
        passage_sentences: sentences a passage holds.
        max_tokens: a longer unit is split at sentences (never inside one) to fit this budget.
        count_tokens: length of a string in tokens; white-space words if not given.

    Raises:
        ConfigError: ``unit`` is unknown.
    """
    sents = join_over_entities(sentences(doc.text), doc)
    if unit == "sentence":
        return sents
    if unit == "passage":
        spans = [
            (sents[i][0], sents[min(i + passage_sentences, len(sents)) - 1][1])
            for i in range(0, len(sents), passage_sentences)
        ]
    elif unit == "section":
        named = doc.sections or sections(doc.text)
        raw: list[Span] = []
        for sec in named:
            _append(doc.text, sec.start, sec.end, raw)
        spans = join_over_entities(raw, doc) or _whole(doc)
    elif unit == "document":
        spans = _whole(doc)
    else:
        raise ConfigError(f"unit {unit!r} is not one of sentence, passage, section, document")
    if max_tokens is None:
        return spans
    count = count_tokens or (lambda text: len(text.split()))
    return [part for span in spans for part in _fit(doc, span, sents, max_tokens, count)]


def _whole(doc: Document) -> list[Span]:
    spans: list[Span] = []
    _append(doc.text, 0, len(doc.text), spans)
    return join_over_entities(spans, doc)


def _fit(
    doc: Document, span: Span, sents: Sequence[Span], budget: int, count: Callable[[str], int]
) -> list[Span]:
    if count(doc.text[slice(*span)]) <= budget:
        return [span]
    inside = [s for s in sents if s[0] < span[1] and s[1] > span[0]]
    parts: list[Span] = []
    for start, end in inside:
        start, end = max(start, span[0]), min(end, span[1])
        if parts and count(doc.text[parts[-1][0] : end]) <= budget:
            parts[-1] = (parts[-1][0], end)
        else:
            parts.append((start, end))
    return parts


def cut_long(
    doc: Document, span: Span, max_tokens: int, count_tokens: Callable[[str], int]
) -> list[Span]:
    """Cut ``span`` of ``doc`` at white space into ranges of at most ``max_tokens``.

    This is for text without sentences, such as a table. No entity is cut, so that one which is
    longer stays whole, as does a longer word.
    """
    words = [m.span() for m in re.compile(r"\S+").finditer(doc.text, *span)]
    whole = [s for s in join_over_entities(words, doc) if span[0] <= s[0] and s[1] <= span[1]]
    parts: list[Span] = []
    first = 0
    while first < len(whole):
        # The most words that fit, by bisection: tokens of a text grow with its length.
        fits, too_many = first + 1, len(whole) + 1
        while too_many - fits > 1:
            stop = (fits + too_many) // 2
            text = doc.text[whole[first][0] : whole[stop - 1][1]]
            fits, too_many = (stop, too_many) if count_tokens(text) <= max_tokens else (fits, stop)
        parts.append((whole[first][0], whole[fits - 1][1]))
        first = fits
    return parts


@dataclass(frozen=True, slots=True)
class UnitSpans:
    """Ranges of a document's units; ``n_cut`` units were too long and were cut at white space."""

    spans: tuple[Span, ...]
    n_cut: int


def unit_spans(
    doc: Document,
    unit: Unit,
    *,
    passage_sentences: int,
    max_tokens: int,
    count_tokens: Callable[[str], int],
    window: int | None,
) -> UnitSpans:
    """Where ``doc`` is cut into the units that a language model of ``window`` tokens reads.

    As ``split`` does; a unit of more than a third of the window, which cannot be divided at
    sentences, is cut at white space: with its prompt and an answer it would not fit.
    """
    spans: list[Span] = []
    n_cut = 0
    most = window // UNITS_IN_WINDOW if window else None
    for span in split(
        doc,
        unit,
        passage_sentences=passage_sentences,
        max_tokens=max_tokens,
        count_tokens=count_tokens,
    ):
        if most and count_tokens(doc.text[slice(*span)]) > most:
            spans += cut_long(doc, span, most, count_tokens)
            n_cut += 1
        else:
            spans.append(span)
    return UnitSpans(tuple(spans), n_cut)


def cut(doc: Document, span: Span, *, doc_id: str | None = None) -> Document:
    """Return the part ``[start, end)`` of ``doc`` as a document of its own, offsets moved.

    Entities that do not lie wholly inside are left out, and with them their relations; document
    level concept relations are left out. Its id is ``{doc.id}:{start}-{end}`` unless given.
    """
    start, end = span
    entities = tuple(e.shift(-start) for e in doc.entities if e.start >= start and e.end <= end)
    kept = {e.id for e in entities}
    return Document(
        id=doc_id or f"{doc.id}:{start}-{end}",
        text=doc.text[start:end],
        entities=entities,
        relations=tuple(r for r in doc.relations if r.head in kept and r.tail in kept),
        sections=tuple(
            Section(s.name, max(s.start, start) - start, min(s.end, end) - start)
            for s in doc.sections
            if s.start < end and s.end > start
        ),
        masked=tuple(
            (max(s, start) - start, min(e, end) - start)
            for s, e in doc.masked
            if s < end and e > start
        ),
        unknown=doc.unknown,
        provenance=replace(doc.provenance, parents=(doc.id,)),
        metadata=dict(doc.metadata),
    )
