"""What long work reports while it runs: counts and seconds, never text.

Stages call an ``OnProgress`` that they were given; only ``cli/`` prints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """A state of long work.

    ``done`` of ``total`` ``unit``s; ``tokens`` processed so far and ``seconds`` since the start;
    ``values`` holds numbers worth showing (loss, reward parts). ``left`` are the seconds left where
    the rest will not go as the part done.
    """

    stage: str
    done: int
    total: int
    unit: str
    tokens: int = 0
    seconds: float = 0.0
    values: dict[str, float] = field(default_factory=dict)
    left: float | None = None

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second so far."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta(self) -> float:
        """Seconds left, if the rest goes as the part done; 0 before anything is done."""
        if self.left is not None:
            return self.left
        return self.seconds * (self.total - self.done) / self.done if self.done else 0.0


OnProgress = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report to nobody."""
