from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from notesmith.corpus import labelling, read_corpus
from notesmith.corpus.labelling import Labelled, Output, chunks, keeping, label_notes
from notesmith.corpus.notes import survey
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Relation
from notesmith.errors import ConfigError, CorpusError, FileError
from notesmith.progress import OnProgress, Progress, silent

DOCS = [Document(f"n{i:02}", f"note {i} with fever" * (1 + i % 3)) for i in range(23)]


# What tells one work from another.
KEY, OTHER = "0a1b2c3d4e5f6071", "ffffffffffffffff"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelling, "CHUNK_DOCS", 5)


def notes(tally: Tally) -> Iterator[Document]:
    yield from DOCS


class Labeller:
    """Marks the first word; stops after ``limit`` chunks."""

    def __init__(self, limit: int = 99) -> None:
        self.limit = limit
        self.seen: list[str] = []

    def __call__(
        self, docs: Sequence[Document], *, on_progress: OnProgress = silent
    ) -> list[Document]:
        if not self.limit:
            raise KeyboardInterrupt
        self.limit -= 1
        self.seen += [doc.id for doc in docs]
        return [doc.with_entities([Entity("T1", "Note", ((0, 4),))]) for doc in docs]


def run(label: Labeller, out: Path, key: str = KEY) -> Labelled:
    return label_notes(notes, survey(notes), label, Output(out, key, ("Note",)))


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_order_and_documents_are_kept(tmp_path: Path) -> None:
    done = run(Labeller(), tmp_path / "out.jsonl")
    assert (done.n_docs, done.n_entities, done.n_resumed, done.lost) == (23, 23, 0, {})
    docs = read_corpus(tmp_path / "out.jsonl", expect_mentions=False).docs
    assert [(d.id, d.text) for d in docs] == [(d.id, d.text) for d in DOCS]
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600
    assert not hidden(tmp_path)


def test_mentions_of_the_notes_are_kept_and_others_added() -> None:
    has = (Entity("T1", "Drug", ((5, 6),)), Entity("T3", "Note", ((0, 4),)))
    rel = Relation("R1", "of", "T1", "T3")
    doc = Document("n", "note 1 twice", has, (rel,))

    def label(docs: Sequence[Document], *, on_progress: OnProgress = silent) -> list[Document]:
        ents = [Entity("T1", "Note", ((0, 4),)), Entity("T2", "Time", ((7, 12),))]
        return [d.with_entities(ents) for d in docs]

    (found,) = keeping(label)([doc])
    assert found.entities == (*has, Entity("T2", "Time", ((7, 12),)))
    assert found.relations == (rel,)


def test_chunks_close_at_a_number_of_notes_or_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelling, "CHUNK_CHARS", 10)
    docs = [Document(str(i), "x" * n) for i, n in enumerate((1, 1, 1, 1, 1, 2, 99, 4))]
    assert [[len(d.text) for d in chunk] for chunk in chunks(docs)] == [[1] * 5, [2, 99], [4]]


def test_notes_are_read_no_further_than_needed(tmp_path: Path) -> None:
    read = 0

    def counted(tally: Tally) -> Iterator[Document]:
        nonlocal read
        for doc in DOCS:
            read += 1
            yield doc

    found = survey(counted)
    read = 0
    ahead: list[int] = []

    def label(docs: Sequence[Document], *, on_progress: OnProgress = silent) -> Sequence[Document]:
        ahead.append(read)
        return docs

    label_notes(counted, found, label, Output(tmp_path / "o.jsonl", KEY, ()))
    assert ahead == [5, 10, 15, 20, 23]


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_a_stopped_run_goes_on(tmp_path: Path, name: str) -> None:
    run(Labeller(), tmp_path / f"whole-{name}")
    with pytest.raises(KeyboardInterrupt):
        run(Labeller(limit=3), tmp_path / name)
    assert not (tmp_path / name).exists()
    [part] = hidden(tmp_path)
    with (tmp_path / part).open("ab") as file:  # Killed in the middle of a line.
        file.write((tmp_path / part).read_bytes().splitlines(keepends=True)[0])
        file.write(b'{"schema": 1, "id": "n16", "te')
    again = Labeller()
    done = run(again, tmp_path / name)
    assert (done.n_docs, done.n_entities, done.n_resumed) == (23, 23, 15)
    assert again.seen == [doc.id for doc in DOCS[15:]]
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert not hidden(tmp_path)


def test_what_is_done_twice_over_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Labeller(limit=4), tmp_path / "o.jsonl")
    part = tmp_path / hidden(tmp_path)[0]
    whole = part.read_bytes().splitlines(keepends=True)
    last = [b'{"schema": 1, "id": "n20", "text": "note"}\n'] * 5
    part.write_bytes(b"".join([*whole, *last]))
    again = Labeller()
    run(again, tmp_path / "o.jsonl")
    assert again.seen == ["n20", "n21", "n22"]
    assert len((tmp_path / "o.jsonl").read_bytes().splitlines()) == 23


def test_other_work_does_not_go_on_with_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Labeller(limit=3), tmp_path / "o.jsonl")
    (tmp_path / f".other.jsonl.{KEY}.part").write_text("x")
    (tmp_path / ".o.jsonl.mine.part").write_text("x")
    again = Labeller()
    assert run(again, tmp_path / "o.jsonl", key=OTHER).n_resumed == 0
    assert len(again.seen) == 23
    assert sorted(hidden(tmp_path)) == [".o.jsonl.mine.part", f".other.jsonl.{KEY}.part"]


def test_an_output_has_one_writer(tmp_path: Path) -> None:
    with (tmp_path / f".o.jsonl.{KEY}.part").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for key in (KEY, OTHER):
            with pytest.raises(FileError, match="another process is writing it"):
                run(Labeller(), tmp_path / "o.jsonl", key=key)


def test_notes_that_change_are_an_error(tmp_path: Path) -> None:
    found = survey(lambda tally: iter(DOCS[:9]))
    with pytest.raises(CorpusError, match="changed while they were read"):
        label_notes(notes, found, Labeller(), Output(tmp_path / "o.jsonl", KEY, ("Note",)))
    assert not list(tmp_path.iterdir())


def test_parquet_is_written_and_read_back(tmp_path: Path) -> None:
    run(Labeller(), tmp_path / "o.parquet")
    docs = read_corpus(tmp_path / "o.parquet").docs
    assert [(d.id, d.text, d.mentions()) for d in docs] == [(d.id, d.text, ["note"]) for d in DOCS]


def test_progress_tells_the_time_left(tmp_path: Path) -> None:
    shown: list[Progress] = []
    label_notes(
        notes,
        survey(notes),
        Labeller(),
        Output(tmp_path / "o.jsonl", KEY, ("Note",)),
        on_progress=shown.append,
    )
    assert [(p.done, p.total, p.unit) for p in shown] == [
        (n, 23, "notes") for n in (5, 10, 15, 20, 23)
    ]
    assert shown[0].eta > 0 and shown[-1].eta == 0


def test_progress_moves_inside_a_chunk_and_a_note_counts_once_it_is_written(
    tmp_path: Path,
) -> None:
    shown: list[Progress] = []

    def label(docs: Sequence[Document], *, on_progress: OnProgress = silent) -> Sequence[Document]:
        for done in (3, 6):
            on_progress(Progress("answers", done, 6, "answers"))
        return docs

    output = Output(tmp_path / "o.jsonl", KEY, ())
    label_notes(notes, survey(notes), label, output, on_progress=shown.append)
    assert [p.done for p in shown[:6]] == [2, 4, 5, 7, 9, 10]
    assert all(p.eta > 0 for p in shown[:-2])


def test_names_that_cannot_be_written_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not compressed"):
        Output(tmp_path / "o.jsonl.gz", KEY, ())
    with pytest.raises(FileError, match="is a folder"):
        Output(tmp_path, KEY, ())


KILLED = """
import sys, time
from pathlib import Path
from notesmith.corpus import labelling
from notesmith.corpus.labelling import Output, label_notes
from notesmith.corpus.notes import find_notes, survey
labelling.CHUNK_DOCS = 5
def label(docs, *, on_progress):
    time.sleep(float(sys.argv[1]))
    print(len(docs), flush=True)
    return docs
notes = find_notes(Path("in"))
done = label_notes(notes, survey(notes), label, Output(Path("out.jsonl"), "5f" * 8, ()))
print("resumed", done.n_resumed)
"""


def test_a_killed_process_goes_on(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for doc in DOCS:
        (tmp_path / "in" / f"{doc.id}.txt").write_text(doc.text)
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen([*command, "0.2"], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "out.jsonl").exists()
    done = subprocess.run([*command, "0"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] in ("resumed 10", "resumed 15")
    docs = read_corpus(tmp_path / "out.jsonl", expect_mentions=False).docs
    assert [(d.id, d.text) for d in docs] == [(d.id, d.text) for d in DOCS]


def test_a_label_that_parquet_cannot_hold_is_refused_before_any_note_is_read(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="Parquet holds labels as tags"):
        Output(tmp_path / "o.parquet", KEY, ("Drug", "Adverse|Event"))
    Output(tmp_path / "o.parquet", KEY, ("Drug", "Adverse event"))
    Output(tmp_path / "o.jsonl", KEY, ("Drug", "Adverse|Event"))
