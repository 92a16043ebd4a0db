"""Cross-fit, for teams without a test set: every document is scored by models that never saw it.

The gold of a replicate is divided into folds by patient. Each fold has a generator and students of
its own, made from the other folds alone; they are scored on the fold, and the folds are gathered
into one score over all documents. Replicates divide the same documents anew. What ships is made
from all of them: the union of the folds' text, and a student trained on all gold and on as much of
the union as the students that were scored had.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from notesmith.config.recipe import ArmConfig, RecipeConfig
from notesmith.experiment.draw import Draw, Fingerprints, Source
from notesmith.experiment.graph import Cell, seed_for
from notesmith.experiment.stages import (
    ANNOTATORS,
    SOURCES,
    coverage,
    fold,
    gold,
    score,
    union,
    votes,
)
from notesmith.findings import OUT_OF_FOLD


class CrossFit:
    """All folds of one replicate at one size, and what is made of them together.

    ``documents`` is how many are divided, ``size`` how many of them the models may learn from, in
    proportion: a point of the learning curve is scored on the same documents as the rest.
    """

    def __init__(
        self,
        config: RecipeConfig,
        outside: Fingerprints,
        *,
        documents: int,
        size: int,
        replicate: int,
    ) -> None:
        # Not another draw a replicate: a team has the notes that it has.
        whole = gold.cell(config, outside, size=documents, replicate=0)
        # The same division for all sizes.
        seed = seed_for(config.draws.seed, "folds", documents, replicate)
        thinned = {} if size == documents else {"of": documents, "kept": size}
        n = config.evaluate.folds

        def draw(number: int) -> Draw:
            own = fold.Settings(folds=n, fold=number, **thinned)
            all_of_it = Draw(
                config, outside, size, replicate, whole, SOURCES, ANNOTATORS, fold=number
            )
            divide = partial(all_of_it.cell, inputs={"gold": whole}, seed=seed)
            documents = divide(fold.OUT, fold.Settings(folds=n, fold=number))
            return replace(all_of_it, gold=divide(fold.STAGE, own), documents=documents)

        self.folds = [draw(number) for number in range(n)]
        # Text of a language model is that of the folds, put together.
        shared = {name: self._by_all_folds(source) for name, source in SOURCES.items()}
        self.whole = Draw(
            config, outside, documents, 0, gold=whole, sources=shared, annotators=ANNOTATORS
        )
        self._size, self._replicate = size, replicate

    def _by_all_folds(self, source: Source) -> Source:
        if not source.by_generator:
            return source

        def cell(draw: Draw, arm: ArmConfig) -> Cell:
            return union.cell(draw, [source.cell(each, arm) for each in self.folds], arm=arm.name)

        return replace(source, cell=cell)

    def score(self, arm: ArmConfig) -> Cell:
        """The arm's scores on all documents, each by the students that never saw it."""
        parts = [score.cell(draw, arm, OUT_OF_FOLD) for draw in self.folds]
        return score.gathered(self.whole, parts, arm, size=self._size, replicate=self._replicate)

    def coverages(self, arm: ArmConfig) -> list[Cell]:
        """How much of what gold lacks stands in the arm's text, fold by fold."""
        return [coverage.cell(draw, arm, OUT_OF_FOLD) for draw in self.folds]

    def final(self, arm: ArmConfig) -> Cell:
        """The model that ships: trained on all gold, and on text of all folds."""
        return votes.cell(self.whole, arm)
