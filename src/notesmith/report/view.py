"""What a report may show, as values: scores in points of F1; missing parts are None or empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OUT_OF_DRAW = "out-of-draw"  # the split of train documents that a draw did not use
DEMONSTRATION_BELOW = 5  # replicates: with fewer, the verdict is a demonstration


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over replicates with its interval and the replicates' own values, in points."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Mean scores of one label under one arm."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: float | None


@dataclass(frozen=True, slots=True)
class AttributeScore:
    """Mean scores of one attribute's values: finding the mention included, and on those found."""

    end_to_end: LabelScore
    on_found: LabelScore


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train, at one gold size."""

    name: str
    size: int
    made: tuple[str, ...]
    n_replicates: int
    scores: Mapping[str, Estimate]
    by_label: Mapping[str, LabelScore]
    seconds: float | None
    tokens: float | None
    attributes: Mapping[str, AttributeScore] = field(default_factory=dict)
    n_students: int = 1
    out_of_draw: Mapping[str, Estimate] = field(default_factory=dict)
    decided_on: str = ""

    @property
    def f1(self) -> Estimate:
        """Strict micro-F1 on the documents that decide."""
        return self.score("f1")

    def score(self, name: str) -> Estimate:
        """The named score on the documents that decide, or one without numbers."""
        decided = self.out_of_draw if self.decided_on == OUT_OF_DRAW else {}
        return decided.get(name) or self.scores.get(name) or Estimate()

    @property
    def beside(self) -> Estimate:
        """Strict micro-F1 on the documents that do not decide, where it is known."""
        other = self.scores if self.decided_on == OUT_OF_DRAW else self.out_of_draw
        return other.get("f1") or Estimate()


@dataclass(frozen=True, slots=True)
class Hours:
    """Annotator hours of a worth and of its interval."""

    notes: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Worth:
    """A gain as labelled notes that would bring the same; a loss is negative.

    ``beyond`` names the figures (``notes``, ``low``, ``high``) that are bounds, not estimates.
    ``hours`` is the same in annotator hours, where the minutes a note takes are known.
    """

    notes: float
    low: float | None = None
    high: float | None = None
    beyond: tuple[str, ...] = ()
    hours: Hours | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """The same difference on the documents that do not decide."""

    scored_on: str
    delta: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """F1 of ``arm`` minus F1 of ``against``, on the documents that decide.

    ``step`` is its place in the fixed sequence of the verdict, None for side arms; ``spread_of``
    what the interval covers beside documents: ``replicates``, ``students`` or ``nothing``.
    """

    arm: str
    against: str
    size: int
    delta: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    n_replicates: int
    worth: Worth | None
    claim: str
    values: tuple[float, ...] = ()
    family: str = "comparator"
    worth_reason: str = ""
    step: int | None = None
    scored_on: str = ""
    beside: Beside | None = None
    planned: int | None = None
    n_students: int = 1
    spread_of: str = "replicates"


@dataclass(frozen=True, slots=True)
class Curve:
    """Gold learning curve: F1 at each number of labelled notes, and points of the fitted line."""

    sizes: tuple[float, ...] = ()
    f1: tuple[float, ...] = ()
    fitted: tuple[tuple[float, float], ...] = ()
    arm: str = ""


@dataclass(frozen=True, slots=True)
class Power:
    """What the experiment could have seen."""

    sd_delta: float | None = None
    detectable: float | None = None
    n_replicates: int | None = None
    n_documents: int | None = None


@dataclass(frozen=True, slots=True)
class Deciding:
    """Which documents give the deciding figures at the main size, and why."""

    split: str = ""
    reason: str = ""
    n_documents: int | None = None
    n_test_documents: int | None = None


@dataclass(frozen=True, slots=True)
class MadeText:
    """What was asked for, kept and dropped at one size, as means over replicates."""

    size: int
    source: str
    n_replicates: int
    asked: float
    kept: float
    dropped: Mapping[str, float]
    tokens: float | None
    seconds: float | None
    new_names: float | None
    unseen_covered: float | None
    unseen_proposed: float | None = None


@dataclass(frozen=True, slots=True)
class RlRun:
    """How one generator learnt from rewards.

    ``series`` maps a quantity to (step, value) pairs. ``stopped`` names what collapsed, if
    anything; step 0 is the fine-tuned model. ``first_reward``, ``best_reward`` and ``kl`` (nats a
    token, of the kept checkpoint) were measured on prompts kept apart.
    """

    arm: str
    size: int
    replicate: int
    method: str
    placebo: bool
    n_steps: int | None
    best_step: int | None
    stopped: str
    sampled_tokens: float | None
    tokens: float | None
    seconds: float | None
    first_reward: float | None
    best_reward: float | None
    kl: float | None
    series: Mapping[str, tuple[tuple[float, float], ...]]


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage took in all."""

    stage: str
    cells: int | None
    seconds: float | None
    tokens: float | None
    tokens_per_second: float | None
    peak_memory: float | None = None  # bytes


@dataclass(frozen=True, slots=True)
class Model:
    """A model, its licence and further terms."""

    name: str = ""
    licence: str = ""
    terms: str = ""
    parameters: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Everything a report may show."""

    recipe: str
    split: str
    created: str
    comparator: str
    labels: tuple[str, ...]
    kind: str
    corpus: Mapping[str, Mapping[str, float]]
    sizes: tuple[int, ...]
    main_size: int
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]
    curve: Curve
    power: Power
    headline: str
    sentences: tuple[str, ...]
    recommendation: str
    made: tuple[MadeText, ...]
    stages: tuple[StageCost, ...]
    varied: tuple[str, ...]
    seal_hash: str
    seal_opened: int | None
    seal_unseen: str
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    lm: Model
    encoder: Model
    config: Mapping[str, Any] = field(default_factory=dict)
    rl: tuple[RlRun, ...] = ()
    focus: str = ""
    confidence: float = 0.95
    resamples: int | None = None
    minutes_per_note: float | None = None
    n_scored: int = 0
    n_planned: int = 0
    deciding: Deciding = field(default_factory=Deciding)
    notices: tuple[str, ...] = ()

    @property
    def label_descriptions(self) -> Mapping[str, str]:
        """One line on a label, where the recipe has one."""
        corpus = self.config.get("corpus")
        found = corpus.get("label_descriptions") if isinstance(corpus, Mapping) else None
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, Mapping) else {}

    def arms_at(self, size: int) -> tuple[Arm, ...]:
        """The arms that ran at ``size``, in the order of the results."""
        return tuple(arm for arm in self.arms if arm.size == size)

    def arm(self, name: str, size: int) -> Arm | None:
        """One arm, or None."""
        return next((a for a in self.arms if (a.name, a.size) == (name, size)), None)

    def against_comparator(self, size: int) -> tuple[Comparison, ...]:
        """Comparisons with the common comparator at ``size``."""
        return tuple(c for c in self.comparisons if c.size == size and c.against == self.comparator)

    def against_others(self, size: int) -> tuple[Comparison, ...]:
        """Comparisons with rivals that the recipe names besides."""
        return tuple(c for c in self.comparisons if c.size == size and c.against != self.comparator)

    @property
    def ran(self) -> frozenset[str]:
        """Stages of which at least one cell was finished."""
        return frozenset(stage.stage for stage in self.stages if stage.cells)

    @property
    def unfinished(self) -> bool:
        """Whether cells of the plan were not scored yet."""
        return self.n_scored < self.n_planned

    @property
    def main(self) -> Comparison | None:
        """What the verdict is about: the focus arm against its named rival, or the comparator."""
        named = [c for c in self.against_others(self.main_size) if c.arm == self.focus]
        steps = self.steps
        return steps[0] if steps else named[0] if named else self.main_v_comparator

    @property
    def steps(self) -> tuple[Comparison, ...]:
        """The fixed sequence of the verdict: the rival first, then gold."""
        found = [c for c in self.comparisons if c.step and c.size == self.main_size]
        return tuple(sorted(found, key=lambda c: c.step or 0))

    @property
    def main_v_comparator(self) -> Comparison | None:
        """The focus arm against the comparator at the main size."""
        rows = self.against_comparator(self.main_size)
        return next((c for c in rows if c.arm == self.focus), None)
