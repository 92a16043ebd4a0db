"""Simulated labelling: what is drawn, read and reported."""

import json
from dataclasses import replace

import pytest
from benchmarks.label_or_not import ARMS, Settings, begin, by_lot, draw, n_words, path_of, table

from notesmith.document import Document, Entity

DOCS = [
    Document(str(n), f"Fever and cough {n}.", (Entity("T1", "A", ((0, 5),)),)) for n in range(40)
]
SETTINGS = Settings(start=5, pool=10, scored=8)


def test_scored_documents_are_those_of_all_draws_and_in_no_pool():
    first, second = (draw(DOCS, SETTINGS, n) for n in (1, 2))
    assert first.scored == second.scored
    assert first.gold != second.gold
    for one in (first, second):
        ids = [doc.id for part in (one.gold, one.pool, one.scored) for doc in part]
        assert len(ids) == len(set(ids)) == 23


def test_no_text_and_no_patient_of_scored_documents_is_learnt_from():
    copies = [
        replace(doc, id=f"copy-{doc.id}", text=doc.text.replace(" ", "  "), entities=())
        for doc in DOCS
    ]
    found = draw([*DOCS, *copies], replace(SETTINGS, pool=50), 1)
    scored, others = (
        {" ".join(doc.text.split()) for doc in part}
        for part in (found.scored, [*found.gold, *found.pool])
    )
    assert not scored & others
    one_patient = [replace(doc, metadata={"patient": "p"}) for doc in DOCS]
    with pytest.raises(SystemExit, match="8 documents, without repeats of scored ones"):
        draw(one_patient, SETTINGS, 1)


def test_too_few_documents_are_refused():
    with pytest.raises(SystemExit, match=r"40 documents, .*; 53 are needed"):
        draw(DOCS, Settings(start=5, pool=40, scored=8), 1)


def test_a_folder_of_other_documents_or_settings_is_refused(tmp_path):
    begin(tmp_path, SETTINGS, DOCS)
    begin(tmp_path, SETTINGS, DOCS)
    bare = [doc.with_entities(()) for doc in DOCS]
    for settings, docs in ((Settings(start=6), DOCS), (SETTINGS, DOCS[1:]), (SETTINGS, bare)):
        with pytest.raises(SystemExit, match="of other documents or settings"):
            begin(tmp_path, settings, docs)


def test_reading_stops_with_the_note_that_uses_the_budget_up():
    each = n_words(DOCS[:1])
    assert len(by_lot(DOCS, 3 * each, 1)) == 3
    assert len(by_lot(DOCS, 3 * each + 1, 1)) == 4


def test_the_table_gives_gains_over_the_start_and_over_words(tmp_path):
    for number in (1, 2):
        for arm in ARMS:
            right = {"start": 5, "queue": 7, "silver": 6}.get(arm, 6)
            students = 2 if "silver" in arm else 1
            kept = {
                "arm": arm,
                "draw": number,
                "words_read": 2000 if "random" in arm or "queue" in arm else 0,
                "notes_read": 5,
                "mentions_read": 30,
                "counts": [[(right, 10 - right, 10 - right)] * 3] * students,
            }
            path_of(tmp_path, arm, number).write_text(json.dumps(kept))
    lines = table(tmp_path).splitlines()
    assert lines[0] == "2 draws, 3 scored documents"
    assert "| start | 0 | 30 | 50.0 |  |  |  |" in lines
    assert "| queue | 2,000 | 30 | 70.0 | +20.0 [+20.0, +20.0] | +10.00 | +20.0, +20.0 |" in lines
    assert "| silver | 0 | 30 | 60.0 | +10.0 [+10.0, +10.0] | – | +10.0, +10.0 |" in lines
    assert "| queue − random | +10.0 [+10.0, +10.0] |" in lines


def test_a_folder_without_a_finished_draw_is_refused(tmp_path):
    path_of(tmp_path, "start", 1).write_text(json.dumps({"arm": "start", "draw": 1}))
    with pytest.raises(SystemExit, match="no draw is finished"):
        table(tmp_path)
