"""What a trained student is to those who only predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from notesmith.document import Document
from notesmith.ner.attributes import Attribute
from notesmith.ner.decode import PLAIN, Decision, WordScores, label_documents
from notesmith.progress import OnProgress, silent


class Student(Protocol):
    """What labels documents: ``NerModel``, ``OnnxModel`` and ``Votes``."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it finds."""

    @property
    def name(self) -> str:
        """The encoder that it was trained from."""

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes of mentions that it has learnt."""

    def predict(
        self,
        docs: Sequence[Document],
        *,
        decision: Decision = PLAIN,
        batch_tokens: int = 4096,
        on_progress: OnProgress = silent,
    ) -> list[Document]:
        """Label ``docs``: same ids and texts, flat entities with exact offsets."""

    def predict_scores(
        self,
        docs: Sequence[Document],
        *,
        batch_tokens: int = 4096,
        on_progress: OnProgress = silent,
    ) -> list[WordScores]:
        """Tag probabilities of every word."""


class Predicts:
    """The method ``predict`` of whatever has the rest of ``Student``."""

    __slots__ = ()

    def predict(
        self: Student,
        docs: Sequence[Document],
        *,
        decision: Decision = PLAIN,
        batch_tokens: int = 4096,
        on_progress: OnProgress = silent,
    ) -> list[Document]:
        """Label ``docs``: same ids and texts, flat entities with exact offsets and attributes.

        Entities that ``docs`` carry are not looked at. ``batch_tokens`` are word pieces that are
        read together.

        Raises:
            ConfigError: ``decision`` names a label that is not among ``labels``.
        """
        decision.check(self.labels)
        scores = self.predict_scores(docs, batch_tokens=batch_tokens, on_progress=on_progress)
        return list(
            label_documents(
                docs,
                scores,
                self.labels,
                model=self.name,
                decision=decision,
                attributes=self.attributes,
            )
        )
