"""A minute of the real work on the recipe's own models: how fast is this machine, how much memory.

It trains and samples on a few of the user's documents. What it writes lies in a scratch folder that
is deleted; what it returns are numbers.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from notesmith.augment import gold_names
from notesmith.config import RecipeConfig
from notesmith.corpus.files import make_folder
from notesmith.document import Document, labels_of
from notesmith.pipeline.forecast.speeds import LmSpeeds, Speeds, StudentSpeeds
from notesmith.pipeline.machine import PeakMemory, release_memory
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
        tell: told what is being measured.
        seed: chooses the documents.
    """
    order = np.random.default_rng(seed).permutation(len(docs))[:_DOCUMENTS]
    some = [docs[int(i)] for i in order]
    labels = labels_of(docs)
    make_folder(scratch)
    try:
        tell("measuring the student on this machine (once; --no-probe leaves it out)")
        student = _student(config, some, labels, scratch, seed)
        lm = None
        if with_lm:
            tell("measuring the language model on this machine, about a minute")
            lm = _language_model(config, some, labels, cache, scratch, seed)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        release_memory()
    return Speeds(lm, student, "measured", datetime.now(tz=UTC).date().isoformat())


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
    config: RecipeConfig, docs: Sequence[Document], labels: Sequence[str], work: Path, seed: int
) -> StudentSpeeds:
    from notesmith.ner import load_ner, train_ner

    short = config.ner.model_copy(update={"steps": _STUDENT_STEPS})
    last, peak = _Last(), _Peak()
    result = train_ner(docs, config=short, labels=labels, seed=seed, on_progress=last)
    trained, training_peak = last.rate, peak.read()
    folder = work / "student"
    result.model.save(folder)
    size = _size(folder)
    del result
    peak = _Peak()
    started = time.monotonic()
    model = load_ner(folder)
    loaded = time.monotonic() - started
    reading = _Last()
    model.predict(docs, on_progress=reading)
    words = sum(len(doc.text.split()) for doc in docs)
    pieces = reading.seen.tokens if reading.seen else words
    return StudentSpeeds(
        trained=trained,
        read=reading.rate,
        pieces_per_word=pieces / max(1, words),
        load=loaded,
        folder=size,
        peaks={"ner": training_peak, "score": peak.read()},
    )


def _language_model(
    config: RecipeConfig,
    docs: Sequence[Document],
    labels: Sequence[str],
    cache: Path,
    work: Path,
    seed: int,
) -> LmSpeeds:
    from notesmith.lm import load_lm
    from notesmith.lm.sft import encode_examples
    from notesmith.synthesize import NameSet, run_sample, run_sft
    from notesmith.synthesize.brief import marks_for, units_of
    from notesmith.synthesize.generate import examples_of

    load_lm(config.lm, cache=cache, sample_texts=[doc.text for doc in docs])  # converts once
    peak = _Peak()
    started = time.monotonic()
    lm = load_lm(config.lm, cache=cache, sample_texts=[doc.text for doc in docs])
    loaded = time.monotonic() - started
    scored = _scoring(lm, docs)
    peaks = {"names": peak.read()}
    units = units_of(docs, config.sft, lm)
    examples = examples_of(
        units,
        neighbours=units,
        marks=marks_for(lm, labels),
        config=config.synthesize,
        sft=config.sft,
        kind=config.corpus.kind,
        labels=labels,
        seed=seed,
        descriptions=config.corpus.label_descriptions,
    )
    n_tokens = sum(len(row.ids) for row in encode_examples(lm, examples))
    n_words = sum(
        len(example.prompt.split()) + len(unit.text.split())
        for example, unit in zip(examples, units, strict=True)
    )
    peak = _Peak()
    asked = config.model_copy(
        update={
            "synthesize": config.synthesize.model_copy(
                update={"units": _SAMPLES, "units_per_gold": None, "agreement": False}
            ),
            "sample": config.sample.model_copy(update={"max_new_tokens": _SAMPLE_TOKENS}),
        }
    )
    made = run_sample(lm, docs, NameSet(), asked, labels=labels, seed=seed)
    peaks["sample"] = peak.read()
    peak = _Peak()
    tuned = run_sft(
        lm,
        _some_and_longest(units, config.sft.batch_size),
        config.sft.model_copy(update={"epochs": 1.0, "dev_ratio": 0.0, "replaced_copies": 0}),
        config.synthesize,
        kind=config.corpus.kind,
        labels=labels,
        out=work / "tuned",
        seed=seed,
    )
    peaks["sft"] = peak.read()
    return LmSpeeds(
        sampled=made.tokens / max(made.seconds, 1e-9),
        trained=tuned.tokens_per_second,
        scored=scored,
        tokens_per_word=n_tokens / max(1, n_words),
        load=loaded,
        folder=_size(work / "tuned"),
        peaks=peaks,
    )


def _scoring(lm: Any, docs: Sequence[Document]) -> float:
    """Names scored a second, each against one list."""
    from notesmith.synthesize.names import type_scores

    gold = gold_names(docs)
    label = max(gold, key=lambda name: (len(gold[name]), name), default="")
    if not label:
        return 1.0
    from notesmith.lm import score_continuations

    n_lists = 0

    def score(prompts: Sequence[str], continuations: Sequence[str]) -> list[Any]:
        nonlocal n_lists
        n_lists = len(prompts)
        return list(score_continuations(lm, prompts, continuations))

    names = list(gold[label])[:_NAMES]
    started = time.monotonic()
    type_scores(names, label, gold, np.random.default_rng(0), score)
    return n_lists / max(time.monotonic() - started, 1e-9)


def _some_and_longest(units: Sequence[Document], batch_size: int) -> list[Document]:
    """A few batches of units, the longest among them, as they decide the peak of memory."""
    ordered = sorted(units, key=lambda unit: -len(unit.text))
    typical = ordered[len(ordered) // 2 :]
    wanted = [*ordered[:batch_size], *typical[: (_TUNING_STEPS - 1) * batch_size]]
    return list({unit.id: unit for unit in wanted}.values())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
