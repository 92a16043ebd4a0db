"""What a reader must see before the figures: replicates that are missing, equal or empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from notesmith.evaluate.board import Board
from notesmith.evaluate.phrases import points
from notesmith.evaluate.scores import CellScores
from notesmith.findings import Comparison


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


def disagreements(comparisons: Sequence[Comparison], main_size: int) -> list[str]:
    """Steps of the verdict whose two sets of documents say opposite things, beyond chance in one.

    Args:
        comparisons: of all sizes.
        main_size: gold documents a draw, of the verdict.
    """
    found = []
    for entry in comparisons:
        beside = entry.beside
        if beside is None or entry.step is None or entry.size != main_size:
            continue
        opposite = entry.delta * beside.delta < 0
        if opposite and any(one.low > 0 or one.high < 0 for one in (entry, beside)):
            found.append(
                f"{entry.arm} against {entry.against}: {points(entry.delta)} F1 on "
                f"{entry.scored_on} and {points(beside.delta)} on {beside.scored_on}. The two sets "
                "of documents are of different kinds; ask which is like yours."
            )
    return found


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
        sets: list[list[CellScores]] = []
        for _, cell in sorted(row.items()):
            if cell.predicts_nothing:
                continue
            alike = next((own for own in sets if own[0].equals(cell)), None)
            if alike is None:
                sets.append([cell])
            else:
                alike.append(cell)
        for alike in (own for own in sets if len(own) > 1):
            numbers = [str(cell.replicate + 1) for cell in alike]
            found.append(
                f"{arm} at {size} documents: replicates {', '.join(numbers[:-1])} and "
                f"{numbers[-1]} have the same counts in every document. They are one replicate, "
                "and the interval is too narrow."
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
