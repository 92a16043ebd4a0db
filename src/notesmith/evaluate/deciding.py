"""Which documents decide: the test set, or the train documents that a draw did not use.

The second are scored without further training, and there may be many more of them. Where they are
at least half as many as the test documents they give comparisons, claims, power and worth; the
official test set stands beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

from notesmith.evaluate.board import Board
from notesmith.evaluate.scores import OUT_OF_DRAW

# Share of the test documents from which on the documents out of the draw decide.
ENOUGH_RATIO = 0.5
# The split of a cross-fit, where all documents are scored already.
OUT_OF_FOLD = "out-of-fold"


@dataclass(frozen=True, slots=True)
class Deciding:
    """The split that decides at one size, and why.

    ``n_documents`` are those that every student at that size was scored on at the least, in that
    split; ``n_test_documents`` those of the test set. ``waits`` says that other documents will
    decide once all their scores are in: a claim before that would be a look.
    """

    split: str
    reason: str
    n_documents: int
    n_test_documents: int
    waits: bool = False


def decide(test: Board, out: Board, size: int) -> Deciding:
    """Choose between ``test`` and ``out`` at ``size``, by numbers of documents alone."""
    n_test, n_out = test.n_scored(size), out.n_scored(size)
    waits = bool(n_out >= ENOUGH_RATIO * n_test > 0 and _lacking(test, out, size))
    if test.split == OUT_OF_FOLD:
        why = "every document is scored by models that never saw its fold"
    elif not n_out:
        why = "no train documents outside the draws were scored"
    elif waits:
        why = "not every arm and replicate is scored on the train documents outside its draw yet"
    elif n_out < ENOUGH_RATIO * n_test:
        why = (
            f"draws of {size} are scored on {n_out} train documents outside them, fewer than half "
            f"as many as the {n_test} of {test.split}"
        )
    else:
        many = (
            f"more than the {n_test} of {test.split}, and they tell arms apart more surely"
            if n_out > n_test
            else f"at least half as many as the {n_test} of {test.split}"
        )
        return Deciding(
            OUT_OF_DRAW,
            f"each draw of {size} is scored on at least {n_out} train documents that no stage of "
            f"it read, {many}",
            n_out,
            n_test,
        )
    return Deciding(test.split, why, n_test, n_test, waits)


def _lacking(test: Board, out: Board, size: int) -> bool:
    return any(
        row.keys() - out.cells.get((arm, n), {}).keys()
        for (arm, n), row in test.cells.items()
        if n == size
    )
