"""Which tokens may come next in marked text: pure logic on token ids, for many rows at once.

A mark opens or closes a mention. ``MarkConstraint`` keeps marks in legal places; with a licence
a mention is exactly one of the approved names, as paths of a trie of token ids. It forbids and
never demands: a row may end without any mark. A ``GrammarConstraint`` (``grammar``) says of every
token whether it may come next. ``ConstraintRows`` follows the rows of a batch; the sampler asks it
what is forbidden and tells it what was chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from notesmith.errors import ConfigError
from notesmith.lm.grammar import GrammarConstraint, Place

_TEXT, _OPEN, _CLOSE, _EOS, _NEVER, _ATTRIBUTE = 0, 1, 2, 3, 4, 5


class Trie:
    """Names as sequences of token ids; a node knows what may follow and whether it may end."""

    __slots__ = ("_allowed", "children", "terminal")

    def __init__(self) -> None:
        self.children: dict[int, Trie] = {}
        self.terminal = False
        self._allowed: dict[int, NDArray[np.int64]] = {}

    @classmethod
    def of(cls, names: Iterable[Sequence[int]]) -> Trie:
        """Build from token ids of each name.

        Raises:
            ConfigError: a name without tokens.
        """
        root = cls()
        for name in names:
            if not name:
                raise ConfigError("a licensed name has no tokens")
            node = root
            for token in name:
                node = node.children.setdefault(int(token), cls())
            node.terminal = True
        return root

    def allowed(self, close_id: int) -> NDArray[np.int64]:
        """Token ids that may follow; ``close_id`` where a name may end."""
        if close_id not in self._allowed:
            ids = [*self.children, *([close_id] if self.terminal else [])]
            self._allowed[close_id] = np.array(sorted(ids), dtype=np.int64)
        return self._allowed[close_id]


@dataclass(frozen=True, slots=True)
class MarkConstraint:
    """Marks only in legal places.

    No close without an open, no empty mention, no end of text inside a mention, at most
    ``max_depth`` mentions in one another, and the marks of attributes (``attribute_ids``) right
    after an open mark or another such mark. ``licence`` maps an open mark to the trie of names it
    may hold; an open mark without a trie, or with an empty one, may not be used. ``max_mention``
    closes a mention after so many tokens (0: never), where no licence bounds it. ``never_ids`` are
    forbidden everywhere: special tokens that are neither marks nor the end.
    """

    open_ids: tuple[int, ...]
    close_id: int
    eos_ids: tuple[int, ...]
    max_depth: int = 1
    licence: Mapping[int, Trie] | None = None
    max_mention: int = 0
    never_ids: tuple[int, ...] = ()
    attribute_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        ids = [*self.open_ids, self.close_id, *self.eos_ids, *self.never_ids, *self.attribute_ids]
        if len(set(ids)) != len(ids):
            raise ConfigError("marks, ends of text and forbidden tokens must be distinct tokens")
        if self.max_depth < 1:
            raise ConfigError(f"max_depth is {self.max_depth}; it must be at least 1")
        if self.licence is not None and self.max_depth > 1:
            raise ConfigError("a licence needs max_depth 1: a name holds no mark")

    def usable(self) -> frozenset[int]:
        """Open marks that may be used at all."""
        if self.licence is None:
            return frozenset(self.open_ids)
        return frozenset(i for i in self.open_ids if (t := self.licence.get(i)) and t.children)


@dataclass(frozen=True, slots=True)
class Forbidden:
    """What may not come next.

    ``banned[i, j]``: row ``i`` may not take ``special_ids[j]``. ``only``: row -> the token ids it
    must choose from; those rows ignore ``banned``.
    """

    special_ids: NDArray[np.int64]
    banned: NDArray[np.bool_]
    only: dict[int, NDArray[np.int64]]

    def mask(self, n_tokens: int) -> NDArray[np.bool_]:
        """Which of ``n_tokens`` tokens each row may not take, ``(rows, n_tokens)``."""
        found = np.zeros((len(self.banned), n_tokens), dtype=bool)
        found[:, self.special_ids] = self.banned
        for row, allowed in self.only.items():
            found[row] = True
            found[row, allowed] = False
        return found


Constraint = MarkConstraint | GrammarConstraint


def forbidden_along(
    constraints: Sequence[Constraint | None], completions: Sequence[Sequence[int]]
) -> list[Forbidden]:
    """What each token of each completion could not have been.

    Args:
        constraints: what completion ``i`` was drawn under.
        completions: token ids, the end of text included where it was drawn.

    Returns:
        one for each completion, a row a token.
    """
    n = len(completions)
    rows = ConstraintRows(constraints, n)
    for row in range(n):
        rows.admit(row, row)
    lengths = [len(ids) for ids in completions]
    tokens = np.zeros((n, max(lengths, default=0)), dtype=np.int64)
    for row, ids in enumerate(completions):
        tokens[row, : lengths[row]] = ids
    banned = np.zeros((n, tokens.shape[1], len(rows.special_ids)), dtype=bool)
    only: list[dict[int, NDArray[np.int64]]] = [{} for _ in range(n)]
    for place in range(tokens.shape[1]):
        found = rows.forbidden(n)
        banned[:, place] = found.banned
        for row, allowed in found.only.items():
            if place < lengths[row]:
                only[row][place] = allowed
        rows.advance(tokens[:, place])
    return [Forbidden(rows.special_ids, banned[row, : lengths[row]], only[row]) for row in range(n)]


def joined(parts: Sequence[Forbidden]) -> Forbidden:
    """The rows of several, one after the other; all are of one ``forbidden_along``."""
    firsts = np.cumsum([0, *(len(part.banned) for part in parts)]).tolist()
    return Forbidden(
        parts[0].special_ids,
        np.concatenate([part.banned for part in parts]),
        {
            first + row: allowed
            for first, part in zip(firsts, parts, strict=False)
            for row, allowed in part.only.items()
        },
    )


class ConstraintRows:
    """States of the rows of a batch, advanced together."""

    def __init__(self, constraints: Sequence[Constraint | None], n_rows: int) -> None:
        """Hold one constraint a prompt (None: free) and room for ``n_rows``.

        Raises:
            ConfigError: two constraints give one token different meanings.
        """
        self._constraints = constraints
        kinds: dict[int, int] = {}
        for rule in {id(c): c for c in constraints if isinstance(c, MarkConstraint)}.values():
            for kind, ids in (
                (_OPEN, rule.open_ids),
                (_CLOSE, (rule.close_id,)),
                (_EOS, rule.eos_ids),
                (_NEVER, rule.never_ids),
                (_ATTRIBUTE, rule.attribute_ids),
            ):
                for token in ids:
                    if kinds.setdefault(token, kind) != kind:
                        raise ConfigError(f"token {token} is two kinds of mark in one run")
        self.special_ids = np.array(sorted(kinds), dtype=np.int64)
        self._kind_of = np.array([kinds[i] for i in sorted(kinds)], dtype=np.int8)
        self._tables: dict[tuple[object, ...], int] = {}
        self._rules: list[NDArray[np.bool_]] = [np.zeros((5, len(kinds)), dtype=bool)]
        self._stacked = np.stack(self._rules)
        self._rule = np.zeros(n_rows, dtype=np.int64)
        self._depth = np.zeros(n_rows, dtype=np.int64)
        self._max_depth = np.ones(n_rows, dtype=np.int64)
        self._length = np.zeros(n_rows, dtype=np.int64)
        self._max_length = np.zeros(n_rows, dtype=np.int64)
        self._prompt = np.full(n_rows, -1, dtype=np.int64)
        self._node: dict[int, Trie] = {}
        self._grammar: dict[int, tuple[GrammarConstraint, Place]] = {}

    def admit(self, row: int, prompt: int) -> None:
        """Begin prompt ``prompt`` in ``row``."""
        rule = self._constraints[prompt]
        self._node.pop(row, None)
        self._grammar.pop(row, None)
        if isinstance(rule, GrammarConstraint):
            self._grammar[row] = rule, rule.begin()
            rule = None
        self._prompt[row], self._depth[row], self._length[row] = prompt, 0, 0
        self._rule[row] = 0 if rule is None else self._table(rule)
        self._max_depth[row] = 1 if rule is None else rule.max_depth
        self._max_length[row] = 0 if rule is None else rule.max_mention

    def keep(self, order: Sequence[int]) -> None:
        """Let row ``i`` continue what row ``order[i]`` held."""
        index = np.asarray(order, dtype=np.int64)
        n = len(index)
        for states in (
            self._rule, self._depth, self._max_depth, self._length, self._max_length, self._prompt,
        ):  # fmt: skip
            states[:n] = states[index]
        self._node = {i: self._node[old] for i, old in enumerate(order) if old in self._node}
        followed = self._grammar
        self._grammar = {i: followed[old] for i, old in enumerate(order) if old in followed}

    def forbidden(self, n_rows: int) -> Forbidden:
        """What the first ``n_rows`` rows may not choose next."""
        depth, length = self._depth[:n_rows], self._length[:n_rows]
        inside, deepest = depth > 0, depth >= self._max_depth[:n_rows]
        empty = inside & (length == 0)
        # 0 outside, 1 inside, 2 inside at the greatest depth; 3 and 4: the same, still empty.
        state = inside.astype(np.int64) + deepest + 2 * empty
        banned = self._stacked[self._rule[:n_rows], state]
        only = {
            row: self._allowed(row, node, is_empty=bool(empty[row]))
            for row, node in self._node.items()
            if row < n_rows
        }
        limit = self._max_length[:n_rows]
        for over in np.flatnonzero((depth > 0) & (limit > 0) & (length >= limit)).tolist():
            only.setdefault(over, np.array([self._close(over)], dtype=np.int64))
        only |= {row: rule.allowed(at) for row, (rule, at) in self._grammar.items() if row < n_rows}
        return Forbidden(self.special_ids, banned, only)

    def advance(self, tokens: NDArray[np.int64]) -> None:
        """Take the chosen tokens of the first ``len(tokens)`` rows."""
        n = len(tokens)
        for row, (grammar, at) in list(self._grammar.items()):
            if row < n:
                self._grammar[row] = grammar, grammar.after(at, int(tokens[row]))
        if not len(self.special_ids):
            return
        place = np.searchsorted(self.special_ids, tokens).clip(max=len(self.special_ids) - 1)
        special = self.special_ids[place] == tokens
        kind = np.where(special & (self._rule[:n] > 0), self._kind_of[place], _TEXT)
        for row, node in list(self._node.items()):
            if row < n:
                self._follow(row, node, int(tokens[row]), int(kind[row]))
        opened, closed, attribute = kind == _OPEN, kind == _CLOSE, kind == _ATTRIBUTE
        for entered in np.flatnonzero(opened).tolist():
            self._enter(entered, int(tokens[entered]))
        self._depth[:n] += opened
        self._depth[:n] -= closed
        self._length[:n] = np.where(opened | attribute, 0, self._length[:n] + 1)

    def _follow(self, row: int, node: Trie, token: int, kind: int) -> None:
        if kind == _ATTRIBUTE:
            return
        if kind == _CLOSE or token not in node.children:
            del self._node[row]
        else:
            self._node[row] = node.children[token]

    def _enter(self, row: int, token: int) -> None:
        rule = self._constraints[self._prompt[row]]
        if isinstance(rule, MarkConstraint) and rule.licence and token in rule.licence:
            self._node[row] = rule.licence[token]

    def _allowed(self, row: int, node: Trie, *, is_empty: bool) -> NDArray[np.int64]:
        """What may follow in a licensed mention: attributes before its name, and its name."""
        rule = self._constraints[self._prompt[row]]
        ids = node.allowed(self._close(row))
        if not isinstance(rule, MarkConstraint) or not is_empty or not rule.attribute_ids:
            return ids
        return np.sort(np.array([*ids, *rule.attribute_ids], dtype=np.int64))

    def _close(self, row: int) -> int:
        rule = self._constraints[self._prompt[row]]
        assert isinstance(rule, MarkConstraint)  # only its rows have nodes and limits
        return rule.close_id

    def _table(self, rule: MarkConstraint) -> int:
        """Number of the rule's table ``[state, special]``, made when first met."""
        usable = rule.usable()
        fixed = (rule.close_id, rule.eos_ids, rule.max_depth, rule.never_ids, rule.attribute_ids)
        key = (usable, *fixed)
        if key in self._tables:
            return self._tables[key]
        table = np.zeros((5, len(self.special_ids)), dtype=bool)
        never = frozenset(rule.never_ids)
        for j, token in enumerate(self.special_ids.tolist()):
            kind = int(self._kind_of[j])
            if kind == _OPEN:
                table[:, j] = token not in usable
                table[[2, 4], j] = True
            elif kind == _CLOSE:
                table[:, j] = token != rule.close_id
                table[[0, 3, 4], j] = True
            elif kind == _EOS:
                table[1:, j] = True
            elif kind == _ATTRIBUTE:
                table[:, j] = token not in rule.attribute_ids
                table[:3, j] = True
            else:
                table[:, j] = token in never
        self._rules.append(table)
        self._stacked = np.stack(self._rules)
        self._tables[key] = len(self._rules) - 1
        return self._tables[key]
