"""What made documents teach: entities or distributions, completed, and how sure they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from notesmith.config.student import IntegrationConfig
from notesmith.document import Document
from notesmith.errors import StageError
from notesmith.ner.completion import complete
from notesmith.ner.decode import SCORE, WordScores


@dataclass(frozen=True, slots=True)
class Lessons:
    """Made documents as they are learnt from.

    ``soft`` are distributions that are learnt in the place of entities, by document id.
    ``opinions``, one a document, say under the noise-aware loss how sure entities and the rest are
    (see ``word_confidence``); None under the plain one. ``completed`` counts the mentions that were
    ``added`` to ``docs``, and those ``masked`` there.
    """

    docs: Sequence[Document]
    soft: Mapping[str, WordScores]
    opinions: Sequence[WordScores | None] | None
    completed: Counter[str] = field(default_factory=Counter)

    def complete(
        self, scores: Sequence[WordScores], labels: Sequence[str], least_score: float
    ) -> Lessons:
        """The same with what ``scores`` find besides, one a document (see ``completion``).

        Documents whose distributions are learnt have no use for it, and stay as they are.
        """
        pairs = zip(self.docs, scores, strict=True)
        used = [None if doc.id in self.soft else score for doc, score in pairs]
        found = complete(self.docs, used, labels, least_score=least_score)
        return replace(self, docs=found.docs, completed=self.completed + found.counts)

    def judge(self, scores: Sequence[WordScores]) -> Lessons:
        """The same with ``scores`` as the opinions of documents that have none."""
        if self.opinions is None:
            return self
        pairs = zip(self.opinions, scores, strict=True)
        return replace(self, opinions=[own or other for own, other in pairs])

    def check(self) -> None:
        """Raise if the loss is noise-aware and nothing says how sure the documents are.

        Augmented documents have the labels of gold, and are as sure.

        Raises:
            StageError: so it is.
        """
        unsure = [doc for doc in self.docs if doc.provenance.kind != "augmented"]
        if self.opinions is None or not unsure or any(self.opinions):
            return
        mentions = (ent for doc in unsure for ent in doc.entities)
        if not any(x.startswith(SCORE) for ent in mentions for x in ent.attributes):
            raise StageError(
                "the noise-aware loss needs to know how sure made documents are, and none of their "
                "mentions has a score; label them by predict --scores, or set "
                "ner.integration.complete to before, or ner.integration.loss to plain"
            )


def lessons_of(
    made: Sequence[Document], soft: Mapping[str, WordScores], integration: IntegrationConfig
) -> Lessons:
    """What ``made`` teaches as ``integration`` says.

    Under the noise-aware loss entities are learnt, and ``soft`` only says how sure they are.
    """
    if integration.loss == "noise-aware":
        return Lessons(made, {}, [soft.get(doc.id) for doc in made])
    return Lessons(made, soft, None)
