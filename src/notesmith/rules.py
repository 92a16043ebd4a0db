"""The numbers that decide what may be said of results; each stands here and nowhere else."""

from __future__ import annotations

CONFIDENCE = 0.95
"""Of intervals, where nothing else is asked for."""

ERROR_RATE = 0.05
"""Chance of finding a difference that is not there, where nothing else is asked for."""

MIN_REPLICATES = 5
"""With fewer replicates there is no claim: the run is a demonstration."""

WORTHWHILE = 1.0
"""Smallest gain that would matter, in points of F1."""

FEW_NOTES = 5
FEW_NOTES_RATIO = 0.1
"""A gain that so many labelled notes give too, or this share of those at hand, is worth little."""

ENOUGH_RATIO = 0.5
"""Documents out of the draw decide where they are at least this share of the test documents."""

FEW_DOCUMENTS = 10
"""A label that fewer documents (or patients) of gold have is given no interval."""

POWER = 0.8
"""Chance with which a difference that is called detectable is found."""
