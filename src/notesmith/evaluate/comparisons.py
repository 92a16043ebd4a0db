"""The differences between arms, their claims, their worth in notes, and their power.

Which words they may be put into is the rule of ``verdict``; here it is applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from notesmith.config import EvaluateConfig
from notesmith.evaluate.board import Board
from notesmith.evaluate.bootstrap import Estimate
from notesmith.evaluate.curve import Worth, worth_in_notes
from notesmith.evaluate.deciding import ENOUGH_RATIO, Deciding, decide
from notesmith.evaluate.multiple import holm
from notesmith.evaluate.power import detectable, needed
from notesmith.evaluate.verdict import WORTHWHILE, claim, decisive, steps_of


@dataclass(frozen=True, slots=True)
class Evidence:
    """What comparisons are made from.

    ``test`` holds the cells of the split that is reported, ``out`` those of the same students on
    the train documents outside their draws. ``curve_arm`` is gold alone; ``about`` the arm of the
    verdict at size ``main``, None where that is not scored. ``planned`` are the sealed replicates,
    ``arms`` those of the plan, scored or not. ``awaiting`` is the arm of the verdict where another
    arm that its sequence needs is not scored yet.
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
    family: str
    step: int | None


def compare_arms(evidence: Evidence) -> list[dict[str, Any]]:
    """Every comparison at every size, with claims.

    Each arm against the comparator and the recipe's further pairs are a family each at one size.
    Within it Holm's correction is for the side arms; the steps of the fixed sequence have none.
    """
    entries: list[dict[str, Any]] = []
    for size in sorted({size for _, size in evidence.test.cells}):
        here = [
            entry for pair in _pairs(evidence, size) if (entry := _compare(evidence, pair, size))
        ]
        for family in dict.fromkeys(entry["family"] for entry in here):
            side = [e for e in here if e["family"] == family and e["step"] is None]
            # Arms of the plan that are not scored yet will be compared too.
            n_missing = _n_missing(evidence, size) if family == "comparator" else 0
            adjusted = holm([*(e["p"] for e in side), *[1.0] * n_missing])
            for entry, p in zip(side, adjusted, strict=False):
                entry["p_holm"] = p
        _claim(evidence, here)
        entries += here
    return entries


def _n_missing(evidence: Evidence, size: int) -> int:
    if size != evidence.main:
        return 0
    scored = {arm for arm, n in evidence.test.cells if n == size}
    return len(evidence.arms - scored - {evidence.config.comparator, evidence.about})


def _pairs(evidence: Evidence, size: int) -> list[_Pair]:
    config, gold = evidence.config, evidence.curve_arm
    here = list(dict.fromkeys(arm for arm, n in evidence.test.cells if n == size))
    about = evidence.about if size == evidence.main else None
    rival = config.against.get(about or "", config.comparator)
    sequence = [rival] if rival == gold or about == gold else [rival, gold]
    pairs = {(arm, config.comparator): "comparator" for arm in here if arm != config.comparator} | {
        (arm, other): "against"
        for arm, other in config.against.items()
        if arm in here and other != config.comparator
    }
    if about in here and about != gold:
        # Gold is the second step even where the comparator is another arm.
        pairs.setdefault((about, gold), "gold")
    return [
        _Pair(
            arm,
            against,
            family,
            sequence.index(against) + 1 if arm == about and against in sequence else None,
        )
        for (arm, against), family in pairs.items()
    ]


def _compare(evidence: Evidence, pair: _Pair, size: int) -> dict[str, Any] | None:
    board, config = evidence.board(size), evidence.config
    beside = evidence.out if board is evidence.test else evidence.test
    estimate = board.difference(pair.arm, pair.against, size)
    if estimate is None:
        return None
    found = worth_in_notes(
        evidence.gold_scores(board),
        size,
        estimate.mean,
        estimate.draws,
        worthwhile=WORTHWHILE / 100,
        confidence=config.confidence,
        seed=board.seed,
    )
    other = beside.difference(pair.arm, pair.against, size) if beside.n_scored(size) else None
    return {
        "arm": pair.arm,
        "against": pair.against,
        "family": pair.family,
        "step": pair.step,
        "size": size,
        "scored_on": board.split,
        **_figures(estimate),
        "beside": None if other is None else {"scored_on": beside.split, **_figures(other)},
        "p_holm": estimate.p,
        "n_replicates": estimate.n_replicates,
        "n_distinct": board.n_distinct(pair.arm, pair.against, size),
        "n_students": board.n_students(pair.arm, pair.against, size),
        "planned": evidence.planned.get(size),
        "spread_of": estimate.spread_of,
        "n_documents": board.n_scored(size),
        "worth": _worth(found.worth, config.minutes_per_note),
        "worth_reason": found.reason,
        "claim": "no difference shown",
        "sd_delta": points(estimate.sd),
        "se_documents": points(estimate.se_documents),
    }


def _figures(estimate: Estimate) -> dict[str, Any]:
    return {
        "delta": points(estimate.mean),
        "low": points(estimate.low),
        "high": points(estimate.high),
        "values": [points(v) for v in estimate.values],
        "p": estimate.p,
    }


def _claim(evidence: Evidence, entries: Sequence[dict[str, Any]]) -> None:
    """Put the claim into each entry, steps of the sequence first."""
    before = "better"
    for entry in sorted(entries, key=lambda e: e["step"] or len(entries) + 1):
        is_step = entry["step"] is not None
        waits = evidence.decide(entry["size"]).waits or (
            entry["size"] == evidence.main and entry["arm"] == evidence.awaiting
        )
        entry["claim"] = claim(
            entry["low"],
            entry["high"],
            entry["p_holm"],
            entry["n_replicates"],
            alpha=1 - evidence.config.confidence,
            n_distinct=entry["n_distinct"],
            planned=entry["planned"],
            is_tested=before == "better" or not is_step,
            is_whole=not waits and not (is_step and before == "unfinished"),
            is_sealed=evidence.test.split != "dev",
        )
        if is_step:
            before = entry["claim"]
        entry["p"], entry["p_holm"] = round(entry["p"], 5), round(entry["p_holm"], 5)


def _worth(worth: Worth | None, minutes: float | None) -> dict[str, Any] | None:
    if worth is None:
        return None
    notes = {"notes": worth.notes, "low": worth.low, "high": worth.high}
    entry: dict[str, Any] = {**notes, "beyond": list(worth.beyond)}
    if minutes is not None:
        entry["hours"] = {name: round(n * minutes / 60, 2) for name, n in notes.items()}
    return entry


def power_of(
    evidence: Evidence,
    comparisons: Sequence[Mapping[str, Any]],
    seconds_per_draw: float | None,
) -> dict[str, Any]:
    """Of the step that the recommendation rests on; of the first comparison where there is none."""
    here = [c for c in comparisons if c["size"] == evidence.main]
    steps = steps_of(here)
    chosen = decisive(steps) if steps else next(iter(here), None)
    deciding = evidence.decide(evidence.main)
    entry: dict[str, Any] = {
        "arm": None,
        "against": None,
        "scored_on": deciding.split,
        "sd_delta": None,
        "se_documents": None,
        "detectable": None,
        "n_replicates": 0,
        "n_documents": deciding.n_documents,
        "seconds_per_draw": seconds_per_draw,
        "needed": None,
    }
    if chosen is None:
        return entry
    for name in ("arm", "against", "sd_delta", "se_documents", "n_replicates"):
        entry[name] = chosen[name]
    n = chosen["n_replicates"]
    alpha = 1 - evidence.config.confidence
    found = detectable(
        chosen["sd_delta"], n, se_documents=chosen["se_documents"], alpha=alpha, sd_from=n
    )
    if found is None:
        return entry
    entry["detectable"] = round(found, 2)
    if found > WORTHWHILE:
        lacking = needed(
            WORTHWHILE,
            chosen["sd_delta"],
            n_replicates=n,
            n_documents=deciding.n_documents,
            se_documents=chosen["se_documents"],
            alpha=alpha,
            sd_from=n,
        )
        entry["needed"] = asdict(lacking)
    return entry


def points(value: float) -> float:
    """A ratio as points of 100, three decimals."""
    return round(100 * value + 0.0, 3)
