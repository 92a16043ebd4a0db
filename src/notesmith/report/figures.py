"""The report's figures: learning curve and funnel here, those with a row an arm in ``strips``.

Each is drawn for a wide and for a narrow column. Pure functions from the results to drawings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from notesmith.findings import CurveFit, Worth
from notesmith.report import words
from notesmith.report.made import MadeMeans, made_means
from notesmith.report.strips import NARROW, WIDE, Frame, difference, forest, seen_unseen
from notesmith.report.svg import (
    Figure,
    Scale,
    circle,
    element,
    line,
    rect,
    shorten,
    slug,
    text,
    ticks,
)
from notesmith.report.training import panels
from notesmith.results import Results, RlRun


@dataclass(frozen=True, slots=True)
class Drawn:
    """One figure in both widths."""

    wide: Figure
    narrow: Figure


def learning_curve(results: Results, *, width: float = WIDE) -> Figure | None:
    """F1 of gold alone by labelled notes, and what the focus arm's gain is worth on it."""
    curve = results.learning_curve
    if len(curve.sizes) < 2:
        return None
    wide = width >= 500
    height = 330.0 if wide else 280.0
    marker = _Marker.of(results)
    fitted = _points(curve.fit) if curve.fit else []
    xs = [*curve.sizes, *(marker.sizes if marker else ())]
    ys = [*curve.f1, *(f for _, f in fitted), *([marker.level] if marker else ())]
    x_ticks = ticks(0.0, max(xs), about=6 if wide else 4)
    y_ticks = ticks(min(ys), max(ys))
    x = Scale(x_ticks[0], x_ticks[-1], 40.0, width - 16)
    y = Scale(y_ticks[0], y_ticks[-1], height - 46, 26.0)
    bottom = y.start
    parts = []
    if marker and len(marker.band) == 2:
        left, right = (x(n) for n in sorted(marker.band))
        parts.append(rect(left, y.end, right - left, bottom - y.end, "focus zone"))
    for value in y_ticks:
        parts.append(line(x.start, y(value), x.end, y(value), "grid"))
        parts.append(text(x.start - 8, y(value) + 4, f"{value:g}", "small muted", "end"))
    for value in x_ticks:
        parts.append(text(x(value), bottom + 18, f"{value:g}", "small muted", "middle"))
    parts.append(line(x.start, bottom, x.end, bottom, "axis"))
    parts.append(text(x.end, height - 8, "labelled notes", "small muted", "end"))
    parts.append(text(0, 12, "strict F1", "small muted"))
    measured = list(zip(curve.sizes, curve.f1, strict=True))
    parts.append(_path([(x(n), y(f)) for n, f in fitted or measured], "line"))
    parts += [circle(x(n), y(f), 4.5, "ring") for n, f in measured]
    if marker:
        parts += marker.draw(x, y)
    said = ", ".join(f"{n:g} notes {words.points(f)}" for n, f in measured)
    return Figure(
        "learning-curve",
        f"Learning curve of {results.learning_curve.arm} alone",
        f"Strict F1 by number of labelled notes: {said}. {worth_words(results)}".rstrip(),
        width,
        height,
        tuple(parts),
    )


_CURVE_POINTS = 60


def _points(fit: CurveFit) -> list[tuple[float, float]]:
    """Points of the fitted line between the sizes that were trained."""
    steps = (i / (_CURVE_POINTS - 1) for i in range(_CURVE_POINTS))
    sizes = [fit.low * (fit.high / fit.low) ** step for step in steps]
    return [(size, fit(size)) for size in sizes]


@dataclass(frozen=True, slots=True)
class _Marker:
    """The focus arm on the plot of the learning curve, and its way to the curve."""

    name: str
    size: int
    level: float
    worth: Worth | None

    @classmethod
    def of(cls, results: Results) -> _Marker | None:
        arm = results.arm(results.focus, results.main_size)
        row = results.main_v_comparator
        if arm is None:
            return None
        # A worth against another rival starts at that rival's level, not on this curve.
        on_curve = row is not None and row.against == results.learning_curve.arm
        worth = row.worth if row and on_curve and row.worth and row.worth.notes > 0 else None
        return cls(arm.name, results.main_size, arm.decided.f1.mean, worth)

    @property
    def band(self) -> tuple[float, ...]:
        """Sizes at the ends of the worth's interval."""
        ends = (self.worth.low, self.worth.high) if self.worth else ()
        return tuple(self.size + n for n in ends)

    @property
    def sizes(self) -> tuple[float, ...]:
        """All sizes that must be on the plot."""
        return (self.size, *self.band, *([self.size + self.worth.notes] if self.worth else []))

    def draw(self, x: Scale, y: Scale) -> list[str]:
        """The dot, the way to the curve and down to the notes, in words too."""
        at, level = x(self.size), y(self.level)
        room = x.end - at > 7.2 * len(shorten(self.name, 34))
        parts = [
            text(
                at - 4, level - 11, shorten(self.name, 34), "strong small", None if room else "end"
            )
        ]
        if self.worth:
            place = x(self.size + self.worth.notes)
            parts.append(_path([(at, level), (place, level), (place, y.start)], "focus ref"))
            after = place + 80 < x.end
            parts.append(
                text(
                    place + (7 if after else -7),
                    y.start - 9,
                    f"{'≥ ' if 'notes' in self.worth.beyond else '+'}"
                    f"{words.plural(self.worth.notes, 'note')}"
                    f"{f', {words.hours(self.worth.hours.notes)} h' if self.worth.hours else ''}",
                    "strong small",
                    None if after else "end",
                )
            )
        return [*parts, circle(at, level, 5.5, "focus dot")]


def worth_words(results: Results) -> str:
    """What the focus arm's gain over the comparator is worth, in a sentence, or nothing."""
    row = results.main_v_comparator
    if row is None or row.worth is None:
        return ""
    return (
        f"The change of {row.arm} over {row.against} at {row.size} notes is worth "
        f"{worth_phrase(row.worth)}{hours_phrase(row.worth, results.minutes_per_note, ', or ')}."
    )


def worth_phrase(worth: Worth) -> str:
    """``about 14 more labelled notes [5, 26]``; "at least" where the curve ends."""
    head = "at least" if "notes" in worth.beyond else "about"
    direction = "more" if worth.notes >= 0 else "fewer"
    return (
        f"{head} {words.count(abs(worth.notes))} {direction} labelled notes{worth_interval(worth)}"
    )


def hours_phrase(worth: Worth, minutes: float | None, lead: str = "") -> str:
    """``2.8 annotator hours [1.0, 5.2] at 12 minutes a note``; nothing where hours are unknown."""
    if worth.hours is None or minutes is None:
        return ""
    ends = _ends(worth.hours.low, worth.hours.high, worth.beyond, words.hours)
    return (
        f"{lead}{words.hours(abs(worth.hours.notes))} annotator hours{ends} at {minutes:g} "
        f"minute{'' if minutes == 1 else 's'} a note"
    )


def worth_interval(worth: Worth) -> str:
    """`` [5, 26 or more]``."""
    return _ends(worth.low, worth.high, worth.beyond, words.count)


def _ends(low: float, high: float, beyond: Sequence[str], write: Callable[[float], str]) -> str:
    first = f"{write(low)}{' or fewer' if 'low' in beyond else ''}"
    last = f"{write(high)}{' or more' if 'high' in beyond else ''}"
    return f" [{first}, {last}]"


def funnel_name(made: MadeMeans) -> str:
    """Name of the figure of ``made``."""
    return f"made-{made.size}" + (f"-{slug(made.source)}" if made.source else "")


def funnel(made: MadeMeans, *, width: float = WIDE) -> Figure:
    """From what was asked for to what was kept: one step down a reason."""
    frame = Frame.of(width)
    row = 44.0 if frame.stacked else 29.0
    steps = [("asked", made.asked, made.asked)]
    left = made.asked
    for reason, n in made.dropped.items():
        steps.append((reason, left, n))
        left -= n
    steps.append(("kept", made.kept, made.kept))
    x0, x1 = (0.0, width) if frame.stacked else (frame.left, frame.right)
    scale = Scale(0.0, max(made.asked, 1e-9), x0, x1)
    parts = []
    for i, (name, upto, n) in enumerate(steps):
        y = row * i + (32 if frame.stacked else 14)
        first, last = i == 0, i == len(steps) - 1
        numbers = words.count(n) if first else f"{words.count(n)} · {words.percent(n / made.asked)}"
        start = scale(max(upto - n, 0.0))
        parts.append(rect(x0, y - 7, x1 - x0, 14, "track", round_=3))
        parts.append(
            rect(
                start,
                y - 7,
                max(scale(upto) - start, 1.5),
                14,
                "focus bar" if last else "bar",
                round_=3,
            )
        )
        class_ = "strong" if first or last else ""
        parts.append(
            frame.label(y, name, numbers if first or last else f"−{numbers}", class_=class_)
        )
    said = ", ".join(f"{name} {words.count(n)}" for name, _, n in steps)
    of = f", {made.source}" if made.source else ""
    return Figure(
        funnel_name(made),
        f"Made text, {made.size} gold documents{of}",
        f"Mean of {words.plural(made.n_replicates, 'replicate')}: {said}.",
        width,
        row * len(steps) + 6,
        tuple(parts),
    )


def all_figures(results: Results) -> dict[str, Drawn]:
    """Every figure that the results allow, by name."""
    wide, narrow = (_draw(results, width) for width in (WIDE, NARROW))
    return {a.name: Drawn(a, b) for a, b in zip(wide, narrow, strict=True)}


def _draw(results: Results, width: float) -> list[Figure]:
    found: list[Figure | None] = [learning_curve(results, width=width)]
    for size in results.sizes:
        # A size at which gold alone was trained is a point of the learning curve.
        if len(results.arms_at(size)) > 1 or size == results.main_size:
            found.append(forest(results, size, width=width))
            found.append(seen_unseen(results, size, width=width))
        if results.against_comparator(size) or results.against_others(size):
            found.append(difference(results, size, width=width))
    found += [funnel(made, width=width) for made in made_means(results) if made.asked]
    by_arm: dict[str, list[RlRun]] = {}
    for run in results.rl:
        if run.size == results.main_size:
            by_arm.setdefault(run.arm, []).append(run)
    found += [panels(runs, width=width) for runs in by_arm.values()]
    return [figure for figure in found if figure is not None]


def _path(places: Sequence[tuple[float, float]], class_: str) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return element("polyline", points=joined, class_=class_)
