"""Made text that repeats gold: nearly a whole unit of it, or word by word a part of a document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from notesmith.config.filters import FilterConfig
from notesmith.document import Document
from notesmith.overlap import Match, OverlapIndex, text_ngrams
from notesmith.segments import Unit, split

NEAR_WORDS = 3
_COPY_WORDS = 8


def pieces_of(gold: Sequence[Document], units: Iterable[Unit]) -> list[tuple[str, str]]:
    """Id and text of each unit of ``gold``, for every kind of unit named."""
    return [
        (doc.id, doc.text[start:end])
        for unit in dict.fromkeys(units)
        for doc in gold
        for start, end in split(doc, unit)
    ]


class GoldTexts:
    """What there is to repeat of gold."""

    def __init__(
        self, gold: Sequence[Document], pieces: Iterable[tuple[str, str]], config: FilterConfig
    ) -> None:
        """Index the documents, and the ``pieces`` (id and text) that near-duplicates are of."""
        self._config = config
        self._pieces: OverlapIndex[str] = OverlapIndex()
        for key, text in pieces:
            self._pieces.add(text_ngrams(text, NEAR_WORDS), key)
        # Whole documents: a passage or a section may be copied over the ends of its sentences.
        self._documents: OverlapIndex[str] = OverlapIndex()
        for doc in gold:
            self._documents.add(text_ngrams(doc.text, _COPY_WORDS), doc.id)

    def repeated_by(self, text: str) -> Match | None:
        """The document that ``text`` repeats, by Jaccard similarity or by the share copied."""
        near = self._pieces.nearest(text_ngrams(text, NEAR_WORDS), self._config.near_duplicate)
        if near is not None:
            return near
        copied = self._documents.container(text_ngrams(text, _COPY_WORDS))
        return copied if copied.likeness >= self._config.copy_ratio else None
