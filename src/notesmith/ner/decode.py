"""From the probabilities of words to mentions: the decision, its score, thresholds of labels.

No torch here: a student that runs elsewhere (ONNX) decides with the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from notesmith.document import Document, Entity, Provenance, Span
from notesmith.errors import ConfigError
from notesmith.ner.attributes import Attribute, best_values
from notesmith.ner.chains import best_chains, chain_marginals, groups
from notesmith.words import Run, tag_runs, to_entities

SCORE = "score="
"""Beginning of the attribute that carries a mention's score, as in ``score=0.9312``."""
_TINY = 1e-12
_GOES_ON = 0.05


@dataclass(frozen=True, slots=True)
class WordScores:
    """What the student thinks of each word of a document.

    ``words[i]`` is a character range; row i of ``probabilities`` (float32, tags in
    ``NerModel.tags`` order) belongs to it, and row i of ``attributes`` (float32 logits, the classes
    of all attributes side by side) where the student has learnt some.
    """

    words: tuple[Span, ...]
    probabilities: NDArray[np.float32]
    attributes: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """How mentions are decided.

    ``thresholds`` maps a label to t in (0, 1): its mentions of a lower score (``mention_score``)
    are left out, and with t below one half its tags gain log((1 - t) / t) beforehand, so that a
    word takes the label rather than O from p / (p + P(O)) of about t on, in place of one half. A
    label without a threshold is decided by the most probable tags alone. ``scores`` writes the
    score of each mention into its attributes, rounded down to four places.
    """

    thresholds: Mapping[str, float]
    scores: bool = False

    def __post_init__(self) -> None:
        for label, t in self.thresholds.items():
            if not 0 < t < 1:
                raise ConfigError(f"threshold of {label!r}: {t} is not between 0 and 1")

    def check(self, labels: Sequence[str]) -> None:
        """Raise if a threshold is for no label of ``labels``.

        Raises:
            ConfigError: there is one; the labels are named.
        """
        if unknown := sorted(set(self.thresholds) - set(labels)):
            raise ConfigError(
                f"threshold of {unknown[0]!r}: the model's labels are {', '.join(labels)}"
            )


PLAIN = Decision({})
"""The most probable legal tags, no scores written."""


def word_rows(docs: Sequence[Sequence[Span]], width: int) -> list[NDArray[np.float32]]:
    """A table of zeros a document, one row a word, to be filled window by window."""
    return [np.zeros((len(words), width), np.float32) for words in docs]


def unread(docs: Sequence[Sequence[Span]], n_tags: int) -> list[NDArray[np.float32]]:
    """Tag probabilities before any window is read: those of words that no window holds.

    Such a word (a control character) begins no mention. It is O unless the words around it make it
    far likelier that a mention goes on over it: ``_GOES_ON`` to 1 for each label.
    """
    tables = word_rows(docs, n_tags)
    row = np.zeros(n_tags, np.float32)
    row[0], row[2::2] = 1, _GOES_ON
    for rows in tables:
        rows[:] = row / row.sum()
    return tables


def best_tags(log_probs: NDArray[np.float32]) -> list[int]:
    """The most probable tag sequence in which ``I-x`` follows only ``B-x`` or ``I-x`` (Viterbi).

    Args:
        log_probs: log probabilities, one row a word, one column a tag in ``tag_names`` order.
    """
    return best_chains([log_probs])[0]


def legal_marginals(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Tag probabilities of each word of a document: those of ``chain_marginals``."""
    return chain_marginals([probabilities])[0]


def mention_score(marginals: NDArray[np.float64], run: Run) -> float:
    """How sure the student is that the words of ``run`` carry its label: from 0 to 1.

    The lowest over its words of p / (p + P(O)), with p = P(B-label) + P(I-label) of
    ``legal_marginals``: label against no label. Whether neighbouring mentions are one, and other
    labels, have no part in it.
    """
    rows = marginals[run.first : run.stop]
    label = rows[:, 2 * run.label + 1] + rows[:, 2 * run.label + 2]
    return float((label / np.maximum(label + rows[:, 0], _TINY)).min())


def decide(
    scores: WordScores,
    labels: Sequence[str],
    decision: Decision = PLAIN,
    attributes: Sequence[Attribute] = (),
) -> list[Entity]:
    """The mentions of one document, as flat entities with exact offsets and ``attributes``."""
    (found,) = _decide_all([scores], labels, decision, attributes)
    return found


def _decide_all(
    scores: Sequence[WordScores],
    labels: Sequence[str],
    decision: Decision,
    attributes: Sequence[Attribute],
) -> Iterator[list[Entity]]:
    """The mentions of each document."""
    gains = _gains(labels, decision.thresholds)
    needs_scores = bool(decision.thresholds) or decision.scores
    for group in groups([len(one.words) for one in scores], len(gains)):
        own = scores[group]
        logs = [np.log(np.maximum(one.probabilities, _TINY)) + gains for one in own]
        tags = best_chains(logs)
        # Scores are of mentions, so a document without one needs none.
        some = [d for d, found in enumerate(tags) if any(found)] if needs_scores else []
        marginals = dict(
            zip(some, chain_marginals([own[d].probabilities for d in some]), strict=True)
        )
        for d, one in enumerate(own):
            yield _entities(one, tags[d], marginals.get(d), labels, decision, attributes)


def _entities(
    scores: WordScores,
    tags: Sequence[int],
    marginals: NDArray[np.float64] | None,
    labels: Sequence[str],
    decision: Decision,
    attributes: Sequence[Attribute],
) -> list[Entity]:
    """The mentions that ``tags`` make, with scores of ``marginals`` where there are some."""
    entities = to_entities(tags, scores.words, labels)
    logits = scores.attributes if attributes else None
    found: list[Entity] = []
    for ent, run in zip(entities, tag_runs(tags), strict=True):
        said: tuple[str, ...] = ()
        if marginals is not None:
            score = mention_score(marginals, run)
            if score < decision.thresholds.get(ent.label, 0.0):
                continue
            if decision.scores:
                said = (f"{SCORE}{math.floor(score * 1e4) / 1e4:.4f}",)
        if logits is not None:
            said += best_values(logits[run.first : run.stop], attributes)
        found.append(replace(ent, id=f"T{len(found) + 1}", attributes=said))
    return found


def _gains(labels: Sequence[str], thresholds: Mapping[str, float]) -> NDArray[np.float32]:
    """What each tag's log probability gains: 0 but for labels with a threshold below one half."""
    gains = np.zeros(2 * len(labels) + 1, np.float32)
    for i, label in enumerate(labels):
        t = min(thresholds.get(label, 0.5), 0.5)
        gains[2 * i + 1 : 2 * i + 3] = math.log((1 - t) / t)
    return gains


def label_documents(
    docs: Sequence[Document],
    scores: Sequence[WordScores],
    labels: Sequence[str],
    *,
    model: str,
    decision: Decision = PLAIN,
    attributes: Sequence[Attribute] = (),
) -> Iterator[Document]:
    """``docs`` with the mentions that ``scores`` decide in the place of whatever they carried."""
    decision.check(labels)
    decided = _decide_all(scores, labels, decision, attributes)
    for doc, found in zip(docs, decided, strict=True):
        yield replace(
            doc,
            entities=tuple(found),
            relations=(),
            concept_relations=(),
            masked=(),
            unknown=(),
            provenance=Provenance("silver", (doc.id,), model, "ner"),
        )


def score_of(ent: Entity) -> float | None:
    """The score that ``Decision.scores`` wrote; None where there is none."""
    for attribute in ent.attributes:
        if attribute.startswith(SCORE):
            return float(attribute.removeprefix(SCORE))
    return None
