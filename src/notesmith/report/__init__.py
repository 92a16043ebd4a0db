"""Reports, cards and documents in colour. Nothing but ``examples.html`` holds note text."""

from __future__ import annotations

from notesmith.report.examples import DroppedExample, ExampleSet, PairedExample
from notesmith.report.writing import write_report

__all__ = ["DroppedExample", "ExampleSet", "PairedExample", "write_report"]
