from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus.annotators import Place, read_annotators
from notesmith.corpus.problems import Tally
from notesmith.corpus.queue_files import TO_READ, Sent, read_queue, write_queue
from notesmith.corpus.queued import Item, Queue
from notesmith.corpus.returned import lead_times, read_numbers, take_back, write_numbers
from notesmith.document import Entity, Provenance
from notesmith.errors import CorpusError, FileError
from tests.corpus.marked import reading, shown

KINDS = ("chosen", "chosen", "control", "control")


def prelabelled(i):
    doc = reading("P:one", "Q:three", doc_id=f"n{i}", patient=f"p{i}")
    return replace(doc, provenance=Provenance("silver", model="tiny"))


def queue_of(*annotators):
    """Two chosen notes and two control notes, each for these annotators."""
    items = tuple(
        Item(f"n{i}", kind, 1 + i % 2, 8, 0.2, 1.0, annotators) for i, kind in enumerate(KINDS)
    )
    return Queue(items, round=2, n_gold=5, gold_words=100, n_notes=9, seed=13)


def sent(*annotators):
    docs = {f"n{i}": prelabelled(i) for i in range(4)}
    return Sent(Path("queue"), queue_of(*annotators or ("anna",)), "label-studio", docs)


def of(i, *mentions, **metadata):
    return reading(*mentions, doc_id=f"n{i}", **metadata)


def test_labelled_notes_become_gold_that_says_how_it_came_about():
    made = take_back(
        sent(),
        {"anna": [of(0, "P:one two", "Q:three"), of(2, "P:six", ward="b")]},
        minutes={"n0": 3.456},
    )
    first, second = made.docs
    assert shown(first) == ["P:one two", "Q:three"]
    assert first.provenance == Provenance("gold", ("n0",), stage="corrected")
    assert first.metadata == {
        **{"patient": "p0", "annotators": "anna", "queued": "chosen", "round": 2},
        "minutes": 3.46,
    }
    assert second.metadata["queued"] == "control" and "ward" not in second.metadata
    assert [item.id for item in made.missing] == ["n1", "n3"]
    assert made.waiting == () and made.agreement is None and made.counts == {}


def test_readings_by_someone_else_are_counted_where_the_queue_names_several():
    # A name mistyped, or two exports exchanged, else goes unnoticed.
    made = take_back(sent("anna", "ben"), {"ana": [of(0, "P:one")], "ben": [of(1, "P:one")]})
    assert made.counts == {"readings by others than those whom the queue asked, kept": 1}
    assert [doc.id for doc in made.docs] == ["n0", "n1"]
    assert take_back(sent("annotator"), {"ben": [of(0, "P:one")]}).counts == {}


def test_what_became_of_the_labels():
    made = take_back(
        sent(),
        {
            "anna": [
                of(0, "P:one two", "Q:three", "P:six"),
                of(1, "P:one", "Q:three"),
                of(2, "P:one", "P:six"),
                of(3, "P:one", "Q:three"),
            ]
        },
    )
    # One of four labels was changed; its new border and a further mention were added.
    assert (made.changed.value, made.changed.n_notes, made.added) == (0.25, 2, 2)
    assert made.f1_shown.value == pytest.approx(6 / 9)
    # One of two right on n2, which has another; all right on n3.
    assert made.f1_control.value == pytest.approx(6 / 8)
    assert made.round.control == ((2.0, 4.0), (4.0, 4.0))
    assert made.round.prelabels == ((1.0, 2.0), (0.0, 2.0))
    assert (made.round.notes, made.round.words, made.round.gold_words) == (4, 32, 100)
    assert not made.seems_anchored


def test_labels_that_were_all_accepted_where_controls_differ():
    docs = [of(i, *(("P:one", "Q:three") if i < 2 else ("P:six",))) for i in range(4)]
    made = take_back(sent(), {"anna": docs})
    assert (made.f1_shown.interval, made.f1_control.interval) == ((1, 1), (0, 0))
    assert made.seems_anchored


def test_notes_that_two_have_read():
    made = take_back(
        sent("anna", "ben"),
        {"anna": [of(0, "P:one", "Q:three"), of(1)], "ben": [of(0, "P:one", "R:five")]},
    )
    assert shown(made.docs[0]) == ["P:one"]
    assert made.docs[0].masked == ((13, 18), (24, 28))
    assert made.docs[0].metadata["annotators"] == "anna, ben"
    assert made.n_undecided == 2
    assert [item.id for item in made.waiting] == ["n1"]
    assert made.agreement is not None and made.agreement.overall.strict.value == 0.5


def test_ground_truth_comes_first():
    made = take_back(
        sent("anna", "ben"),
        {"anna": [of(0, "P:one")], "ben": [of(0, "P:two")]},
        truth={"n0": of(0, "P:one two")},
    )
    assert shown(made.docs[0]) == ["P:one two"]
    assert take_back(sent(), {}, truth={"n0": of(0)}).changed.value == 1


def test_what_is_no_note_of_the_queue():
    tally = Tally("count")
    unread = of(1, f"{TO_READ}:zero", "P:one")
    other = reading("P:one", doc_id="n2", text="zero one, two")
    docs = [of(0, "P:one"), unread, other, reading(doc_id="x")]
    made = take_back(sent(), {"anna": docs}, tally=tally)
    assert [doc.id for doc in made.docs] == ["n0"]
    assert made.counts == {
        "documents that the queue lacks, left out": 1,
        "dropped: note whose text was changed": 1,
        "readings that still have the mark to-read, left out": 1,
    }
    with pytest.raises(CorpusError, match="doc 'n2': the text differs from the queue's from off"):
        take_back(sent(), {"anna": docs})
    with pytest.raises(CorpusError, match=r"came back \(1 readings that still have the mark"):
        take_back(sent(), {"anna": [unread]})


def test_minutes_of_a_table_and_of_the_tool():
    docs = [of(0, "P:one", minutes="4"), of(2, "P:one", minutes="6")]
    made = take_back(sent(), {"anna": docs}, minutes={"n2": 8.0})
    assert [doc.metadata["minutes"] for doc in made.docs] == [4.0, 8.0]
    effort = made.effort
    assert (effort["chosen"].minutes, effort["control"].minutes) == (4, 8)
    assert effort["chosen"].per_thousand_words == 500
    with pytest.raises(CorpusError, match="doc 'n0': minutes is not a number"):
        take_back(sent(), {"anna": [of(0, minutes="soon")]})


def test_minutes_that_label_studio_exports(tmp_path: Path):
    path = tmp_path / "export.json"
    answers = [{"lead_time": 90}, {"lead_time": 30.0}, {"lead_time": 9, "was_cancelled": True}]
    tasks = [
        {"data": {"doc_id": "n0", "text": "x"}, "annotations": answers},
        {"data": {"doc_id": "n1", "text": "x"}, "annotations": [{"lead_time": None}]},
        {"data": {"text": "x"}, "annotations": [{"lead_time": 60}]},
        7,
    ]
    path.write_text(json.dumps(tasks))
    assert lead_times(path) == {"n0": 2.0}
    path.write_text("[")
    assert lead_times(path) == {} == lead_times(tmp_path / "export.jsonl")


def test_numbers_are_kept_with_the_queue(tmp_path: Path):
    made = take_back(sent(), {"anna": [of(0, "P:one"), of(2, "P:one")]})
    with pytest.raises(FileError, match=r"holds no corrected\.json; take the notes of that queue"):
        read_numbers(tmp_path)
    write_numbers(replace(sent(), path=tmp_path), made.round)
    assert read_numbers(tmp_path) == made.round
    (tmp_path / "corrected.json").write_text("{}")
    with pytest.raises(FileError, match=r"corrected\.json is damaged"):
        read_numbers(tmp_path)


@pytest.mark.parametrize("tool", ["label-studio", "brat", "prodigy", "inception"])
def test_there_and_back_through_the_files_of_a_tool(tmp_path: Path, tool):
    if tool == "inception":
        pytest.importorskip("cassis")
    docs = [prelabelled(i) for i in range(4)]
    folder = tmp_path / "queue"
    write_queue(queue_of("anna"), docs, folder, tool=tool, labels=["P", "Q"])
    options = ReadingConfig(predictions=True, without_mentions=True)
    if tool == "label-studio":
        path = folder / "anna" / "tasks.json"
        tasks = json.loads(path.read_text())
        for task in tasks:
            task["annotations"] = [{"result": task["predictions"][0]["result"], "lead_time": 60}]
            task["predictions"] = []
        path.write_text(json.dumps(tasks))
    if tool == "prodigy":
        path = folder / "anna" / "tasks.jsonl"
        lines = [json.loads(line) | {"answer": "accept"} for line in path.read_text().splitlines()]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    read = read_annotators([Place(folder / "anna", "anna")], options)
    assert [doc.id for doc in read.docs["anna"]] == ["n0", "n1", "n2", "n3"]
    back = read_queue(folder)
    if tool in ("brat", "inception"):
        with pytest.raises(CorpusError, match="4 readings that still have the mark to-read"):
            take_back(back, read.docs)
        read.docs["anna"][:] = [
            doc.with_entities(ent for ent in doc.entities if ent.label != TO_READ)
            for doc in read.docs["anna"]
        ]
    made = take_back(back, read.docs)
    assert [shown(doc) for doc in made.docs] == [["P:one", "Q:three"]] * 2 + [[], []]
    assert [doc.text for doc in made.docs] == [doc.text for doc in docs]
    assert made.changed.value == 0 and made.f1_control.value == 0
    assert {doc.provenance.kind for doc in made.docs} == {"gold"}


def test_an_entity_of_a_note_that_was_sent_is_not_gold_by_itself():
    entity = Entity("T1", "P", ((5, 8),))
    empty = take_back(sent(), {"anna": [of(0)]}).docs[0]
    assert empty.entities == () and entity not in empty.entities
