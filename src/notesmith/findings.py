"""What follows from scores: arms, comparisons, curve, power and verdict, as values.

Scores and differences are in points of F1 (0 to 100), p and ratios from 0 to 1. ``results.json``
holds these classes as they are; they select and do not compute: ``evaluate`` makes them.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

OUT_OF_DRAW = "out-of-draw"
"""The split of train documents that a draw did not use."""
OUT_OF_FOLD = "out-of-fold"
"""The split of a cross-fit: every document, scored by models that never saw its fold."""

Claim = Literal[
    "better", "worse", "no difference shown", "not tested", "demonstration", "unfinished"
]
Recommendation = Literal[
    "use", "do not use", "label more", "underpowered", "demonstration", "no claim", "unfinished"
]
Spread = Literal["replicates", "students", "nothing"]
"""What an interval covers beside the choice of documents."""
Trend = Literal["rising", "flat", "unknown"]
Family = Literal["comparator", "against", "gold", "gold votes"]
"""What a comparison is with: the recipe's comparator, a rival that it names, or a step that the
verdict needs besides."""


class Record(BaseModel):
    """A part of the results; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Estimate(Record):
    """A mean over replicates, its interval, their standard deviation (0 for one) and values."""

    mean: float
    sd: float
    low: float
    high: float
    values: tuple[float, ...]


class Scores(Record):
    """The scores of an arm on one set of documents."""

    f1: Estimate
    precision: Estimate
    recall: Estimate
    lenient_f1: Estimate
    boundary_f1: Estimate
    unseen_f1: Estimate
    unseen_recall: Estimate
    seen_f1: Estimate


class OutOfDrawScores(Scores):
    """Scores on the train documents that a draw did not use."""

    n_documents: int
    n_replicates: int


class LabelScore(Record):
    """Means over replicates of one label, or of one attribute; ``support`` counts mentions."""

    precision: float
    recall: float
    f1: float
    support: int


class AttributeScore(Record):
    """Scores of one attribute's values: finding the mention included, and on those found."""

    end_to_end: LabelScore
    on_found: LabelScore


class MadeSource(Record):
    """Where made documents come from: all that verdicts and pages know of a source.

    Attributes:
        name: as it stands in recipes.
        words: what the documents are, as it follows "gold and" in a methods section.
        by: what makes them: rules on gold alone; rules, with names that the language model
            proposed; the arm's generator; or annotators that label notes.
        is_main: the generator's text as it is meant to be used, which stands for its generator
            where several sources come from it.
        is_placebo: it must not help, so no verdict is about it.
        cites: keys of entries in ``report/templates/references.bib``.
    """

    name: str
    words: str
    by: Literal["rules", "proposals", "generator", "annotators"]
    is_main: bool = False
    is_placebo: bool = False
    cites: tuple[str, ...] = ()


class Arm(Scores):
    """One way to train, at one gold size; its own scores are those on the reported split.

    Where several students vote, ``votes`` says how many, and each replicate has one score of them.
    ``adapted`` says that their encoder read text without labels before.
    ``decided_on`` is the split that decides at this size. ``seconds`` and ``tokens`` are those of
    training, means over replicates.
    """

    name: str
    size: int
    made: tuple[MadeSource, ...] = ()
    votes: int = 1
    adapted: bool = False
    n_replicates: int
    n_students: int = 1
    out_of_draw: OutOfDrawScores | None = None
    decided_on: str
    dev_f1: Estimate | None = None
    by_label: dict[str, LabelScore] = {}
    attributes: dict[str, AttributeScore] = {}
    seconds: float
    tokens: int

    @property
    def is_gold_alone(self) -> bool:
        """Whether nothing was learnt from but gold."""
        return not self.made and not self.adapted

    @property
    def decided(self) -> Scores:
        """The scores on the documents that decide."""
        if self.decided_on == OUT_OF_DRAW and self.out_of_draw is not None:
            return self.out_of_draw
        return self

    @property
    def beside(self) -> Scores | None:
        """The scores on the documents that do not decide, where there are any."""
        return self.out_of_draw if self.decided is self else self


class Hours(Record):
    """Annotator hours of a worth and of its interval."""

    notes: float
    low: float
    high: float


class Worth(Record):
    """A gain in labelled notes that would bring the same, with its interval; a loss is negative.

    ``beyond`` names the figures (``notes``, ``low``, ``high``) that ran into an end of the curve:
    their size is a bound ("at least"), not an estimate. ``hours`` is known where minutes a note
    are.
    """

    notes: int
    low: int
    high: int
    beyond: tuple[Literal["notes", "low", "high"], ...] = ()
    hours: Hours | None = None

    def in_hours(self, minutes: float | None) -> Worth:
        """The same with annotator hours, at ``minutes`` a note where these are known."""
        if minutes is None:
            return self
        notes, low, high = (round(n * minutes / 60, 2) for n in (self.notes, self.low, self.high))
        return self.model_copy(update={"hours": Hours(notes=notes, low=low, high=high)})


class Difference(Record):
    """F1 of one arm less F1 of another on ``scored_on``: mean, interval, values, two-sided p."""

    scored_on: str
    delta: float
    low: float
    high: float
    values: tuple[float, ...]
    p: float


class Comparison(Difference):
    """The difference on the documents that decide, and what may be said of it.

    ``beside`` is the same on the documents that do not decide. ``step`` is its place in the fixed
    sequence of the verdict, None for side arms; ``p_holm`` is corrected for the number of side
    arms, and p itself for a step. ``planned`` are the replicates that were sealed, ``n_distinct``
    those that are not alike. ``worth_reason`` says why there is no worth. ``sd_delta`` is the
    standard deviation of ``values``, ``se_documents`` the error that all replicates share.
    """

    arm: str
    against: str
    size: int
    family: Family
    step: int | None
    claim: Claim
    p_holm: float
    beside: Difference | None
    n_replicates: int
    n_distinct: int
    n_students: int
    n_documents: int
    planned: int | None
    spread_of: Spread
    worth: Worth | None
    worth_reason: str
    sd_delta: float
    se_documents: float


class Deciding(Record):
    """The split that decides at one size, and why.

    ``n_documents`` are those that every student at that size was scored on at the least, in that
    split; ``n_test_documents`` those of the test set. ``waits`` says that other documents will
    decide once all their scores are in: a claim before that would be a look.
    """

    split: str
    reason: str
    n_documents: int
    n_test_documents: int
    waits: bool = False


class CurveFit(Record):
    """F1 = ``a - b n^-c``, or ``a + b log n`` where ``c`` is 0, between ``low`` and ``high``."""

    a: float
    b: float
    c: float
    low: int
    high: int

    def __call__(self, size: float) -> float:
        """The curve at ``size`` gold documents."""
        return self.a + self.b * (math.log(size) if self.c == 0 else -(size**-self.c))


class LearningCurve(Record):
    """F1 of gold alone by size; ``doubling``: points that twice the main size gains."""

    arm: str
    scored_on: str
    sizes: tuple[int, ...]
    f1: tuple[float, ...]
    trend: Trend | None = None
    fit: CurveFit | None = None
    doubling: float | None = None


class Needed(Record):
    """What would find ``difference``, each of three ways; None where that way cannot.

    ``replicates``: on the same documents. ``documents``: with the same replicates. ``times``: both
    multiplied by this, up to a thousand.
    """

    difference: float
    replicates: int | None
    documents: int | None
    times: int | None


class Power(Record):
    """What the comparison that the recommendation rests on could have found.

    ``detectable`` is the true difference that is found four times out of five, None for one
    replicate; ``needed`` is there where that is more than matters.
    """

    scored_on: str
    n_documents: int
    arm: str | None = None
    against: str | None = None
    n_replicates: int = 0
    sd_delta: float | None = None
    se_documents: float | None = None
    detectable: float | None = None
    needed: Needed | None = None
    seconds_per_draw: float | None = None


class Verdict(Record):
    """What the report says first."""

    headline: str
    sentences: tuple[str, ...]
    recommendation: Recommendation


NO_VERDICT = Verdict(
    headline="There is nothing to compare.", sentences=(), recommendation="no claim"
)


class Findings(Record):
    """What follows from scores alone; ``evaluate.assemble`` makes it.

    ``candidate`` is the arm that the verdict is about, ``main_size`` its gold size; ``notices``
    must be read before the figures.
    """

    split: str
    comparator: str
    candidate: str | None
    labels: tuple[str, ...]
    sizes: tuple[int, ...]
    main_size: int
    confidence: float
    resamples: int
    minutes_per_note: float | None
    deciding: Deciding
    notices: tuple[str, ...]
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]
    learning_curve: LearningCurve
    power: Power
    verdict: Verdict = NO_VERDICT

    def arms_at(self, size: int) -> tuple[Arm, ...]:
        """The arms that ran at ``size``, in order."""
        return tuple(arm for arm in self.arms if arm.size == size)

    def arm(self, name: str, size: int) -> Arm | None:
        """One arm, or None."""
        return next((arm for arm in self.arms_at(size) if arm.name == name), None)

    def comparisons_at(self, size: int) -> tuple[Comparison, ...]:
        """The comparisons at ``size``, in order."""
        return tuple(c for c in self.comparisons if c.size == size)

    def against_comparator(self, size: int) -> tuple[Comparison, ...]:
        """Comparisons with the common comparator at ``size``."""
        return tuple(c for c in self.comparisons_at(size) if c.against == self.comparator)

    def against_others(self, size: int) -> tuple[Comparison, ...]:
        """Comparisons with rivals that the recipe names besides."""
        return tuple(c for c in self.comparisons_at(size) if c.against != self.comparator)

    @property
    def steps(self) -> tuple[Comparison, ...]:
        """The fixed sequence of the verdict: the rival first, then gold, then votes of gold."""
        found = [c for c in self.comparisons_at(self.main_size) if c.step]
        return tuple(sorted(found, key=lambda c: c.step or 0))

    @property
    def focus(self) -> str:
        """The arm that pages lead with: the candidate.

        Where there is none: the best of the arms with a generator's main text, else the best.
        """
        if self.candidate:
            return self.candidate
        rivals = [arm for arm in self.arms_at(self.main_size) if arm.name != self.comparator]
        made = [arm for arm in rivals if any(source.is_main for source in arm.made)]
        best = max(made or rivals, key=lambda arm: arm.decided.f1.mean, default=None)
        return best.name if best else ""

    @property
    def main(self) -> Comparison | None:
        """What the verdict is about: the focus arm against its named rival, or the comparator."""
        named = [c for c in self.against_others(self.main_size) if c.arm == self.focus]
        return next(iter([*self.steps, *named]), self.main_v_comparator)

    @property
    def main_v_comparator(self) -> Comparison | None:
        """The focus arm against the comparator at the main size."""
        rows = self.against_comparator(self.main_size)
        return next((c for c in rows if c.arm == self.focus), None)
