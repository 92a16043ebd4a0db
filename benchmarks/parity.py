"""Strict micro-F1 of one set of predictions by notesmith, seqeval (strict, IOB2) and seqscore.

    python benchmarks/parity.py GOLD PREDICTED

Any corpus format; prints the three and exits with 1 where they differ. Tokens are cut at every
entity border of either side, so that tags carry the exact offsets. Tags know flat entities only:
what overlaps, is discontinuous or begins or ends in white space is left out of all three, and
counted.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2
from seqscore.scoring import score_label_sequences

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus
from notesmith.document import Document, Entity
from notesmith.errors import StageError
from notesmith.metrics import score

_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class TaggedPair:
    """One tag sequence a document for gold and prediction, and the flat documents they stand for.

    ``n_dropped`` counts entities that tags cannot express.
    """

    gold: tuple[tuple[str, ...], ...]
    predicted: tuple[tuple[str, ...], ...]
    flat_gold: tuple[Document, ...]
    flat_predicted: tuple[Document, ...]
    n_dropped: int


def to_tags(gold: Sequence[Document], predicted: Sequence[Document]) -> TaggedPair:
    """Tag documents paired by id; ``predicted`` may be in any order.

    Raises:
        StageError: a gold document has no prediction.
    """
    by_id = {doc.id: doc for doc in predicted}
    if missing := sum(doc.id not in by_id for doc in gold):
        raise StageError(f"{missing} documents without prediction")
    flat_gold = [_flat(doc) for doc in gold]
    flat_predicted = [_flat(by_id[doc.id]) for doc in gold]
    tags_gold, tags_predicted = [], []
    for ours, theirs in zip(flat_gold, flat_predicted, strict=True):
        tokens = _tokens(ours, theirs)
        tags_gold.append(_tags(ours, tokens))
        tags_predicted.append(_tags(theirs, tokens))
    before = sum(len(doc.entities) + len(by_id[doc.id].entities) for doc in gold)
    after = sum(len(doc.entities) for doc in [*flat_gold, *flat_predicted])
    return TaggedPair(
        tuple(tags_gold),
        tuple(tags_predicted),
        tuple(flat_gold),
        tuple(flat_predicted),
        before - after,
    )


def _flat(doc: Document) -> Document:
    kept: list[Entity] = []
    for ent in sorted(doc.entities, key=lambda e: (e.start, -e.end, e.label)):
        mention = ent.mention(doc.text)
        is_tight = len(ent.spans) == 1 and mention == mention.strip()
        if is_tight and (not kept or ent.start >= kept[-1].end):
            kept.append(ent)
    return doc.with_entities(kept)


def _tokens(gold: Document, predicted: Document) -> list[tuple[int, int]]:
    borders = {b for doc in (gold, predicted) for ent in doc.entities for b in (ent.start, ent.end)}
    tokens = []
    for match in _TOKEN.finditer(gold.text):
        cuts = [match.start(), *sorted(b for b in borders if match.start() < b < match.end())]
        tokens += list(zip(cuts, [*cuts[1:], match.end()], strict=True))
    return tokens


def _tags(doc: Document, tokens: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    tags = ["O"] * len(tokens)
    for ent in doc.entities:
        inside = [i for i, (s, e) in enumerate(tokens) if s >= ent.start and e <= ent.end]
        for i in inside:
            tags[i] = ("B-" if i == inside[0] else "I-") + ent.label
    return tuple(tags)


def main() -> int:
    """Score, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gold", type=Path)
    parser.add_argument("predicted", type=Path)
    parser.add_argument("--format", default=None)
    options = parser.parse_args()
    pair = to_tags(
        read_corpus(options.gold, ReadingConfig(format=options.format)).docs,
        read_corpus(options.predicted, ReadingConfig(format=options.format)).docs,
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
