"""Keep or drop made text, always with a reason; what is dropped is kept beside what is kept."""

from notesmith.filters.candidate import Candidate, Dropped, FilterResult
from notesmith.filters.run import kept_at_most, run
from notesmith.overlap import HeldOut

__all__ = ["Candidate", "Dropped", "FilterResult", "HeldOut", "kept_at_most", "run"]
