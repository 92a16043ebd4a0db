"""All filters in order: each candidate is kept, or dropped for the first reason that applies."""

from __future__ import annotations

from collections.abc import Sequence

from notesmith.config.filters import FilterConfig
from notesmith.document import Document
from notesmith.filters.candidate import Candidate, Dropped, FilterResult
from notesmith.filters.repeats import NEAR_WORDS, GoldTexts, pieces_of
from notesmith.filters.rules import judge, n_inside_words
from notesmith.overlap import HeldOut, Match, OverlapIndex, text_ngrams
from notesmith.segments import Unit, split

HELD_OUT = "dev or test"
"""What stands for the id of a dev or test document, which the filters do not know."""


def run(
    candidates: Sequence[Candidate],
    gold: Sequence[Document],
    config: FilterConfig,
    *,
    unit: Unit = "sentence",
    held_out: HeldOut | None = None,
) -> FilterResult:
    """Filter ``candidates``.

    Args:
        candidates: made texts, in the order in which the earlier of two duplicates wins.
        gold: the gold documents that the generator was trained on.
        config: bounds.
        unit: what one candidate is; gold is compared with it by the sentence and by this.
        held_out: knows whether a text repeats a dev or test document.
    """
    of_gold = GoldTexts(gold, pieces_of(gold, ("sentence", unit)), config)
    of_made: OverlapIndex[str] = OverlapIndex()
    kept: list[Document] = []
    dropped: list[Dropped] = []
    n_mentions = sum(len(doc.entities) for doc in gold)
    whole_words = sum(map(n_inside_words, gold)) <= config.inside_words * n_mentions
    for candidate in candidates:
        reason, match = judge(candidate, config, whole_words=whole_words), None
        if reason is None and isinstance(candidate.result, Document):
            text = candidate.result.text
            grams = text_ngrams(text, NEAR_WORDS)
            if held_out is not None and (ratio := held_out.repeated_ratio(text)):
                reason, match = "repeats a held-out document", Match(HELD_OUT, ratio)
            elif match := of_gold.repeated_by(text):
                reason = "repeats gold"
            elif match := of_made.nearest(grams, config.near_duplicate):
                reason = "repeats made text"
            else:
                of_made.add(grams, candidate.id)
                kept.append(candidate.result)
        if reason is not None:
            dropped.append(Dropped.of(candidate, reason, match))
    if config.match_density:
        kept, surplus = thin(kept, candidates, share_without_mentions(gold, unit))
        dropped += surplus
    limit = kept_at_most(config.keep_per_gold, gold, unit)
    if limit is not None:
        by_id = {c.id: c for c in candidates}
        dropped += [Dropped(by_id[doc.id], "more than was wanted") for doc in kept[limit:]]
        kept = kept[:limit]
    return FilterResult.of(kept, dropped)


def kept_at_most(per_gold: float | None, gold: Sequence[Document], unit: Unit) -> int | None:
    """Number of texts to keep where it is a multiple of gold's units; None for all."""
    if per_gold is None:
        return None
    return round(per_gold * sum(len(split(doc, unit)) for doc in gold))


def share_without_mentions(gold: Sequence[Document], unit: Unit) -> float:
    """Share of gold's units that hold no mention, 0 to 1, among those where no label is unknown."""
    spans = [
        (doc, (start, end))
        for doc in gold
        if not doc.unknown
        for start, end in split(doc, unit)
        if not any(first < end and last > start for first, last in doc.masked)
    ]
    empty = sum(
        not any(e.start < end and e.end > start for e in doc.entities)
        for doc, (start, end) in spans
    )
    return empty / len(spans) if spans else 0.0


def thin(
    kept: Sequence[Document], candidates: Sequence[Candidate], share: float
) -> tuple[list[Document], list[Dropped]]:
    """Drop the last texts without mentions until at most ``share`` of those kept are such.

    Text that lacks what it was asked for is dropped before, text that was asked for nothing is
    not: without this the student would see fewer mentions than gold has and learn to miss them.
    """
    n_rich = sum(bool(doc.entities) for doc in kept)
    allowed = round(n_rich * share / (1 - share)) if share < 1 else len(kept)
    by_id = {c.id: c for c in candidates}
    left: list[Document] = []
    surplus: list[Dropped] = []
    n_empty = 0
    for doc in kept:
        n_empty += not doc.entities
        if doc.entities or n_empty <= allowed:
            left.append(doc)
        else:
            surplus.append(Dropped(by_id[doc.id], "more text without mentions than gold has"))
    return left, surplus
