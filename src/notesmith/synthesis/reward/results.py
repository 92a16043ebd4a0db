"""Scores of labelled documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class DocumentReward:
    """A text's score. ``total`` is None where no part that counts could be computed.

    ``gate`` names the check that it failed: then ``total`` and every part are 0.
    """

    id: str
    total: float | None
    parts: Mapping[str, float]
    gate: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentRewards:
    """Scores in the order of the documents, and why each part left out was left out."""

    rows: tuple[DocumentReward, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def means(self) -> dict[str, float]:
        """Mean total, if all have one, and mean of each part; a failed gate counts as its 0."""
        totals = [row.total for row in self.rows if row.total is not None]
        means = {"total": sum(totals) / len(totals)} if len(totals) == len(self.rows) > 0 else {}
        for name in self.rows[0].parts if self.rows else ():
            means[name] = sum(row.parts[name] for row in self.rows) / len(self.rows)
        return means

    @property
    def gates(self) -> dict[str, int]:
        """Documents by failed gate, most frequent first."""
        return dict(Counter(row.gate for row in self.rows if row.gate).most_common())

    def to_json(self) -> dict[str, Any]:
        """A JSON object of ids and numbers, without text."""
        return {
            "documents": [
                {"id": row.id, "total": row.total, "parts": dict(row.parts), "gate": row.gate}
                for row in self.rows
            ],
            "means": self.means,
            "gates": self.gates,
            "left_out": dict(self.left_out),
        }
