"""The notes to label, and what is said where none is left or one cannot be read."""

import json

import pytest

from notesmith.config.corpus import ReadingConfig
from notesmith.document import Document
from notesmith.errors import CorpusError
from notesmith.workflows.unlabelled import Unlabelled

GOLD = Document("g", "Patient denies fever.")


def test_a_malformed_note_behind_one_that_is_left_out_is_named(tmp_path):
    path = tmp_path / "notes.jsonl"
    lines = [{"id": "copy", "text": GOLD.text}, {"id": "a", "text": "Pain."}, {"id": "b"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(CorpusError, match=r"notes\.jsonl:3:"):
        Unlabelled.of(path, [GOLD], options=ReadingConfig())


def test_where_all_are_left_out_the_causes_are_named():
    notes = [Document("copy", GOLD.text), Document("empty", " ")]
    with pytest.raises(CorpusError, match=r"none of 2 notes is left to label: 1 by the text of"):
        Unlabelled.of(notes, [GOLD], options=ReadingConfig())


def test_no_note_at_all_is_another_error():
    with pytest.raises(CorpusError, match="there is no note to label"):
        Unlabelled.of([], [GOLD], options=ReadingConfig())


def test_an_id_that_stands_twice_is_named():
    notes = [Document("a", "Pain."), Document("b", "Cough."), Document("b", "Rash.")]
    with pytest.raises(CorpusError, match=r"^notes: doc 'b' stands twice; rename one$"):
        Unlabelled.of(notes, [GOLD], options=ReadingConfig())


def test_a_note_that_cannot_be_read_is_named_though_others_were_left_out(tmp_path):
    (tmp_path / "a.txt").write_text("A note to label.")
    (tmp_path / "b.txt").write_text("")
    (tmp_path / "c.txt").write_bytes(b"caf\xe9")
    with pytest.raises(CorpusError, match=r"c\.txt:1: byte 3 is not UTF-8"):
        Unlabelled.of(tmp_path, [GOLD], options=ReadingConfig())
