"""Notes that annotators labelled, by arm: means over draws, and who labelled them in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from notesmith.config.annotators import AnnotateConfig
from notesmith.report import words
from notesmith.report.made import mean
from notesmith.report.settings import arm_of
from notesmith.results import MinedNames, Results, SilverLabels

_Row = TypeVar("_Row", SilverLabels, MinedNames)

TAUGHT = {
    "hard": "mentions",
    "masked": "mentions without doubtful words",
    "soft": "distributions over tags",
}
"""What a student learns of silver, in words."""
_ANNOTATORS = {
    "lm-json": "the language model, tuned on gold, as JSON",
    "lm-inline": "the language model, tuned on gold, with marks in the text",
    "prompted": "the language model, shown gold examples",
    "dictionary": "a dictionary",
    "tagger": "another tagger",
}


@dataclass(frozen=True, slots=True)
class SilverMeans:
    """What the annotators of one arm made of its notes, as means over draws.

    Scores are points, ``confidence``, ``doubtful`` and ``calibration_error`` from 0 to 1; None
    where the labels of the notes are not known.
    """

    arm: str
    who: str
    taught: str
    n_replicates: int
    notes: float
    left_out: float
    mentions: float
    confidence: float
    doubtful: float
    answers: float
    unusable: Mapping[str, float]
    known: float
    precision: float | None
    recall: float | None
    f1: float | None
    by_label: Mapping[str, tuple[float, float, float]]
    calibration_error: float | None


def silver_means(results: Results, *, size: int) -> list[SilverMeans]:
    """The silver of each arm that learns from notes at ``size``, in the order of the recipe."""
    return [
        _means(members, arm.annotate)
        for name, members in _by_arm(results.silver, size).items()
        if (arm := arm_of(results.config, name))
    ]


def _means(members: Sequence[SilverLabels], annotate: AnnotateConfig) -> SilverMeans:
    n = len(members)
    unusable = sum((Counter(each.unusable) for each in members), Counter[str]())
    scores = [each.scores for each in members if each.scores]
    precision, recall, f1 = (mean(each[i] for each in scores) for i in range(3))
    return SilverMeans(
        arm=members[0].arm,
        who=annotators_in_words(annotate),
        taught=TAUGHT[annotate.labels],
        n_replicates=len({each.replicate for each in members}),
        notes=sum(each.notes for each in members) / n,
        left_out=sum(each.left_out for each in members) / n,
        mentions=sum(sum(each.mentions.values()) for each in members) / n,
        confidence=sum(each.confidence for each in members) / n,
        doubtful=sum(each.doubtful for each in members) / n,
        answers=sum(each.answers for each in members) / n,
        unusable={reason: found / n for reason, found in unusable.most_common()},
        known=sum(each.known for each in members) / n,
        precision=precision,
        recall=recall,
        f1=f1,
        by_label=_by_label(members),
        calibration_error=mean(each.calibration_error for each in members),
    )


def _by_label(members: Sequence[SilverLabels]) -> dict[str, tuple[float, float, float]]:
    found: dict[str, list[tuple[float, float, float]]] = {}
    for each in members:
        for label, scores in each.by_label.items():
            found.setdefault(label, []).append(scores)
    return {
        label: (
            sum(one[0] for one in some) / len(some),
            sum(one[1] for one in some) / len(some),
            sum(one[2] for one in some) / len(some),
        )
        for label, some in sorted(found.items())
    }


def annotators_in_words(annotate: AnnotateConfig) -> str:
    """Who labelled the notes: ``5 students of "gold" and a dictionary``."""
    each = "each of " if len(annotate.teachers) > 1 else "of "
    teachers = words.listed([f'"{name}"' for name in annotate.teachers])
    students = f"{words.plural(annotate.students, 'student')} {each}{teachers}"
    known = {"students": students, **_ANNOTATORS}
    return words.listed([known.get(name, name) for name in annotate.by])


@dataclass(frozen=True, slots=True)
class MinedMeans:
    """The names that one arm took from notes, as means over draws; shares in points."""

    arm: str
    n_replicates: int
    names: float
    right: float
    precision: float
    low: float
    unseen_covered: float


def mined_means(results: Results, *, size: int) -> list[MinedMeans]:
    """The mined names of each arm at ``size``, where their quality is known."""
    return [
        MinedMeans(
            arm=name,
            n_replicates=len(members),
            names=sum(each.names for each in members) / len(members),
            right=sum(each.right for each in members) / len(members),
            precision=sum(each.precision for each in members) / len(members),
            low=sum(each.low for each in members) / len(members),
            unseen_covered=sum(each.unseen_covered for each in members) / len(members),
        )
        for name, members in _by_arm(results.mined, size).items()
    ]


def _by_arm(rows: Sequence[_Row], size: int) -> dict[str, list[_Row]]:
    """The rows of ``size``, by arm, in order."""
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        if row.size == size:
            groups.setdefault(row.arm, []).append(row)
    return groups


def silver_sentences(results: Results, *, size: int) -> list[str]:
    """A sentence for each way in which notes were labelled, and the arms that learnt from it."""
    groups: dict[tuple[str, str], list[SilverMeans]] = {}
    for each in silver_means(results, size=size):
        groups.setdefault((each.who, each.taught), []).append(each)
    found = []
    for (who, taught), some in groups.items():
        arms = words.listed([f'"{each.arm}"' for each in some])
        first = some[0]
        sentence = (
            f"For arm{'' if len(some) == 1 else 's'} {arms}, {who} labelled "
            f"{words.plural(first.notes, 'note')}, learnt as {taught}"
        )
        if first.f1 is not None:
            sentence += (
                f"; on the {words.count(first.known)} of them whose labels are known, which nobody "
                f"saw, precision was {words.points(first.precision)}, recall "
                f"{words.points(first.recall)} and F1 {words.points(first.f1)}"
            )
        found.append(f"{sentence}.")
    return found
