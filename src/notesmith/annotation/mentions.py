"""From mentions with scores to a distribution a word: annotators that find mentions vote with them.

A dictionary, another tagger and a language model say which mentions a note has, and not what they
think of each word. ``MentionAnnotator`` makes such a finder of mentions an annotator with the
methods of ``notesmith.ner.protocol.Student``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from notesmith.document import Document, Entity, Span
from notesmith.errors import ConfigError, StageError, shown_doc, shown_id
from notesmith.ner.attributes import Attribute
from notesmith.ner.decode import SCORE, WordScores, score_of
from notesmith.ner.protocol import Predicts
from notesmith.progress import OnProgress, silent
from notesmith.words import GRID, IGNORED, tag_words, words

UNSCORED = 0.99
"""Score of a mention that carries none."""
FLOOR = 0.02
"""Probability that a word outside all mentions found belongs to one that was missed."""

Find = Callable[[Sequence[Document], OnProgress], Iterable[Document]]
"""Finds mentions: the same documents in the same order, with entities that carry their score."""


def scores_of_mentions(
    doc: Document,
    labels: tuple[str, ...],
    *,
    floor: float = FLOOR,
    unscored: float = UNSCORED,
    grid: int = GRID,
    counts: Counter[str] | None = None,
) -> WordScores:
    """Distributions of ``doc``'s words over the tags of ``labels``, from its scored entities.

    A word of a mention with score s has s for its B or I tag, and 1 - s for O. Any other word has
    1 - ``floor`` for O, and an even share of ``floor`` for each other tag. A masked word has every
    tag alike: nothing is said of it. Overlapping mentions are flattened as in training, the longest
    wins. So a mention is decided on by itself where its score is above one half.

    Args:
        doc: with entities whose attribute ``score=`` (see ``Decision.scores``) is from 0 to 1.
        labels: in the order of the tags.
        floor: from 0 up to, and without, 1.
        unscored: the score of an entity without one.
        grid: version of the rules that make words.
        counts: mentions that do not fit the words are added here, by reason (``TaggedWords``).

    Raises:
        ConfigError: ``floor`` or ``unscored`` is out of bounds.
        StageError: a label is not in ``labels``, or a score is not a number from 0 to 1.
    """
    if not 0 <= floor < 1 or not 0 <= unscored <= 1:
        raise ConfigError(f"floor {floor} or score {unscored} of mentions is not between 0 and 1")
    spans = tuple(words(doc.text, grid=grid))
    tagged = tag_words(doc, spans, labels)
    if counts is not None:
        counts.update(tagged.counts)
    n_tags = 2 * len(labels) + 1
    rows = np.full((len(spans), n_tags), floor / max(n_tags - 1, 1), np.float32)
    rows[:, 0] = 1 - floor if labels else 1
    for first, stop, ent in tagged.placed:
        score = _score(doc, ent, unscored)
        rows[first:stop] = 0
        rows[first:stop, 0] = 1 - score
        own = np.array(tagged.tags[first:stop])
        rows[np.arange(first, stop), np.maximum(own, 0)] += score
    rows[np.array(tagged.tags, dtype=np.int64) == IGNORED] = 1 / n_tags
    return WordScores(spans, rows)


def _score(doc: Document, ent: Entity, unscored: float) -> float:
    try:
        score = score_of(ent)
    except ValueError:
        score = -1
    if score is None:
        return unscored
    if not 0 <= score <= 1:
        raise StageError(
            f"{shown_doc(doc.id)}: the score of {shown_id(ent.id)} is not a number from 0 to 1"
        )
    return score


@dataclass(frozen=True, slots=True)
class Read:
    """Documents with the mentions found, and the distributions of their words, in one order."""

    docs: tuple[Document, ...]
    scores: tuple[WordScores, ...]


@dataclass(frozen=True, slots=True)
class MentionAnnotator(Predicts):
    """An annotator of mentions, used like a student.

    Attributes:
        labels: those that it finds, in the order of the tags.
        name: what it is called in the provenance of the documents that it labels.
        find: finds the mentions.
        floor: see ``scores_of_mentions``; of an annotator that misses much it should be higher.
        mentions_alone: whether it has no opinion, beside other annotators, of words outside the
            mentions that it finds.
        counts: what went wrong so far: mentions that do not fit, by reason, and whatever ``find``
            adds.
    """

    labels: tuple[str, ...]
    name: str
    find: Find
    floor: float = FLOOR
    mentions_alone: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """None: what is told of mentions besides their label and score is not passed on."""
        return ()

    def predict_scores(
        self,
        docs: Sequence[Document],
        *,
        batch_tokens: int = 4096,
        on_progress: OnProgress = silent,
    ) -> list[WordScores]:
        """Tag probabilities of every word; ``batch_tokens`` is for students and has no effect.

        Raises:
            StageError: the finder gave other documents than it got.
        """
        return list(self.read(docs, on_progress).scores)

    def read(self, docs: Sequence[Document], on_progress: OnProgress = silent) -> Read:
        """The mentions of ``docs`` as they were found, and tag probabilities of every word.

        Raises:
            StageError: the finder gave other documents than it got.
        """
        # What is known of a document's labels, masks too, is not the annotator's word.
        bare = [Document(d.id, d.text, sections=d.sections, metadata=d.metadata) for d in docs]
        found = tuple(self.find(bare, on_progress))
        if [(d.id, d.text) for d in found] != [(d.id, d.text) for d in docs]:
            raise StageError(f"{self.name}: found mentions in other documents than it was given")
        scores = (
            scores_of_mentions(doc, self.labels, floor=self.floor, counts=self.counts)
            for doc in found
        )
        return Read(found, tuple(scores))


def with_score(ent: Entity, score: float) -> Entity:
    """``ent`` with ``score`` in its attributes, rounded down to four places."""
    said = f"{SCORE}{math.floor(score * 1e4) / 1e4:.4f}"
    others = tuple(x for x in ent.attributes if not x.startswith(SCORE))
    return replace(ent, attributes=(*others, said))


def words_in(text: str, spans: Iterable[Span]) -> set[Span]:
    """The words of ``text`` that touch one of ``spans``."""
    ordered = sorted(spans)
    found: set[Span] = set()
    k = reach = 0
    for start, end in words(text) if ordered else ():
        while k < len(ordered) and ordered[k][0] < end:
            reach = max(reach, ordered[k][1])
            k += 1
        if start < reach:
            found.add((start, end))
    return found


def spans_of(doc: Document) -> list[Span]:
    """The ranges of all mentions of ``doc``."""
    return [span for ent in doc.entities for span in ent.spans]
