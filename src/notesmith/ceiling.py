"""The best scores that the word grid and flat tags allow, and how to raise them.

A student decides whole words, and gives each at most one label. What it would score on gold without
a single mistake is computed from gold alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Any

from notesmith.document import Document, Entity, labels_of
from notesmith.metrics import PRFScore, score_document, scored_entities
from notesmith.words import Reason, tag_words, to_entities, words

ENOUGH = 99.0
"""Strict F1, in points, from which a ceiling needs no remedy."""

_IN_WORDS: dict[Reason, str] = {
    "nested": "nested in a longer one or on the same words",
    "crossing": "crossing another",
    "discontinuous": "discontinuous",
    "inside_word": "beginning or ending inside a word",
    "no_word": "white space alone",
}
# Overlaps that a layer may hold: this share of the mentions of the label that joins it, or of all.
_FEW_OF_LABEL = 0.01
_FEW_OF_ALL = 0.001
# Points of F1 that layers must gain to be worth a second student.
_WORTH = 0.5

Layers = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The strict counts of a student that makes no mistake, and the mentions that it must miss.

    ``lost`` counts these by reason, the most frequent first. A mention counts once, by the first
    reason that applies. Mentions in masked text are not scored and not counted.
    """

    score: PRFScore
    lost: dict[Reason, int]

    @property
    def f1(self) -> float:
        """Strict F1 in points of 100."""
        return 100 * self.score.f1

    @property
    def n_mentions(self) -> int:
        """Gold mentions that are scored."""
        return self.score.tp + self.score.fn

    @property
    def is_low(self) -> bool:
        """Whether a reader should know: it is below ``ENOUGH``, and there is something to find."""
        return self.n_mentions > 0 and self.f1 < ENOUGH

    @property
    def sentence(self) -> str:
        """The best score and what it leaves out, in words."""
        reasons = ", ".join(f"{n:,} {_IN_WORDS[reason]}" for reason, n in self.lost.items())
        many = f"{self.score.fn:,} of {self.n_mentions:,} mentions"
        missed = f" (out of reach: {many}; {reasons})" if self.lost else ""
        return f"A student that tags every word right scores {self.f1:.1f} strict F1{missed}."

    def to_record(self) -> dict[str, Any]:
        """JSON values, scores in points of 100."""
        return {
            "precision": round(100 * self.score.precision, 2),
            "recall": round(100 * self.score.recall, 2),
            "f1": round(self.f1, 2),
            "mentions": self.n_mentions,
            "lost": dict(self.lost),
        }


def ceiling(docs: Sequence[Document], layers: Layers = ()) -> Ceiling:
    """Tag ``docs`` with perfect knowledge, read the tags, and score the result as predictions.

    ``layers`` are groups of labels, each for a student of its own, whose mentions are then put
    together. Without them one student learns all labels.
    """
    layers = layers or (labels_of(docs),)
    total = PRFScore()
    lost: Counter[Reason] = Counter()
    for doc in docs:
        if not doc.entities:
            continue
        found, reasons = _perfect(doc, layers)
        total += PRFScore.sum(score_document(doc, found).values())
        have = {(ent.label, ent.spans) for ent in found.entities}
        missed = {(e.label, e.spans): e for e in scored_entities(doc, doc)}
        for key, ent in missed.items():
            if key not in have:
                # Only a mask that cuts a word takes a mention away without a reason of its own.
                lost[reasons.get(ent.id, "inside_word")] += 1
    return Ceiling(total, dict(lost.most_common()))


def _perfect(doc: Document, layers: Layers) -> tuple[Document, dict[str, Reason]]:
    """What perfect students give, and the reasons of entities that do not fit, by entity id."""
    spans = words(doc.text)
    found: list[Entity] = []
    reasons: dict[str, Reason] = {}
    for labels in layers:
        own = replace(
            doc, entities=tuple(e for e in doc.entities if e.label in labels), relations=()
        )
        tagged = tag_words(own, spans, labels)
        reasons |= {ent.id: reason for ent, reason in tagged.misfits}
        found += to_entities(tagged.tags, spans, labels)
    numbered = (replace(ent, id=f"T{i}") for i, ent in enumerate(found, 1))
    return doc.with_entities(numbered), reasons


def find_layers(docs: Sequence[Document]) -> Layers:
    """Group the labels so that mentions of one group hardly overlap: a student for each group.

    Greedy colouring: the most frequent labels first, each into the group with which it overlaps
    least, or into a new one where more than a few would overlap.
    """
    counts = Counter(ent.label for doc in docs for ent in doc.entities)
    overlaps: Counter[tuple[str, str]] = Counter()
    for doc in docs:
        overlaps.update(_overlaps(doc))
    few = _FEW_OF_ALL * counts.total()
    layers: list[list[str]] = []
    for label in sorted(counts, key=lambda name: (-counts[name], name)):
        shared = [sum(overlaps[_pair(label, other)] for other in layer) for layer in layers]
        best = min(range(len(layers)), key=shared.__getitem__, default=None)
        if best is None or shared[best] > max(few, _FEW_OF_LABEL * counts[label]):
            layers.append([label])
        else:
            layers[best].append(label)
    return tuple(tuple(layer) for layer in layers)


@dataclass(frozen=True, slots=True)
class Layered:
    """Groups of labels, a student for each, and the ceiling of their mentions together."""

    layers: Layers
    ceiling: Ceiling


def better_layers(docs: Sequence[Document], found: Ceiling) -> Layered | None:
    """Layers whose ceiling is well above ``found``, that of one student; None if there are none."""
    if "nested" not in found.lost and "crossing" not in found.lost:
        return None
    layers = find_layers(docs)
    together = ceiling(docs, layers)
    return Layered(layers, together) if together.f1 >= found.f1 + _WORTH else None


def remedies(found: Ceiling, layered: Layered | None) -> list[str]:
    """What can be done about a low ceiling, a sentence without a full stop each."""
    said: list[str] = []
    if layered is not None:
        said.append(
            f"train {len(layered.layers)} students, each on labels that do not overlap, and put "
            f"their mentions together (at most {layered.ceiling.f1:.1f}); or merge labels that "
            "mean nearly the same with a label map"
        )
    elif found.lost.keys() & {"nested", "crossing"}:
        said.append(
            "drop the inner or the outer of overlapping mentions in your annotation tool, or give "
            "one of them a label of its own"
        )
    if "discontinuous" in found.lost:
        said.append("mark the whole stretch of a discontinuous mention, or each part by itself")
    if "inside_word" in found.lost:
        said.append("mark whole words, where notesmith corpus check says 'cuts a word'")
    if not said:
        said.append("correct the mentions that hold white space alone")
    return said


def _overlaps(doc: Document) -> Counter[tuple[str, str]]:
    """How many mentions of two labels overlap, each from its first to its last character."""
    found: Counter[tuple[str, str]] = Counter()
    ends: list[tuple[int, str]] = []
    open_: Counter[str] = Counter()
    for ent in sorted(doc.entities, key=lambda e: (e.start, e.end)):
        while ends and ends[0][0] <= ent.start:
            open_[heappop(ends)[1]] -= 1
        for label, n in open_.items():
            if n and label != ent.label:
                found[_pair(label, ent.label)] += n
        heappush(ends, (ent.end, ent.label))
        open_[ent.label] += 1
    return found


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def label_maps(layers: Layers) -> Iterator[str]:
    """The options of ``notesmith train`` that give a student one layer each."""
    labels = [label for layer in layers for label in layer]
    for layer in layers:
        others = [label for label in labels if label not in layer]
        if len(others) <= len(layer) + 1:
            pairs = [f"{label}=" for label in others]
        else:
            pairs = [*(f"{label}={label}" for label in layer), "*="]
        yield " ".join(f"--label-map {_quoted(pair)}" for pair in pairs)


def _quoted(pair: str) -> str:
    return "'" + pair.replace("'", "'\\''") + "'"
