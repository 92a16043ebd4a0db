"""Score one set of predictions, or compare two, outside a run: what ``notesmith evaluate`` does.

One student each, so only the documents are resampled: the interval says what other documents would
give, not what another seed or another draw of gold would. Scores are in points of 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from notesmith.document import Document, parents_in
from notesmith.errors import StageError
from notesmith.evaluate.bootstrap import (
    Array,
    bootstrap,
    document_weights,
    f1,
    pool_groups,
    precision,
    recall,
)
from notesmith.evaluate.multiple import holm
from notesmith.evaluate.phrases import points
from notesmith.evaluate.scores import CellScores, View, score_cell
from notesmith.metrics import count_unscored
from notesmith.rules import CONFIDENCE

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


@dataclass(frozen=True, slots=True)
class AttributeRating:
    """Scores of one attribute's values (see ``metrics.AttributeScores``)."""

    name: str
    on_found: Rating
    end_to_end: Rating


@dataclass(frozen=True, slots=True)
class Ratings:
    """All parts, and how many documents (patients, where the corpus names them) they rest on.

    ``attributes`` are those of gold, none where predictions carry none of them. ``notices`` are
    sentences about what a reader must not miss.
    """

    views: tuple[Rating, ...]
    labels: tuple[Rating, ...]
    attributes: tuple[AttributeRating, ...]
    n_documents: int
    n_groups: int
    confidence: float
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {"scale": 100, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Difference:
    """F1 of the second set minus the first's, in points of 100.

    ``left_out_ratio`` as in ``Rating``.
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


@dataclass(frozen=True, slots=True)
class Differences:
    """The differences by view, the strict one first, and by label (Holm over labels)."""

    views: tuple[Difference, ...]
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
        for cell, which in zip(
            cells, ("first ", "second ") if len(cells) > 1 else ("",), strict=True
        )
        if cell.predicts_nothing
    ]
    for row in parts:
        if row.left_out_ratio == 1:
            found.append(f"{row.part}: gold has none, so its interval says nothing.")
        elif row.left_out_ratio:
            found.append(
                f"{row.part}: {row.left_out_ratio:.1%} of the resamples hold no gold mention and "
                "are left out of its interval."
            )
    return tuple(found)


def _trained_on(gold: Sequence[Document], train: Sequence[Document] | None) -> tuple[str, ...]:
    """What must be said where the training data has documents of ``gold``, or text made of them."""
    if train is None:
        return ()
    texts = {" ".join(doc.text.split()) for doc in train}
    # An id that is that of a training document too does not say which of the two is the parent.
    ids = {doc.id for doc in gold} - {doc.id for doc in train}
    parents = {parent for doc in train for parent in parents_in(doc, ids)}
    n = sum(" ".join(doc.text.split()) in texts or doc.id in parents for doc in gold)
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
    resamples: int = 10_000,
    confidence: float = CONFIDENCE,
    seed: int = 13,
) -> Ratings:
    """Score predictions with intervals over documents.

    Args:
        gold: as annotated.
        predicted: the same documents as predicted.
        train: the training data, to score mentions apart that it has and lacks.
        resamples: bootstrap resamples.
        confidence: of the intervals.
        seed: of the resampling.

    Raises:
        StageError: there is no document, or they are not the same on both sides.
    """
    cell = _cell(gold, predicted, train, attributes=None)
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
        )

    views: list[View] = ["strict", "lenient", "boundary"]
    if train is not None:
        views += ["unseen", "seen"]
    is_predicted = cell.counts("end_to_end")[:, :2].any()
    labels = tuple(rating(label, cell.counts(label=label)) for label in cell.strict)
    return Ratings(
        views=tuple(rating(view, cell.counts(view)) for view in views),
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
            *_trained_on(gold, train),
            *_unscored(gold, predicted),
            *_notices([cell], labels),
        ),
    )


def compare(
    gold: Sequence[Document],
    first: Sequence[Document],
    second: Sequence[Document],
    *,
    train: Sequence[Document] | None = None,
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
        resamples: bootstrap resamples.
        confidence: of the intervals.
        seed: of the resampling.

    Raises:
        StageError: there is no document, or they are not the same in all three.
    """
    ours, theirs = _cell(gold, first, train), _cell(gold, second, train)
    weights = document_weights(len(set(ours.groups)), resamples, seed=seed)

    def difference(part: str, view: View, label: str | None = None) -> Difference:
        before, after = ours.counts(view, label=label), theirs.counts(view, label=label)
        found = bootstrap(
            pool_groups(after[None], ours.groups),
            pool_groups(before[None], ours.groups),
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
        )

    views: list[View] = ["strict", "lenient"]
    if train is not None:
        views += ["unseen", "seen"]
    labels = sorted({*ours.strict, *theirs.strict})
    found = [difference(label, "strict", label) for label in labels]
    adjusted = holm([diff.p for diff in found])
    return Differences(
        views=tuple(difference(view, view) for view in views),
        labels=tuple(
            Difference(**{**asdict(diff), "p_holm": p})
            for diff, p in zip(found, adjusted, strict=True)
        ),
        n_documents=ours.n_documents,
        n_groups=len(set(ours.groups)),
        confidence=confidence,
        notices=(
            *_trained_on(gold, train),
            *_unscored(gold, first, "first "),
            *_unscored(gold, second, "second "),
            *_notices([ours, theirs], found),
        ),
    )


def _cell(
    gold: Sequence[Document],
    predicted: Sequence[Document],
    train: Sequence[Document] | None,
    attributes: Sequence[str] | None = (),
) -> CellScores:
    if not gold:
        raise StageError("there is no document to score")
    seen = [mention for doc in train or () for mention in doc.mentions()]
    return score_cell(
        gold, predicted, seen, arm="", size=0, replicate=0, seed=0, attributes=attributes
    )


def _points(value: float) -> float:
    return round(100 * value + 0.0, 3)
