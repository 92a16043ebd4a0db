"""Strict micro-F1 of one set of predictions by notesmith, seqeval (strict, IOB2) and seqscore.

    python benchmarks/parity.py GOLD PREDICTED

Any corpus format; prints the three and exits with 1 where they differ. Entities that tags cannot
express (overlapping, discontinuous) are left out of all three, and counted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2
from seqscore.scoring import score_label_sequences

from notesmith.corpus import read_corpus
from notesmith.evaluate.parity import to_tags
from notesmith.metrics import score


def main() -> int:
    """Score, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gold", type=Path)
    parser.add_argument("predicted", type=Path)
    parser.add_argument("--format", default=None)
    options = parser.parse_args()
    pair = to_tags(
        read_corpus(options.gold, format=options.format).docs,
        read_corpus(options.predicted, format=options.format).docs,
    )
    gold, predicted = [list(t) for t in pair.gold], [list(t) for t in pair.predicted]
    ours = score(pair.flat_gold, pair.flat_predicted).micro
    theirs, _ = score_label_sequences(predicted, gold, "BIO", repair=None)
    scored = [
        metric(gold, predicted, mode="strict", scheme=IOB2, zero_division=0)
        for metric in (precision_score, recall_score, f1_score)
    ]
    rows = {
        "notesmith": (ours.precision, ours.recall, ours.f1),
        "seqeval strict IOB2": tuple(float(value) for value in scored),
        "seqscore": (theirs.precision, theirs.recall, theirs.f1),
    }
    print(f"{len(gold)} documents; {pair.n_dropped} entities left out")
    for name, values in rows.items():
        print(f"{name:20}" + "".join(f"{100 * value:10.4f}" for value in values))
    first = rows["notesmith"]
    equal = all(
        abs(a - b) < 1e-9 for values in rows.values() for a, b in zip(first, values, strict=True)
    )
    print("equal" if equal else "DIFFERENT")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
