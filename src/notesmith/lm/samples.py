"""What sampling gives, whoever samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from notesmith.lm.constrain import Constraint

Constraints = Constraint | Sequence[Constraint | None] | None


@dataclass(frozen=True, slots=True)
class Sample:
    """What was written after prompt ``index``; ``ended`` is False where it was cut off.

    ``token_ids`` and ``text`` hold neither prompt nor end of text.
    """

    index: int
    text: str
    token_ids: tuple[int, ...]
    ended: bool


@dataclass(frozen=True, slots=True)
class SampleResult:
    """Samples in prompt order; ``tokens`` drawn in ``seconds``, resumed samples not counted."""

    samples: tuple[Sample, ...]
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Tokens drawn per second of wall clock, prompts and start included."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


OnSamples = Callable[[list[Sample]], Any]


def until_empty_line(sample: Sample) -> Sample:
    """What a base model wrote before it began another example."""
    text, line, _ = sample.text.partition("\n\n")
    return replace(sample, text=text, ended=bool(line) or sample.ended)
