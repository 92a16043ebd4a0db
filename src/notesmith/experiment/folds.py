"""Cross-fit, for teams without a test set: every document is scored by models that never saw it.

The gold of a replicate is divided into folds by patient. Each fold has a generator and students of
its own, made from the other folds alone; they are scored on the fold, and the folds are gathered
into one score over all documents. Replicates divide the same documents anew. What ships is made
from all of them: the union of the folds' text, and a student trained on all gold and on as much of
the union as the students that were scored had.
"""

from __future__ import annotations

from typing import Any

from notesmith.config import ArmConfig, RecipeConfig, Source
from notesmith.experiment.cells import Cell, seed_for
from notesmith.experiment.draws import STAGE_VERSION, Draw, Sources
from notesmith.findings import OUT_OF_FOLD


class FoldDraw(Draw):
    """The cells of one fold: ``gold`` is what the other folds hold.

    ``documents`` is how many are divided, ``size`` how many of them the models may learn from, in
    proportion: a point of the learning curve is scored on the same documents as the rest.
    """

    def __init__(
        self,
        config: RecipeConfig,
        sources: Sources,
        *,
        documents: int,
        size: int,
        replicate: int,
        fold: int,
    ) -> None:
        super().__init__(config, sources, size, replicate)
        self.fold = fold
        drawn = Draw(config, sources, documents, 0).gold
        folding: dict[str, Any] = {"folds": config.evaluate.folds, "fold": fold}
        # The same division for all sizes.
        seed = seed_for(config.draws.seed, "folds", documents, replicate)
        inputs = {"gold": drawn}
        thinned = {} if size == documents else {"of": documents, "kept": size}
        self.gold = self._cell("fold", config={**folding, **thinned}, inputs=inputs, seed=seed)
        self.documents = self._cell("fold-out", config=folding, inputs=inputs, seed=seed)

    def _seed(self, purpose: str) -> int:
        return seed_for(self.config.draws.seed, purpose, self.size, self.replicate, self.fold)

    def synthetic(self, arm: ArmConfig) -> Cell:
        """What is kept of the fold's text; what repeats a document of the fold is not."""
        inputs = {"gold": self.gold, "candidates": self.candidates(arm)}
        return self._cell(
            "filter",
            config={"filter": self._filter(arm)},
            inputs={**inputs, "documents": self.documents},
        )

    def _score(self, arm: ArmConfig, split: str, number: int) -> Cell:
        return self._cell(
            "score",
            config={"split": split, **self._attributes(arm)},
            inputs={
                "gold": self.gold,
                "model": self.student(arm, number),
                "documents": self.documents,
            },
            seed=self._student_seed(number),
            arm=arm.name,
            student=number,
        )

    def coverage(self, arm: ArmConfig, split: str = OUT_OF_FOLD) -> Cell:
        """How much of what gold lacks stands in the arm's synthetic text."""
        return self._cell(
            "coverage",
            config={"split": split},
            inputs={
                "gold": self.gold,
                "made": self.synthetic(arm),
                "names": self.names(),
                "documents": self.documents,
            },
            seed=0,
            arm=arm.name,
        )


class CrossFit:
    """All folds of one replicate at one size, and what is made of them together."""

    def __init__(
        self, config: RecipeConfig, sources: Sources, *, documents: int, size: int, replicate: int
    ) -> None:
        self.folds = [
            FoldDraw(
                config, sources, documents=documents, size=size, replicate=replicate, fold=fold
            )
            for fold in range(config.evaluate.folds)
        ]
        # Not another draw a replicate: a team has the notes that it has.
        self.whole = _Whole(config, sources, documents, self.folds)
        self._size, self._replicate = size, replicate

    def score(self, arm: ArmConfig) -> Cell:
        """The arm's scores on all documents, each by the students that never saw it."""
        return Cell(
            stage="gather",
            version=STAGE_VERSION["gather"],
            inputs={
                "gold": self.whole.gold,
                **{f"fold-{draw.fold + 1}": draw.score(arm, OUT_OF_FOLD) for draw in self.folds},
            },
            arm=arm.name,
            size=self._size,
            replicate=self._replicate,
        )

    def coverages(self, arm: ArmConfig) -> list[Cell]:
        """How much of what gold lacks stands in the arm's text, fold by fold."""
        return [draw.coverage(arm) for draw in self.folds]

    def final(self, arm: ArmConfig) -> Cell:
        """The student that ships: trained on all gold, and on text of all folds."""
        return self.whole.student(arm)


class _Whole(Draw):
    """The cells of what ships. Text of a language model is that of the folds, put together."""

    def __init__(
        self, config: RecipeConfig, sources: Sources, documents: int, folds: list[FoldDraw]
    ) -> None:
        super().__init__(config, sources, documents, 0)
        self.folds = folds

    def made(self, source: Source, arm: ArmConfig) -> Cell:
        """The cell whose documents join gold as ``source`` in ``arm``."""
        if not source.startswith("synthetic"):
            return super().made(source, arm)
        union = self._cell(
            "union",
            config={},
            inputs={f"fold-{draw.fold + 1}": draw.made(source, arm) for draw in self.folds},
            seed=0,
            arm=arm.name,
        )
        # As much text a gold document as the students had that were scored.
        return self._cell(
            "thin",
            config={"folds": len(self.folds)},
            inputs={"made": union},
            seed=0,
            arm=arm.name,
        )
