"""Figures of learning from rewards: how rewards and drift moved, one small panel a quantity."""

from __future__ import annotations

from collections.abc import Sequence

from notesmith.report.strips import WIDE
from notesmith.report.svg import Figure, Scale, circle, element, line, slug, text, ticks
from notesmith.results import RlRun

_TITLES = {
    "reward": "reward",
    "held_out_reward": "reward, prompts kept apart",
    "pass_ratio": "gates passed",
    "kl": "KL, nats a token",
    "held_out_kl": "KL, prompts kept apart",
    "length": "tokens a text",
    "drift_distinct_names": "distinct names",
    "drift_words": "words a text",
    "drift_density": "mentions a word",
    "drift_new_name_ratio": "new names, share",
    "drift_self_similarity": "likeness of contexts",
}
_SHARES = ("drift_new_name_ratio", "drift_self_similarity")
_HEIGHT, _GAP = 96.0, 26.0


def title_of(name: str) -> str:
    """A quantity of the history in words."""
    return _TITLES.get(name, name.removeprefix("part_").replace("_", " "))


def panels(runs: Sequence[RlRun], *, width: float = WIDE) -> Figure | None:
    """One panel a quantity, a thin line a run (a replicate); None where no run has a history.

    ``runs`` are those of one arm.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.series))
    names.sort(key=_rank)
    if not names:
        return None
    columns = 3 if width >= 500 else 2
    gap = 22.0
    each = (width - gap * (columns - 1)) / columns
    parts: list[str] = []
    for k, name in enumerate(names):
        left = (k % columns) * (each + gap)
        top = (k // columns) * (_HEIGHT + _GAP)
        parts += _panel(name, runs, left, top, each)
    n_rows = -(-len(names) // columns)
    said = "; ".join(_said(name, runs) for name in names)
    return Figure(
        f"rl-{slug(runs[0].arm)}",
        f"Learning from rewards, {runs[0].arm}",
        f"First and last values, means of {len(runs)} runs: {said}.",
        width,
        n_rows * (_HEIGHT + _GAP),
        tuple(parts),
    )


def _rank(name: str) -> tuple[int, str]:
    order = ["reward", "held_out_reward", "pass_ratio"]
    if name in order:
        return order.index(name), name
    return (3 if name.startswith("part_") else 4 if name.endswith("kl") else 5), name


def _is_share(name: str) -> bool:
    return (
        name.endswith("reward")
        or name == "pass_ratio"
        or name.startswith("part_")
        or name in _SHARES
    )


def _ends(low: float, high: float) -> list[float]:
    """Round numbers around the values; a constant stands in the middle."""
    if high - low < 1e-6 * max(abs(high), 1.0):
        low, high = (low - 0.5 * abs(low), high + 0.5 * abs(high)) if high else (0.0, 1.0)
    return ticks(low, high, about=2)


def _panel(name: str, runs: Sequence[RlRun], left: float, top: float, width: float) -> list[str]:
    lines = [run.series[name] for run in runs if run.series.get(name)]
    values = [value for points in lines for _, value in points]
    steps = [step for points in lines for step, _ in points]
    marks = [0.0, 1.0] if _is_share(name) else _ends(min(values), max(values))
    x = Scale(0.0, max(max(steps), 1.0), left + 34, left + width)
    y = Scale(marks[0], marks[-1], top + _HEIGHT - 16, top + 20)
    parts = [text(left, top + 10, title_of(name), "small strong")]
    for mark in (marks[0], marks[-1]):
        parts.append(line(x.start, y(mark), x.end, y(mark), "grid"))
        parts.append(text(x.start - 5, y(mark) + 4, f"{mark:.3g}", "small muted", "end"))
    for points in lines:
        joined = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points)
        parts.append(element("polyline", points=joined, class_="focus line"))
        if len(points) == 1:
            parts.append(circle(x(points[0][0]), y(points[0][1]), 2.5, "focus dot"))
    parts.append(text(x.end, top + _HEIGHT, f"step {max(steps):g}", "small muted", "end"))
    return parts


def _said(name: str, runs: Sequence[RlRun]) -> str:
    lines = [run.series[name] for run in runs if run.series.get(name)]
    first = sum(points[0][1] for points in lines) / len(lines)
    last = sum(points[-1][1] for points in lines) / len(lines)
    return f"{title_of(name)} {first:.3g} to {last:.3g}"
