"""What a reader must see before the figures: replicates that are missing, equal or empty."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from notesmith.evaluate.board import Board
from notesmith.evaluate.cells import CellScores


def notices(
    board: Board, *, main_size: int, planned: Mapping[int, int] | None, pool: int | None
) -> list[str]:
    """Sentences about the cells of ``board``, in the order of weight; none for a sound run.

    Args:
        board: cells of the split that is reported.
        main_size: gold documents a draw, of the verdict.
        planned: replicates by size that were sealed.
        pool: train documents that draws are taken from.
    """
    found = [
        f"{_where(cell)} predicts nothing on {cell.split}: no mention in any document."
        for row in board.cells.values()
        for _, cell in sorted(row.items())
        if cell.predicts_nothing
    ]
    found += _identical(board)
    found += _missing(board, planned or {})
    found += [
        f"{_where(cell)} has {cell.students} students whose scores were not kept apart: the "
        "interval covers the choice of documents and not their luck."
        for row in board.cells.values()
        if len(row) == 1
        for cell in row.values()
        if cell.students > 1 and not cell.apart
    ]
    return found + _pool(board, main_size, pool)


def _pool(board: Board, size: int, pool: int | None) -> list[str]:
    """Where draws together hold as many notes as the pool, each note is in one on average.

    What these notes teach, and others would not, is then common to the draws and not in their
    spread.
    """
    n_draws = max((len(row) for (_, n), row in board.cells.items() if n == size), default=0)
    if pool is None or n_draws * size < pool:
        return []
    held = (
        f"Each draw holds all {pool} notes"
        if size >= pool
        else f"{n_draws} draws of {size} hold {n_draws * size} notes together, of a pool of {pool}"
    )
    return [
        f"{held}: the interval speaks of these notes, and not of others that might have been "
        "labelled."
    ]


def _where(cell: CellScores) -> str:
    return f"{cell.arm} at {cell.size} documents, replicate {cell.replicate + 1},"


def _identical(board: Board) -> list[str]:
    found = []
    for (arm, size), row in board.cells.items():
        cells = [cell for _, cell in sorted(row.items()) if not cell.predicts_nothing]
        for one, other in combinations(cells, 2):
            if (one.strict, one.left_out) == (other.strict, other.left_out):
                found.append(
                    f"{arm} at {size} documents: replicates {one.replicate + 1} and "
                    f"{other.replicate + 1} have the same counts in every document. They are one "
                    "replicate counted twice, and the interval is too narrow."
                )
    return found


def _missing(board: Board, planned: Mapping[int, int]) -> list[str]:
    found = []
    for size in sorted({size for _, size in board.cells}):
        rows = {arm: len(row) for (arm, n), row in board.cells.items() if n == size}
        wanted = planned.get(size, max(rows.values()))
        found += [
            f"{arm} at {size} documents has {n} of {wanted} replicates; comparisons use those that "
            "both arms have."
            for arm, n in rows.items()
            if n < wanted
        ]
    return found
