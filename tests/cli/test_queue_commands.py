"""A round of labelling by its commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from tests.cli.test_annotator_commands import run

from notesmith.annotation.queue import Choice
from notesmith.cli.app import app
from notesmith.cli.review import print_queue, review_of
from notesmith.cli.screen import Screen
from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document, Entity, Provenance
from notesmith.errors import ConfigError, FileError
from notesmith.experiment.taught import Part, beside, write_parts
from notesmith.ner.decode import WordScores
from notesmith.words import words
from notesmith.workflows.review import Review, queue_labelled, scored_notes

HERE = ReadingConfig()


def note(i: int, label: str = "P") -> Document:
    text = " ".join(f"word{i}x{k}" for k in range(12))
    entities = (Entity("T1", label, ((0, len(f"word{i}x0")),)),)
    return Document(f"n{i:02}", text, entities, provenance=Provenance("silver", model="tiny"))


def labelled(path: Path, docs: list[Document]) -> Path:
    """Notes with soft labels beside them, as ``annotate`` leaves them."""
    write_corpus(docs, path)
    scores = []
    for i, doc in enumerate(docs):
        spans = tuple(words(doc.text))
        doubt = 0.05 + 0.02 * i
        rows = np.tile([1 - 2 * doubt, doubt, doubt], (len(spans), 1)).astype(np.float32)
        scores.append(WordScores(spans, rows))
    write_parts(
        beside(path), ("P",), [Part.of(docs[:4], scores[:4]), Part.of(docs[4:], scores[4:])]
    )
    return path


def queue(tmp_path: Path, number: int = 1, tool: Any = "brat") -> Path:
    folder = tmp_path / f"queue-{number}"
    choice = Choice(notes=6, control=0.5, annotators=("anna", "ben"), overlap=0.34)
    kept = labelled(tmp_path / f"silver-{number}.jsonl", [note(i + 20 * number) for i in range(9)])
    gold = tmp_path / f"gold-{number}.jsonl"
    write_corpus(
        [
            Document(f"g{i}", f"gold note {i}", note(0).entities, metadata={"round": number - 1})
            for i in range(number)
        ],
        gold,
    )
    queue_labelled(kept, beside(kept), Review(folder, choice, tool), gold=gold, reading=HERE)
    return folder


def read_by_all(folder: Path, change: str = "") -> None:
    """Delete the mark of all notes, and the label of those whose file is ``change``."""
    for path in folder.glob("*/*.ann"):
        lines = [x for x in path.read_text().splitlines() if "to-read" not in x]
        path.write_text("".join(f"{x}\n" for x in lines if path.name != change))


def test_a_round_with_brat(tmp_path: Path) -> None:
    folder, out = queue(tmp_path), tmp_path / "labelled.jsonl"
    about = json.loads((folder / "queue.json").read_text())
    assert (about["round"], about["n_gold"], about["labels"]) == (1, 1, ["P"])
    chosen = [item for item in about["items"] if item["kind"] == "chosen"]
    read_by_all(folder, change=f"{chosen[0]['id']}.ann")
    said = run("corrected", folder, "--out", out)
    assert "Round 1: 6 of 6 notes came back, 3 of them control notes." in said
    assert "Agreement on 2 notes that two have read" in said
    assert "annotators changed or removed" in said and "cannot be told yet" in said
    docs = read_corpus(out).docs
    assert [doc.metadata["queued"] for doc in docs].count("control") == 3
    assert {doc.metadata["round"] for doc in docs} == {1}
    assert (folder / "corrected.json").exists()
    with pytest.raises(FileError, match="exists already"):
        run("corrected", folder, "--out", out)


def test_notes_that_nobody_has_read(tmp_path: Path) -> None:
    folder = queue(tmp_path)
    read = folder / "anna"
    for path in sorted(read.glob("*.ann"))[1:]:
        path.write_text(path.read_text().replace("to-read", "P"))
    said = run("corrected", folder, "--out", tmp_path / "new.jsonl")
    assert "notes did not come back: n" in said and "(ben)" in said
    assert "A note comes back once its mark to-read is deleted." in said
    assert "notes lack a second reading" in said


def test_a_second_round_looks_at_the_first(tmp_path: Path) -> None:
    folders = [queue(tmp_path, n) for n in (1, 2)]
    for folder in folders:
        read_by_all(folder)
    one, two = (tmp_path / f"{n}.jsonl" for n in "12")
    control = tmp_path / "control.jsonl"
    with pytest.raises(FileError, match=r"holds no corrected\.json"):
        run("corrected", folders[1], "--earlier", folders[0], "--out", two)
    assert not two.exists()
    run("corrected", folders[0], "--out", one)
    more = ("--earlier", folders[0], "--control-out", control)
    said = run("corrected", folders[1], *more, "--out", two)
    assert "Round 2: 6 of 6 notes came back" in said
    assert len(read_corpus(two).docs) == 3
    found = read_corpus(control, ReadingConfig(without_mentions=True)).docs
    assert [doc.metadata["queued"] for doc in found] == ["control"] * 3
    with pytest.raises(ConfigError, match="two queues are of one round"):
        run("corrected", folders[0], "--earlier", folders[0], "--out", tmp_path / "3.jsonl")


def test_exports_and_minutes_are_named(tmp_path: Path) -> None:
    folder, out = queue(tmp_path, tool="label-studio"), tmp_path / "labelled.jsonl"
    with pytest.raises(ConfigError, match="name what each annotator exported from label-studio"):
        run("corrected", folder, "--out", out)
    for name in ("anna", "ben"):
        tasks = json.loads((folder / name / "tasks.json").read_text())
        for task in tasks:
            task["annotations"] = [{"result": task["predictions"][0]["result"], "lead_time": 90}]
        (tmp_path / f"{name}.json").write_text(json.dumps(tasks))
    exports = [f"{name}={tmp_path / name}.json" for name in ("anna", "ben")]
    said = run("corrected", folder, *exports, "--out", out)
    assert "chosen: 6 minutes for 3 notes" in said and "control: 6 minutes for 3 notes" in said
    docs = read_corpus(out).docs
    assert sorted(doc.metadata["minutes"] for doc in docs) == [1.5] * 4 + [3.0] * 2
    assert {doc.metadata["annotators"] for doc in docs} == {"anna", "ben", "anna, ben"}


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    folder, gold = queue(tmp_path), tmp_path / "gold-1.jsonl"
    out = "--out", tmp_path / "x.jsonl"
    with pytest.raises(ConfigError, match="is a queue, which takes no --format"):
        run("corrected", folder, "--format", "brat", *out)
    with pytest.raises(ConfigError, match="name one file or folder of corrections"):
        run("corrected", gold, *out)
    with pytest.raises(ConfigError, match="--earlier and --control-out are for queues"):
        run("corrected", gold, gold, "--earlier", folder, *out)


def asked(folder: Path | None, **options: Any) -> Review | None:
    default = {"notes": None, "words": None, "control": 0.2, "annotators": None, "overlap": 0.0}
    return review_of(folder, "brat", **(default | options), seed=13)


def test_what_annotate_is_asked_for(tmp_path: Path) -> None:
    assert asked(None) is None
    with pytest.raises(ConfigError, match="need --for-review FOLDER"):
        asked(None, notes=3)
    review = asked(tmp_path / "queue", annotators="anna, ben", words=500)
    assert review is not None
    assert (review.choice.words, review.choice.notes) == (500, None)
    assert review.choice.annotators == ("anna", "ben")
    review.check(None, [], is_preview=False)
    for labels, changes in (("hard", []), (None, ["annotate.labels=masked"])):
        with pytest.raises(ConfigError, match="which only soft labels keep"):
            review.check(labels, changes, is_preview=False)
    with pytest.raises(ConfigError, match="a preview queues no notes"):
        review.check(None, [], is_preview=True)
    default = asked(tmp_path)
    assert default is not None and default.choice.notes == 20
    with pytest.raises(FileError, match="exists already; name another folder"):
        default.check(None, [], is_preview=False)


def test_what_was_queued_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = labelled(tmp_path / "silver.jsonl", [note(i) for i in range(9)])
    review = Review(tmp_path / "queue", Choice(notes=4, control=0.25), "prodigy")
    made = queue_labelled(
        kept,
        beside(kept),
        review,
        gold=None,
        held_out=[kept.with_name("test.jsonl")][:0],
        reading=HERE,
    )
    print_queue(Screen(highlight=False, soft_wrap=True), review, made)
    said = capsys.readouterr().out
    assert "For review: 4 of 9 notes, 48 words, 1 of them control notes without labels." in said
    assert "annotator: 4 notes, 48 words" in said and "index.csv" in said
    assert f"corrected {review.folder} annotator=EXPORT --out" in said


def test_scores_of_other_notes(tmp_path: Path) -> None:
    kept = labelled(tmp_path / "silver.jsonl", [note(i) for i in range(9)])
    found: Iterator[Any] = scored_notes(kept, beside(kept))
    assert [doc.id for doc, _ in found] == [f"n{i:02}" for i in range(9)]
    kept.unlink()
    write_corpus([note(3)], kept)
    with pytest.raises(FileError, match="is of other notes than"):
        list(scored_notes(kept, beside(kept)))


def test_annotate_has_the_options() -> None:
    command: Any = typer.main.get_command(app)
    names = {name for param in command.commands["annotate"].params for name in param.opts}
    assert {"--for-review", "--as", "--control", "--annotators", "--overlap"} <= names
