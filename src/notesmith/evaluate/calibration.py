"""Reliability of scores: how often what a student is so sure of is right.

Scores are calibrated where, of all decisions with a score near p, a share of p is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from notesmith.config.fields import Config
from notesmith.document import Document, Entity
from notesmith.errors import StageError, shown_doc
from notesmith.metrics import scored_entities
from notesmith.ner.decode import WordScores, best_tags, score_of
from notesmith.words import IGNORED, tag_words

N_BINS = 10
_TINY = 1e-12
_ROUNDING = 1e-6  # 0.9 in float32 belongs to the bin that begins there


@dataclass(frozen=True, slots=True)
class Bin:
    """Decisions whose score is from ``low`` to below ``high`` (1 belongs to the last bin).

    ``n`` of them, their mean score, and the share that is right; both from 0 to 1.
    """

    low: float
    high: float
    n: int
    mean_score: float
    right_ratio: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """The bins that hold a decision, and the expected calibration error, from 0 to 1.

    The error is the mean of |share right - mean score| over bins, weighted by their decisions
    (Naeini and others 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning").
    """

    bins: tuple[Bin, ...]
    n: int
    calibration_error: float


@dataclass(frozen=True, slots=True)
class MentionReliability:
    """Of mentions that carry scores: right as ``strict`` and as ``lenient`` scores count them.

    Strict needs label and boundaries. Lenient needs the label and an overlap, which is nearer to
    what a score speaks of (see ``decode.mention_score``). ``n_without`` mentions carry no score.
    """

    strict: Reliability
    lenient: Reliability
    n_without: int


class Calibrated(Config):
    """The scores of a language model beside held-out gold.

    ``right`` of the ``mentions`` found in ``documents`` have the label and boundaries of gold. The
    errors are expected calibration errors, from 0 to 1, of the scores ``before`` and ``after`` (see
    ``Reliability``), and ``bins`` are of those after. ``temperature`` is None where mentions are
    fewer than ``annotation.calibration.LEAST_MENTIONS``: scores are then left as they are.
    """

    documents: int
    mentions: int
    right: int
    temperature: float | None
    error_before: float
    error_after: float
    bins: tuple[Bin, ...]


def reliability(scores: ArrayLike, right: ArrayLike, *, n_bins: int = N_BINS) -> Reliability:
    """Bin decisions by score, in bins of equal width.

    Args:
        scores: from 0 to 1, one a decision.
        right: whether each decision is right.
        n_bins: number of bins.
    """
    values = np.asarray(scores, np.float64)
    is_right = np.asarray(right, bool)
    place = np.minimum((values * n_bins + _ROUNDING).astype(int), n_bins - 1)
    bins: list[Bin] = []
    for k in np.unique(place).tolist():
        own = place == k
        mean, share = float(values[own].mean()), float(is_right[own].mean())
        bins.append(Bin(k / n_bins, (k + 1) / n_bins, int(own.sum()), mean, share))
    total = max(len(values), 1)
    error = sum(b.n * abs(b.right_ratio - b.mean_score) for b in bins) / total
    return Reliability(tuple(bins), len(values), error)


@dataclass(frozen=True, slots=True)
class JudgedMentions:
    """Scores of mentions, and whether each is right as ``strict`` and ``lenient`` scores count.

    ``n_without`` further mentions carry no score.
    """

    scores: list[float]
    strict: list[bool]
    lenient: list[bool]
    n_without: int


def judge_mentions(gold: Sequence[Document], predicted: Sequence[Document]) -> JudgedMentions:
    """Compare the mentions of ``predicted`` with those of ``gold``, the same documents in order.

    Mentions that touch what gold masks are left out.
    """
    scores: list[float] = []
    strict: list[bool] = []
    lenient: list[bool] = []
    n_without = 0
    for doc, own in zip(gold, predicted, strict=True):
        wanted = scored_entities(doc, doc)
        exact = {(ent.label, ent.spans) for ent in wanted}
        for ent in scored_entities(own, doc):
            score = _score(ent)
            if score is None:
                n_without += 1
                continue
            scores.append(score)
            strict.append((ent.label, ent.spans) in exact)
            lenient.append(any(_overlap(ent, other) for other in wanted))
    return JudgedMentions(scores, strict, lenient, n_without)


def mention_reliability(
    gold: Sequence[Document], predicted: Sequence[Document]
) -> MentionReliability | None:
    """Reliability of the scores that predicted mentions carry; None where none carries one.

    Args:
        gold: as annotated.
        predicted: the same documents in the same order, by ``predict --scores``. Mentions that
            touch what gold masks are left out.
    """
    found = judge_mentions(gold, predicted)
    if not found.scores:
        return None
    strict, lenient = (reliability(found.scores, right) for right in (found.strict, found.lenient))
    return MentionReliability(strict, lenient, found.n_without)


def word_reliability(
    gold: Sequence[Document], scores: Sequence[WordScores], labels: Sequence[str]
) -> Reliability:
    """Reliability of the probability of each word's decided tag; right is gold's tag.

    Most words are surely O, so the calibration error is small; look at the bins below the last.
    Masked words are left out, and so are documents with labels that nobody looked for.

    Args:
        gold: as annotated.
        scores: of ``predict_scores``, one a document of ``gold``.
        labels: of the student, in the order of its tags.

    Raises:
        StageError: gold has a label that is not in ``labels``, or scores are of other labels.
    """
    sure: list[NDArray[np.float64]] = []
    right: list[NDArray[np.bool_]] = []
    for doc, own in zip(gold, scores, strict=True):
        if doc.unknown:
            continue
        rows = own.probabilities.astype(np.float64)
        if rows.shape[1] != 2 * len(labels) + 1:
            raise StageError(f"{shown_doc(doc.id)}: its scores are of other labels")
        wanted = np.array(tag_words(doc, own.words, labels).tags, dtype=np.int64)
        decided = np.array(best_tags(np.log(np.maximum(rows, _TINY)).astype(np.float32)), int)
        known = np.flatnonzero(wanted != IGNORED)
        sure.append(rows[known, decided[known]])
        right.append(decided[known] == wanted[known])
    if not sure:
        return reliability((), ())
    return reliability(np.concatenate(sure), np.concatenate(right))


def _score(ent: Entity) -> float | None:
    """The score of ``ent``; None where it has none, or another program's that is no share."""
    try:
        score = score_of(ent)
    except ValueError:
        return None
    return score if score is not None and 0 <= score <= 1 else None


def _overlap(ent: Entity, other: Entity) -> bool:
    return ent.label == other.label and any(
        s < e2 and s2 < e for s, e in ent.spans for s2, e2 in other.spans
    )
