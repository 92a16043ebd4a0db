"""Sample in this process: rows of a batch are refilled with new prompts as they finish.

``Decoder`` runs the four architectures it knows; any other model runs by its own forward pass, in
batches that are left-padded, shrink as rows finish, and are not refilled.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from notesmith.config import SampleConfig
from notesmith.errors import StageError
from notesmith.lm.backends.choose import Chooser
from notesmith.lm.backends.decoder import Decoder, UnsupportedModelError
from notesmith.lm.constrain import Constraint, ConstraintRows, MarkConstraint
from notesmith.lm.load import cpu_has_bf16
from notesmith.lm.sample import Constraints, OnSamples, Sample, SampleResult
from notesmith.progress import OnProgress, Progress, silent

if TYPE_CHECKING:
    from notesmith.lm.load import LanguageModel

logger = logging.getLogger(__name__)

# Finished rows run on, unread, until this share of a batch has finished and all are replaced.
_RENEW_RATIO = 1 / 32
_SECONDS_BETWEEN_REPORTS = 1.0


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


class TransformersBackend:
    """Samples with a model that is loaded in this process."""

    def __init__(self, lm: LanguageModel, *, fast: bool = True) -> None:
        """Use ``lm``; ``fast`` False takes the model's own forward pass, for comparison."""
        self._lm = lm
        self._fast = fast

    def sample(
        self,
        prompts: Sequence[str],
        config: SampleConfig,
        *,
        seed: int,
        constraint: Constraints = None,
        on_progress: OnProgress = silent,
        finished: Mapping[int, Sample] | None = None,
        on_samples: OnSamples | None = None,
    ) -> SampleResult:
        """See ``notesmith.lm.sample.sample``."""
        started = time.perf_counter()
        done = {i: s for i, s in (finished or {}).items() if 0 <= i < len(prompts)}
        rules = _one_each(constraint, len(prompts))
        todo = [i for i in range(len(prompts)) if i not in done]
        ids = self._lm.encode_all([prompts[i] for i in todo]) if todo else []
        encoded = {i: [*self._lm.bos_ids, *ids[n]] for n, i in enumerate(todo)}
        _check_lengths(encoded, config.max_new_tokens, self._lm.model)
        tokens = 0
        if encoded:
            with _evaluating(self._lm.model), torch.inference_mode():
                rows = _Rows(self._lm, self._runner(config), encoded, rules, config, seed)
                fresh: list[Sample] = []
                reported = started
                for new in rows:
                    fresh += new
                    done |= {s.index: s for s in new}
                    now = time.perf_counter()
                    if now - reported < _SECONDS_BETWEEN_REPORTS and len(done) < len(prompts):
                        continue
                    reported = now
                    if on_samples and fresh:
                        on_samples(fresh)
                        fresh = []
                    on_progress(_progress(len(done), len(prompts), rows.tokens, now - started))
            tokens = rows.tokens
        samples = tuple(done[i] for i in range(len(prompts)))
        return SampleResult(samples, tokens, time.perf_counter() - started)

    def _runner(self, config: SampleConfig) -> Runner:
        model = self._lm.model
        dtype = sampling_dtype(config.bf16, model)
        if self._fast:
            try:
                return Decoder(model, dtype=dtype)
            except UnsupportedModelError as error:
                logger.info("sampling with the model's own forward pass: %s", error)
        return OwnForward(model)


class OwnForward:
    """The model's own forward pass and cache, for architectures that ``Decoder`` does not know."""

    refills = False

    def __init__(self, model: Any) -> None:
        self._model = model
        self._cache: Any = None
        self._mask = torch.empty(0)

    def begin(self, n_rows: int, max_length: int, prefix: Sequence[int]) -> None:
        """Nothing to prepare: the cache grows."""

    def step(
        self,
        tokens: Tensor,
        positions: Tensor,
        *,
        longest: int,
        new: Sequence[tuple[int, Sequence[int]]],
    ) -> Tensor:
        """Logits ``(rows, vocabulary)``; ``new`` is all rows or none."""
        if new:
            width = max(len(prompt) for _, prompt in new)
            inputs = torch.zeros(len(new), width, dtype=torch.long)
            self._mask = torch.zeros(len(new), width, dtype=torch.long)
            for row, prompt in new:
                inputs[row, width - len(prompt) :] = torch.tensor(prompt)
                self._mask[row, width - len(prompt) :] = 1
            inputs, self._mask = inputs.to(tokens.device), self._mask.to(tokens.device)
            self._cache = None
            places = (self._mask.cumsum(1) - 1).clamp_min_(0)
        else:
            inputs, places = tokens[:, None], positions[:, None]
            self._mask = torch.cat((self._mask, self._mask.new_ones(len(tokens), 1)), dim=1)
        output = self._model(
            input_ids=inputs,
            attention_mask=self._mask,
            position_ids=places,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = output.past_key_values
        return output.logits[:, -1]

    def keep(self, order: Sequence[int]) -> None:
        """Drop the rows that are not in ``order``."""
        index = torch.tensor(order, dtype=torch.long, device=self._mask.device)
        self._mask = self._mask[index]
        self._cache.batch_select_indices(index)


class _Rows:
    """The running rows of a batch and the prompts that wait; iterating samples them all."""

    def __init__(
        self,
        lm: LanguageModel,
        runner: Runner,
        encoded: Mapping[int, list[int]],
        rules: Sequence[Constraint | None],
        config: SampleConfig,
        seed: int,
    ) -> None:
        self._lm, self._runner, self._encoded = lm, runner, encoded
        # Neighbours of like length waste no padding, and equal prompts are run once.
        order = sorted(encoded, key=lambda i: (len(encoded[i]), encoded[i], i))
        self._waiting = order[::-1]
        n_rows = min(config.batch_size, len(encoded))
        self._limit = config.max_new_tokens
        self._rules = ConstraintRows(rules, n_rows) if any(rules) else None
        self._choose = Chooser(config.temperature, config.top_k, config.top_p, seed)
        self._ends = _ends(lm, rules)
        self._device = lm.device
        self._index = np.zeros(n_rows, dtype=np.int64)  # prompt of each row
        self._start = np.zeros(n_rows, dtype=np.int64)  # tokens in that prompt
        self._count = np.zeros(n_rows, dtype=np.int64)  # tokens drawn
        self._over = np.ones(n_rows, dtype=bool)  # finished, or never begun
        self._last = np.zeros(n_rows, dtype=np.int64)
        self._drawn = np.zeros((n_rows, self._limit), dtype=np.int64)
        self._n = 0
        self.tokens = 0
        longest = max(len(p) for p in encoded.values()) + self._limit
        runner.begin(n_rows, longest, _common_prefix(encoded.values()) if runner.refills else ())

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
        may_fill = self._waiting and (self._runner.refills or running == 0)
        full = n_rows if self._waiting and self._runner.refills else self._n
        if running and full - running < max(1, full * _RENEW_RATIO):
            return []
        new: list[tuple[int, list[int]]] = []
        if may_fill:
            for row in np.flatnonzero(self._over)[: len(self._waiting)].tolist():
                new.append((row, self._begin(row)))
            self._n = max(self._n, max((row + 1 for row, _ in new), default=0))
        self._compact()
        return new

    def _begin(self, row: int) -> list[int]:
        index = self._waiting.pop()
        prompt = self._encoded[index]
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
        chosen = self._choose(logits, index, count).cpu().numpy()
        running = ~self._over[:n]
        if self._rules:
            self._rules.advance(chosen)
        at = np.minimum(self._count[:n], self._limit - 1)
        self._drawn[np.arange(n), at] = np.where(running, chosen, self._drawn[np.arange(n), at])
        self._last[:n] = chosen
        self._count[:n] += running
        self.tokens += int(running.sum())
        ended = np.isin(chosen, self._ends) & running
        cut = (self._count[:n] >= self._limit) & running
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
        return Sample(int(self._index[row]), self._lm.decode(ids), tuple(ids), ended)

    def _tensor(self, values: Any) -> Tensor:
        return torch.from_numpy(values.copy()).to(self._device)


def sampling_dtype(bf16: str, model: Any) -> torch.dtype | None:
    """bfloat16 where asked, or where the processor multiplies it; None leaves the model's own."""
    if bf16 == "yes":
        return torch.bfloat16
    weight = next(model.parameters())
    on_cpu = weight.device.type == "cpu"
    return torch.bfloat16 if bf16 == "auto" and on_cpu and cpu_has_bf16() else None


def _one_each(constraint: Constraints, n: int) -> list[Constraint | None]:
    if constraint is None or isinstance(constraint, MarkConstraint):
        return [constraint] * n
    if len(constraint) != n:
        raise StageError(f"{len(constraint)} constraints for {n} prompts; give one each")
    return list(constraint)


def _check_lengths(encoded: Mapping[int, list[int]], limit: int, model: Any) -> None:
    longest = getattr(model.config, "max_position_embeddings", None)
    for index, ids in encoded.items():
        if not ids:
            raise StageError(f"prompt {index} is empty and the model has no begin token")
        if longest is not None and len(ids) + limit > longest:
            raise StageError(
                f"prompt {index} has {len(ids)} tokens; with {limit} new ones it exceeds the "
                f"model's {longest}: shorten it or lower max_new_tokens"
            )


def _ends(lm: LanguageModel, rules: Sequence[Constraint | None]) -> Any:
    ends = set(lm.eos_ids)
    for rule in {id(r): r for r in rules if r is not None}.values():
        ends.update(rule.eos_ids)
    return np.array(sorted(ends), dtype=np.int64)


def _common_prefix(prompts: Any) -> list[int]:
    """Tokens that begin every prompt, at most all but the last of the shortest."""
    first, last = min(prompts), max(prompts)
    n = min(min(len(p) for p in prompts) - 1, len(first), len(last))
    same = next((i for i in range(n) if first[i] != last[i]), n)
    return first[:same]


def _progress(done: int, total: int, tokens: int, seconds: float) -> Progress:
    return Progress(
        "sample", done, total, "samples", tokens, seconds,
        {"tokens_per_second": tokens / seconds if seconds > 0 else 0.0},
    )  # fmt: skip


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Dropout off while sampling."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
