from __future__ import annotations

import csv
import json
import stat
from collections import Counter
from pathlib import Path

import pytest

from notesmith.corpus.queue_files import TO_READ, is_queue, read_queue, write_queue
from notesmith.corpus.queued import Item, Queue
from notesmith.document import Document, Entity, Provenance
from notesmith.errors import ConfigError, CorpusError, FileError

TOOLS = ("label-studio", "brat", "prodigy", "inception")
DOCS = [
    Document(
        f"note-{i}",
        f"Cough{i} since Monday, no fever.",
        (Entity("T1", "Problem", ((0, 6),), ("negated", "score=0.71")),),
        provenance=Provenance("silver", model="tiny"),
        metadata={"patient": f"p{i}"},
    )
    for i in range(3)
]
QUEUE = Queue(
    items=(
        Item("note-0", "chosen", 1, 6, 0.2, 0.9, ("anna",)),
        Item("note-2", "control", 1, 6, 0.1, 1.0, ("anna", "ben")),
        Item("note-1", "chosen", 2, 6, 0.1, 0.5, ("ben",)),
    ),
    round=1,
    n_gold=4,
    gold_words=400,
    n_notes=9,
    seed=13,
    left_out=Counter({"without words": 2}),
)


def write(path, tool="label-studio", queue=QUEUE, docs=DOCS):
    return write_queue(queue, reversed(docs), path, tool=tool, labels=["Problem", "Drug"])


def needs_cassis(tool):
    if tool == "inception":
        pytest.importorskip("cassis")


@pytest.mark.parametrize("tool", TOOLS)
def test_the_folder_and_who_may_read_it(tmp_path: Path, tool):
    needs_cassis(tool)
    folder = tmp_path / "queue"
    write(folder, tool)
    assert is_queue(folder) and not is_queue(tmp_path)
    assert sorted(p.name for p in folder.iterdir()) == [
        *("anna", "ben", "index.csv", "queue.json", "sent.jsonl"),
    ]
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    for name in ("index.csv", "queue.json"):
        assert "Cough" not in (folder / name).read_text()
    sent = read_queue(folder)
    assert (sent.queue, sent.tool) == (QUEUE, tool)
    assert list(sent.docs.values()) == [DOCS[0], DOCS[2], DOCS[1]]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(FileError, match="exists already"):
        write(folder, tool)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_the_index_says_why(tmp_path: Path):
    write(tmp_path / "queue")
    with (tmp_path / "queue" / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["note-0", "note-2", "note-1"]
    assert rows[0]["why"] == "20.0 of 100 words are expected to be wrong; 90% of the doubt is new."
    assert rows[1]["why"] == "Drawn at random; shown without labels."
    assert rows[1]["annotators"] == "anna ben"


def test_tasks_of_label_studio(tmp_path: Path):
    write(tmp_path / "queue")
    tasks = json.loads((tmp_path / "queue" / "anna" / "tasks.json").read_text())
    assert [task["data"] for task in tasks] == [
        {"doc_id": f"note-{i}", "text": DOCS[i].text} for i in (0, 2)
    ]
    assert [len(task["annotations"]) for task in tasks] == [0, 0]
    shown, control = (task["predictions"][0]["result"] for task in tasks)
    assert control == []
    assert [(each["type"], each.get("score")) for each in shown] == [
        *(("labels", None), ("choices", None)),
    ]
    config = (tmp_path / "queue" / "anna" / "labeling-config.xml").read_text()
    assert '<Label value="Drug"/>' in config and '<Choice value="negated"/>' in config


def test_files_of_brat(tmp_path: Path):
    write(tmp_path / "queue", "brat")
    anna = tmp_path / "queue" / "anna"
    assert sorted(p.name for p in anna.iterdir()) == [
        *("annotation.conf", "note-0.ann", "note-0.txt", "note-2.ann", "note-2.txt"),
    ]
    assert (anna / "note-0.ann").read_text().splitlines() == [
        *("T1\tProblem 0 6\tCough0", "A1\tnegated T1", f"T2\t{TO_READ} 0 6\tCough0"),
    ]
    assert (anna / "note-2.ann").read_text() == f"T1\t{TO_READ} 0 6\tCough2\n"
    assert {"Drug", "Problem", TO_READ} < set((anna / "annotation.conf").read_text().split())


def test_lines_of_prodigy(tmp_path: Path):
    lost = write(tmp_path / "queue", "prodigy")
    path = tmp_path / "queue" / "anna" / "tasks.jsonl"
    shown, control = (json.loads(line) for line in path.read_text().splitlines())
    assert shown["meta"] == {"id": "note-0"} and "answer" not in shown
    assert [(span["start"], span["end"], span["label"]) for span in shown["spans"]] == [
        (0, 6, "Problem")
    ]
    assert control["spans"] == [] and control["text"] == DOCS[2].text
    assert lost == {"attributes left out": 2}


def test_what_cannot_be_written(tmp_path: Path):
    with pytest.raises(CorpusError, match="doc 'note-1' is queued and is not among the notes"):
        write(tmp_path / "a", docs=[DOCS[0], DOCS[2]])
    taken = DOCS[0].with_entities([Entity("T1", TO_READ, ((0, 6),))])
    with pytest.raises(ConfigError, match="the label to-read marks notes"):
        write(tmp_path / "b", "brat", docs=[taken, *DOCS[1:]])
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_folder(tmp_path: Path):
    write(tmp_path / "queue")
    (tmp_path / "queue" / "sent.jsonl").unlink()
    with pytest.raises(FileError, match=r"sent\.jsonl is missing; restore the folder"):
        read_queue(tmp_path / "queue")
    (tmp_path / "queue" / "queue.json").write_text('{"schema": 1, "items": [{}]}')
    with pytest.raises(FileError, match=r"queue\.json is damaged"):
        read_queue(tmp_path / "queue")
