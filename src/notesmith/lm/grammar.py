"""Which tokens may come next where text follows a grammar, whatever the tokenizer cuts.

A ``Grammar`` is a finite automaton over the bytes of a text. A token may come next if the grammar
can take all its bytes; the tokens are walked as a sorted list, so only those that begin like
something legal are looked at. What a grammar allows is left to those who write one.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from notesmith.lm.load import LanguageModel

State = Hashable


class Grammar(Protocol):
    """A finite automaton over bytes; from every state that it reaches an end can be reached."""

    def begin(self) -> State:
        """The state before the first byte."""

    def steps(self, state: State) -> Mapping[int, State]:
        """The bytes that may come next, and the state after each."""

    def may_end(self, state: State) -> bool:
        """Whether the text may end here."""


@dataclass(frozen=True, slots=True)
class Literal:
    """The state before ``rest``, which must come; ``then`` is the state behind it."""

    rest: bytes
    then: State


@dataclass(frozen=True, slots=True)
class Either:
    """One of several states; the bytes that come tell which."""

    options: tuple[State, ...]


def steps_of(state: State, expand: Callable[[State], Iterable[State]]) -> dict[int, State]:
    """``Grammar.steps`` where ``expand`` gives the literals that may come next in other states."""
    found: dict[int, dict[State, None]] = {}
    waiting = [state]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Literal):
            after = Literal(one.rest[1:], one.then) if len(one.rest) > 1 else one.then
            found.setdefault(one.rest[0], {})[after] = None
        else:
            waiting += one.options if isinstance(one, Either) else expand(one)
    return {
        byte: next(iter(after)) if len(after) == 1 else Either(tuple(after))
        for byte, after in found.items()
    }


def may_be(state: State, wanted: State) -> bool:
    """Whether ``state`` is ``wanted``, or one of several that may be."""
    if isinstance(state, Either):
        return any(may_be(option, wanted) for option in state.options)
    return state == wanted


@dataclass(frozen=True, slots=True)
class TokenBytes:
    """The bytes that each token of a vocabulary adds to a text.

    ``pieces`` are sorted and ``ids[i]`` is the token of ``pieces[i]``; ``of`` maps back. Tokens
    that stand for no text, such as the end, are not among them; spare ones are.
    """

    pieces: tuple[bytes, ...]
    ids: tuple[int, ...]
    of: Mapping[int, bytes]

    @classmethod
    def from_lm(cls, lm: LanguageModel) -> TokenBytes:
        """Read the vocabulary of ``lm``."""
        tokenizer = lm.tokenizer
        parts: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
        is_bytes = "ByteLevel" in json.dumps(parts["decoder"])
        spare = set(lm.reserved)
        special = {int(i) for i in tokenizer.all_special_ids} | {
            int(token["id"]) for token in parts["added_tokens"] if token["special"]
        }
        plain = {token["content"] for token in parts["added_tokens"]}
        found: dict[int, bytes] = {}
        for token, number in tokenizer.get_vocab().items():
            if token in plain or token in spare:
                if token in spare or number not in special:
                    found[number] = token.encode()
            elif is_bytes and _BYTE_OF.keys() >= set(token):
                found[number] = bytes(map(_BYTE_OF.__getitem__, token))
            elif len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
                found[number] = bytes([int(token[3:5], 16)])
            else:
                found[number] = token.replace("▁", " ").encode()
        n_rows = lm.model.get_input_embeddings().weight.shape[0]
        found = {number: piece for number, piece in found.items() if number < n_rows}
        ordered = sorted((piece, number) for number, piece in found.items() if piece)
        return cls(tuple(p for p, _ in ordered), tuple(i for _, i in ordered), found)

    def allowed(self, grammar: Grammar, state: State) -> Iterator[int]:
        """The tokens whose bytes ``grammar`` can take from ``state`` on."""
        stack = [(b"", state, 0, len(self.pieces))]
        while stack:
            before, at, first, stop = stack.pop()
            for byte, after in grammar.steps(at).items():
                piece = before + bytes((byte,))
                low = bisect_left(self.pieces, piece, first, stop)
                # Nothing that begins with the piece sorts behind it and this.
                high = bisect_left(self.pieces, piece + _LAST, low, stop)
                if low == high:
                    continue
                deeper = low
                while deeper < high and self.pieces[deeper] == piece:
                    yield self.ids[deeper]
                    deeper += 1
                if deeper < high:
                    stack.append((piece, after, deeper, high))


def _byte_of() -> dict[str, int]:
    """The characters that byte-level tokenizers write bytes as (GPT-2, ``bytes_to_unicode``)."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printed)]
    named = {chr(byte): byte for byte in printed}
    return named | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _byte_of()
_LAST = b"\xff" * 64


class Place(NamedTuple):
    """Where a text stands in its grammar; ``state`` is None where it has left it."""

    grammar: Grammar
    state: State


@dataclass(frozen=True, slots=True, eq=False)
class GrammarConstraint:
    """A text that follows a grammar and then ends with one of ``eos_ids``.

    ``make`` gives the grammar when the text begins, so that only texts being written hold one.
    """

    tokens: TokenBytes
    make: Callable[[], Grammar]
    eos_ids: tuple[int, ...]

    def begin(self) -> Place:
        """Before the first token."""
        grammar = self.make()
        return Place(grammar, grammar.begin())

    def allowed(self, place: Place) -> NDArray[np.int64]:
        """Token ids that may come next; the end of text where it may end, or nothing else may."""
        grammar, state = place
        ids = [] if state is None else list(self.tokens.allowed(grammar, state))
        if not ids or grammar.may_end(state):
            ids += self.eos_ids
        return np.array(sorted(ids), dtype=np.int64)

    def after(self, place: Place, token: int) -> Place:
        """Where the text stands after ``token``."""
        grammar, state = place
        if token in self.eos_ids:
            return Place(grammar, None)
        for byte in self.tokens.of.get(token, b""):
            if state is None:
                break
            state = grammar.steps(state).get(byte)
        return Place(grammar, state)
