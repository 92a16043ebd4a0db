"""Scores of cells, paired intervals, corrections, learning curves, seal and verdict.

Pure functions on values; the pipeline keeps the files.
"""

from __future__ import annotations

from notesmith.evaluate.bootstrap import Estimate, bootstrap
from notesmith.evaluate.cells import CellScores, score_cell
from notesmith.evaluate.results import assemble

__all__ = ["CellScores", "Estimate", "assemble", "bootstrap", "score_cell"]
