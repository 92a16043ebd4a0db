"""What an annotator may write about a text: the grammar of its two forms.

In JSON a mention is a part of the text that begins and ends with words, its context is what stands
beside it, its label is one that there is, and mentions follow one another. Inline nothing but the
text can be written, and marks stand around whole words. So an answer is well formed, and is at its
end some time.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from notesmith.lm.grammar import Literal, State, may_be, steps_of
from notesmith.markup import ESCAPE, Marks
from notesmith.markup_json import KEYS, PlainText
from notesmith.words import words


@dataclass(frozen=True, slots=True)
class _Text:
    """A text in bytes, and after which of them a mention may begin or end.

    ``spaces`` are the bytes before which a word begins, with the space that stands before it;
    ``last_start`` is -1 where no mention may begin.
    """

    written: bytes
    starts: frozenset[int]
    ends: frozenset[int]
    spaces: tuple[int, ...]
    last_start: int

    @classmethod
    def of(cls, text: str, pieces: Sequence[str], closed: Container[int] = ()) -> _Text:
        """``text`` with each character written as its piece.

        Before the characters ``closed`` no mention begins or ends.
        """
        parts = [piece.encode() for piece in pieces]
        at = list(accumulate(map(len, parts), initial=0))
        spans = words(text)
        starts = [at[_with_space(text, start)] for start, _ in spans if start not in closed]
        return cls(
            b"".join(parts),
            frozenset(starts),
            frozenset(at[end] for _, end in spans if end not in closed),
            tuple(at[i] for i, char in enumerate(text) if char == " "),
            max(starts, default=-1),
        )


def _with_space(text: str, start: int) -> int:
    return start - (text[start - 1 : start] == " ")


@dataclass(frozen=True, slots=True)
class _Next:
    """Behind a mention; another may begin from ``floor`` on. ``first``: there is none before."""

    floor: int
    first: bool = False


@dataclass(frozen=True, slots=True)
class _Copied:
    """In a value that is copied: the left context (0), the mention (1) or the right context (2).

    ``n`` bytes are written, and the next may be any of the bytes ``places`` of the text.
    """

    part: int
    places: tuple[int, ...]
    n: int
    floor: int = 0


@dataclass(frozen=True, slots=True)
class _Labelled:
    """Behind the label, or behind attribute number ``n`` - 1."""

    floor: int
    n: int = 0


_END = "end"


@dataclass(frozen=True, slots=True)
class JsonGrammar:
    """Lists as ``markup_json.render`` writes them of a text, with as much context as is liked."""

    text: _Text
    labels: tuple[str, ...]
    attributes: tuple[str, ...]

    @classmethod
    def of(cls, text: str, labels: Sequence[str], attributes: Sequence[str] = ()) -> JsonGrammar:
        """The lists of mentions of ``text``."""
        plain = PlainText.of(text).text
        found = _Text.of(plain, [_escaped(char) for char in plain])
        return cls(
            found,
            tuple(map(_escaped, labels)),
            tuple(map(_escaped, sorted(attributes))),
        )

    def begin(self) -> State:
        """Before the list."""
        return Literal(b"[", _Next(0, first=True))

    def may_end(self, state: State) -> bool:
        """Whether the list is closed."""
        return may_be(state, _END)

    def steps(self, state: State) -> Mapping[int, State]:
        """The bytes that may come next."""
        return steps_of(state, self._expand)

    def _expand(self, state: State) -> Iterator[State]:
        match state:
            case _Next():
                yield Literal(b"]", _END)
                if state.floor <= self.text.last_start:
                    comma = b"" if state.first else b","
                    left = _Copied(0, self.text.spaces, 0, state.floor)
                    yield Literal(comma + f'{{"{KEYS[0]}":"'.encode(), left)
            case _Copied():
                yield from self._copied(state)
            case _Labelled():
                yield from self._labelled(state)

    def _copied(self, state: _Copied) -> Iterator[State]:
        text, places, n = self.text, state.places, state.n
        # A left context goes on only where a mention can still follow it.
        stop = text.last_start if state.part == 0 else len(text.written)
        following: dict[int, list[int]] = {}
        for place in places:
            if place < stop:
                following.setdefault(text.written[place], []).append(place + 1)
        for byte, after in following.items():
            onward = _Copied(state.part, tuple(after), n + 1, state.floor)
            yield Literal(bytes((byte,)), onward)
        key = KEYS[state.part + 1]
        if state.part == 0:
            found = [p for p in places if p in text.starts and p >= state.floor and (n or p == 0)]
            then: State = _Copied(1, tuple(found), 0)
        elif state.part == 1:
            found = [p for p in places if n and p in text.ends]
            then = _Copied(2, tuple(found), 0)
        else:
            found = [p for p in places if p == len(text.written) or (n and p in text.ends)]
            floor = min(found, default=0) - n
            for name in self.labels if found else ():
                yield Literal(f'","{key}":"{name}"'.encode(), _Labelled(floor))
            return
        if found:
            yield Literal(f'","{key}":"'.encode(), then)

    def _labelled(self, state: _Labelled) -> Iterator[State]:
        yield Literal(b"]}" if state.n else b"}", _Next(state.floor))
        for n, name in enumerate(self.attributes[state.n :], state.n + 1):
            before = "," if state.n else f',"{KEYS[4]}":['
            yield Literal(f'{before}"{name}"'.encode(), _Labelled(state.floor, n))


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


@dataclass(frozen=True, slots=True)
class _Outside:
    place: int


@dataclass(frozen=True, slots=True)
class _Opened:
    """Behind an open mark; attributes from number ``n`` on may follow."""

    place: int
    n: int = 0


@dataclass(frozen=True, slots=True)
class _Inside:
    place: int


@dataclass(frozen=True, slots=True)
class InlineGrammar:
    """A text with marks around words, as ``markup.to_lm`` moves them, no mention in another."""

    text: _Text
    marks: Marks

    @classmethod
    def of(cls, text: str, marks: Marks) -> InlineGrammar:
        """The marked copies of ``text``, which begin with a space.

        No mark stands inside of what is itself spelt like a mark.
        """
        spaced = f" {text}"
        pieces = list(spaced)
        literal: set[int] = set()
        for match in marks.pattern().finditer(spaced):
            pieces[match.start()] = ESCAPE + pieces[match.start()]
            literal.update(range(match.start() + 1, match.end()))
        return cls(_Text.of(spaced, pieces, closed=literal), marks)

    def begin(self) -> State:
        """Before the text."""
        return _Outside(0)

    def may_end(self, state: State) -> bool:
        """Whether the text is whole."""
        return may_be(state, _Outside(len(self.text.written)))

    def steps(self, state: State) -> Mapping[int, State]:
        """The bytes that may come next."""
        return steps_of(state, self._expand)

    def _expand(self, state: State) -> Iterator[State]:
        match state:
            case _Outside(place):
                yield from self._copy(place, _Outside(place + 1))
                if place in self.text.starts:
                    for mark in self.marks.opens:
                        yield Literal(mark.encode(), _Opened(place))
            case _Opened(place, first):
                yield from self._copy(place, _Inside(place + 1))
                for n, mark in enumerate(self.marks.attribute_marks[first:], first + 1):
                    yield Literal(mark.encode(), _Opened(place, n))
            case _Inside(place):
                yield from self._copy(place, _Inside(place + 1))
                if place in self.text.ends:
                    yield Literal(self.marks.close.encode(), _Outside(place))

    def _copy(self, place: int, after: State) -> Iterator[State]:
        if place < len(self.text.written):
            yield Literal(self.text.written[place : place + 1], after)
