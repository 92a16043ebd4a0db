"""What a piece of work costs, in counts: the values that a stage's cost rule takes and gives.

``forecast`` measures speeds and turns an amount into seconds; it also counts the corpus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from notesmith.config.filters import LengthConfig

# Kinds of work whose peak memory is measured: of the language model, then of the student.
Peak = Literal["scoring", "sampling", "tuning", "rewarding", "training", "predicting"]
PEAKS_OF_LM: tuple[Peak, ...] = ("scoring", "sampling", "tuning", "rewarding")

# A forward pass costs a third of a step.
FORWARD = 1 / 3


@dataclass(frozen=True, slots=True)
class Amount:
    """Work of a cell.

    Tokens that the language model samples and is trained on; names it scores, each against one
    list; words that a student is trained on and reads; models loaded; plain seconds; and models
    that are left on disk. Tokens are given as words of the language model's text, to be multiplied
    by its tokens a word.
    """

    sampled: float = 0.0
    trained: float = 0.0
    scored: float = 0.0
    learnt: float = 0.0
    read: float = 0.0
    lms: int = 0
    students: int = 0
    seconds: float = 0.3
    saved_lms: int = 0
    saved_students: int = 0


@dataclass(frozen=True, slots=True)
class SplitStats:
    """Counts of a split: documents, words, mentions by label, distinct names by label, patients."""

    n_documents: int
    n_words: int
    labels: Mapping[str, int]
    names: Mapping[str, int] = field(default_factory=dict)
    patients: frozenset[str] = frozenset()

    @property
    def n_mentions(self) -> int:
        """Mentions of all labels."""
        return sum(self.labels.values())


@dataclass(frozen=True, slots=True)
class UnitStats:
    """Units of train: the words of each, of all their prompts, and of the longest with its own.

    ``n_cut`` of them were cut because they are too long for the language model's window.
    """

    lengths: tuple[int, ...]
    prompt_words: int = 0
    longest: int = 0
    n_cut: int = 0

    @property
    def n(self) -> int:
        """How many."""
        return len(self.lengths)

    @property
    def words(self) -> int:
        """Words of all."""
        return sum(self.lengths)

    @property
    def mean(self) -> float:
        """Words of one."""
        return self.words / self.n if self.n else 0.0

    def mean_within(self, length: LengthConfig) -> float:
        """Words of one that is neither too short nor too long; of any where none is."""
        kept = [n for n in self.lengths if length.min_words <= n <= length.max_words]
        return sum(kept) / len(kept) if kept else self.mean


@dataclass(frozen=True, slots=True)
class TrainStats:
    """Train, cut as the generator writes (``written``) and as the student reads (``read``)."""

    split: SplitStats
    written: UnitStats
    read: UnitStats


@dataclass(frozen=True, slots=True)
class CorpusStats:
    """Train and what is scored, by split."""

    train: TrainStats
    held_out: Mapping[str, SplitStats]
