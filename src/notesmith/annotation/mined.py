"""Names mined from a team's own notes: what annotators were sure of, more than once.

What a student of few documents lacks is right names in their own sentences. The mentions that a
committee finds with confidence in notes that nobody labelled hold such names.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean
from typing import Any, Literal

from notesmith.config.annotators import MinedConfig
from notesmith.document import Document
from notesmith.metrics import fold_mention
from notesmith.ner.decode import score_of
from notesmith.rules import CONFIDENCE

NotMined = Literal["in gold", "too seldom", "too unsure", "two labels"]

# Share of a name's mentions that one label has; with less the name has two.
_MOST = 0.8


@dataclass(frozen=True, slots=True)
class MinedName:
    """A name as it is written most often, how often it was found, and the mean score."""

    name: str
    count: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Mined:
    """Mined names by label, the most frequent first.

    ``left_out`` counts distinct names of silver that are not mined, by the first reason in the
    order of ``NotMined`` as it is written.
    """

    names: Mapping[str, tuple[MinedName, ...]] = field(default_factory=dict)
    left_out: Mapping[NotMined, int] = field(default_factory=dict)

    @property
    def by_label(self) -> dict[str, tuple[str, ...]]:
        """The names alone."""
        return {label: tuple(one.name for one in found) for label, found in self.names.items()}

    def to_json(self) -> dict[str, Any]:
        """A JSON object; it holds names and belongs with documents, not with metrics."""
        return {
            "names": {
                label: [[one.name, one.count, one.confidence] for one in found]
                for label, found in self.names.items()
            },
            "left_out": dict(self.left_out),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Mined:
        """The inverse of ``to_json``."""
        names = {
            label: tuple(MinedName(name, count, score) for name, count, score in found)
            for label, found in data["names"].items()
        }
        return cls(names, dict(data["left_out"]))


def mine_names(silver: Sequence[Document], gold: Sequence[Document], config: MinedConfig) -> Mined:
    """The mentions of silver that are names beyond doubt and not in ``gold``.

    Mentions count as one name where they differ in case and white space alone. A name is mined that
    no label of gold has, that one label has nearly always, and that this label was given at least
    ``config.min_count`` times with a mean score of ``config.min_confidence``. A mention without a
    score has none to show and counts as 0.

    Args:
        silver: notes with scored mentions (``Decision.scores``).
        gold: documents whose names are known already.
        config: the bounds.
    """
    known = {fold_mention(mention) for doc in gold for mention in doc.mentions()}
    found: dict[str, dict[str, list[float]]] = {}
    written: dict[str, Counter[str]] = {}
    for doc in silver:
        for ent in doc.entities:
            if len(ent.spans) == 1:
                mention = " ".join(ent.mention(doc.text).split())
                name = fold_mention(mention)
                written.setdefault(name, Counter())[mention] += 1
                scores = found.setdefault(name, {}).setdefault(ent.label, [])
                scores.append(score_of(ent) or 0.0)
    names: dict[str, list[MinedName]] = {}
    left_out: Counter[NotMined] = Counter()
    for name, by_label in found.items():
        label, scores = min(by_label.items(), key=lambda item: (-len(item[1]), item[0]))
        confidence = fmean(scores)
        if name in known:
            left_out["in gold"] += 1
        elif len(scores) < config.min_count:
            left_out["too seldom"] += 1
        elif confidence < config.min_confidence:
            left_out["too unsure"] += 1
        elif len(scores) < _MOST * sum(map(len, by_label.values())):
            left_out["two labels"] += 1
        else:
            best = min(written[name].items(), key=lambda item: (-item[1], item[0]))[0]
            names.setdefault(label, []).append(MinedName(best, len(scores), confidence))
    return Mined(
        {
            label: tuple(sorted(some, key=lambda one: (-one.count, -one.confidence, one.name)))
            for label, some in sorted(names.items())
        },
        dict(sorted(left_out.items())),
    )


@dataclass(frozen=True, slots=True)
class ListQuality:
    """How many of ``n`` names of a list are right."""

    right: int
    n: int

    @property
    def precision(self) -> float:
        """From 0 to 1; 0 for an empty list."""
        return self.right / self.n if self.n else 0.0

    @property
    def low(self) -> float:
        """Lower end of its interval (``wilson_low``)."""
        return wilson_low(self.right, self.n)


def quality_of(names: Mapping[str, Sequence[str]], truth: Sequence[Document]) -> ListQuality:
    """How many of ``names`` are, by label, mentions of ``truth``, the notes with their labels.

    Names are compared with case and white space folded.
    """
    marked = {
        (ent.label, fold_mention(ent.mention(doc.text))) for doc in truth for ent in doc.entities
    }
    right = [
        (label, fold_mention(name)) in marked for label, some in names.items() for name in some
    ]
    return ListQuality(sum(right), len(right))


def wilson_low(right: int, n: int, *, confidence: float = CONFIDENCE) -> float:
    """Lower end of Wilson's score interval of a proportion; 0 where there is nothing.

    (p + z²/2n - z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), with p = right/n and z the quantile of the
    normal distribution at (1 + ``confidence``)/2 (Wilson 1927).
    """
    if not n:
        return 0.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = right / n
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (p + z * z / (2 * n) - spread) / (1 + z * z / n))
