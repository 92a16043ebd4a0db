from __future__ import annotations

from pathlib import Path

import pytest

from notesmith.config.corpus import ReadingConfig
from notesmith.document import Document
from notesmith.errors import CorpusError
from notesmith.workflows.unlabelled import Unlabelled

GOLD = [Document("g", "A labelled note.")]


def found(notes: Path, labelled=GOLD) -> Unlabelled:
    return Unlabelled.of(notes, labelled, options=ReadingConfig())


def test_notes_that_are_all_left_out_are_an_error_that_counts_them(tmp_path: Path):
    (tmp_path / "a.txt").write_text(GOLD[0].text)
    (tmp_path / "b.txt").write_text(" ")
    said = "none of 2 notes is left to label: 1 by the text of a labelled or held-out document, 1"
    with pytest.raises(CorpusError, match=said):
        found(tmp_path)


def test_a_note_that_cannot_be_read_is_named_though_others_were_left_out(tmp_path: Path):
    (tmp_path / "a.txt").write_text("A note to label.")
    (tmp_path / "b.txt").write_text("")
    (tmp_path / "c.txt").write_bytes(b"caf\xe9")
    with pytest.raises(CorpusError, match=r"c\.txt:1: byte 3 is not UTF-8"):
        found(tmp_path)
