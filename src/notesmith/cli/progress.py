"""The display of a run: one updating line in a terminal, one line for each cell elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from notesmith.cli.screen import Screen
from notesmith.experiment.engine import CellEvent
from notesmith.marked import one_line
from notesmith.progress import Progress

if TYPE_CHECKING:
    from notesmith.experiment.run import RunResult

PLAIN_EVERY = 60.0
# Seconds; a smaller part of what is left says nothing of the whole.
_TELLING = 60.0


class Display:
    """Shows progress; give its two methods to ``run_recipe``."""

    def __init__(self, console: Screen | None = None) -> None:
        """Write to ``console``, stderr if not given."""
        self.console = console or Screen(stderr=True, highlight=False)
        self._live: Live | None = None
        self._event: CellEvent | None = None
        self._started = time.monotonic()
        self._printed = time.monotonic()

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def on_cell(self, event: CellEvent) -> None:
        """Show that a cell starts or is done."""
        # Work after the last cell is of none.
        self._event = None if event.kind == "done" and event.n_done == event.n_total else event
        if event.kind == "start":
            self._printed = time.monotonic()
        if event.kind != "done":
            self._show(None)
        else:
            line = f"{_place(event)} {event.cell.title}: {duration(event.seconds)}"
            self.console.print(line, soft_wrap=True)

    def on_progress(self, progress: Progress) -> None:
        """Show how far the work inside a cell is."""
        now = time.monotonic()
        if self._live is None and now - self._printed < PLAIN_EVERY:
            return
        self._printed = now
        self._show(progress)

    def _show(self, progress: Progress | None) -> None:
        line = "" if progress is None else describe(progress)
        if event := self._event:
            cell = f"{_place(event)} {event.cell.title}"
            line = f"{cell} · {line}" if line else cell
            # The cell may take longer than was foreseen for the whole run.
            inside = progress.eta if progress is not None else 0.0
            untimed = event.n_untimed or int(inside > event.eta)
            if said := time_left(max(event.eta, inside), untimed):
                line += f" · run: {said} left"
        if self._live is not None:
            self._live.update(Text(one_line(line), no_wrap=True, overflow="ellipsis"))
        elif progress is not None:
            self.console.print(line, soft_wrap=True)


def describe(progress: Progress) -> str:
    """One line: done of total, speed, time left, values."""
    parts = [f"{progress.stage} {progress.done:,} of {progress.total:,} {progress.unit}"]
    if progress.tokens_per_second:
        parts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    # Before the values, which a narrow terminal cuts.
    if progress.eta >= 1:
        parts.append(f"{duration(progress.eta)} left")
    parts += [
        f"{name} {value:.3g}"
        for name, value in progress.values.items()
        if name != "tokens_per_second"
    ]
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds in words: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def time_left(eta: float, n_untimed: int) -> str:
    """``about 3 min 20 s``; ``more than`` while ``eta`` seconds leave out ``n_untimed`` cells.

    Returns "" while the known part is too short to tell: the first cells of a run are quick.
    """
    if not n_untimed:
        return f"about {duration(eta)}" if eta else ""
    return f"more than {duration(eta)}" if eta >= _TELLING else ""


def print_preview(result: RunResult) -> None:
    """Print that every stage ran and where the examples are; scores of a preview are not shown."""
    if result.report is None or result.n_left:
        print_outcome(result)
        return
    console = Screen(highlight=False, soft_wrap=True)
    console.print("Preview: every stage ran. Its scores mean nothing.", style="bold")
    examples = result.report.parent / "examples.html"
    if examples.exists():
        console.print(f"What was made: {examples}")
    console.print(f"Report: {result.report}")
    console.print("Next: the same command without --preview")


def print_outcome(result: RunResult) -> None:
    """Print the verdict's headline and advice, where the report is, and how many cells are left."""
    console = Screen(highlight=False, soft_wrap=True)
    if result.results is not None:
        verdict = result.results.verdict
        console.print(verdict.headline, style="bold")
        advice = next(reversed(verdict.sentences), "")
        if advice.startswith("Recommendation"):
            console.print(advice)
    if result.report is not None:
        console.print(f"Report: {result.report}")
    if result.n_left:
        left = "1 cell is" if result.n_left == 1 else f"{result.n_left:,} cells are"
        console.print(f"{left} left; the same command goes on.")


def _place(event: CellEvent) -> str:
    return f"[{event.n_done}/{event.n_total}]"
