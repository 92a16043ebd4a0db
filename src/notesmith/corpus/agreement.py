"""How well annotators agree: F1 of one against the other, which is the same both ways.

Strict and lenient are those of ``notesmith.metrics``. F1 is the measure of mentions, for it needs
no count of what nobody marked (Hripcsak and Rothschild 2005). Intervals resample documents, those
of a patient together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from notesmith.corpus.disputes import Disagreement, by_document, disagreements
from notesmith.corpus.problems import Tally
from notesmith.document import Document
from notesmith.errors import CorpusError
from notesmith.metrics import Matching, PRFScore, score_document
from notesmith.rules import CONFIDENCE

_CHUNK = 200


@dataclass(frozen=True, slots=True)
class F1:
    """Counts of one annotator (missed: ``fn``) against another (``fp``), and the interval of F1.

    ``interval`` is None where there is one document, or none to resample.
    """

    counts: PRFScore
    interval: tuple[float, float] | None = None

    @property
    def value(self) -> float | None:
        """F1; None where neither marked anything."""
        return self.counts.f1 if self.counts.tp + self.counts.fp + self.counts.fn else None

    def to_record(self) -> dict[str, Any]:
        """JSON values."""
        low, high = self.interval or (None, None)
        counts = self.counts
        found = {"f1": self.value, "low": low, "high": high}
        return {**found, "both": counts.tp, "only_first": counts.fn, "only_second": counts.fp}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The agreement of two annotators, or over all pairs of several (counts added up)."""

    annotators: tuple[str, ...]
    n_documents: int
    strict: F1
    lenient: F1
    labels: Mapping[str, tuple[F1, F1]]

    def to_record(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "annotators": list(self.annotators),
            "n_documents": self.n_documents,
            "strict": self.strict.to_record(),
            "lenient": self.lenient.to_record(),
            "labels": {
                label: {"strict": strict.to_record(), "lenient": lenient.to_record()}
                for label, (strict, lenient) in self.labels.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """Every pair that shares documents, all pairs together, and where the annotators differ.

    ``sizes`` holds documents and mentions by annotator, ``readings`` the shared documents by id and
    annotator, ``counts`` what was left out.
    """

    pairs: tuple[Comparison, ...]
    overall: Comparison
    disagreements: tuple[Disagreement, ...]
    sizes: Mapping[str, tuple[int, int]]
    readings: Mapping[str, Mapping[str, Document]]
    n_groups: int
    counts: Mapping[str, int]

    @property
    def kinds(self) -> dict[str, int]:
        """Number of disagreements by kind, as ``words`` says it, most frequent first."""
        return dict(Counter(words(found) for found in self.disagreements).most_common())

    def to_record(self) -> dict[str, Any]:
        """JSON values, without text."""
        return {
            "annotators": {
                name: {"n_documents": docs, "n_mentions": mentions}
                for name, (docs, mentions) in self.sizes.items()
            },
            "overall": self.overall.to_record(),
            "pairs": [pair.to_record() for pair in self.pairs],
            "kinds": self.kinds,
            "disagreements": [found.to_record() for found in self.disagreements],
            "counts": dict(self.counts),
        }


def words(found: Disagreement) -> str:
    """The kind of a disagreement for people: ``only`` names those who mark."""
    return f"only {', '.join(found.markers)}" if found.kind == "only" else found.kind


def agreement(
    annotators: Mapping[str, Sequence[Document]],
    *,
    tally: Tally | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = 2000,
    seed: int = 13,
) -> Agreement:
    """Compare annotators on the documents that two or more of them have, paired by id.

    Args:
        annotators: documents by annotator.
        tally: what to do with documents whose texts differ; an error if None.
        confidence: of the intervals.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        CorpusError: no document has two annotators, or texts of one id differ.
    """
    tally = tally or Tally()
    every = by_document(annotators, tally)
    shared = {doc_id: readings for doc_id, readings in every.items() if len(readings) > 1}
    if not shared:
        names = ", ".join(annotators)
        what = f"nothing that {names} share"
        if len(annotators) < 2:
            what = f"one annotator ({names})" if names else "no annotator"
        raise CorpusError(
            f"{what}: name a path for each annotator, whose documents have the same ids"
        )
    tally.note("documents of one annotator only, not compared", len(every) - len(shared))
    groups = {doc_id: i for i, ids in enumerate(_groups(shared)) for doc_id in ids}
    resample = _Resampling(groups, confidence, resamples, seed)
    pairs: list[Comparison] = []
    rows: list[_Row] = []
    for pair in combinations(annotators, 2):
        both = [r for r in shared.values() if pair[0] in r and pair[1] in r]
        mine = [_Row.of(readings[pair[0]], readings[pair[1]]) for readings in both]
        if mine:
            pairs.append(resample.compare(pair, mine))
            rows += mine
    overall = pairs[0] if len(pairs) == 1 else resample.compare(tuple(annotators), rows)
    return Agreement(
        tuple(pairs),
        overall,
        tuple(x for doc_id, readings in shared.items() for x in disagreements(doc_id, readings)),
        {name: (len(d), sum(len(x.entities) for x in d)) for name, d in annotators.items()},
        shared,
        len(set(groups.values())),
        dict(sorted(tally.counts.items())),
    )


def _groups(shared: Mapping[str, Mapping[str, Document]]) -> list[list[str]]:
    """Ids of the documents of each patient; a document that names none is one of its own."""
    found: dict[tuple[str, str], list[str]] = {}
    for doc_id, readings in shared.items():
        patient = next(iter(readings.values())).metadata.get("patient")
        key = ("doc", doc_id) if patient is None else ("patient", str(patient))
        found.setdefault(key, []).append(doc_id)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Row:
    """The counts of one document and pair by label."""

    doc_id: str
    strict: Mapping[str, PRFScore]
    lenient: Mapping[str, PRFScore]

    @classmethod
    def of(cls, one: Document, other: Document) -> _Row:
        def counts(matching: Matching) -> dict[str, PRFScore]:
            return score_document(one, other, matching=matching)

        return cls(one.id, counts("strict"), counts("overlap"))


@dataclass(frozen=True, slots=True)
class _Resampling:
    """How intervals are found: the group of each document, and the bootstrap's settings."""

    groups: Mapping[str, int]
    confidence: float
    resamples: int
    seed: int

    def compare(self, annotators: tuple[str, ...], rows: Sequence[_Row]) -> Comparison:
        labels = sorted({label for row in rows for label in row.strict})
        return Comparison(
            annotators,
            len({row.doc_id for row in rows}),
            self._f1((row.doc_id, PRFScore.sum(row.strict.values())) for row in rows),
            self._f1((row.doc_id, PRFScore.sum(row.lenient.values())) for row in rows),
            {
                label: (
                    F1(PRFScore.sum(row.strict.get(label, PRFScore()) for row in rows)),
                    F1(PRFScore.sum(row.lenient.get(label, PRFScore()) for row in rows)),
                )
                for label in labels
            },
        )

    def _f1(self, scores: Iterable[tuple[str, PRFScore]]) -> F1:
        by_group: dict[int, PRFScore] = {}
        for doc_id, score in scores:
            group = self.groups[doc_id]
            by_group[group] = by_group.get(group, PRFScore()) + score
        total = PRFScore.sum(by_group.values())
        n = len(by_group)
        if n < 2 or not total.tp + total.fp + total.fn:
            return F1(total)
        counts = np.array([(2 * s.tp, s.fp + s.fn) for s in by_group.values()], dtype=float)
        rng = np.random.default_rng(self.seed)
        found = []
        for done in range(0, self.resamples, _CHUNK):
            weights = rng.multinomial(n, [1 / n] * n, size=min(_CHUNK, self.resamples - done))
            agreed, differing = (weights @ counts).T
            whole = agreed + differing
            found.append(np.divide(agreed, whole, out=np.zeros(len(whole)), where=whole > 0))
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(np.concatenate(found), (tail, 1 - tail))
        return F1(total, (float(low), float(high)))
