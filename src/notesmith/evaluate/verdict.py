"""The verdict in words: claims, headline, sentences and recommendation, by rules written down here.

**The rule.** The recommendation is about one arm that was named before the test set was opened, the
candidate. It is compared with its rival first, with gold after that, and last with the vote of
students of gold, where the plan has that arm; each at the error rate (5%). A step is tested only
where the one before it said *better*: in a fixed sequence none needs a correction. *Use* needs all.
The other comparisons are side arms; Holm's correction is for them alone. No claim is made below
five draws, nor before the number of draws that was sealed is there. It is ``recommend`` that
decides, not the writer of a report. Words for numbers are in ``phrases``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from notesmith.evaluate.phrases import draws_words, needed_words, points, worth_words
from notesmith.findings import (
    NO_VERDICT,
    Claim,
    Comparison,
    Findings,
    MadeSource,
    Power,
    Recommendation,
    Verdict,
)
from notesmith.rules import FEW_NOTES, FEW_NOTES_RATIO, MIN_REPLICATES, WORTHWHILE


def claim(
    low: float,
    high: float,
    p: float,
    n_replicates: int,
    *,
    alpha: float,
    n_distinct: int | None = None,
    planned: int | None = None,
    is_tested: bool = True,
    is_whole: bool = True,
    is_sealed: bool = True,
) -> Claim:
    """What may be said of a difference.

    Args:
        low: lower end of its interval.
        high: upper end.
        p: of a step of the fixed sequence as it is, of a side arm by Holm.
        n_replicates: draws that both arms were scored on.
        alpha: error rate.
        n_distinct: those that are not alike; as many as there are if not given.
        planned: draws that were sealed: with fewer the run goes on, with more it was extended after
            a look, and neither may claim. None where no plan was sealed.
        is_tested: whether the step before it in the fixed sequence said *better*.
        is_whole: whether all scores are in that it waits for, those of the documents that are to
            decide and of the other arms of the sequence among them.
        is_sealed: whether the documents were sealed; on dev there are choices, and no claims.
    """
    other = planned is not None and n_replicates != planned
    if other and max(n_replicates, planned or 0) >= MIN_REPLICATES:
        return "unfinished"
    if not is_sealed or min(n_replicates, n_distinct or n_replicates) < MIN_REPLICATES:
        return "demonstration"
    if not is_whole:
        return "unfinished"
    if not is_tested:
        return "not tested"
    if p < alpha and low > 0:
        return "better"
    if p < alpha and high < 0:
        return "worse"
    return "no difference shown"


def recommend(steps: Sequence[Comparison], *, doubling: float | None) -> Recommendation:
    """What to do, from the comparisons of the fixed sequence (figures in points of F1).

    Args:
        steps: with the rival, with gold, with votes of gold; those that there are.
        doubling: points of F1 that doubling the gold gains, None where the curve does not clearly
            rise, or ends before that.
    """
    said = [step.claim for step in steps]
    if "unfinished" in said:
        return "unfinished"
    if "demonstration" in said:
        return "demonstration"
    if "worse" in said:
        return "do not use"
    step = decisive(steps)
    if step.high < WORTHWHILE and not is_worth_little(step):
        # What the arm cannot give, more labels can.
        can = doubling is not None and doubling >= WORTHWHILE
        return "label more" if can else "do not use"
    if step.claim == "better":
        return "label more" if any(map(is_worth_little, steps)) else "use"
    return "label more" if is_worth_little(step) else "underpowered"


def decisive(steps: Sequence[Comparison]) -> Comparison:
    """The step that the recommendation rests on.

    One that says *worse*; else one that rules out a gain that matters, though it be *better*; else
    the first that is not *better*; else the first.
    """
    lacking = [step for step in steps if step.claim != "better"]
    worse = [step for step in lacking if step.claim == "worse"]
    ruled_out = [step for step in steps if step.high < WORTHWHILE]
    return (worse or ruled_out or lacking or steps)[0]


def is_worth_little(comparison: Comparison) -> bool:
    """Whether the gain is worth few notes at most: five, or a tenth of those at hand."""
    worth = comparison.worth
    few = max(FEW_NOTES, FEW_NOTES_RATIO * comparison.size)
    return worth is not None and "high" not in worth.beyond and worth.high <= few


def candidate(
    made: Mapping[str, Sequence[MadeSource]], comparator: str, adapted: Collection[str] = ()
) -> str | None:
    """The arm that the verdict is about where the recipe names none: chosen without its scores.

    The first arm with the most made sources, a generator's main text among them; any arm with made
    sources where none has that; where no arm has made sources, the first of those in ``adapted``,
    whose encoder read text without labels. An arm with a placebo is never chosen.
    """
    arms = [
        name
        for name, sources in made.items()
        if name != comparator and sources and not any(s.is_placebo for s in sources)
    ]
    with_main = [name for name in arms if any(s.is_main for s in made[name])]
    without = [name for name in made if name != comparator and name in adapted and not made[name]]
    return max(with_main or arms or without, key=lambda name: len(made[name]), default=None)


def fixed_sequence(
    about: str | None,
    *,
    rival: str,
    gold: str,
    made: Mapping[str, Sequence[MadeSource]],
    votes: Mapping[str, int],
    adapted: Collection[str] = (),
) -> tuple[str, ...]:
    """The arms that the candidate is tested against, in order; none twice, and never itself.

    Its rival, gold, and votes of gold: of the arms of several students that train on gold alone,
    the one with the fewest that are at least as many as the candidate's.

    Args:
        about: the candidate, None where there is none.
        rival: the arm that it is compared with first.
        gold: the arm that trains on gold alone.
        made: made sources by arm, in the recipe's order.
        votes: students that vote by arm, where there are several.
        adapted: arms whose encoder read text without labels; they do not train on gold alone.
    """
    enough = max(2, votes.get(about or "", 1))
    of_gold = [
        arm for arm, n in votes.items() if not made.get(arm) and arm not in adapted and n >= enough
    ]
    last = min(of_gold, key=lambda arm: votes[arm], default=None)
    order = dict.fromkeys(arm for arm in (rival, gold, last) if arm is not None)
    return tuple(arm for arm in order if arm != about)


def lacks_votes_of_gold(findings: Findings) -> bool:
    """Whether the candidate is a vote and was not compared with votes of gold of as many."""
    about = findings.arm(findings.candidate or "", findings.main_size)
    if about is None or about.votes == 1 or about.is_gold_alone:
        return False
    against = [findings.arm(step.against, findings.main_size) for step in findings.steps]
    return not any(arm and arm.is_gold_alone and arm.votes >= about.votes for arm in against)


def write_verdict(findings: Findings, awaited: str | None = None) -> Verdict:
    """Put ``findings`` into words.

    ``awaited`` is an arm that the recommendation needs and that is not scored yet: until then
    there are figures, and no recommendation.
    """
    arm, curve = findings.candidate, findings.learning_curve
    about = [c for c in findings.comparisons_at(findings.main_size) if c.arm == arm]
    if not about:
        return NO_VERDICT
    steps = findings.steps
    # A rival named for this arm is the sterner test than the common comparator.
    main = steps[0] if steps else next((c for c in about if c.family == "against"), about[0])
    minutes = findings.minutes_per_note
    sentences = [_sentence(c, minutes) for c in steps if c is not main]
    sentences += [_sentence(c, minutes) for c in about if c is not main and c not in steps]
    sentences += [*_other_arms(findings), _power_sentence(findings.power)]
    advice: Recommendation = "unfinished"
    if awaited:
        sentences.append(
            f"Recommendation: none yet; {_name(awaited)}, which it needs, is not scored."
        )
    elif not any(step.against == curve.arm for step in steps):
        advice = "no claim"
        sentences.append(
            f"Recommendation: none; {_name(main.arm)} was not compared with gold alone."
        )
    elif lacks_votes_of_gold(findings):
        advice = "no claim"
        sentences.append(
            f"Recommendation: none; {_name(main.arm)} is a vote, and was not compared with a vote "
            "of as many students of gold alone."
        )
    else:
        advice = recommend(steps, doubling=curve.doubling if curve.trend == "rising" else None)
        sentences.append(_advice_sentence(advice, findings))
    return Verdict(
        headline=_sentence(main, minutes),
        sentences=tuple(s for s in sentences if s),
        recommendation=advice,
    )


def _sentence(comparison: Comparison, minutes: float | None) -> str:
    text = _claim_words(comparison, minutes)
    return text[:1].upper() + text[1:]


def _claim_words(comparison: Comparison, minutes: float | None) -> str:
    arm, against = _name(comparison.arm), comparison.against
    low, high = points(comparison.low), points(comparison.high)
    figures = f"{points(comparison.delta)} F1 [{low}, {high}]"
    worth, said, n = comparison.worth, comparison.claim, comparison.n_replicates
    replicates = f"{n} replicate{'s' if n != 1 else ''}"
    if said == "demonstration" and comparison.scored_on == "dev":
        return (
            f"On dev, where choices are made, no claim: {arm} differs from {against} by {figures} "
            f"over {replicates}."
        )
    if said == "demonstration":
        distinct = comparison.n_distinct
        alike = f", of which {distinct} count, for the others are copies" * (distinct < n)
        of = f" of {comparison.n_students} students" if comparison.n_students > 1 else ""
        return (
            f"Demonstration, no claim: {arm} differs from {against} by {figures} "
            f"over {replicates}{of}{alike}; a claim needs {MIN_REPLICATES}."
        )
    if said == "unfinished":
        return f"{draws_words(n, comparison.planned)}: {arm} differs from {against} by {figures}."
    if said == "not tested":
        return (
            f"Whether {arm} is better than {against} was not tested, since the step before it "
            f"did not say so; the difference is {figures}."
        )
    if said == "better":
        tail = f", worth {worth_words(worth, minutes)}" if worth else ""
        return f"{arm} is better than {against} by {figures}{tail}."
    if said == "worse":
        return f"{arm} is worse than {against}: {figures}."
    if comparison.low > 0 or comparison.high < 0:
        # Its own interval is clear of 0; among so many arms that happens by chance too.
        return (
            f"{arm} differs from {against} by {figures}, but not once corrected for the "
            f"number of arms (p {comparison.p_holm:.3f})."
        )
    return f"No difference shown between {arm} and {against}: {figures}."


def _name(arm: str) -> str:
    return arm.replace("+", " + ") if "+" in arm and " " not in arm else arm


def _other_arms(findings: Findings) -> list[str]:
    by_claim: dict[str, list[str]] = {}
    for c in findings.comparisons_at(findings.main_size):
        if c.family == "comparator" and c.arm != findings.candidate:
            by_claim.setdefault(c.claim, []).append(f"{c.arm} ({points(c.delta)})")
    words = {
        "better": "Other arms better than {0}: {1}.",
        "worse": "Other arms worse than {0}: {1}.",
        "no difference shown": "No difference to {0} shown: {1}.",
        "demonstration": "Other arms beside {0}, without claim: {1}.",
        "unfinished": "Other arms beside {0}, without claim: {1}.",
    }
    return [
        words[said].format(findings.comparator, ", ".join(arms)) for said, arms in by_claim.items()
    ]


def _power_sentence(power: Power) -> str:
    if power.detectable is None:
        return ""
    return (
        f"With {power.n_replicates} replicates and {power.n_documents} documents a true "
        f"difference of {power.detectable:.1f} F1 would be found four times out of five; "
        "smaller ones are mostly missed."
    )


def _advice_sentence(advice: Recommendation, findings: Findings) -> str:
    steps = findings.steps
    step = decisive(steps)
    arm, against = _name(step.arm), step.against
    if advice == "use":
        rivals = " and than ".join(each.against for each in steps)
        return f"Recommendation: use {arm}; it is better than {rivals}."
    if advice == "do not use":
        why = (
            f"it is worse than {against}"
            if step.claim == "worse"
            else f"a gain of {WORTHWHILE:.0f} F1 over {against} is ruled out"
        )
        return f"Recommendation: do not use {arm}; {why}."
    if advice == "label more":
        little = [each.worth.high for each in steps if each.worth and is_worth_little(each)]
        if little:
            return (
                f"Recommendation: label more; {min(little)} notes at most gain as much as {arm} "
                "does."
            )
        return (
            f"Recommendation: label more; a gain of {WORTHWHILE:.0f} F1 over {against} is ruled "
            f"out, and by the gold curve twice the notes gain "
            f"{findings.learning_curve.doubling:.1f}."
        )
    if advice == "demonstration" and step.scored_on == "dev":
        return "Recommendation: none; choices are made on dev, claims on a sealed test set."
    if advice == "demonstration":
        return (
            f"Recommendation: none; with fewer than {MIN_REPLICATES} replicates this is a "
            "demonstration that everything runs."
        )
    if advice == "unfinished":
        return "Recommendation: none; a claim rests on the draws that were sealed, no other number."
    return (
        f"Recommendation: none, this run is underpowered: a gain of {WORTHWHILE:.0f} F1 over "
        f"{against} would matter and is neither shown nor ruled out. "
        f"{needed_words(findings.power)}"
    ).strip()
