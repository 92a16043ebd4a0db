"""A minute of the real work on the recipe's own models: how fast is this machine, how much memory.

It trains and samples on a few of the user's documents. What it writes lies in a scratch folder that
is deleted; what it returns are numbers.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from notesmith.augmentation.replace import gold_names
from notesmith.config.recipe import RecipeConfig
from notesmith.document import Document, labels_of
from notesmith.experiment.cost import Peak
from notesmith.experiment.machine import PeakMemory, release_memory
from notesmith.files.write import make_folder
from notesmith.forecast.resources import Resources, busy_seconds
from notesmith.forecast.speeds import LmSpeeds, Speeds, StudentSpeeds
from notesmith.progress import Progress

_STUDENT_STEPS = 10
_TUNING_STEPS = 3
_SAMPLES, _SAMPLE_TOKENS = 64, 32
_NAMES = 16
_DOCUMENTS = 40

Told = Callable[[str], None]


@dataclass(slots=True)
class _Last:
    """Keeps the last progress, whose seconds leave out loading."""

    seen: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        self.seen = progress

    @property
    def rate(self) -> float:
        return self.seen.tokens_per_second if self.seen else 0.0


def run_probe(
    config: RecipeConfig,
    docs: Sequence[Document],
    *,
    with_lm: bool,
    cache: Path,
    scratch: Path,
    machine: Resources,
    tell: Told = lambda what: None,
    seed: int = 13,
) -> Speeds:
    """Measure the speeds of the recipe's models on some of ``docs``.

    Args:
        config: the recipe.
        docs: gold documents.
        with_lm: whether any arm needs the language model.
        cache: folder for converted models.
        scratch: folder to work in; it is deleted.
        machine: cores and threads. What other work takes of them meanwhile is taken out, so that
            speeds are those of the machine when it is idle.
        tell: told what is being measured.
        seed: chooses the documents.
    """
    order = np.random.default_rng(seed).permutation(len(docs))[:_DOCUMENTS]
    some = [docs[int(i)] for i in order]
    labels = labels_of(docs)
    make_folder(scratch)
    try:
        tell("measuring the student on this machine, which is done once")
        clock = _Clock(0 if machine.gpu else machine.threads)
        student = _student(config, some, labels, scratch, seed, clock)
        lm = None
        if with_lm:
            tell("measuring the language model on this machine, about a minute")
            lm = _language_model(config, some, labels, cache, scratch, seed, clock)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        release_memory()
    today = datetime.now(tz=UTC).date().isoformat()
    return Speeds(lm, student, "measured", today, round(clock.others, 1))


class _Clock:
    """How much longer work took by the clock than it would alone; 1 on an idle machine."""

    def __init__(self, threads: int) -> None:
        """Of work on ``threads``; with 0, or where nothing is known of other work, 1 always."""
        self._threads = threads
        self._began = _Instant.now()
        self.start()

    def start(self) -> None:
        self._since = _Instant.now()

    @property
    def others(self) -> float:
        """Cores that other work took since this clock was made."""
        return _Instant.now().others(self._began)

    def stretch(self) -> float:
        """Since the last start."""
        now = _Instant.now()
        return stretch(
            wall=now.wall - self._since.wall,
            cpu=now.cpu - self._since.cpu,
            others=now.others(self._since),
            threads=self._threads,
            cores=os.cpu_count() or 1,
        )

    def seconds(self) -> float:
        """Since the last start, as alone."""
        return (time.monotonic() - self._since.wall) / self.stretch()


@dataclass(frozen=True, slots=True)
class _Instant:
    """Seconds: of the clock, of this process's processor time, of all processes'."""

    wall: float
    cpu: float
    all_cpu: float

    @classmethod
    def now(cls) -> _Instant:
        return cls(time.monotonic(), time.process_time(), busy_seconds())

    def others(self, since: _Instant) -> float:
        """Cores that other processes took between ``since`` and this instant."""
        wall, all_cpu = self.wall - since.wall, self.all_cpu - since.all_cpu
        return max(0.0, all_cpu - (self.cpu - since.cpu)) / wall if wall > 0 else 0.0


def stretch(*, wall: float, cpu: float, others: float, threads: int, cores: int) -> float:
    """Times that work took longer than alone, 1 or more.

    Other work takes ``others`` of the ``cores``, so ``threads`` of ours share what is left; and
    ours was not held up by more than it falls short of ``threads`` full cores.

    Args:
        wall: seconds of the clock.
        cpu: seconds of the processor, of all our threads.
        others: cores that other work took.
        threads: of ours; 0 to believe the clock.
        cores: of the machine.
    """
    if not threads or cpu <= 0 or cores - others >= threads:
        return 1.0
    return max(1.0, min(wall * threads / cpu, threads / max(1e-9, cores - others)))


class _Peak:
    """Bytes that a part of the work took: of the GPU if there is one."""

    def __init__(self) -> None:
        import torch

        release_memory()
        self._cuda = torch.cuda.is_available()
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        self._memory = PeakMemory()

    def read(self) -> int:
        import torch

        return int(torch.cuda.max_memory_allocated()) if self._cuda else self._memory.read()


def _student(
    config: RecipeConfig,
    docs: Sequence[Document],
    labels: Sequence[str],
    work: Path,
    seed: int,
    clock: _Clock,
) -> StudentSpeeds:
    from notesmith.ner.model import load_ner
    from notesmith.ner.train import train_ner

    # A few documents may lack an attribute, and a second head takes no time to speak of.
    short = config.ner.mentions_only().model_copy(update={"steps": _STUDENT_STEPS})
    last, peak = _Last(), _Peak()
    clock.start()
    result = train_ner(docs, config=short, labels=labels, seed=seed, on_progress=last)
    trained, training_peak = last.rate * clock.stretch(), peak.read()
    folder = work / "student"
    result.model.save(folder)
    size = _size(folder)
    del result
    peak = _Peak()
    clock.start()
    model = load_ner(folder)
    loaded = clock.seconds()
    reading = _Last()
    clock.start()
    model.predict(docs, on_progress=reading)
    read = reading.rate * clock.stretch()
    words = sum(len(doc.text.split()) for doc in docs)
    pieces = reading.seen.tokens if reading.seen else words
    return StudentSpeeds(
        trained=trained,
        read=read,
        pieces_per_word=pieces / max(1, words),
        load=loaded,
        folder=size,
        peaks={"training": training_peak, "predicting": peak.read()},
    )


def _language_model(
    config: RecipeConfig,
    docs: Sequence[Document],
    labels: Sequence[str],
    cache: Path,
    work: Path,
    seed: int,
    clock: _Clock,
) -> LmSpeeds:
    from notesmith.lm.load import load_lm
    from notesmith.lm.training.sft import encode_examples
    from notesmith.synthesis.config import GenerationConfig, PromptConfig
    from notesmith.synthesis.generate import examples_of, run_sample, run_sft
    from notesmith.synthesis.names import NameSet
    from notesmith.synthesis.plan import marks_for, units_of

    load_lm(config.lm, cache=cache, sample_texts=[doc.text for doc in docs])  # converts once
    peak = _Peak()
    clock.start()
    lm = load_lm(config.lm, cache=cache, sample_texts=[doc.text for doc in docs])
    loaded = clock.seconds()
    scored = _scoring(lm, docs, clock)
    peaks: dict[Peak, int] = {"scoring": peak.read()}
    prompt = PromptConfig.from_recipe(config)
    units = units_of(docs, config.sft, lm)
    examples = examples_of(
        units,
        neighbours=units,
        marks=marks_for(lm, labels),
        config=prompt,
        unit=config.sft.unit,
        labels=labels,
        seed=seed,
    )
    n_tokens = sum(len(row.ids) for row in encode_examples(lm, examples))
    n_words = sum(
        len(example.prompt.split()) + len(unit.text.split())
        for example, unit in zip(examples, units, strict=True)
    )
    peak = _Peak()
    short = config.sample.model_copy(update={"max_new_tokens": _SAMPLE_TOKENS})
    asked = GenerationConfig.from_recipe(config).model_copy(update={"sample": short})
    clock.start()
    made = run_sample(lm, docs, NameSet(), asked, units=_SAMPLES, labels=labels, seed=seed)
    sampled = made.tokens / max(made.seconds, 1e-9) * clock.stretch()
    peaks["sampling"] = peak.read()
    peak = _Peak()
    clock.start()
    tuned = run_sft(
        lm,
        _some_and_longest(units, config.sft.batch_size),
        # One unit is held out, so that the best weights are kept in memory as in a run.
        config.sft.model_copy(
            update={
                "epochs": 1.0,
                "dev_ratio": 0.01,
                "evaluations_per_epoch": 1,
                "replaced_copies": 0,
            }
        ),
        prompt,
        labels=labels,
        out=work / "tuned",
        seed=seed,
    )
    trained = tuned.tokens_per_second * clock.stretch()
    peaks["tuning"] = peak.read()
    return LmSpeeds(
        sampled=sampled,
        trained=trained,
        scored=scored,
        tokens_per_word=n_tokens / max(1, n_words),
        load=loaded,
        folder=_size(work / "tuned"),
        peaks=peaks,
    )


def _scoring(lm: Any, docs: Sequence[Document], clock: _Clock) -> float:
    """Names scored a second, each against one list."""
    from notesmith.synthesis.names import type_scores

    gold = gold_names(docs)
    label = max(gold, key=lambda name: (len(gold[name]), name), default="")
    if not label:
        return 1.0
    from notesmith.lm.score import score_continuations

    n_lists = 0

    def score(prompts: Sequence[str], continuations: Sequence[str]) -> list[Any]:
        nonlocal n_lists
        n_lists = len(prompts)
        return list(score_continuations(lm, prompts, continuations))

    names = list(gold[label])[:_NAMES]
    clock.start()
    type_scores(names, label, gold, np.random.default_rng(0), score)
    return n_lists / max(clock.seconds(), 1e-9)


def _some_and_longest(units: Sequence[Document], batch_size: int) -> list[Document]:
    """A few batches of units, the longest among them, as they decide the peak of memory."""
    ordered = sorted(units, key=lambda unit: -len(unit.text))
    typical = ordered[len(ordered) // 2 :]
    wanted = [*ordered[:batch_size], *typical[: (_TUNING_STEPS - 1) * batch_size]]
    return list({unit.id: unit for unit in wanted}.values())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
