"""What cells hold is read back as it was written."""

from __future__ import annotations

from pathlib import Path

from notesmith.document import Document
from notesmith.experiment.artefacts import (
    CANDIDATES,
    load_candidates,
    load_coverage,
    load_dropped,
    save_candidates,
    save_coverage,
    save_dropped,
)
from notesmith.filters.candidate import Candidate, Dropped
from notesmith.markup import Fault
from notesmith.synthesis import Coverage


def test_dropped_text_keeps_what_it_repeats(tmp_path: Path) -> None:
    made = Candidate("b", "x", Document("b", "x"), requested=(("Disease", "gout"),), missing=1)
    dropped = [
        Dropped(Candidate("a", "<", Fault("open without close", 0)), "parse: open without close"),
        Dropped(made, "repeats gold", "g1", 0.875),
    ]
    save_dropped(dropped, tmp_path)
    assert load_dropped(tmp_path) == dropped


def test_candidates_keep_the_attributes_asked_for_where_any_were(tmp_path: Path) -> None:
    asked = (("Disease", "gout"), ("Disease", "rash"))
    plain = Candidate("a", "x", Document("a", "x"), requested=asked)
    made = [
        plain,
        Candidate("b", "x", Document("b", "x"), True, asked, 0, (("negated",), ()), 1),
    ]
    save_candidates(made, tmp_path)
    assert load_candidates(tmp_path) == made
    first, _ = (tmp_path / CANDIDATES).read_text().splitlines()
    assert "attributes" not in first.partition('"document"')[0]


def test_coverage_is_read_back(tmp_path: Path) -> None:
    rows = [Coverage("Disease", "", 3, 2, 1), Coverage("Disease", "Fabry disease", 2, 1, 0)]
    save_coverage(rows, tmp_path)
    assert load_coverage(tmp_path) == rows
