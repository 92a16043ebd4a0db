"""Labelled notes in numbers without text, and the ones that a page shows: one pass over them."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
from pydantic import Field

from notesmith.annotation.language_model import ANSWERS
from notesmith.config.annotators import AnnotateConfig
from notesmith.config.fields import Config
from notesmith.document import Document, Span
from notesmith.evaluate.calibration import Calibrated
from notesmith.experiment.taught import Part, Taught
from notesmith.ner.decode import WordScores, score_of
from notesmith.ner.soft import tempered
from notesmith.report.silver import BANDS, LabelBands, ShownNote

_N_DOUBTFUL = 40
_N_RANDOM = 20


class Summary(Config):
    """Counts of labelled notes.

    ``labels`` counts mentions by label and score (see ``LabelBands``). A word is doubtful if its
    most probable tag has less than ``annotate.doubtful``; ``masked`` words are left out of training
    as doubtful. ``confidence`` is the mean score of mentions, 0 where there is none. ``left_out``
    counts notes by what they repeat, ``reading`` what reading them noticed, ``problems`` what
    annotators that find mentions could not use, by reason and annotator, and ``answers`` those of
    language models. ``calibrated`` says how the scores of tuned ones were calibrated, where they
    were to be, by annotator.
    """

    notes: int
    words: int
    doubtful: int
    masked: int
    labels: tuple[LabelBands, ...]
    confidence: float
    left_out: dict[str, int]
    reading: dict[str, int]
    problems: dict[str, int]
    answers: dict[str, int] = Field(default_factory=dict)
    calibrated: dict[str, Calibrated] = Field(default_factory=dict)

    @property
    def mentions(self) -> int:
        """Mentions of all labels."""
        return sum(label.mentions for label in self.labels)


@dataclass(slots=True)
class Look:
    """A pass over labelled notes and their distributions. State: counts, and notes to show.

    ``doubtful`` are the notes with the highest mean doubt a word (1 minus the probability of its
    most probable tag), in falling order, and ``random`` some of the others.
    """

    labels: tuple[str, ...]
    config: AnnotateConfig
    seed: int
    n_notes: int = 0
    n_words: int = 0
    n_doubtful: int = 0
    n_masked: int = 0
    total: float = 0.0
    bands: dict[str, Counter[int]] = field(default_factory=dict)
    problems: Counter[str] = field(default_factory=Counter)
    _doubtful: list[tuple[Any, ...]] = field(default_factory=list)
    _random: list[tuple[Any, ...]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=count)

    def take(self, chunk: Sequence[Document], taught: Taught) -> Part:
        """Look at a chunk of notes; returns the distributions that a student learns.

        ``temperature`` is applied to them.
        """
        self.problems.update(taught.counts)
        (part,) = taught.parts()
        for doc, one in zip(chunk, part.scores, strict=True):
            self._add(doc, one)
        scores = (tempered(one, self.config.temperature) for one in part.scores)
        return replace(part, scores=tuple(scores))

    def _add(self, doc: Document, scores: WordScores) -> None:
        doubt = 1 - scores.probabilities.max(axis=1, initial=0)
        unsure = np.flatnonzero(doubt > 1 - self.config.doubtful)
        self.n_notes += 1
        self.n_words += len(scores.words)
        self.n_doubtful += len(unsure)
        self.n_masked += _n_masked(scores.words, doc.masked)
        for ent in doc.entities:
            score = score_of(ent) or 0.0
            self.total += score
            self.bands.setdefault(ent.label, Counter())[_band(score)] += 1
        mean = float(doubt.mean()) if len(doubt) else 0.0
        shown = ShownNote(doc, mean, tuple(scores.words[int(i)] for i in unsure))
        order = next(self._order)
        _keep(self._doubtful, (mean, doc.id, -order, shown), _N_DOUBTFUL)
        _keep(self._random, (_lot(self.seed, doc.id), doc.id, -order, shown), _N_RANDOM)

    @property
    def doubtful(self) -> list[ShownNote]:
        """The notes that the annotators doubt most."""
        return [shown for *_, shown in sorted(self._doubtful, key=lambda x: x[:3], reverse=True)]

    @property
    def random(self) -> list[ShownNote]:
        """Notes drawn by lot, without those of ``doubtful``."""
        have = {shown.doc.id for shown in self.doubtful}
        drawn = sorted(self._random, key=lambda x: x[:3], reverse=True)
        return [shown for *_, shown in drawn if shown.doc.id not in have]

    def summary(
        self,
        left_out: Counter[str],
        reading: Counter[str],
        calibrated: Mapping[str, Calibrated],
    ) -> Summary:
        """The counts, once all notes were looked at."""
        bands = {label: self.bands.get(label, Counter()) for label in self.labels}
        labels = tuple(
            LabelBands(label=label, bands=tuple(found[i] for i in range(len(BANDS))))
            for label, found in bands.items()
        )
        n = sum(found.total() for found in bands.values())
        found_by = [(what, n) for what, n in sorted(self.problems.items()) if n]
        return Summary(
            notes=self.n_notes,
            words=self.n_words,
            doubtful=self.n_doubtful,
            masked=self.n_masked,
            labels=labels,
            confidence=round(self.total / n, 4) if n else 0.0,
            left_out=dict(sorted(left_out.items())),
            reading={what: n for what, n in sorted(reading.items()) if n},
            problems={what: n for what, n in found_by if not what.startswith(ANSWERS)},
            answers={what: n for what, n in found_by if what.startswith(ANSWERS)},
            calibrated=dict(calibrated),
        )


def _keep(heap: list[tuple[Any, ...]], entry: tuple[Any, ...], most: int) -> None:
    if len(heap) < most:
        heapq.heappush(heap, entry)
    else:
        heapq.heappushpop(heap, entry)


def _lot(seed: int, doc_id: str) -> int:
    data = f"{seed}\0{doc_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _band(score: float) -> int:
    return next(i for i, low in enumerate(BANDS) if score >= low)


def _n_masked(words: Sequence[Span], masked: Sequence[Span]) -> int:
    return sum(any(start < e and s < end for s, e in masked) for start, end in words)
