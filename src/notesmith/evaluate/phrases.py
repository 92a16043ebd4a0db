"""Differences, worth and what an experiment lacks, as phrases of the verdict's sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from notesmith.findings import Hours, Power, Worth


def points(value: float) -> str:
    """A difference with its sign, one decimal; no "-0.0"."""
    rounded = round(value, 1) + 0.0
    return f"{rounded:+.1f}" if rounded else "0.0"


def hours(value: float) -> str:
    """Hours with one decimal, from 10 on without; no "-0.0"."""
    rounded = round(value, 1) + 0.0
    return f"{rounded:.1f}" if abs(rounded) < 10 else f"{rounded:.0f}"


def worth_words(worth: Worth, minutes: float | None = None) -> str:
    """``about 14 more labelled notes [5, 26]``, with "at least" where the curve ends.

    Where the ``minutes`` that a note takes an annotator are known, in hours too:
    ``…, or 2.8 annotator hours [1.0, 5.2] at 12 minutes a note``.
    """
    head = f"{'at least' if 'notes' in worth.beyond else 'about'} {abs(worth.notes)} "
    head += "labelled notes fewer" if worth.notes < 0 else "more labelled notes"
    phrase = f"{head} {_interval(worth, worth.beyond, str)}"
    if worth.hours is None or minutes is None:
        return phrase
    unit = "minute" if minutes == 1 else "minutes"
    return (
        f"{phrase}, or {hours(abs(worth.hours.notes))} annotator hours "
        f"{_interval(worth.hours, worth.beyond, hours)} at {minutes:g} {unit} a note"
    )


def draws_words(found: int, planned: int | None) -> str:
    """Why there is no claim, where other than the ``planned`` draws or not all scores are there."""
    if planned is None or found == planned:
        return "No claim before all scores that it waits for are in"
    if found > planned:
        return (
            f"No claim: the plan was sealed for {planned} draws and {found} are there, so it was "
            "extended after a look"
        )
    return f"No claim before the {planned} draws that were sealed; {found} are there"


def needed_words(power: Power) -> str:
    """What would find the difference that matters, by the ``power`` of the results; may be empty.

    The cheapest way comes first: replicates need no labels, test documents do. Replicates are
    priced in hours where ``seconds_per_draw`` is known.
    """
    wanted = power.needed
    if wanted is None:
        return ""
    replicates, documents = power.n_replicates, power.n_documents
    to_find = f"Finding {wanted.difference:g} F1 four times out of five would take about"
    rough = f"new draws under a new plan; rough, for the spread is known from {replicates} only"
    alike = f"{rough}, and further documents must be like these"
    ways = []
    if wanted.replicates is not None:
        price = _price(wanted.replicates, power.seconds_per_draw)
        ways.append(f"{wanted.replicates} replicates on these {documents} documents{price}")
    if wanted.documents is not None:
        ways.append(f"{wanted.documents} scored documents with these {replicates} replicates")
    if ways:
        more = rough if wanted.documents is None else alike
        return f"{to_find} {', or '.join(ways)} ({more})."
    alone = f"Neither more replicates on these {documents} documents nor more documents alone"
    if wanted.times is None:
        return f"{alone} would find {wanted.difference:g} F1, and both together are out of reach."
    return (
        f"{alone} would do. {to_find} {wanted.times * replicates} replicates"
        f"{_price(wanted.times * replicates, power.seconds_per_draw)} and "
        f"{wanted.times * documents} scored documents together ({alike})."
    )


def _price(replicates: int, seconds_per_draw: float | None) -> str:
    """``, 9.0 hours of computing here``, or nothing where the cost of a draw is not known."""
    if seconds_per_draw is None:
        return ""
    return f", {hours(replicates * seconds_per_draw / 3600)} hours of computing here"


def _interval(ends: Worth | Hours, beyond: tuple[str, ...], write: Callable[[Any], str]) -> str:
    low = f"{write(ends.low)}{' or fewer' if 'low' in beyond else ''}"
    high = f"{write(ends.high)}{' or more' if 'high' in beyond else ''}"
    return f"[{low}, {high}]"
