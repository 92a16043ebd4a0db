"""What is asked about a text besides arithmetic: a committee and a language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notesmith.document import Document
from notesmith.errors import StageError
from notesmith.synthesis.reward.parts import Mark, votes_of
from notesmith.synthesis.reward.user import checked

if TYPE_CHECKING:
    from notesmith.lm.load import LanguageModel

Members = Callable[[Sequence[str]], Sequence[Sequence[Document]]]
Fluency = Callable[[Sequence[str]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Judges:
    """Callables, each of which may be absent.

    ``committee``: texts to each member's labels of them (``Committee.predict_each``).
    ``fluency``: mean natural-log probability a token of each text under a fixed language model.
    """

    committee: Members | None = None
    fluency: Fluency | None = None

    def votes(self, docs: Sequence[Document]) -> list[dict[Mark, float]]:
        """Share of the committee's members that find each mark, for each document.

        Raises:
            StageError: there is no committee or member, or one did not label each text.
        """
        members = self.committee([doc.text for doc in docs]) if self.committee else []
        if not members or any(len(found) != len(docs) for found in members):
            raise StageError(
                f"committee: no member, or one did not label each of {len(docs)} texts"
            )
        return [votes_of(said) for said in zip(*members, strict=True)]

    def log_probs(self, docs: Sequence[Document]) -> list[float]:
        """Mean log-probability a token of each text.

        Raises:
            StageError: there is no language model, or it gave no finite number for one.
        """
        values = self.fluency([doc.text for doc in docs]) if self.fluency else None
        return checked("fluency", values, docs, in_range=False)


def fluency_of(lm: LanguageModel, *, batch_size: int = 64) -> Fluency:
    """Fluency under ``lm``: best the base model, as a model tuned on gold knows it by heart."""
    from notesmith.lm.score import score_continuations

    def fluency(texts: Sequence[str]) -> list[float]:
        scores = score_continuations(lm, [""] * len(texts), texts, batch_size=batch_size)
        return [score.mean for score in scores]

    return fluency
