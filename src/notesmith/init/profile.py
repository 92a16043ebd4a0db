"""What the choices of a recipe rest on: counts and means of a corpus, a guess at its language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from notesmith.ceiling import Ceiling, ceiling
from notesmith.corpus.statistics import CorpusStatistics, describe
from notesmith.document import Document
from notesmith.segments import sections

_STOP_WORDS = {
    "English": "the of and with was were is to in for had has on which",
    "German": "der die das und mit wurde ist nicht bei eine von im dem den",
    "French": "le la les des et avec est une pour dans chez du au sur",
    "Spanish": "el los las del con por una para sin que se fue como al",
    "Italian": "il gli della con per una che di non alla nel dei sono da",
    "Dutch": "het een van met niet bij voor werd op zijn aan ook naar er",
    "Portuguese": "os das do com uma para não em foi ao na no pela dos",
}
_LISTS = {language: frozenset(words.split()) for language, words in _STOP_WORDS.items()}
_WORD = re.compile(r"[^\W\d_]+")
_ENOUGH = 0.05  # stop words among all words: below it nothing is guessed


@dataclass(frozen=True, slots=True)
class Seen:
    """A corpus.

    ``language`` is empty where none is plain. ``headed`` is the share of documents with two
    headings or more, ``section_words`` the mean length of their sections. ``ceiling`` is the best
    score of one student.
    """

    counts: CorpusStatistics
    language: str
    headed: float
    section_words: float
    n_unmarked: int
    ceiling: Ceiling

    @property
    def words_per_sentence(self) -> float:
        """Mean."""
        return self.counts.n_words / max(1, self.counts.n_sentences)

    @property
    def mentions_per_sentence(self) -> float:
        """Mean."""
        return self.counts.n_mentions / max(1, self.counts.n_sentences)

    @property
    def labels(self) -> tuple[str, ...]:
        """The most frequent first."""
        return tuple(label.label for label in self.counts.labels)


def look(docs: Sequence[Document]) -> Seen:
    """Count ``docs``."""
    parts = [doc.sections or sections(doc.text) for doc in docs]
    headed = [found for found in parts if len(found) > 1]
    lengths = [
        len(doc.text[part.start : part.end].split())
        for doc, found in zip(docs, parts, strict=True)
        if len(found) > 1
        for part in found
    ]
    return Seen(
        counts=describe(docs),
        language=language_of(docs),
        headed=len(headed) / max(1, len(docs)),
        section_words=sum(lengths) / max(1, len(lengths)),
        n_unmarked=sum(not doc.entities for doc in docs),
        ceiling=ceiling(docs),
    )


def language_of(docs: Sequence[Document]) -> str:
    """The language whose stop words are most frequent; empty where none is."""
    words = Counter(word.casefold() for doc in docs for word in _WORD.findall(doc.text))
    n = sum(words.values())
    shares = {
        name: sum(words[word] for word in found) / max(1, n) for name, found in _LISTS.items()
    }
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= _ENOUGH else ""
