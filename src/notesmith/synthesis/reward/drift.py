"""How a generator moves while it is rewarded: names, length, density, gates, sameness. No text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from notesmith.metrics import fold_mention
from notesmith.overlap import OverlapIndex
from notesmith.synthesis.reward.cases import Case
from notesmith.synthesis.reward.context import context_grams


@dataclass(frozen=True, slots=True)
class Drift:
    """Statistics of one batch of completions, those that parse.

    ``distinct_names`` counts (label, name) pairs, so compare batches of one size;
    ``new_name_ratio`` is the share of these that gold lacks; ``words`` is the mean of a text's
    white-space words; ``density`` is mentions a word, those nobody asked for too;
    ``self_similarity`` is the mean of each text's largest similarity to another one, mentions
    masked, 0 to 1. ``asked_…`` is what a batch that does as it is told would have.
    """

    distinct_names: int
    new_name_ratio: float
    words: float
    density: float
    self_similarity: float
    asked_distinct_names: int
    asked_words: float
    asked_density: float

    def to_json(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)


def drift_of(cases: Sequence[Case], gold_names: Collection[tuple[str, str]]) -> Drift:
    """Statistics of ``cases``; ``gold_names`` are (label, folded mention) pairs."""
    parsed = [(case, case.doc) for case in cases if case.doc is not None]
    names = {
        (e.label, fold_mention(e.mention(doc.text))) for _, doc in parsed for e in doc.entities
    }
    n_words = sum(case.n_words for case, _ in parsed)
    grams = [context_grams(doc) for _, doc in parsed]
    index = OverlapIndex(grams)
    alike = [index.container(found, besides={i}).likeness for i, found in enumerate(grams)]
    asked = [case.request for case in cases if case.request is not None]
    asked_names = {(label, fold_mention(name)) for r in asked for label, name in r.mentions}
    asked_words = sum(r.words for r in asked)
    return Drift(
        distinct_names=len(names),
        new_name_ratio=len(names - set(gold_names)) / max(1, len(names)),
        words=n_words / max(1, len(parsed)),
        density=sum(case.n_mentions for case, _ in parsed) / max(1, n_words),
        self_similarity=sum(alike) / max(1, len(alike)),
        asked_distinct_names=len(asked_names),
        asked_words=asked_words / max(1, len(asked)),
        asked_density=sum(len(r.mentions) for r in asked) / max(1, asked_words),
    )
