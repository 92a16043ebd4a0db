"""How often the intervals hold the truth: simulated arms with realistic spread.

    python benchmarks/coverage.py --trials 2000

A document has a difficulty for every arm and one for each arm; a draw of gold moves both arms, and
each arm on it by itself, which gives the standard deviation that is printed. Both arms have the
same distribution, so the true difference is 0 by symmetry and "missed" is the type I error.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from notesmith.evaluate.bootstrap import Array, Method, bootstrap, document_weights, f1

BASE = 0.6  # logit of the chance that a mention is found: F1 near 65
F1_PER_LOGIT = 22.0  # points of F1 a logit moves, at that place


def simulate(rng: np.random.Generator, n_replicates: int, n_documents: int, sd: float) -> Array:
    """Counts of two arms, (2, replicates, documents, 3).

    ``sd``: standard deviation, in points of F1, of the difference that draw and seed make.
    """
    shape = (2, n_replicates, n_documents)
    n_gold = rng.poisson(rng.gamma(4.0, 2.0, n_documents))
    logits = (
        BASE
        + rng.normal(0, 0.8, n_documents)
        + rng.normal(0, 0.3, (2, 1, n_documents))
        + rng.normal(0, 0.3, shape)
        + rng.normal(0, 0.1, (1, n_replicates, 1))
        + rng.normal(0, sd / F1_PER_LOGIT / 2**0.5, (2, n_replicates, 1))
    )
    found = 1 / (1 + np.exp(-logits))
    tp = rng.binomial(n_gold, found)
    fp = rng.poisson(n_gold * (1 - found))
    return np.stack([tp, fp, np.broadcast_to(n_gold, shape) - tp], axis=-1).astype(float)


def cover(
    n_replicates: int, n_documents: int, sd: float, method: Method, *, trials: int, seed: int
) -> tuple[float, float, float, float, float]:
    """Coverage of difference and of one arm, type I error of p, mean width, SD of differences."""
    rng = np.random.default_rng(seed)
    weights = document_weights(n_documents, 2000, seed=seed)
    # The truth of one arm: its mean over many draws, each on many documents.
    large = simulate(np.random.default_rng(seed + 1), 300, 8000, sd)
    truth = float(f1(large.sum(axis=2)).mean())
    paired = single = errors = 0
    widths, spreads = [], []
    for _ in range(trials):
        counts = simulate(rng, n_replicates, n_documents, sd)
        found = bootstrap(counts[0], counts[1], method=method, weights=weights, seed=seed)
        alone = bootstrap(counts[0], method=method, weights=weights, seed=seed)
        paired += found.low <= 0 <= found.high
        single += alone.low <= truth <= alone.high
        errors += found.p < 0.05
        widths.append(100 * (found.high - found.low))
        spreads.append(100 * found.sd)
    rms = float(np.mean(np.square(spreads)) ** 0.5)
    return paired / trials, single / trials, errors / trials, float(np.mean(widths)), rms


def main() -> None:
    """Print one line a setting, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=13)
    options = parser.parse_args()
    print(
        "| replicates | documents | SD of paired differences | method | coverage, difference | "
        "coverage, one arm | type I error | width, F1 |"
    )
    print("|---|---|---|---|---|---|---|---|")
    start = time.perf_counter()
    methods: tuple[Method, ...] = ("calibrated", "crossed")
    for n_documents, sd in ((100, 2.0), (100, 0.0), (500, 2.0)):
        for n_replicates in (3, 5, 10):
            for method in methods:
                paired, single, errors, width, spread = cover(
                    n_replicates,
                    n_documents,
                    sd,
                    method,
                    trials=options.trials,
                    seed=options.seed,
                )
                print(
                    f"| {n_replicates} | {n_documents} | {spread:.1f} | {method} | {paired:.3f} | "
                    f"{single:.3f} | {errors:.3f} | {width:.1f} |"
                )
    print(f"{options.trials} trials a line, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
