"""The rows of a running batch: what each holds, when it ends, which prompt replaces it.

The forward pass is a ``Runner``'s; what may not come next, ``constrain``'s; the draw, ``choose``'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from notesmith.config.generator import SampleConfig
from notesmith.lm.backends.choose import Chooser
from notesmith.lm.constrain import Constraint, ConstraintRows
from notesmith.lm.samples import Sample

if TYPE_CHECKING:
    from notesmith.lm.load import LanguageModel

# Finished rows run on, unread, until this share of a batch has finished and all are replaced.
_RENEW_RATIO = 1 / 32


class Runner(Protocol):
    """A forward pass over rows that stand at different positions."""

    refills: bool

    def begin(self, n_rows: int, max_length: int, prefix: Sequence[int]) -> None: ...

    def step(
        self,
        tokens: Tensor,
        positions: Tensor,
        *,
        longest: int,
        new: Sequence[tuple[int, Sequence[int]]],
    ) -> Tensor: ...

    def keep(self, order: Sequence[int]) -> None: ...


@dataclass(frozen=True, slots=True)
class Work:
    """Prompts to sample and how; ``waiting`` is shared by the threads that take from it."""

    lm: LanguageModel
    encoded: Mapping[int, list[int]]
    rules: Sequence[Constraint | None]
    choose: Chooser
    limit: int
    ends: NDArray[np.int64]
    waiting: deque[int]
    prefix: list[int]

    @classmethod
    def plan(
        cls,
        lm: LanguageModel,
        encoded: Mapping[int, list[int]],
        rules: Sequence[Constraint | None],
        config: SampleConfig,
        seed: int,
    ) -> Work:
        """Order the prompts: neighbours of like length waste no padding, equal ones run once."""
        order = sorted(encoded, key=lambda i: (-len(encoded[i]), encoded[i], i))
        ends = set(lm.eos_ids)
        for rule in {id(r): r for r in rules if r is not None}.values():
            ends.update(rule.eos_ids)
        return cls(
            lm,
            encoded,
            rules,
            Chooser(config.temperature, config.top_k, config.top_p, seed),
            config.max_new_tokens,
            np.array(sorted(ends), dtype=np.int64),
            deque(order),
            _common_prefix(list(encoded.values())),
        )

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt and its sample."""
        return max(len(p) for p in self.encoded.values()) + self.limit

    def take(self) -> int | None:
        """The next prompt, or None; safe between threads, as a deque's ``popleft`` is."""
        try:
            return self.waiting.popleft()
        except IndexError:
            return None


def _common_prefix(prompts: Sequence[list[int]]) -> list[int]:
    """Tokens that begin every prompt, at most all but the last of the shortest."""
    first, last = min(prompts), max(prompts)
    n = min(len(p) for p in prompts) - 1
    same = next((i for i in range(n) if first[i] != last[i]), n)
    return first[:same]


class Rows:
    """The running rows of a batch and the prompts that wait; iterating samples them all."""

    def __init__(self, runner: Runner, work: Work, n_rows: int) -> None:
        """Make room for ``n_rows``; prompts are taken from ``work``, which others may share."""
        self._runner, self._work = runner, work
        self._device = work.lm.device
        self._rules = ConstraintRows(work.rules, n_rows) if any(work.rules) else None
        self._index = np.zeros(n_rows, dtype=np.int64)  # prompt of each row
        self._start = np.zeros(n_rows, dtype=np.int64)  # tokens in that prompt
        self._count = np.zeros(n_rows, dtype=np.int64)  # tokens drawn
        self._over = np.ones(n_rows, dtype=bool)  # finished, or never begun
        self._last = np.zeros(n_rows, dtype=np.int64)
        self._drawn = np.zeros((n_rows, work.limit), dtype=np.int64)
        self._n = 0
        self.tokens = 0
        runner.begin(n_rows, work.longest, work.prefix if runner.refills else ())

    def __iter__(self) -> Iterator[list[Sample]]:
        """Yield the samples that each step finished."""
        while True:
            new = self._renew()
            n = self._n
            if n == 0:
                return
            yield self._step(n, new)

    def _renew(self) -> list[tuple[int, list[int]]]:
        """Put waiting prompts in the rows that are free and drop the rows that stay free."""
        n_rows = len(self._over)
        running = self._n - int(self._over[: self._n].sum())
        waiting = len(self._work.waiting)
        may_fill = waiting and (self._runner.refills or running == 0)
        full = n_rows if waiting and self._runner.refills else self._n
        if running and full - running < max(1, full * _RENEW_RATIO):
            return []
        new: list[tuple[int, list[int]]] = []
        if may_fill:
            for row in np.flatnonzero(self._over).tolist():
                index = self._work.take()
                if index is None:
                    break
                new.append((row, self._begin(row, index)))
            self._n = max(self._n, max((row + 1 for row, _ in new), default=0))
        self._compact()
        return new

    def _begin(self, row: int, index: int) -> list[int]:
        prompt = self._work.encoded[index]
        self._index[row], self._start[row], self._count[row] = index, len(prompt), 0
        self._last[row], self._over[row] = prompt[-1], False
        if self._rules:
            self._rules.admit(row, index)
        return prompt

    def _compact(self) -> None:
        """Move the last rows into the places of finished ones."""
        over = self._over[: self._n]
        if not over.any():
            return
        n = self._n - int(over.sum())
        if self._runner.refills:
            order = np.arange(n)
            order[over[:n]] = n + np.flatnonzero(~over[n:])
        else:
            order = np.flatnonzero(~over)
        if n:
            self._runner.keep(order.tolist())
        for state in (
            self._index, self._start, self._count, self._over, self._last, self._drawn,
        ):  # fmt: skip
            state[:n] = state[order]
        if self._rules:
            self._rules.keep(order.tolist())
        self._over[n:] = True
        self._n = n

    def _step(self, n: int, new: list[tuple[int, list[int]]]) -> list[Sample]:
        # The position of the token that is fed: the last of the prompt, or the last drawn.
        places = self._start[:n] + self._count[:n] - 1
        index, count = self._tensor(self._index[:n]), self._tensor(self._count[:n])
        logits = self._runner.step(
            self._tensor(self._last[:n]),
            self._tensor(places),
            longest=int(places.max()) + 1,
            new=new,
        )
        if self._rules:
            logits = self._forbid(logits, n)
        chosen = self._work.choose(logits, index, count).cpu().numpy()
        running = ~self._over[:n]
        if self._rules:
            self._rules.advance(chosen)
        at = np.minimum(self._count[:n], self._work.limit - 1)
        self._drawn[np.arange(n), at] = np.where(running, chosen, self._drawn[np.arange(n), at])
        self._last[:n] = chosen
        self._count[:n] += running
        self.tokens += int(running.sum())
        ended = np.isin(chosen, self._work.ends) & running
        cut = (self._count[:n] >= self._work.limit) & running
        self._over[:n] |= ended | cut
        return [self._finish(int(r), bool(ended[r])) for r in np.flatnonzero(ended | cut)]

    def _forbid(self, logits: Tensor, n: int) -> Tensor:
        """Set the logits of forbidden tokens to -inf."""
        assert self._rules is not None
        forbidden = self._rules.forbidden(n)
        special = self._tensor(forbidden.special_ids)
        some = logits[:, special].masked_fill_(
            torch.from_numpy(forbidden.banned).to(self._device), -torch.inf
        )
        only = {
            row: (ids, logits[row, ids])
            for row, allowed in forbidden.only.items()
            for ids in [self._tensor(allowed)]
        }
        logits[:, special] = some
        for row, (ids, values) in only.items():
            logits[row] = -torch.inf
            logits[row, ids] = values
        return logits

    def _finish(self, row: int, ended: bool) -> Sample:
        ids = self._drawn[row, : self._count[row] - ended].tolist()
        return Sample(int(self._index[row]), self._work.lm.decode(ids), tuple(ids), ended)

    def _tensor(self, values: Any) -> Tensor:
        return torch.from_numpy(values.copy()).to(self._device)
