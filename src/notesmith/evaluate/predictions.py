"""Score one set of predictions, or compare two, outside a run: what ``notesmith evaluate`` does.

One student each, so only the documents are resampled: the interval says what other documents would
give, not what another seed or another draw of gold would. Scores are in points of 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from notesmith.corpus.parts import folded
from notesmith.document import Document, parents_in
from notesmith.errors import StageError
from notesmith.evaluate.bootstrap import (
    Array,
    Metric,
    bootstrap,
    document_weights,
    f1,
    pool_groups,
    precision,
    recall,
    two_sided_p,
)
from notesmith.evaluate.calibration import MentionReliability, mention_reliability
from notesmith.evaluate.multiple import holm
from notesmith.evaluate.pairing import Missing, pair
from notesmith.evaluate.phrases import points
from notesmith.evaluate.scores import CellScores, View, score_cell
from notesmith.metrics import count_unscored, known_only
from notesmith.rules import CONFIDENCE, FEW_DOCUMENTS

CANNOT_SHOW = (
    "What this cannot show: each side is one student, of one draw of gold and one seed, and "
    "students that differ in nothing but their seed are often a point of F1 apart. If thresholds, "
    "settings or one of several students were chosen on these documents, the better side looks "
    "better than it is. notesmith run compares ways to train over several draws, on documents that "
    "stay sealed until then."
)


@dataclass(frozen=True, slots=True)
class Rating:
    """Scores of one part (a view, or a label in the strict view), in points of 100.

    ``left_out_ratio`` of the resamples held no gold mention of it and are not in the interval.
    ``n_with`` documents (patients, as resampled) of gold have a mention of it: with fewer than
    ``FEW_DOCUMENTS`` the interval is not to be relied on.
    """

    part: str
    precision: float
    recall: float
    f1: float
    f1_low: float
    f1_high: float
    tp: int
    fp: int
    fn: int
    left_out_ratio: float = 0.0
    n_with: int = 0


@dataclass(frozen=True, slots=True)
class AttributeRating:
    """Scores of one attribute's values (see ``metrics.AttributeScores``)."""

    name: str
    on_found: Rating
    end_to_end: Rating


@dataclass(frozen=True, slots=True)
class Ratings:
    """All parts, and how many documents (patients, where the corpus names them) they rest on.

    ``macro`` is the mean of strict scores over the labels that gold has, its counts their sum.
    ``attributes`` are those of gold, none where predictions carry none of them. ``reliability`` is
    that of the scores of predictions, None where they carry none; its numbers are from 0 to 1.
    ``notices`` are sentences about what a reader must not miss.
    """

    views: tuple[Rating, ...]
    macro: Rating
    labels: tuple[Rating, ...]
    attributes: tuple[AttributeRating, ...]
    n_documents: int
    n_groups: int
    confidence: float
    notices: tuple[str, ...] = ()
    reliability: MentionReliability | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {"scale": 100, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Difference:
    """F1 of the second set minus the first's, in points of 100.

    ``left_out_ratio`` and ``n_with`` as in ``Rating``.
    """

    part: str
    f1_first: float
    f1_second: float
    delta: float
    low: float
    high: float
    p: float
    p_holm: float
    left_out_ratio: float = 0.0
    n_with: int = 0


@dataclass(frozen=True, slots=True)
class Differences:
    """The differences by view, the strict one first, and by label (Holm over labels).

    ``macro`` is that of the mean of strict F1 over the labels that gold has.
    """

    views: tuple[Difference, ...]
    macro: Difference
    labels: tuple[Difference, ...]
    n_documents: int
    n_groups: int
    confidence: float
    notices: tuple[str, ...] = ()

    @property
    def strict(self) -> Difference:
        """Of all labels together, label and boundaries right."""
        return self.views[0]

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {"scale": 100, **asdict(self)}

    def sentence(self, first: str, second: str) -> str:
        """The strict difference in words."""
        diff = self.strict
        figures = (
            f"{points(diff.delta)} F1 [{points(diff.low)}, {points(diff.high)}], p = {diff.p:.2g}"
        )
        what = resampled_units(self.n_groups, self.n_documents)
        scope = f"over {self.n_groups} {what}"
        if diff.p < 1 - self.confidence and (diff.low > 0 or diff.high < 0):
            better, worse = (second, first) if diff.delta > 0 else (first, second)
            return f"{better} scores higher than {worse}: {figures} {scope}."
        return f"No difference shown between {second} and {first}: {figures} {scope}."


def resampled_units(n_groups: int, n_documents: int) -> str:
    """What was resampled: documents, or what holds several of them together."""
    return "documents" if n_groups == n_documents else "patients or source documents"


def _notices(cells: Sequence[CellScores], parts: Iterable[Rating | Difference]) -> tuple[str, ...]:
    found = [
        f"The {which}predictions hold no mention at all."
        for cell, which in zip(cells, _names(len(cells)), strict=True)
        if cell.predicts_nothing
    ]
    parts = list(parts)
    absent = [row.part for row in parts if not row.n_with]
    few = [f"{r.part} ({r.n_with})" for r in parts if 0 < r.n_with < FEW_DOCUMENTS]
    left_out = [f"{r.part} {r.left_out_ratio:.1%}" for r in parts if 0 < r.left_out_ratio < 1]
    if absent:
        found.append(
            f"Gold has no mention of {', '.join(absent)}: every prediction of such a label is "
            "wrong."
        )
    if few:
        found.append(
            f"Fewer than {FEW_DOCUMENTS} documents of gold have these labels, too few for an "
            f"interval: {', '.join(few)}."
        )
    if left_out:
        found.append(
            "Resamples that hold no gold mention of a label are left out of its interval: "
            f"{', '.join(left_out)}."
        )
    return tuple(found)


def _names(n_sides: int) -> tuple[str, ...]:
    """How sentences call the predictions: nothing where there is one set of them."""
    return ("first ", "second ") if n_sides > 1 else ("",)


def _trained_on(gold: Sequence[Document], train: Sequence[Document] | None) -> tuple[str, ...]:
    """What must be said where the training data has documents of ``gold``, or text made of them."""
    if train is None:
        return ()
    texts = {folded(doc.text) for doc in train}
    # An id that is that of a training document too does not say which of the two is the parent.
    ids = {doc.id for doc in gold} - {doc.id for doc in train}
    parents = {parent for doc in train for parent in parents_in(doc, ids)}
    n = sum(folded(doc.text) in texts or doc.id in parents for doc in gold)
    if not n:
        return ()
    return (
        f"{n} of {len(gold)} documents are in the training data, or documents in it were made of "
        "them: what is scored here is not new to the student.",
    )


def _unscored(
    gold: Sequence[Document], predicted: Sequence[Document], which: str = ""
) -> tuple[str, ...]:
    """What must be said where mentions touch text that gold masks."""
    n = count_unscored(gold, predicted)
    if not n:
        return ()
    return (
        f"{n.gold} gold mentions and {n.predicted} {which}predictions touch masked text, whose "
        "labels are unknown: they are not scored.",
    )


def rate(
    gold: Sequence[Document],
    predicted: Sequence[Document],
    *,
    train: Sequence[Document] | None = None,
    missing: Missing = "error",
    resamples: int = 10_000,
    confidence: float = CONFIDENCE,
    seed: int = 13,
) -> Ratings:
    """Score predictions with intervals over documents.

    Args:
        gold: as annotated.
        predicted: the same documents as predicted.
        train: the training data, to score mentions apart that it has and lacks.
        missing: what a document without a prediction is (see ``pairing.pair``).
        resamples: bootstrap resamples.
        confidence: of the intervals.
        seed: of the resampling.

    Raises:
        StageError: gold has no mention, or the documents are not the same on both sides.
    """
    side = _side(gold, predicted, train, missing=missing, attributes=None)
    cell = side.cell
    weights = document_weights(len(set(cell.groups)), resamples, seed=seed)

    def rating(part: str, counts: Array) -> Rating:
        pooled = pool_groups(counts[None], cell.groups)
        found = bootstrap(pooled, confidence=confidence, seed=seed, weights=weights)
        total = counts.sum(axis=0)
        return Rating(
            part,
            _points(float(precision(total))),
            _points(float(recall(total))),
            _points(float(f1(total))),
            _points(found.low),
            _points(found.high),
            tp=int(total[0]),
            fp=int(total[1]),
            fn=int(total[2]),
            left_out_ratio=found.n_left_out / len(weights),
            n_with=_n_with(pooled[0]),
        )

    views: list[View] = ["strict", "lenient", "boundary"]
    if train is not None:
        views += ["unseen", "seen"]
    is_predicted = cell.counts("end_to_end")[:, :2].any()
    labels = tuple(rating(label, cell.counts(label=label)) for label in cell.strict)
    return Ratings(
        views=tuple(rating(view, cell.counts(view)) for view in views),
        macro=_macro(cell, weights, confidence),
        labels=labels,
        attributes=tuple(
            AttributeRating(
                name,
                rating(name, cell.counts("on_found", label=name)),
                rating(name, cell.counts("end_to_end", label=name)),
            )
            for name in cell.end_to_end
            if is_predicted
        ),
        n_documents=cell.n_documents,
        n_groups=len(set(cell.groups)),
        confidence=confidence,
        notices=(
            *side.notices,
            *_trained_on(gold, train),
            *_notices([cell], labels),
            *_without_score(side.reliability),
        ),
        reliability=side.reliability,
    )


def compare(
    gold: Sequence[Document],
    first: Sequence[Document],
    second: Sequence[Document],
    *,
    train: Sequence[Document] | None = None,
    missing: Missing = "error",
    resamples: int = 10_000,
    confidence: float = CONFIDENCE,
    seed: int = 13,
) -> Differences:
    """Compare two sets of predictions, paired by document.

    Args:
        gold: as annotated.
        first: the same documents as predicted, to compare with.
        second: the same documents as predicted otherwise.
        train: the training data of both, to compare mentions apart that it has and lacks.
        missing: what a document without a prediction is (see ``pairing.pair``).
        resamples: bootstrap resamples.
        confidence: of the intervals.
        seed: of the resampling.

    Raises:
        StageError: gold has no mention, or the documents are not the same in all three.
    """
    sides = [
        _side(gold, docs, train, missing=missing, which=which)
        for docs, which in zip((first, second), _names(2), strict=True)
    ]
    ours, theirs = (side.cell for side in sides)
    weights = document_weights(len(set(ours.groups)), resamples, seed=seed)

    def difference(part: str, view: View, label: str | None = None) -> Difference:
        before, after = ours.counts(view, label=label), theirs.counts(view, label=label)
        pooled = pool_groups(before[None], ours.groups)
        found = bootstrap(
            pool_groups(after[None], ours.groups),
            pooled,
            confidence=confidence,
            seed=seed,
            weights=weights,
        )
        return Difference(
            part,
            _points(float(f1(before.sum(axis=0)))),
            _points(float(f1(after.sum(axis=0)))),
            _points(found.mean),
            _points(found.low),
            _points(found.high),
            found.p,
            found.p,
            left_out_ratio=found.n_left_out / len(weights),
            n_with=_n_with(pooled[0]),
        )

    views: list[View] = ["strict", "lenient"]
    if train is not None:
        views += ["unseen", "seen"]
    labels = sorted({*ours.strict, *theirs.strict})
    found = [difference(label, "strict", label) for label in labels]
    adjusted = holm([diff.p for diff in found])
    return Differences(
        views=tuple(difference(view, view) for view in views),
        macro=_macro_difference(ours, theirs, weights, confidence),
        labels=tuple(
            Difference(**{**asdict(diff), "p_holm": p})
            for diff, p in zip(found, adjusted, strict=True)
        ),
        n_documents=ours.n_documents,
        n_groups=len(set(ours.groups)),
        confidence=confidence,
        notices=(
            *dict.fromkeys(notice for side in sides for notice in side.notices),
            *_trained_on(gold, train),
            *_notices([ours, theirs], found),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """The scores of one set of predictions, and sentences about how they were paired."""

    cell: CellScores
    notices: tuple[str, ...]
    reliability: MentionReliability | None


def _side(
    gold: Sequence[Document],
    predicted: Sequence[Document],
    train: Sequence[Document] | None,
    *,
    missing: Missing,
    which: str = "",
    attributes: Sequence[str] | None = (),
) -> _Side:
    paired = pair(gold, predicted, missing=missing, which=which)
    known = known_only(gold, paired.predicted)
    if not any(doc.entities for doc in known.gold):
        raise StageError(
            "gold has no mention, so nothing can be found or missed; name the annotated documents "
            "first, then the predictions"
        )
    seen = [mention for doc in train or () for mention in doc.mentions()]
    cell = score_cell(
        gold, paired.predicted, seen, arm="", size=0, replicate=0, seed=0, attributes=attributes
    )
    unscored = _unscored(gold, paired.predicted, which)
    return _Side(
        cell,
        (*paired.notices, *known.sentences(which), *unscored),
        mention_reliability(known.gold, known.predicted),
    )


def _without_score(found: MentionReliability | None) -> tuple[str, ...]:
    if found is None or not found.n_without:
        return ()
    return (
        f"Predictions that carry no score from 0 to 1: {found.n_without}. The reliability of "
        f"scores rests on the other {found.strict.n}.",
    )


def _n_with(counts: Array) -> int:
    """How many groups have a gold mention; ``counts`` are (groups, 3)."""
    return int(np.count_nonzero(counts[:, 0] + counts[:, 2]))


def _by_label(cell: CellScores, labels: Sequence[str]) -> Array:
    """Counts (labels, groups, 3)."""
    return np.stack([pool_groups(cell.counts(label=label), cell.groups) for label in labels])


def _labels_of_gold(cell: CellScores) -> list[str]:
    return [label for label in cell.strict if _n_with(cell.counts(label=label))]


@dataclass(frozen=True, slots=True)
class _Macro:
    """Means over labels of the scores of (resamples, labels, 3) counts."""

    totals: Array

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Which resamples hold a gold mention of every label."""
        return np.asarray((self.totals[..., 0] + self.totals[..., 2] > 0).all(axis=1))

    def mean(self, metric: Metric) -> Array:
        """One mean a resample."""
        means: Array = metric(self.totals).mean(axis=1)
        return means


def _macros(cell: CellScores, weights: Array) -> tuple[_Macro, _Macro]:
    """The macro scores of all documents once, and of the resamples, over the labels of gold."""
    labels = [label for label in cell.strict if _n_with(cell.counts(label=label))]
    counts = np.stack([pool_groups(cell.counts(label=label), cell.groups) for label in labels])
    return _Macro(counts.sum(axis=1)[None]), _Macro(np.tensordot(weights, counts, axes=(1, 1)))


def _n_with_all(cell: CellScores) -> int:
    """How many groups have the rarest of gold's labels."""
    counts = [pool_groups(cell.counts(label=label), cell.groups) for label in cell.strict]
    return min(n for each in counts if (n := _n_with(each)))


def _interval(draws: Array, complete: NDArray[np.bool_], confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws[complete] if complete.any() else draws, (tail, 1 - tail))
    return _points(float(low)), _points(float(high))


def _macro(cell: CellScores, weights: Array, confidence: float) -> Rating:
    whole, resampled = _macros(cell, weights)
    p, r, f = (_points(float(whole.mean(metric)[0])) for metric in (precision, recall, f1))
    low, high = _interval(resampled.mean(f1), resampled.complete, confidence)
    tp, fp, fn = map(int, whole.totals.sum(axis=(0, 1)))
    left_out = 1 - float(resampled.complete.mean())
    return Rating("macro", p, r, f, low, high, tp, fp, fn, left_out, _n_with_all(cell))


def _macro_difference(
    first: CellScores, second: CellScores, weights: Array, confidence: float
) -> Difference:
    (ours, mine), (theirs, other) = (_macros(cell, weights) for cell in (first, second))
    draws = other.mean(f1) - mine.mean(f1)
    before, after = float(ours.mean(f1)[0]), float(theirs.mean(f1)[0])
    low, high = _interval(draws, mine.complete, confidence)
    p = two_sided_p(draws[mine.complete] if mine.complete.any() else draws)
    left_out = 1 - float(mine.complete.mean())
    return Difference(
        "macro",
        _points(before),
        _points(after),
        _points(after - before),
        low,
        high,
        p,
        p,
        left_out,
        _n_with_all(first),
    )


def _points(value: float) -> float:
    return round(100 * value + 0.0, 3)
