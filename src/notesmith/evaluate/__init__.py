"""Scores of cells, paired intervals, corrections, learning curves, seal and verdict.

Pure functions on values; ``experiment`` keeps the files.
"""

from __future__ import annotations

from notesmith.evaluate.assembly import assemble
from notesmith.evaluate.bootstrap import Estimate, bootstrap
from notesmith.evaluate.scores import CellScores, score_cell

__all__ = ["CellScores", "Estimate", "assemble", "bootstrap", "score_cell"]
