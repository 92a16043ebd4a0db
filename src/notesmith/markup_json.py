r"""Mentions as a JSON list, for text that is labelled without being copied.

``[{"left":" risk of","text":" colon cancer","right":" in the","label":"Disease"}]``: each mention
with a few words on either side, in the order of the text. Values are cut out of the text as it
stands, every run of white space as one space, so that a word begins with the space before it, as a
language model's tokens do. ``render`` shows as many words as make the place unique. ``parse``
never guesses: a mention gets offsets where they are certain, and is counted with a reason where
they are not.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from notesmith.document import Document, Entity, Span
from notesmith.markup import Rendered, flatten
from notesmith.words import words

FailureReason = Literal[
    "no JSON",
    "cut off",
    "bad item",
    "wrong label",
    "absent",
    "ambiguous",
    "overlapping",
    "duplicated",
]
KEYS = ("left", "text", "right", "label", "attributes")
CONTEXT_WORDS = 2
# White space is never matched twice: a long run of it takes no longer for that.
_LIST = re.compile(r"\[\s*+(?=[{\]])")
_NEXT = re.compile(r"\s*+(?:,\s*+(?:(?=\{)|\])|\])")


@dataclass(frozen=True, slots=True)
class Mentions:
    """What an answer says of a text.

    Attributes:
        entities: of which none holds or crosses another, in order, named T1, T2, …
        places: the range of the answer that says so, of each entity.
        failures: what could not be used, by reason.
        tolerated: what was used although it is not exactly as it should be, by what differs.
    """

    entities: tuple[Entity, ...] = ()
    places: tuple[Span, ...] = ()
    failures: Mapping[str, int] = field(default_factory=dict)
    tolerated: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlainText:
    """A text with one space before each word, and no other white space.

    ``offsets[i]`` is where character ``i`` of ``text`` stands in the original; of a space, that of
    the word behind it.
    """

    text: str
    offsets: tuple[int, ...]

    @classmethod
    def of(cls, original: str) -> PlainText:
        """Collapse the white space of ``original``."""
        text: list[str] = []
        offsets: list[int] = []
        for match in re.finditer(r"\S+", original):
            text += (" ", match.group())
            offsets.append(match.start())
            offsets += range(*match.span())
        return cls("".join(text), tuple(offsets))

    def place(self, span: Span) -> Span | None:
        """``span`` of the original here, the space before it included; None if it is all space."""
        start, end = bisect_left(self.offsets, span[0]), bisect_left(self.offsets, span[1])
        # A space has the offset of the word behind it, so both lead to the space.
        return (start, end) if start < end else None

    def original(self, place: Span) -> Span:
        """The inverse of ``place``; white space at the ends goes."""
        start, end = place
        start += self.text[start] == " "
        end -= self.text[end - 1] == " "
        return self.offsets[start], self.offsets[end - 1] + 1


def render(
    doc: Document, *, attributes: Collection[str] = (), context_words: int = CONTEXT_WORDS
) -> Rendered:
    """Write the mentions of ``doc``.

    Args:
        doc: the document; its relations and sections are not written.
        attributes: those that are written, spelt as in ``Entity.attributes``.
        context_words: words on each side; more where these leave the place open.

    Returns:
        the list, and how many mentions were flattened or left out: ``discontinuous``, ``crossing``,
        ``nested``, and ``white space`` at the ends of a mention.
    """
    plain = PlainText.of(doc.text)
    entities, counts = flatten(doc.entities)
    items: list[dict[str, Any]] = []
    for ent in entities:
        mention = ent.mention(doc.text)
        counts["white space"] += mention != mention.strip()
        place = plain.place((ent.start, ent.end))
        if place is None:
            continue
        left, right = _context(plain.text, place, context_words)
        own = [value for value in ent.attributes if value in attributes]
        values = (left, plain.text[slice(*place)], right, ent.label, own)
        items.append({key: value for key, value in zip(KEYS, values, strict=True) if value != []})
    text = json.dumps(items, ensure_ascii=False, separators=(",", ":"))
    return Rendered(text, dict(+counts))


def _context(text: str, place: Span, n_words: int) -> tuple[str, str]:
    """Words on both sides of ``place`` that make it unique: twice as many until they do."""
    start, end = place
    while True:
        left, right = start, end
        for _ in range(n_words):
            left = max(text.rfind(" ", 0, left), 0)
            right = min(text.find(" ", right + 1) % (len(text) + 1), len(text))
        whole = left == 0 and right == len(text)
        if whole or text.find(text[left:right], text.find(text[left:right]) + 1) < 0:
            return text[left:start], text[end:right]
        n_words *= 2


class _Item(NamedTuple):
    """A mention as it was written, white space collapsed."""

    left: str
    text: str
    right: str
    label: str
    attributes: tuple[str, ...]
    place: Span

    @property
    def said(self) -> tuple[str, str, str]:
        return self.left, self.text, self.right


def parse(
    text: str,
    answer: str,
    labels: Collection[str],
    *,
    attributes: Collection[str] = (),
    ended: bool = True,
) -> Mentions:
    """Find the mentions that ``answer`` names in ``text``; for what ``render`` wrote, its inverse.

    A mention with its context stands at the one place where both occur, up to white space, or
    else at the one place where the mention alone does (counted as ``context``). Where a mention
    is written as often as it occurs, with the same context, the order of the list tells which is
    which. Of mentions that overlap, the first in the list stays.

    Args:
        text: what was labelled.
        answer: what was written about it; text around the list is passed over.
        labels: those that there are.
        attributes: those that there are; others are left out and counted as ``attribute``.
        ended: False where the answer ran out of tokens.
    """
    failures: Counter[str] = Counter()
    tolerated: Counter[str] = Counter()
    items: list[_Item] = []
    for value, place in _objects(answer, failures, ended=ended):
        item = _item(value, place)
        if item is None:
            failures["bad item"] += 1
        elif item.label not in labels:
            failures["wrong label"] += 1
        else:
            own = tuple(a for a in item.attributes if a in attributes)
            tolerated["attribute"] += len(item.attributes) - len(own)
            items.append(item._replace(attributes=own))
    found = _aligned(PlainText.of(text), items, failures, tolerated)
    return _without_overlaps(found, failures, tolerated)


def _objects(
    answer: str, failures: Counter[str], *, ended: bool
) -> Iterator[tuple[dict[str, Any] | None, Span]]:
    """The objects of the first list of ``answer``, up to where it breaks off; None: a key twice."""
    begin = _LIST.search(answer)
    if begin is None:
        failures["no JSON" if ended else "cut off"] += 1
        return
    at = begin.end()
    while answer.startswith("{", at):
        try:
            value, end = _DECODER.raw_decode(answer, at)
        except (ValueError, RecursionError):
            break
        yield value, (at, end)
        following = _NEXT.match(answer, end)
        if following is None:
            break
        at = following.end()
        if answer[at - 1] == "]":
            return
    else:
        if answer.startswith("]", at):
            return
    failures["cut off"] += 1


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any] | None:
    found = dict(pairs)
    return found if len(found) == len(pairs) else None


# Numbers say nothing of a mention, and to read a long one takes time.
_DECODER = json.JSONDecoder(
    strict=False,
    object_pairs_hook=_once,
    parse_int=lambda _: None,
    parse_float=lambda _: None,
    parse_constant=lambda _: None,
)


def _item(value: dict[str, Any] | None, place: Span) -> _Item | None:
    """What an object says of a mention; None where it names none."""
    if value is None:
        return None
    label, own = value.get("label"), value.get("attributes", [])
    if not isinstance(label, str) or not isinstance(own, list):
        return None
    said = [value.get("left", ""), value.get("text"), value.get("right", "")]
    if not all(isinstance(part, str) for part in (*said, *own)) or not said[1].strip():
        return None
    left, text, right = (re.sub(r"\s+", " ", part) for part in said)
    return _Item(left, text, right, label, tuple(own), place)


class _Aligned(NamedTuple):
    item: _Item
    span: Span


def _aligned(
    plain: PlainText,
    items: Sequence[_Item],
    failures: Counter[str],
    tolerated: Counter[str],
) -> list[_Aligned]:
    """The items that have a certain place, in their order."""
    alike: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        alike[item.said].append(number)
    borders = frozenset(offset for span in words(plain.text) for offset in span)
    found: dict[int, Span] = {}
    seen: set[tuple[tuple[str, str, str], str]] = set()
    for said, numbers in alike.items():
        places = _places(plain.text, said, borders)
        by_itself = not places and said[0] + said[2] != ""
        if by_itself:
            places = _places(plain.text, ("", said[1], ""), borders)
        if not places:
            failures["absent"] += len(numbers)
        elif len(places) == 1:
            tolerated["context"] += by_itself * len(numbers)
            for number in numbers:
                if (said, items[number].label) in seen:
                    failures["duplicated"] += 1
                else:
                    seen.add((said, items[number].label))
                    found[number] = places[0]
        elif len(places) == len(numbers) and not by_itself:
            found |= zip(numbers, places, strict=True)
        else:
            failures["ambiguous"] += len(numbers)
    return [_Aligned(items[n], plain.original(place)) for n, place in sorted(found.items())]


def _places(text: str, said: tuple[str, str, str], borders: Collection[int]) -> list[Span]:
    """Where a mention with its context stands in ``text``; more than one: it is not certain.

    As it is written first, then with or without a space where its parts meet. Places that begin
    and end with words count before those inside of words.
    """
    found = list(_occurrences(text, said))
    if not found:
        left, mention, right = (part.strip() for part in said)
        spaced = {
            (left, before + mention, after + right)
            for before in (("", " ") if left else ("",))
            for after in (("", " ") if right else ("",))
        }
        found = sorted({place for parts in spaced for place in _occurrences(text, parts)})
    if len(found) > 1:
        whole = [
            (start, end)
            for start, end in found
            if start + (text[start] == " ") in borders and end - (text[end - 1] == " ") in borders
        ]
        found = whole or found
    return found


def _occurrences(text: str, said: tuple[str, str, str]) -> Iterator[Span]:
    left, mention, right = said
    whole = left + mention + right
    at = text.find(whole)
    while at >= 0:
        start = at + len(left)
        yield start, start + len(mention)
        at = text.find(whole, at + 1)


def _without_overlaps(
    found: Sequence[_Aligned], failures: Counter[str], tolerated: Counter[str]
) -> Mentions:
    kept: list[_Aligned] = []
    starts: list[int] = []
    ends: list[int] = []
    labels: dict[Span, str] = {}
    for one in found:
        start, end = one.span
        first, stop = bisect_right(ends, start), bisect_left(starts, end)
        if first < stop:
            same = labels.get(one.span) == one.item.label
            failures["duplicated" if same else "overlapping"] += 1
            continue
        starts.insert(first, start)
        ends.insert(first, end)
        labels[one.span] = one.item.label
        kept.append(one)
    kept.sort(key=lambda one: one.span)
    return Mentions(
        tuple(
            Entity(f"T{i}", one.item.label, (one.span,), one.item.attributes)
            for i, one in enumerate(kept, 1)
        ),
        tuple(one.item.place for one in kept),
        dict(+failures),
        dict(+tolerated),
    )
