"""Figures with one row an arm: scores, differences, seen and unseen mentions.

A row has a name, a strip on a common scale and its numbers; in a narrow column the words stand
above the strip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from notesmith.findings import Comparison, Difference, Estimate
from notesmith.report import words
from notesmith.report.svg import Figure, Scale, circle, group, line, rect, shorten, text, ticks
from notesmith.results import Results

WIDE, NARROW = 760.0, 360.0
_CLAIM_CLASS = {"better": "good", "worse": "bad"}


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a row's name, strip and numbers go, and how high a row is."""

    width: float
    left: float
    right: float
    row: float
    characters: int

    @property
    def stacked(self) -> bool:
        """Whether the words stand above the strip."""
        return self.width < 500

    @classmethod
    def of(cls, width: float, *, notes: bool = False) -> Frame:
        """The frame for a column of ``width``; ``notes`` leaves room for a second line."""
        if width < 500:
            return cls(width, 16, width - 16, 66 if notes else 52, 27)
        # A note such as "no difference shown, p = 0.29, step 1" is wider than figures alone.
        return cls(width, 196, width - (222 if notes else 176), 42 if notes else 36, 27)

    def centre(self, top: float, i: int) -> float:
        """Height of the strip of row ``i``."""
        return top + self.row * i + (self.row - 15 if self.stacked else self.row / 2)

    def label(
        self,
        y: float,
        name: str,
        numbers: str,
        *,
        class_: str = "",
        below: tuple[str, str] = ("", ""),
    ) -> str:
        """The words of one row whose strip is centred on ``y``; ``below`` is a second line."""
        second = any(below)
        if self.stacked:
            first, under = (y - 32, y - 16) if second else (y - 17, y)
        else:
            first, under = (y - 3, y + 12) if second else (y + 4, y)
        left = first if below[0] or self.stacked else y + 4
        parts = text(0, left, shorten(name, self.characters), class_)
        parts += text(self.width, first, numbers, "num", "end")
        if below[0]:
            parts += text(0, under, shorten(below[0], self.characters + 3), "small muted")
        if below[1]:
            parts += text(self.width, under, below[1], "small muted word", "end")
        return parts


def forest(results: Results, size: int, *, width: float = WIDE) -> Figure:
    """Strict F1 of every arm: mean, interval, one dot a replicate, a line at the comparator."""
    arms = results.arms_at(size)
    frame = Frame.of(width)
    # One scale for all sizes, so that figures can be compared with the eye.
    shared = [
        a.decided.f1
        for n in results.sizes
        if len(results.arms_at(n)) > 1 or n == size
        for a in results.arms_at(n)
    ]
    scale = _scale(_extent(shared), frame)
    top = 24.0
    bottom = top + frame.row * len(arms)
    parts = _axis(scale, top, bottom, words.points, "strict F1", frame)
    reference = results.arm(results.comparator, size)
    if reference:
        x = scale(reference.decided.f1.mean)
        parts.append(line(x, top - 4, x, bottom, "ref"))
        parts.append(text(x, top - 10, shorten(results.comparator, 24), "small muted", "middle"))
    for i, arm in enumerate(arms):
        y = frame.centre(top, i)
        focus = arm.name == results.focus
        f1 = arm.decided.f1
        numbers = f"{words.points(f1.mean)} {words.interval(f1.low, f1.high)}"
        parts.append(
            group(
                "focus" if focus else "",
                *interval_marks(scale, y, f1.mean, f1),
                frame.label(y, arm.name, numbers, class_="strong" if focus else ""),
            )
        )
    said = "; ".join(
        f"{arm.name}: {words.points(f1.mean)} {words.interval(f1.low, f1.high)}"
        for arm in arms
        for f1 in (arm.decided.f1,)
    )
    return Figure(
        f"forest-{size}",
        f"Strict F1 of each arm, {size} gold documents",
        f"Mean, interval and one dot a replicate. {said}.",
        width,
        bottom + 38,
        tuple(parts),
    )


def difference(results: Results, size: int, *, width: float = WIDE) -> Figure:
    """F1 differences with their paired intervals, those from other rivals than the comparator last.

    Behind the row that the verdict is about lies the zone of differences too small to be found.
    """
    rows = [*results.against_comparator(size), *results.against_others(size)]
    frame = Frame.of(width, notes=True)
    detectable = results.power.detectable or 0.0
    ends = [v for c in results.comparisons for v in (c.delta, c.low, c.high, *c.values)]
    low, high = min([-detectable, *ends]), max([detectable, *ends])
    scale = _scale((low, high), frame)
    top = 8.0
    bottom = top + frame.row * len(rows)
    parts = []
    for i, row in enumerate(rows):
        if row is results.main and detectable:
            x, y = scale(-detectable), top + frame.row * i
            y += 22 if frame.stacked else 4
            parts.append(
                rect(x, y, scale(detectable) - x, top + frame.row * (i + 1) - y - 2, "zone")
            )
    parts += _axis(scale, top, bottom, words.signed, "difference in F1 points", frame)
    parts.append(line(scale(0), top, scale(0), bottom, "ref"))
    for i, row in enumerate(rows):
        y = frame.centre(top, i)
        numbers = f"{words.signed(row.delta)} {words.interval(row.low, row.high, sign=True)}"
        other = "" if row.against == results.comparator else f"v {row.against}"
        parts.append(
            group(
                _CLAIM_CLASS.get(row.claim, ""),
                *interval_marks(scale, y, row.delta, row),
                frame.label(
                    y,
                    row.arm,
                    numbers.rstrip(),
                    below=(other, claim_words(row, steps=len(results.steps))),
                    class_="strong" if row.arm == results.focus else "",
                ),
            )
        )
    said = "; ".join(
        f"{c.arm} v {c.against}: {words.signed(c.delta)} "
        f"{words.interval(c.low, c.high, sign=True)}, {c.claim}"
        for c in rows
    )
    return Figure(
        f"difference-{size}",
        f"F1 differences, {size} gold documents",
        f"In F1 points, with paired intervals. {said}.",
        width,
        bottom + 38,
        tuple(parts),
    )


def claim_words(row: Comparison, *, steps: int = 1) -> str:
    """The claim with its adjusted p value; its step where there are several."""
    if row.claim == "demonstration":
        return "demonstration, no claim"
    if row.claim == "unfinished":
        if row.planned is None or row.n_replicates == row.planned:
            return "no claim: scores are awaited"
        return f"no claim: {row.n_replicates} of {row.planned} sealed draws"
    if row.claim == "not tested":
        return f"not tested: step {(row.step or 2) - 1} is not better"
    shown = words.probability(row.p_holm)
    step = f", step {row.step}" if row.step and steps > 1 else ""
    return f"{row.claim}, p {shown if shown.startswith('<') else f'= {shown}'}{step}"


def seen_unseen(results: Results, size: int, *, width: float = WIDE) -> Figure | None:
    """F1 on mentions whose string stood in gold (ring) and on those that did not (dot)."""
    arms = results.arms_at(size)
    if not arms:
        return None
    frame = Frame.of(width)
    means = [s.mean for a in arms for s in (a.decided.seen_f1, a.decided.unseen_f1)]
    scale = _scale((min(means), max(means)), frame)
    top = 34.0
    bottom = top + frame.row * len(arms)
    parts = _axis(scale, top, bottom, words.points, "strict F1", frame)
    parts += _key(frame.left, [("dot", "unseen in gold"), ("ring", "seen in gold")])
    for i, arm in enumerate(arms):
        y = frame.centre(top, i)
        seen, unseen = arm.decided.seen_f1.mean, arm.decided.unseen_f1.mean
        a, b = scale(unseen), scale(seen)
        focus = arm.name == results.focus
        parts.append(
            group(
                "focus" if focus else "",
                line(a, y, b, y, "line"),
                circle(b, y, 5, "ring"),
                circle(a, y, 5.5, "dot"),
                frame.label(
                    y,
                    arm.name,
                    f"{words.points(unseen)} · {words.points(seen)}",
                    class_="strong" if focus else "",
                ),
            )
        )
    said = "; ".join(
        f"{a.name}: unseen {words.points(a.decided.unseen_f1.mean)}, "
        f"seen {words.points(a.decided.seen_f1.mean)}"
        for a in arms
    )
    return Figure(
        f"seen-unseen-{size}",
        f"F1 on seen and unseen mentions, {size} gold documents",
        f"{said}.",
        width,
        bottom + 38,
        tuple(parts),
    )


def interval_marks(scale: Scale, y: float, mean: float, found: Estimate | Difference) -> list[str]:
    """Mean, interval with end marks, and the replicates beneath, where neither hides the other."""
    parts = [circle(scale(v), y + 9, 2.6, "rep") for v in found.values]
    parts.append(line(scale(found.low), y, scale(found.high), y, "line"))
    for end in (found.low, found.high):
        parts.append(line(scale(end), y - 4, scale(end), y + 4, "line"))
    return [*parts, circle(scale(mean), y, 5, "dot")]


def _axis(
    scale: Scale,
    top: float,
    bottom: float,
    write: Callable[..., str],
    title: str,
    frame: Frame,
) -> list[str]:
    parts = []
    values = ticks(scale.low, scale.high, about=4 if frame.stacked else 6)
    digits = 0 if all(float(v).is_integer() for v in values) else 1
    for value in values:
        x = scale(value)
        parts.append(line(x, top, x, bottom, "grid"))
        parts.append(text(x, bottom + 16, write(value, digits=digits), "small muted", "middle"))
    parts.append(line(scale.start, bottom, scale.end, bottom, "axis"))
    parts.append(text(scale.end, bottom + 33, title, "small muted", "end"))
    return parts


def _scale(extent: tuple[float, float], frame: Frame) -> Scale:
    values = ticks(*extent, about=4 if frame.stacked else 6)
    return Scale(values[0], values[-1], frame.left, frame.right)


def _extent(estimates: Iterable[Estimate]) -> tuple[float, float]:
    ends = [v for e in estimates for v in (e.mean, e.low, e.high, *e.values)]
    return min(ends), max(ends)


def _key(x: float, marks: Sequence[tuple[str, str]]) -> list[str]:
    parts = []
    for class_, said in marks:
        parts.append(circle(x + 6, 10, 5, class_))
        parts.append(text(x + 17, 14, said, "small muted"))
        x += 36 + 6.2 * len(said)
    return parts
