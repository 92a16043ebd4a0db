"""The differences between arms, their claims, their worth in notes, and their power.

Which words they may be put into is the rule of ``verdict``; here it is applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from notesmith.config.recipe import EvaluateConfig
from notesmith.evaluate.board import Board
from notesmith.evaluate.bootstrap import Estimate
from notesmith.evaluate.curve import worth_in_notes
from notesmith.evaluate.deciding import decide
from notesmith.evaluate.multiple import holm
from notesmith.evaluate.power import detectable, needed
from notesmith.evaluate.verdict import claim, decisive
from notesmith.findings import Claim, Comparison, Deciding, Difference, Family, Power
from notesmith.rules import ENOUGH_RATIO, WORTHWHILE


@dataclass(frozen=True, slots=True)
class Evidence:
    """What comparisons are made from.

    ``test`` holds the cells of the split that is reported, ``out`` those of the same students on
    the train documents outside their draws. ``curve_arm`` is gold alone; ``about`` the arm of the
    verdict at size ``main``, None where that is not scored. ``planned`` are the sealed replicates,
    ``arms`` those of the plan, scored or not. ``awaiting`` is the arm of the verdict where another
    arm that its sequence needs is not scored yet. ``sequence`` are the arms that it is tested
    against, in order.
    """

    config: EvaluateConfig
    test: Board
    out: Board
    curve_arm: str
    main: int
    about: str | None
    planned: Mapping[int, int] = field(default_factory=dict)
    arms: frozenset[str] = frozenset()
    awaiting: str | None = None
    sequence: tuple[str, ...] = ()

    def decide(self, size: int) -> Deciding:
        """Which split decides at ``size``."""
        return decide(self.test, self.out, size)

    def board(self, size: int) -> Board:
        """The cells of the split that decides at ``size``."""
        return self.test if self.decide(size).split == self.test.split else self.out

    def gold_scores(self, board: Board) -> dict[int, list[float]]:
        """Scores of gold alone on ``board`` by size, where its documents are enough to decide."""
        sizes = sorted(size for arm, size in board.cells if arm == self.curve_arm)
        return {
            size: [cell.f1 for _, cell in sorted(board.cells[self.curve_arm, size].items())]
            for size in sizes
            if board is self.test
            or board.n_scored(size) >= ENOUGH_RATIO * self.test.n_scored(size) > 0
        }


@dataclass(frozen=True, slots=True)
class _Pair:
    arm: str
    against: str
    family: Family
    step: int | None


def compare_arms(evidence: Evidence) -> list[Comparison]:
    """Every comparison at every size, with claims.

    Each arm against the comparator and the recipe's further pairs are a family each at one size.
    Within it Holm's correction is for the side arms; the steps of the fixed sequence have none.
    """
    found: list[Comparison] = []
    for size in sorted({size for _, size in evidence.test.cells}):
        board = evidence.board(size)
        estimates = {
            pair: estimate
            for pair in _pairs(evidence, size)
            if (estimate := board.difference(pair.arm, pair.against, size))
        }
        corrected = _corrected(evidence, estimates, size)
        claims = _claims(evidence, estimates, corrected, size)
        found += [
            _comparison(evidence, pair, estimate, size, claims[pair], corrected[pair])
            for pair, estimate in estimates.items()
        ]
    return found


def _corrected(
    evidence: Evidence, estimates: Mapping[_Pair, Estimate], size: int
) -> dict[_Pair, float]:
    """p of each pair, of side arms by Holm."""
    corrected = {pair: estimate.p for pair, estimate in estimates.items()}
    for family in dict.fromkeys(pair.family for pair in estimates):
        side = [pair for pair in estimates if pair.family == family and pair.step is None]
        # Arms of the plan that are not scored yet will be compared too.
        n_missing = _n_missing(evidence, size) if family == "comparator" else 0
        adjusted = holm([*(corrected[pair] for pair in side), *[1.0] * n_missing])
        corrected |= zip(side, adjusted, strict=False)
    return corrected


def _n_missing(evidence: Evidence, size: int) -> int:
    if size != evidence.main:
        return 0
    scored = {arm for arm, n in evidence.test.cells if n == size}
    return len(evidence.arms - scored - {evidence.config.comparator, evidence.about})


def _pairs(evidence: Evidence, size: int) -> list[_Pair]:
    config, gold = evidence.config, evidence.curve_arm
    here = list(dict.fromkeys(arm for arm, n in evidence.test.cells if n == size))
    about = evidence.about if size == evidence.main else None
    pairs: dict[tuple[str, str], Family] = {
        (arm, config.comparator): "comparator" for arm in here if arm != config.comparator
    }
    pairs |= {
        (arm, other): "against"
        for arm, other in config.against.items()
        if arm in here and other != config.comparator
    }
    sequence = evidence.sequence if about in here else ()
    for other in sequence:
        # Gold and its votes are steps even where the recipe names other rivals.
        pairs.setdefault((about or "", other), "gold" if other == gold else "gold votes")
    return [
        _Pair(
            arm,
            against,
            family,
            sequence.index(against) + 1 if arm == about and against in sequence else None,
        )
        for (arm, against), family in pairs.items()
    ]


def _claims(
    evidence: Evidence,
    estimates: Mapping[_Pair, Estimate],
    corrected: Mapping[_Pair, float],
    size: int,
) -> dict[_Pair, Claim]:
    """What may be said of each pair, steps of the sequence first."""
    board = evidence.board(size)
    claims: dict[_Pair, Claim] = {}
    before: Claim = "better"
    for pair in sorted(estimates, key=lambda pair: pair.step or len(estimates) + 1):
        is_step = pair.step is not None
        waits = evidence.decide(size).waits or (
            size == evidence.main and pair.arm == evidence.awaiting
        )
        estimate = estimates[pair]
        claims[pair] = claim(
            points(estimate.low),
            points(estimate.high),
            corrected[pair],
            estimate.n_replicates,
            alpha=1 - evidence.config.confidence,
            n_distinct=board.n_distinct(pair.arm, pair.against, size),
            planned=evidence.planned.get(size),
            is_tested=before == "better" or not is_step,
            is_whole=not waits and not (is_step and before == "unfinished"),
            is_sealed=evidence.test.split != "dev",
        )
        if is_step:
            before = claims[pair]
    return claims


def _comparison(
    evidence: Evidence, pair: _Pair, estimate: Estimate, size: int, said: Claim, p_holm: float
) -> Comparison:
    board, config = evidence.board(size), evidence.config
    beside = evidence.out if board is evidence.test else evidence.test
    other = beside.difference(pair.arm, pair.against, size) if beside.n_scored(size) else None
    found = worth_in_notes(
        evidence.gold_scores(board),
        size,
        estimate.mean,
        estimate.draws,
        worthwhile=WORTHWHILE / 100,
        confidence=config.confidence,
        seed=board.seed,
    )
    return Comparison(
        arm=pair.arm,
        against=pair.against,
        size=size,
        family=pair.family,
        step=pair.step,
        claim=said,
        **_figures(board.split, estimate),
        p=round(estimate.p, 5),
        p_holm=round(p_holm, 5),
        beside=None if other is None else Difference(**_figures(beside.split, other), p=other.p),
        n_replicates=estimate.n_replicates,
        n_distinct=board.n_distinct(pair.arm, pair.against, size),
        n_students=board.n_students(pair.arm, pair.against, size),
        n_documents=board.n_scored(size),
        planned=evidence.planned.get(size),
        spread_of=estimate.spread_of,
        worth=found.worth.in_hours(config.minutes_per_note) if found.worth else None,
        worth_reason=found.reason,
        sd_delta=points(estimate.sd),
        se_documents=points(estimate.se_documents),
    )


def _figures(split: str, estimate: Estimate) -> dict[str, Any]:
    return {
        "scored_on": split,
        "delta": points(estimate.mean),
        "low": points(estimate.low),
        "high": points(estimate.high),
        "values": [points(v) for v in estimate.values],
    }


def power_of(
    evidence: Evidence, comparisons: list[Comparison], seconds_per_draw: float | None
) -> Power:
    """Of the step that the recommendation rests on; of the first comparison where there is none."""
    here = [c for c in comparisons if c.size == evidence.main]
    steps = sorted((c for c in here if c.step), key=lambda c: c.step or 0)
    chosen = decisive(steps) if steps else next(iter(here), None)
    deciding = evidence.decide(evidence.main)
    known = {
        "scored_on": deciding.split,
        "n_documents": deciding.n_documents,
        "seconds_per_draw": seconds_per_draw,
    }
    if chosen is None:
        return Power.model_validate(known)
    n, alpha = chosen.n_replicates, 1 - evidence.config.confidence
    found = detectable(chosen.sd_delta, n, se_documents=chosen.se_documents, alpha=alpha, sd_from=n)
    lacking = None
    if found is not None and found > WORTHWHILE:
        lacking = needed(
            WORTHWHILE,
            chosen.sd_delta,
            n_replicates=n,
            n_documents=deciding.n_documents,
            se_documents=chosen.se_documents,
            alpha=alpha,
            sd_from=n,
        )
    return Power.model_validate(
        {
            **known,
            "arm": chosen.arm,
            "against": chosen.against,
            "n_replicates": n,
            "sd_delta": chosen.sd_delta,
            "se_documents": chosen.se_documents,
            "detectable": None if found is None else round(found, 2),
            "needed": lacking,
        }
    )


def points(value: float) -> float:
    """A ratio as points of 100, three decimals."""
    return round(100 * value + 0.0, 3)
