"""Sample in this process: rows of a batch are refilled with new prompts as they finish.

``Decoder`` runs the four architectures it knows; any other model runs by its own forward pass, in
batches that are left-padded, shrink as rows finish, and are not refilled.
"""

from __future__ import annotations

import copy
import logging
import os
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from notesmith.allocator import n_side_by_side
from notesmith.config.generator import SampleConfig
from notesmith.errors import StageError
from notesmith.lm.backends.decoder import Decoder
from notesmith.lm.backends.rows import Rows, Runner, Work
from notesmith.lm.backends.weights import UnsupportedModelError
from notesmith.lm.constrain import Constraint
from notesmith.lm.load import has_bf16
from notesmith.lm.samples import Constraints, OnSamples, Sample, SampleResult
from notesmith.progress import OnProgress, Progress, silent

if TYPE_CHECKING:
    from notesmith.lm.load import LanguageModel

logger = logging.getLogger(__name__)

# A thread with fewer rows spends its time reading weights.
_LEAST_ROWS = 32
# Share of the memory that keys and values may take; growing them takes as much again.
_CACHE_RATIO = 0.25
_SECONDS_BETWEEN_REPORTS = 1.0


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
        ids = self._lm.encode_prompts([prompts[i] for i in todo]) if todo else []
        # Without a first token the first one of a sample has nothing to follow.
        encoded = {i: ids[n] or [self._lm.eos_ids[0]] for n, i in enumerate(todo)}
        _check_lengths(encoded, config.max_new_tokens, self._lm.model)
        tokens = 0
        fresh: list[Sample] = []
        reported = started
        with closing(self._finished(encoded, rules, config, seed)) as steps:
            for new in steps:
                tokens += new.tokens
                fresh += new.samples
                done |= {s.index: s for s in new.samples}
                now = time.perf_counter()
                if now - reported < _SECONDS_BETWEEN_REPORTS and len(done) < len(prompts):
                    continue
                reported = now
                if on_samples and fresh:
                    on_samples(fresh)
                    fresh = []
                on_progress(_progress(len(done), len(prompts), tokens, now - started))
        samples = tuple(done[i] for i in range(len(prompts)))
        return SampleResult(samples, tokens, time.perf_counter() - started)

    def _finished(
        self,
        encoded: Mapping[int, list[int]],
        rules: Sequence[Constraint | None],
        config: SampleConfig,
        seed: int,
    ) -> Generator[_Stepped]:
        """Samples as they end.

        On a CPU each thread runs rows of its own, one operation after another, instead of sharing
        every operation with the others: nobody waits for the slowest at each of a thousand
        operations a step, least of all where the machine has other work.
        """
        if not encoded:
            return
        n_threads = torch.get_num_threads() if self._lm.device.type == "cpu" else 1
        with _evaluating(self._lm.model):
            runner = self._runner(config)
            work = Work.plan(self._lm, encoded, rules, config, seed)
            n_rows = min(config.batch_size, len(encoded), self._rows_that_fit(runner, work))
            n_workers = max(1, min(n_threads, n_rows // _LEAST_ROWS))
            shares = [n_rows // n_workers + (i < n_rows % n_workers) for i in range(n_workers)]
            crew = _Crew(work, [(copy.copy(runner), n) for n in shares], n_threads // n_workers)
            with _threads(n_threads // n_workers), closing(crew.run()) as steps:
                yield from steps

    def _rows_that_fit(self, runner: Runner, work: Work) -> int:
        """Rows whose cache takes no more than a part of our memory; the text is the same."""
        if not isinstance(runner, Decoder):
            return len(work.encoded)
        if self._lm.device.type == "cuda":
            memory = torch.cuda.mem_get_info(self._lm.device)[0]
        else:
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        ours = int(_CACHE_RATIO * memory) // n_side_by_side()
        return max(1, ours // (runner.bytes_per_token * work.longest))

    def _runner(self, config: SampleConfig) -> Runner:
        model = self._lm.model
        dtype = sampling_dtype(config.bf16, model)
        if self._fast:
            try:
                return Decoder(model, dtype=dtype)
            except UnsupportedModelError as error:
                logger.info("sampling with the model's own forward pass: %s", error)
        return OwnForward(model)


@dataclass(frozen=True, slots=True)
class _Stepped:
    """What a step of one worker brought."""

    samples: list[Sample]
    tokens: int


class _Crew:
    """Threads that sample from the same waiting prompts, each in rows of its own."""

    def __init__(self, work: Work, shares: list[tuple[Runner, int]], n_threads: int) -> None:
        self._work, self._shares, self._n_threads = work, shares, n_threads
        self._stepped: SimpleQueue[_Stepped | BaseException | None] = SimpleQueue()
        self._stop = threading.Event()

    def run(self) -> Generator[_Stepped]:
        """Yield in the caller's thread; an error in a worker is raised here."""
        workers = [
            threading.Thread(target=self._work_off, args=share, daemon=True)
            for share in self._shares
        ]
        for worker in workers:
            worker.start()
        running = len(workers)
        try:
            while running:
                got = self._stepped.get()
                if isinstance(got, BaseException):
                    raise got
                if got is None:
                    running -= 1
                else:
                    yield got
        finally:
            self._stop.set()
            for worker in workers:
                worker.join()

    def _work_off(self, runner: Runner, n_rows: int) -> None:
        try:
            torch.set_num_threads(self._n_threads)  # each thread has a number of its own
            with torch.inference_mode():
                rows = Rows(runner, self._work, n_rows)
                tokens = 0
                for samples in rows:
                    self._stepped.put(_Stepped(samples, rows.tokens - tokens))
                    tokens = rows.tokens
                    if self._stop.is_set():
                        return
            self._stepped.put(None)
        except BaseException as error:
            self._stepped.put(error)


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


def sampling_dtype(bf16: str, model: Any) -> torch.dtype | None:
    """bfloat16 where asked, or where the processor multiplies it; None leaves the model's own."""
    if bf16 == "yes":
        return torch.bfloat16
    device = next(model.parameters()).device
    return torch.bfloat16 if bf16 == "auto" and has_bf16(device) else None


def _one_each(constraint: Constraints, n: int) -> list[Constraint | None]:
    if not isinstance(constraint, Sequence):
        return [constraint] * n
    if len(constraint) != n:
        raise StageError(f"{len(constraint)} constraints for {n} prompts; give one each")
    return list(constraint)


def _check_lengths(encoded: Mapping[int, list[int]], limit: int, model: Any) -> None:
    longest = getattr(model.config, "max_position_embeddings", None)
    for index, ids in encoded.items():
        if longest is not None and len(ids) + limit > longest:
            raise StageError(
                f"prompt {index} has {len(ids)} tokens; with {limit} new ones it exceeds the "
                f"model's {longest}: shorten it or lower max_new_tokens"
            )


def _progress(done: int, total: int, tokens: int, seconds: float) -> Progress:
    return Progress(
        "sample", done, total, "samples", tokens, seconds,
        {"tokens_per_second": tokens / seconds if seconds > 0 else 0.0},
    )  # fmt: skip


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Threads of one operation, for as long as this lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Dropout off while sampling."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
