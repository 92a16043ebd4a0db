"""``notesmith plan``: what a recipe takes and can show, and whether it can succeed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from notesmith.cli.recipe import Recipe
from notesmith.cli.screen import Screen, say_json

if TYPE_CHECKING:
    from notesmith.forecast.forecast import Forecast

_GIB = 2**30


def plan(
    recipe: Recipe,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run folder; runs/RECIPE if not given.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="A.B=VALUE", help="Change a value; arm.NAME.… for one arm; repeatable."
        ),
    ] = None,
    arms: Annotated[
        str, typer.Option(help="Comma-separated arms to keep, the comparator among them.")
    ] = "",
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=A,B", help="Plan only a part: stage=, arm=, size=, replicate=."
        ),
    ] = None,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe/--no-probe", help="Measure speeds for about a minute if none are stored."
        ),
    ] = True,
    again: Annotated[
        bool, typer.Option("--again", help="Measure speeds even if some are stored.")
    ] = False,
    hub: Annotated[
        bool,
        typer.Option("--hub", help="Plan for notesmith run --hub; planning fetches nothing."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a run will take and can show; exit code 1 if it cannot succeed.

    The output gives time and memory by stage, the smallest gain that the test set can show, what
    leaves the machine (normally nothing), and what is written where. No cell is computed, and the
    test set stays sealed.
    """
    from notesmith.experiment.recipes import load_recipe
    from notesmith.forecast.forecast import forecast_run

    config = load_recipe(
        recipe,
        changes=[*(changes or ()), *(["hub=true"] if hub else [])],
        arms=[name.strip() for name in arms.split(",") if name.strip()],
    )
    aside = Screen(stderr=True, highlight=False)

    def tell(what: str) -> None:
        aside.print(what)

    folder = out or Path("runs") / Path(recipe).stem
    found = forecast_run(config, folder, only=only or (), probe=probe, again=again, tell=tell)
    if as_json:
        say_json(found.to_json())
    else:
        show(found, Screen(highlight=False, soft_wrap=True))
    if not found.can_succeed:
        raise typer.Exit(1)


def show(found: Forecast, console: Screen) -> None:
    """Print a forecast."""
    from notesmith.findings import OUT_OF_DRAW

    def line(text: str, style: str = "") -> None:
        console.print(text, style=style)

    line(f"{found.recipe}, in {found.folder}", "bold")
    for name, facts in found.corpus.items():
        name = "of train, scored where a draw leaves them out" if name == OUT_OF_DRAW else name
        labels = f"{len(facts.labels)} label{'s' * (len(facts.labels) != 1)}"
        line(
            f"  {name}: {facts.n_documents:,} documents, {facts.n_words:,} words, "
            f"{facts.n_mentions:,} mentions of {labels}"
        )
    for sentence in found.left_out:
        line(f"  {sentence}")
    if found.stages:
        console.print(_table(found))
    line(_time(found))
    line(_room(found))
    line(_gain(found))
    for what in _leaving(found):
        line(what)
    line("Written (files 0600, folders 0700):")
    for place, what in found.written:
        line(f"  {place}: {what}")
    for problem in found.problems:
        if not problem.fatal:
            line(f"Note: {problem.what}. Better: {problem.remedy}.", "yellow")
    fatal = [problem for problem in found.problems if problem.fatal]
    for problem in fatal:
        line(f"Cannot succeed: {problem.what}. Remedy: {problem.remedy}.", "bold red")
    if not fatal:
        line("Nothing was found that would stop this run.", "green")


def _leaving(found: Forecast) -> Iterator[str]:
    """What leaves the machine, one line for each."""
    fetched = [f"{model.hub_id} ({model.field})" for model in found.hub if not model.here]
    if fetched:
        yield (
            f"Leaves the machine: a request to the model hub for {', '.join(fetched)}, once; "
            "no text."
        )
        if gated := [model.hub_id for model in found.hub if model.gated and not model.here]:
            yield f"  {', '.join(gated)}: accept the terms on the hub and log in first."
    if found.sends_to:
        yield f"Leaves the machine: prompts with text of your documents, to {found.sends_to}."
    if not fetched and not found.sends_to:
        yield "Leaves the machine: nothing."


def _table(found: Forecast) -> object:
    from rich.table import Table

    from notesmith.cli.progress import duration

    table = Table("stage")
    for heading in ("cells", "finished", "time left", "a cell", "peak memory"):
        table.add_column(heading, justify="right")
    for stage in found.stages:
        n_left = stage.n_cells - stage.n_done
        known = stage.seconds is not None
        table.add_row(
            stage.stage,
            str(stage.n_cells),
            str(stage.n_done) if stage.n_done else "",
            "" if not n_left else duration(stage.seconds or 0) if known else "unknown",
            duration((stage.seconds or 0) / n_left) if n_left and known else "",
            _gib(stage.peak) if stage.peak else "",
        )
    return table


def _time(found: Forecast) -> str:
    from notesmith.cli.progress import duration
    from notesmith.forecast.speeds import REFERENCE_MACHINE

    machine, speeds = found.machine, found.speeds
    where = machine.gpu or f"{machine.threads} of {machine.cores} cores"
    if not found.stages:
        return "Time: unknown, as the plan cannot be made."
    if found.seconds is None:
        known = sum(stage.seconds or 0 for stage in found.stages)
        return f"Time: unknown in part; {duration(known)} for the rest, on {where}."
    source = {
        "measured": "measured now",
        "stored": f"measured here on {speeds.when}",
        "reference": f"by figures of another machine ({REFERENCE_MACHINE})",
        "unknown": "nothing measured",
    }[speeds.origin]
    if found.n_learnt:
        source += f", corrected by {found.n_learnt:,} finished cells of this folder"
    low, high = (duration(seconds) for seconds in found.seconds_range or (0, 0))
    time = f"about {low}" if low == high else f"{low} to {high}"
    return f"Time: {time} on {where}, {source}."


def _room(found: Forecast) -> str:
    machine = found.machine
    if machine.gpu:
        have = f"{machine.gpu}, {_gib(machine.gpu_memory)}"
    else:
        have = f"{_gib(machine.memory)}, {_gib(machine.free)} free now"
    return (
        f"Memory: about {_gib(found.memory)} needed ({have}). "
        f"Disk: about {_gib(found.disk)} needed ({_gib(found.disk_free)} free)."
    )


def _gain(found: Forecast) -> str:
    smallest = found.smallest
    if smallest is None:
        return "Smallest gain that would show: unknown without documents to score."
    what = f"{smallest.split}: {smallest.n_documents:,} documents, {smallest.n_mentions:,} mentions"
    if smallest.gain is None:
        return f"Smallest gain that would show: none, with one replicate ({what})."
    return (
        f"Smallest gain that would show: {smallest.gain:.1f} F1 ({what}, "
        f"{smallest.n_replicates} replicates). Assumed: {smallest.assumed}."
    )


def _gib(n_bytes: int | None) -> str:
    return "unknown" if n_bytes is None else f"{n_bytes / _GIB:.1f} GiB"
