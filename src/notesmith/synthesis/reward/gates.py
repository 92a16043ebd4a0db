"""What a text must pass before anything is graded: the filters' rules and copies of gold."""

from __future__ import annotations

from collections.abc import Sequence

from notesmith.config.filters import FilterConfig
from notesmith.document import Document
from notesmith.filters.candidate import Candidate
from notesmith.filters.repeats import GoldTexts, pieces_of
from notesmith.filters.rules import judge, n_inside_words


class Gates:
    """The checks with what they know of gold. A failed gate is a reward of 0 with its reason."""

    def __init__(
        self, gold: Sequence[Document], filters: FilterConfig, *, all_requested: bool
    ) -> None:
        """Index ``gold`` units; ``all_requested``: a missing requested mention is a failure."""
        self._filters = filters.model_copy(update={"require_requested": all_requested})
        n_mentions = sum(len(doc.entities) for doc in gold)
        n_inside = sum(map(n_inside_words, gold))
        self._whole_words = bool(gold) and n_inside <= filters.inside_words * n_mentions
        whole = [(doc.id, doc.text) for doc in gold]
        self._gold = GoldTexts(gold, whole + pieces_of(gold, ["sentence"]), filters)

    def first_failed(self, candidate: Candidate) -> str | None:
        """The first check that ``candidate`` fails, or None.

        In order: parse, no end, too short, too long, loop, mention inside a word (unless gold has
        such), requested mention missing, repeats gold.
        """
        reason = judge(candidate, self._filters, whole_words=self._whole_words)
        if reason is not None or not isinstance(candidate.result, Document):
            return reason
        return "repeats gold" if self._gold.repeated_by(candidate.result.text) else None
