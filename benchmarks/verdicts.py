"""Do the words hold? Simulated runs through the machinery that makes claims and recommendations.

    python benchmarks/verdicts.py power --trials 1000 --out docs/results/simulated-power.json
    python benchmarks/verdicts.py label-more | error | documents | pool | archives …

``power``       is the stated detectable difference found four times in five?
``label-more``  how often does a run with a true gain of 2 F1 read *label more*, before and now?
``error``       how often is a claim made, or *use* said, where there is nothing?
``documents``   coverage, power and draws needed: test documents, or those out of the draw
``pool``        coverage of another pool, by the share of the pool that a draw holds
``archives``    the same from the scores of a real run: its documents resampled to more of them

A document has a difficulty for all arms and for each; a draw moves each arm, in part by the notes
that it holds, and each student is luck. The sizes of these give, for a paired difference of one
draw on 100 documents, a variance of about 3.6 points, of it 1.4 from documents and next to none of
that shared between draws, as in ``docs/results/ncbi-disease-50-rl-test.tar.xz``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from notesmith.config import EvaluateConfig
from notesmith.evaluate import CellScores, assemble, assembly
from notesmith.evaluate.bootstrap import Array, bootstrap, document_weights, f1
from notesmith.evaluate.power import detectable, replicates_needed
from notesmith.experiment.stages import SOURCES
from notesmith.findings import OUT_OF_DRAW, Comparison, Estimate, Scores

POINTS_PER_LOGIT = 22.0  # about what a logit moves near F1 65; ``nominal`` has it exactly
BASE = 0.6  # logit of the chance that a mention is found there
RESAMPLES = 800
# Claims rest on comparisons: the scores of arms, which a report shows, would take most of the time.
_NOTHING = Estimate(mean=0, sd=0, low=0, high=0, values=())
assembly._scores = lambda board, arm, size: dict.fromkeys(Scores.model_fields, _NOTHING)


@dataclass(frozen=True, slots=True)
class World:
    """Spreads in points of F1: of arms between draws, and of documents in logits."""

    draw: float = 0.85  # of one arm on a draw: generator and student
    notes: float = 0.85  # of one arm on a draw, by the notes that it holds
    document: float = 0.8  # logits, all arms alike
    arm_document: float = 0.08  # logits, one arm on a document, in every draw
    arm_draw_document: float = 0.2  # logits, one arm on a document in one draw
    alike: float = 0.75  # correlation of chance in what two students find in a document


@dataclass(frozen=True, slots=True)
class Run:
    """Counts (arms, draws, documents, 3); the test documents first, then the pool of notes.

    ``drawn`` says which notes each draw holds, (draws, notes). ``moved`` is what drawing from this
    pool and from no other moves each arm by, in points.
    """

    counts: Array
    n_test: int
    drawn: Array
    moved: Array

    @property
    def test(self) -> Array:
        """Counts on test."""
        return self.counts[:, :, : self.n_test]

    @property
    def out(self) -> Array:
        """Counts on the pool, those of a draw's own notes 0."""
        return self.counts[:, :, self.n_test :] * ~self.drawn[None, :, :, None]


def simulate(
    rng: np.random.Generator,
    gains: Sequence[float],
    n_draws: int,
    *,
    n_test: int = 100,
    pool: int = 0,
    size: int = 50,
    world: World | None = None,
) -> Run:
    """One run: arms that gain ``gains`` points of F1, on ``n_test`` documents and a pool."""
    world = world or World()
    arms, n = len(gains), n_test + pool
    n_notes = max(pool, 10 * size)  # without a pool of its own, draws come from a large one
    drawn = np.zeros((n_draws, n_notes), dtype=bool)
    for row in drawn:
        row[rng.choice(n_notes, size, replace=False)] = True
    # What each note teaches each arm: the mean over a draw's notes has the wanted spread.
    taught = rng.normal(0, world.notes * size**0.5, (arms, n_notes))
    moved = drawn @ taught.T / size + rng.normal(0, world.draw, (n_draws, arms))
    logits = (
        BASE
        + ((np.asarray(gains) + moved) / POINTS_PER_LOGIT).T[:, :, None]
        + rng.normal(0, world.document, n)
        + rng.normal(0, world.arm_document, (arms, 1, n))
        + rng.normal(0, world.arm_draw_document, (arms, n_draws, n))
    )
    found = 1 / (1 + np.exp(-logits))
    n_gold = rng.poisson(rng.gamma(4.0, 2.4, n))
    spread = (n_gold * found * (1 - found)) ** 0.5
    missed = n_gold * (1 - found)
    tp = np.rint(n_gold * found + spread * _chance(rng, logits.shape, world)).clip(0, n_gold)
    fp = np.rint(missed + missed**0.5 * _chance(rng, logits.shape, world)).clip(0)
    counts = np.stack([tp, fp, n_gold - tp], axis=-1).astype(float)
    kept = drawn[:, :pool] if pool else np.zeros((n_draws, 0), dtype=bool)
    return Run(counts, n_test, kept, taught.mean(axis=1))


@cache
def _moves() -> tuple[Array, Array]:
    """Nominal gains, and the points of F1 that they are worth on very many documents."""
    nominal = np.concatenate([np.linspace(-12, 12, 13), np.linspace(16, 100, 15)])
    still = World(draw=0.0, notes=0.0)
    rng = np.random.default_rng(0)
    run = simulate(rng, tuple(nominal), 4, n_test=20_000, world=still)
    scores = 100 * f1(run.test.sum(axis=2)).mean(axis=1)
    return nominal, np.asarray(np.maximum.accumulate(scores - np.interp(0, nominal, scores)))


def nominal(points: float) -> float:
    """The gain that ``simulate`` must be given for a true one of ``points`` of F1."""
    gains, worth = _moves()
    return float(np.interp(points, worth, gains))


def points(gain: float) -> float:
    """The inverse of ``nominal``."""
    gains, worth = _moves()
    return float(np.interp(gain, gains, worth))


def _chance(rng: np.random.Generator, shape: tuple[int, ...], world: World) -> Array:
    """Standard normal, alike in all arms and draws on a document."""
    common, own = rng.normal(size=shape[-1]), rng.normal(size=shape)
    return np.asarray(world.alike**0.5 * common + (1 - world.alike) ** 0.5 * own)


def cells(counts: Array, names: Sequence[str], size: int, **changes: Any) -> list[CellScores]:
    """Cells of one label whose views are all the strict one."""
    found = []
    for arm, name in enumerate(names):
        for draw, rows in enumerate(counts[arm].astype(int).tolist()):
            kept = tuple(map(tuple, rows))
            views = dict.fromkeys(("lenient", "boundary", "unseen", "seen"), kept)
            found.append(
                CellScores(
                    arm=name,
                    size=size,
                    replicate=draw,
                    seed=draw,
                    split=changes.get("split", "test"),
                    ids_hash="",
                    groups=tuple(range(len(kept))),
                    strict={"Disease": kept},
                    **views,
                )
            )
    return found


def out_of_draw(run: Run, names: Sequence[str], size: int) -> list[CellScores]:
    """Cells over the pool with the notes of each draw left out."""
    found = cells(run.out, names, size, split=OUT_OF_DRAW)
    left = [tuple(np.flatnonzero(row).tolist()) for row in run.drawn]
    return [replace(cell, left_out=left[cell.replicate]) for cell in found]


NAMES = ("gold", "replacement", "synthetic")
MADE = {
    "gold": (),
    "replacement": (SOURCES["replaced"].facts,),
    "synthetic": (SOURCES["synthetic"].facts,),
}
CONFIG = EvaluateConfig(
    against={"synthetic": "replacement"}, candidate="synthetic", resamples=RESAMPLES
)


def _spreads(gains: Sequence[float], seed: int, **options: Any) -> tuple[float, float]:
    """SD between draws and documents' error in points, over many sets of documents."""
    runs = [
        bootstrap(
            *simulate(np.random.default_rng([seed, k]), gains, 60, **options).test, resamples=200
        )
        for k in range(60)
    ]
    sd, shared = (
        100 * float(np.mean([getattr(run, name) ** 2 for run in runs]) ** 0.5)
        for name in ("sd", "se_documents")
    )
    return sd, shared


def power(trials: int, seed: int) -> list[dict[str, Any]]:
    """Share of runs that find the stated difference, its spread known, and stated by a run."""
    rows = []
    # Draws from a pool without end: what a small one does is the part "pool".
    world = World(draw=1.2, notes=0.0)
    for n_test in (100, 500):
        weights = document_weights(n_test, RESAMPLES, seed=seed)
        for n in (2, 3, 5, 10):
            rng = np.random.default_rng([seed, n])
            least = 0.0
            for _ in range(4):
                # Spreads at the gain itself: near the top of the scale they are smaller.
                gains = (nominal(least), 0)
                sd, shared = _spreads(gains, seed, n_test=n_test, world=world)
                least = detectable(sd, n, se_documents=shared) or 0.0
            found, stated_found, stated = 0, 0, []
            for _ in range(trials):
                gains = (nominal(least), 0)
                counts = simulate(rng, gains, n, n_test=n_test, world=world).test
                run = bootstrap(*counts, weights=weights)
                found += run.low > 0
                said = detectable(100 * run.sd, n, se_documents=100 * run.se_documents, sd_from=n)
                stated.append(said)
                # F1 ends at 100: what is larger is found as surely as 30 points are, or more.
                gains = (nominal(min(said, 30.0)), 0)
                again = simulate(rng, gains, n, n_test=n_test, world=world).test
                stated_found += bootstrap(*again, weights=weights).low > 0
            rows.append(
                {
                    "documents": n_test,
                    "replicates": n,
                    "sd": round(sd, 2),
                    "se_documents": round(shared, 2),
                    "detectable": round(least, 2),
                    "found": found / trials,
                    "stated_median": round(float(np.median(stated)), 2),
                    "stated_found": stated_found / trials,
                }
            )
            print(rows[-1], flush=True)
    return rows


def label_more(trials: int, seed: int) -> list[dict[str, Any]]:
    """Recommendations of runs with a true gain over rival and gold, old rule and new."""
    rows = []
    for gain in (0.0, 1.0, 2.0, 4.0):
        rng = np.random.default_rng([seed, int(10 * gain)])
        before: Counter[str] = Counter()
        now: Counter[str] = Counter()
        for _ in range(trials):
            run = simulate(rng, (0, 0, nominal(gain)), 5)
            found = cells(run.test, NAMES, 50)
            for size, moved in ((25, -7.0), (100, 5.8)):
                curve = simulate(rng, (nominal(moved),), 5, size=size)
                found += cells(curve.test, ("gold",), size)
            assembled = assemble(found, CONFIG, main_size=50, made=MADE)
            now[assembled.verdict.recommendation] += 1
            main = next(c for c in assembled.comparisons if c.step == 1)
            doubling = assembled.learning_curve.doubling
            before[_old_rule(main, doubling)] += 1
        rows.append(
            {
                "gain": gain,
                "before": {k: n / trials for k, n in before.most_common()},
                "now": {k: n / trials for k, n in now.most_common()},
            }
        )
        print(rows[-1], flush=True)
    return rows


def _old_rule(main: Comparison, doubling: float | None) -> str:
    # Commit 6c21a3e: the rival alone, and doubling against the interval's upper end.
    if main.claim == "worse":
        return "do not use"
    worth = main.worth
    if main.claim == "better":
        few = worth is not None and "high" not in worth.beyond and worth.high <= 5
        return "label more" if few else "use"
    if main.high < 1:
        return "do not use"
    if doubling is not None and doubling > main.high:
        return "label more"
    return "underpowered"


# No notes of the pool favour an arm, else there is a difference for these notes: see ``pool``.
NOTHING = World(draw=1.2, notes=0.0)


def error(trials: int, seed: int) -> list[dict[str, Any]]:
    """Claims about the candidate where there is nothing, by the machinery as it is."""
    rows = []
    for where, pool, drops in (
        ("test, 5 draws", 0, (0.0, 0.0, 0.0)),
        ("out of the draw, 5 draws", 592, (0.0, 0.0, 0.0)),
        ("test, better than a poor rival, equal to gold", 0, (0.0, -8.0, 0.0)),
    ):
        rng = np.random.default_rng([seed, pool])
        said: Counter[str] = Counter()
        for _ in range(trials):
            gains = [nominal(drop) for drop in drops]
            run = simulate(rng, gains, 5, pool=pool, world=NOTHING)
            assembled = assemble(
                cells(run.test, NAMES, 50),
                CONFIG,
                main_size=50,
                made=MADE,
                out_of_draw_cells=out_of_draw(run, NAMES, 50) if pool else (),
                planned={50: 5},
            )
            steps = {c.step: c.claim for c in assembled.comparisons if c.step}
            # A rival that is 8 F1 poorer is truly beaten: only the second step can err there.
            false = [steps[2]] if drops[1] else list(steps.values())
            said["false claim"] += any(c in ("better", "worse") for c in false)
            said["false better"] += "better" in false
            said["use"] += assembled.verdict.recommendation == "use"
            side = next(c for c in assembled.comparisons if c.step is None)
            said["false side claim"] += side.claim in ("better", "worse") and not drops[1]
        rows.append({"where": where, **{k: n / trials for k, n in said.items()}})
        print(rows[-1], flush=True)
    rows.append(_peeking(trials, seed))
    print(rows[-1], flush=True)
    return rows


def _peeking(trials: int, seed: int) -> dict[str, Any]:
    """Twenty draws sealed, looked at after 5, 10, 15: claims with the seal and without."""
    rng = np.random.default_rng([seed, 20])
    weights = document_weights(100, RESAMPLES, seed=seed)
    looks = (5, 10, 15, 20)
    sealed = peeked = 0
    for _ in range(trials):
        ours, theirs = simulate(rng, (0, 0), 20, world=NOTHING).test
        clear = []
        for n in looks:
            found = bootstrap(ours[:n], theirs[:n], weights=weights)
            clear.append(found.low > 0 or found.high < 0)
        sealed += clear[-1]
        peeked += any(clear)
    return {
        "where": "20 draws sealed, four looks",
        "false claim": sealed / trials,
        "false claim at any look": peeked / trials,
    }


def documents(trials: int, seed: int) -> list[dict[str, Any]]:
    """Coverage and power of both sets of documents, and the draws that each needs for 2 F1."""
    rows = []
    for pool in (392, 592):
        wide = simulate(np.random.default_rng(seed), (0, 0), 300, pool=pool)
        needs = {}
        for name, counts in (("test", wide.test), ("out", wide.out)):
            known = bootstrap(*counts, resamples=300)
            needs[name] = replicates_needed(
                2.0, 100 * known.sd, se_documents=100 * known.se_documents
            )
            needs[f"{name} variance"] = round(1e4 * known.sd**2, 2)
        weights = {n: document_weights(n, RESAMPLES, seed=seed) for n in (100, pool)}
        for n in (5, 10):
            rng = np.random.default_rng([seed, n, pool])
            tally: Counter[str] = Counter()
            for _ in range(trials):
                for gain in (0.0, 2.0):
                    run = simulate(rng, (nominal(gain), 0), n, pool=pool)
                    here = points(run.moved[0] - run.moved[1]) / 100
                    for name, counts in (("test", run.test), ("out", run.out)):
                        found = bootstrap(*counts, weights=weights[counts.shape[2]])
                        if gain:
                            tally[f"{name} found"] += found.low > 0
                        else:
                            tally[f"{name} covered"] += found.low <= here <= found.high
                            tally[f"{name} covers other pools"] += found.low <= 0 <= found.high
                            tally[f"{name} width"] += 100 * (found.high - found.low)
            rows.append(
                {
                    "test": 100,
                    "out": pool - 50,
                    "draws": n,
                    **{key: round(total / trials, 3) for key, total in tally.items()},
                    "draws for 2 F1": needs,
                }
            )
            print(rows[-1], flush=True)
    return rows


def pool(trials: int, seed: int) -> list[dict[str, Any]]:
    """Coverage of the mean over all pools, where draws of 50 come from a small one."""
    rows = []
    for n, notes in ((5, 50), (5, 100), (5, 250), (5, 600), (20, 100), (20, 250), (20, 600)):
        rng = np.random.default_rng([seed, n, notes])
        weights = document_weights(100, RESAMPLES, seed=seed)
        covered = others = 0
        for _ in range(trials):
            # Draws that differ by their notes above all, so that the pool shows.
            world = World(draw=0.4, notes=1.2)
            run = simulate(rng, (0, 0), n, pool=notes, world=world)
            found = bootstrap(*run.test, weights=weights)
            covered += found.low <= points(run.moved[0] - run.moved[1]) / 100 <= found.high
            others += found.low <= 0 <= found.high
        rows.append(
            {
                "draws": n,
                "pool": notes,
                "drawn": round(50 * n / notes, 2),
                "covers these notes": covered / trials,
                "covers other pools": others / trials,
            }
        )
        print(rows[-1], flush=True)
    return rows


def archives(trials: int, seed: int) -> list[dict[str, Any]]:
    """Real scores, documents resampled to 100 and to more, draws resampled: interval widths."""
    sys.path.insert(0, str(Path(__file__).parent))
    from archives import RESULTS, cells_of

    rows = []
    for name, pairs in (
        (
            "ncbi-disease-50-rl-test",
            (("sft+rl", "sft+filter"), ("sft+rl + replacement", "replacement"), ("sft", "gold")),
        ),
    ):
        by_arm: dict[str, dict[int, CellScores]] = {}
        for cell in cells_of(RESULTS / f"{name}.tar.xz"):
            if cell.split == "test":
                by_arm.setdefault(cell.arm, {})[cell.replicate] = cell
        for pair in pairs:
            ours, theirs = (
                np.stack([row[r].counts() for r in sorted(row)]) for row in map(by_arm.get, pair)
            )
            truth = bootstrap(ours, theirs, resamples=200).mean
            n_draws, n = ours.shape[:2]
            rng = np.random.default_rng(seed)
            for size in (n, 342, 542):
                weights = document_weights(size + 50, RESAMPLES, seed=seed)
                covered, widths, spreads = 0, [], []
                for _ in range(trials):
                    docs = rng.integers(0, n, size + 50)
                    draws = rng.integers(0, n_draws, n_draws)
                    # Each draw leaves its own 50 notes unscored.
                    kept = np.ones((n_draws, size + 50, 1))
                    for row in kept:
                        row[rng.choice(size + 50, 50, replace=False)] = 0
                    a, b = (counts[draws][:, docs] * kept for counts in (ours, theirs))
                    found = bootstrap(a, b, weights=weights)
                    covered += found.low <= truth <= found.high
                    widths.append(100 * (found.high - found.low))
                    spreads.append(1e4 * (found.se_replicates**2 + found.se_documents**2))
                rows.append(
                    {
                        "archive": name,
                        "pair": list(pair),
                        "documents": size,
                        "covered": covered / trials,
                        "width": round(float(np.mean(widths)), 2),
                        "variance of the mean": round(float(np.mean(spreads)), 3),
                    }
                )
                print(rows[-1], flush=True)
    return rows


PARTS = {
    "power": power,
    "label-more": label_more,
    "error": error,
    "documents": documents,
    "pool": pool,
    "archives": archives,
}


def main() -> None:
    """Run one part and keep its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    start = time.perf_counter()
    rows = PARTS[args.part](args.trials, args.seed)
    print(f"{args.trials} trials a row, {time.perf_counter() - start:.0f} s")
    if args.out:
        kept = json.loads(args.out.read_text("utf-8")) if args.out.exists() else {}
        kept[args.part] = {"trials": args.trials, "seed": args.seed, "rows": rows}
        args.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
