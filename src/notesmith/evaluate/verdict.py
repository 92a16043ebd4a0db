"""The verdict in words: claims, headline, sentences and recommendation, by rules written down here.

A claim needs five replicates, a Holm-adjusted p below the error rate and an interval clear of 0.
The recommendation is about one arm that was named before the test set was opened; it is the rule
of ``recommend`` that decides, not the writer of a report. Words for numbers are in ``phrases``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from notesmith.evaluate.phrases import needed_words, points, worth_words

Claim = Literal["better", "worse", "no difference shown", "demonstration"]
Recommendation = Literal[
    "use", "do not use", "label more", "underpowered", "demonstration", "no claim", "unfinished"
]

MIN_REPLICATES = 5
# A gain that this many notes give too, or this share of those at hand, is not worth a generator.
FEW_NOTES = 5
FEW_NOTES_RATIO = 0.1
# Smallest gain in points of F1 that would matter.
WORTHWHILE = 1.0


def claim(low: float, high: float, p_holm: float, n_replicates: int, *, alpha: float) -> Claim:
    """What may be said of a difference."""
    if n_replicates < MIN_REPLICATES:
        return "demonstration"
    if p_holm < alpha and low > 0:
        return "better"
    if p_holm < alpha and high < 0:
        return "worse"
    return "no difference shown"


def recommend(
    comparison: Mapping[str, Any], *, doubling: float | None, detectable: float | None = None
) -> Recommendation:
    """What to do, from the main comparison (its figures in points of F1).

    Args:
        comparison: an entry of ``comparisons``.
        doubling: points of F1 that doubling the gold gains, None where it is not known.
        detectable: true difference that such a run finds four times in five, None where unknown.
    """
    said = comparison["claim"]
    if said == "demonstration":
        return "demonstration"
    if said == "worse":
        return "do not use"
    if said == "better":
        worth = comparison["worth"]
        few = max(FEW_NOTES, FEW_NOTES_RATIO * comparison["size"])
        bounded = worth is not None and "high" not in worth["beyond"]
        return "label more" if bounded and worth["high"] <= few else "use"
    if comparison["high"] < WORTHWHILE:
        return "do not use"
    if doubling is not None and doubling > comparison["high"]:
        return "label more"
    # The interval leaves room for a gain that matters. If such a gain would mostly have been
    # missed, its absence says nothing; if it would mostly have been found, there is just no claim.
    return "underpowered" if detectable is not None and detectable > WORTHWHILE else "no claim"


def candidate(made: Mapping[str, Sequence[str]], comparator: str) -> str | None:
    """The arm that the verdict is about where the recipe names none: chosen without its scores.

    The first arm with the most made sources, ``synthetic`` among them; any arm with made sources
    where there is no synthetic one.
    """
    arms = [a for a, s in made.items() if a != comparator and s and not _is_placebo(s)]
    synthetic = [a for a in arms if "synthetic" in made[a]]
    return max(synthetic or arms, key=lambda a: len(made[a]), default=None)


def _is_placebo(sources: Sequence[str]) -> bool:
    return any("shuffled-labels" in source for source in sources)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the report says first."""

    headline: str
    sentences: tuple[str, ...]
    recommendation: Recommendation

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            "headline": self.headline,
            "sentences": list(self.sentences),
            "recommendation": self.recommendation,
        }


def write_verdict(
    results: Mapping[str, Any], arm: str | None, awaited: str | None = None
) -> Verdict:
    """Put the assembled ``results`` into words; ``arm`` is the one the verdict is about.

    ``awaited`` is the arm that it is to be about once that is scored: until then there are
    figures, and no recommendation.
    """
    about = [
        c for c in results["comparisons"] if c["arm"] == arm and c["size"] == results["main_size"]
    ]
    if not about:
        return Verdict("There is nothing to compare.", (), "no claim")
    # A rival named for this arm is the sterner test than the common comparator.
    main = next((c for c in about if c["family"] == "against"), about[0])
    power = results["power"]
    minutes = results.get("minutes_per_note")
    sentences = [_sentence(c, minutes) for c in about if c is not main]
    sentences += _other_arms(results, arm)
    sentences.append(_power_sentence(power))
    advice: Recommendation = "unfinished"
    if awaited:
        sentences.append(
            f"Recommendation: none yet; {_name(awaited)}, which the plan is about, is not scored."
        )
    else:
        advice = recommend(main, doubling=_doubling(results), detectable=power["detectable"])
        sentences.append(_advice_sentence(advice, main, power))
    return Verdict(_sentence(main, minutes), tuple(s for s in sentences if s), advice)


def _sentence(comparison: Mapping[str, Any], minutes: float | None) -> str:
    text = _claim_words(comparison, minutes)
    return text[:1].upper() + text[1:]


def _claim_words(comparison: Mapping[str, Any], minutes: float | None) -> str:
    arm, against = comparison["arm"], comparison["against"]
    figures = (
        f"{points(comparison['delta'])} F1 "
        f"[{points(comparison['low'])}, {points(comparison['high'])}]"
    )
    worth = comparison["worth"]
    said = comparison["claim"]
    if said == "demonstration":
        n = comparison["n_replicates"]
        return (
            f"Demonstration, no claim: {_name(arm)} differs from {against} by {figures} "
            f"over {n} replicate{'s' if n != 1 else ''}; a claim needs {MIN_REPLICATES}."
        )
    if said == "better":
        tail = f", worth {worth_words(worth, minutes)}" if worth else ""
        return f"{_name(arm)} is better than {against} by {figures}{tail}."
    if said == "worse":
        return f"{_name(arm)} is worse than {against}: {figures}."
    if comparison["low"] > 0 or comparison["high"] < 0:
        # Its own interval is clear of 0; among so many arms that happens by chance too.
        return (
            f"{_name(arm)} differs from {against} by {figures}, but not once corrected for the "
            f"number of arms (p {comparison['p_holm']:.3f})."
        )
    return f"No difference shown between {_name(arm)} and {against}: {figures}."


def _name(arm: str) -> str:
    return arm.replace("+", " + ") if "+" in arm and " " not in arm else arm


def _other_arms(results: Mapping[str, Any], arm: str | None) -> list[str]:
    by_claim: dict[str, list[str]] = {}
    for c in results["comparisons"]:
        if c["family"] == "comparator" and c["arm"] != arm and c["size"] == results["main_size"]:
            by_claim.setdefault(c["claim"], []).append(f"{c['arm']} ({points(c['delta'])})")
    words = {
        "better": "Better than {0} as well: {1}.",
        "worse": "Worse than {0}: {1}.",
        "no difference shown": "No difference to {0} shown: {1}.",
        "demonstration": "Other arms beside {0}, without claim: {1}.",
    }
    return [
        words[said].format(results["comparator"], ", ".join(arms))
        for said, arms in by_claim.items()
    ]


def _power_sentence(power: Mapping[str, Any]) -> str:
    if power["detectable"] is None:
        return ""
    return (
        f"With {power['n_replicates']} replicates and {power['n_documents']} documents a true "
        f"difference of {power['detectable']:.1f} F1 would be found four times out of five; "
        "smaller ones are mostly missed."
    )


def _doubling(results: Mapping[str, Any]) -> float | None:
    gain = results["learning_curve"]["doubling"]
    return None if gain is None else float(gain)


def _advice_sentence(
    advice: Recommendation, comparison: Mapping[str, Any], power: Mapping[str, Any]
) -> str:
    arm, against = _name(comparison["arm"]), comparison["against"]
    if advice == "use":
        return f"Recommendation: use {arm}."
    if advice == "do not use":
        why = (
            f"it is worse than {against}"
            if comparison["claim"] == "worse"
            else f"a gain of {WORTHWHILE:.0f} F1 over {against} is ruled out"
        )
        return f"Recommendation: do not use {arm}; {why}."
    if advice == "label more":
        if comparison["claim"] == "better":
            most = comparison["worth"]["high"]
            return f"Recommendation: label more; {most} notes at most gain as much as {arm} does."
        return (
            "Recommendation: label more; by the gold curve, twice the notes gain more than "
            f"{arm} can over {against}."
        )
    if advice == "demonstration":
        return (
            f"Recommendation: none; with fewer than {MIN_REPLICATES} replicates this is a "
            "demonstration that everything runs."
        )
    if advice == "underpowered":
        return (
            f"Recommendation: none, this run is underpowered: a gain of {WORTHWHILE:.0f} F1 would "
            f"matter, {arm} may have it, and a run of this size would mostly miss it. "
            f"{needed_words(power)}"
        ).strip()
    return (
        f"Recommendation: none; a gain of {WORTHWHILE:.0f} F1 would mostly have been found, yet "
        "the interval does not rule it out."
    )
