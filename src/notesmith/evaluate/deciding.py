"""Which documents decide: the test set, or the train documents that a draw did not use.

The second are scored without further training, and there may be many more of them. Where they are
at least half as many as the test documents they give comparisons, claims, power and worth; the
official test set stands beside them.
"""

from __future__ import annotations

from notesmith.evaluate.board import Board
from notesmith.findings import OUT_OF_DRAW, OUT_OF_FOLD, Deciding
from notesmith.rules import ENOUGH_RATIO


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
            split=OUT_OF_DRAW,
            reason=f"each draw of {size} is scored on at least {n_out} train documents that no "
            f"stage of it read, {many}",
            n_documents=n_out,
            n_test_documents=n_test,
        )
    return Deciding(
        split=test.split,
        reason=why,
        n_documents=n_test,
        n_test_documents=n_test,
        waits=waits,
    )


def _lacking(test: Board, out: Board, size: int) -> bool:
    return any(
        row.keys() - out.cells.get((arm, n), {}).keys()
        for (arm, n), row in test.cells.items()
        if n == size
    )
