"""What cells hold is read back as it was written."""

from __future__ import annotations

from pathlib import Path

from notesmith.document import Document
from notesmith.experiment.artefacts import load_dropped, save_dropped
from notesmith.filters.candidate import Candidate, Dropped
from notesmith.markup import Fault


def test_dropped_text_keeps_what_it_repeats(tmp_path: Path) -> None:
    made = Candidate("b", "x", Document("b", "x"), requested=(("Disease", "gout"),), missing=1)
    dropped = [
        Dropped(Candidate("a", "<", Fault("open without close", 0)), "parse: open without close"),
        Dropped(made, "repeats gold", "g1", 0.875),
    ]
    save_dropped(dropped, tmp_path)
    assert load_dropped(tmp_path) == dropped
