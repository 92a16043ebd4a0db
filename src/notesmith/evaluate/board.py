"""The cells of one split by arm, size and replicate, and their bootstrap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from notesmith.config.recipe import EvaluateConfig
from notesmith.errors import StageError
from notesmith.evaluate.bootstrap import (
    Array,
    Estimate,
    Metric,
    bootstrap,
    document_weights,
    f1,
    pool_groups,
)
from notesmith.evaluate.scores import CellScores, View


@dataclass(slots=True)
class Board:
    """The cells of one split; all stand over the same documents in the same order."""

    config: EvaluateConfig
    seed: int
    cells: dict[tuple[str, int], dict[int, CellScores]] = field(default_factory=dict)
    groups: tuple[int, ...] = ()
    weights: Array | None = None

    @classmethod
    def of(cls, cells: Iterable[CellScores], config: EvaluateConfig, seed: int) -> Board:
        """Arrange ``cells``.

        Raises:
            StageError: they stand over different documents, or a replicate is there twice.
        """
        board = cls(config, seed)
        first: CellScores | None = None
        for cell in cells:
            first = first or cell
            if cell.ids_hash != first.ids_hash or cell.groups != first.groups:
                raise StageError(
                    f"arm {cell.arm!r}, size {cell.size}, replicate {cell.replicate} was scored "
                    "on other documents than the rest"
                )
            row = board.cells.setdefault((cell.arm, cell.size), {})
            if cell.replicate in row:
                raise StageError(
                    f"arm {cell.arm!r}, size {cell.size} has replicate {cell.replicate} twice"
                )
            row[cell.replicate] = cell
        if first is not None:
            board.groups = first.groups
            board.weights = document_weights(len(set(first.groups)), config.resamples, seed=seed)
        return board

    @property
    def split(self) -> str:
        """Which documents these are."""
        return next(iter(next(iter(self.cells.values())).values())).split

    def replicates(self, arm: str, size: int) -> list[int]:
        """The replicates of ``arm`` at ``size``, in order."""
        return sorted(self.cells.get((arm, size), {}))

    def n_scored(self, size: int) -> int:
        """Documents that every student at ``size`` was scored on at the least; 0 without any."""
        rows = [row for (_, n), row in self.cells.items() if n == size]
        return min((cell.n_scored for row in rows for cell in row.values()), default=0)

    def counts(
        self,
        arm: str,
        size: int,
        view: View = "strict",
        *,
        replicates: Sequence[int] | None = None,
        label: str | None = None,
    ) -> Array:
        """Counts of the replicates, (replicates, documents, 3).

        Of a single replicate the students are kept apart, (1, students, documents, 3), unless one
        ``label`` is asked for.
        """
        row = self.cells[arm, size]
        wanted = self.replicates(arm, size) if replicates is None else replicates
        if len(wanted) == 1 and label is None:
            return row[wanted[0]].counts_apart(view)[None]
        return np.stack([row[r].counts(view, label=label) for r in wanted])

    def score(self, arm: str, size: int, view: View, metric: Metric) -> Estimate:
        """The score of one arm in ``view``, with its interval."""
        return self._estimate(self.counts(arm, size, view), None, metric)

    def common(self, arm: str, against: str, size: int) -> list[int]:
        """The replicates that both arms have."""
        return sorted({*self.replicates(arm, size)} & {*self.replicates(against, size)})

    def n_students(self, arm: str, against: str, size: int) -> int:
        """Students that each replicate of both arms has at the least."""
        common = self.common(arm, against, size)
        return min(self.cells[name, size][r].students for name in (arm, against) for r in common)

    def n_distinct(self, arm: str, against: str, size: int) -> int:
        """Replicates of both arms, those whose counts are the same in both counted once."""
        seen: list[tuple[CellScores, CellScores]] = []
        for r in self.common(arm, against, size):
            ours, theirs = self.cells[arm, size][r], self.cells[against, size][r]
            if not any(ours.equals(one) and theirs.equals(other) for one, other in seen):
                seen.append((ours, theirs))
        return len(seen)

    def difference(self, arm: str, against: str, size: int) -> Estimate | None:
        """Strict F1 of ``arm`` less that of ``against`` on the replicates of both; None without."""
        common = self.common(arm, against, size)
        if not common:
            return None
        ours, theirs = (self.counts(name, size, replicates=common) for name in (arm, against))
        if ours.shape != theirs.shape:
            # The students of one of the two are known as a sum only: they cannot be paired.
            ours, theirs = ours.mean(axis=1), theirs.mean(axis=1)
        return self._estimate(ours, theirs, f1)

    def _estimate(self, counts: Array, other: Array | None, metric: Metric) -> Estimate:
        return bootstrap(
            pool_groups(counts, self.groups),
            None if other is None else pool_groups(other, self.groups),
            metric=metric,
            confidence=self.config.confidence,
            seed=self.seed,
            weights=self.weights,
        )
