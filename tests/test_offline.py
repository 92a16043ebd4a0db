"""The whole main path, with tiny random models and sockets blocked, and what it leaves behind.

The notes hold planted strings. They may stand in the files that hold documents, and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import socket
import urllib.parse
from contextlib import contextmanager
from pathlib import Path

import pytest
import tomli_w
import torch
from benchmarks.leak import check_no_leak, fingerprint
from pytest_socket import SocketBlockedError
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus
from notesmith.document import Document
from notesmith.errors import StageError
from notesmith.experiment import engine
from notesmith.experiment.artefacts import load_candidates
from notesmith.experiment.stages import common
from tests.experiment.doubles import remark, tiny_recipe, write_notes
from tests.lm.tiny import save_tiny
from tests.ner.tiny import tiny_encoder

PLANTED = "Zyxwvian-Quorbel 4471 "
# Files that are there to hold documents, names or text of a model.
DOCUMENTS = {"docs.jsonl", "candidates.jsonl", "dropped.jsonl", "names.json", "examples.html"}


class _Log(logging.Handler):
    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record):
        self.lines.append(self.format(record))


@contextmanager
def recorded(opened, paths):
    """Note which stage reads which split."""
    by_path = {path: split for split, path in paths.items()}
    working: list[str] = ["gate"]  # what reads before any cell is begun
    read, compute = common.read_corpus, engine.compute

    def reading(path, *options, **more):
        opened.add((working[-1], by_path[Path(path)]))
        return read(path, *options, **more)

    def computing(cell, *rest):
        working.append(cell.stage.name)
        return compute(cell, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "read_corpus", reading)
        patch.setattr(engine, "compute", computing)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of everything through the command line, with all logs at DEBUG."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("offline")
    opened: set[tuple[str, str]] = set()
    save_tiny("gemma3", folder / "lm")
    tiny_encoder(folder / "encoder")
    (folder / "corpus").mkdir()
    paths = write_notes(folder / "corpus", planted=PLANTED)
    config = tiny_recipe(
        paths,
        name="offline",
        lm={"model": str(folder / "lm"), "trim": False},
        ner={"encoder": str(folder / "encoder"), "steps": 2, "batch_size": 4},
        draws={"sizes": [6], "replicates": 1, "curve": []},
    )
    recipe = folder / "offline.toml"
    recipe.write_text(tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)))
    handler = _Log()
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        command = ["run", str(recipe), "--out", str(folder / "run")]
        with recorded(opened, paths):
            result = CliRunner().invoke(app, command, env={"NOTESMITH_HOME": str(folder / "home")})
        failed = CliRunner().invoke(
            app,
            [*command[:2], "--out", str(folder / "failed"), "--set", "draws.sizes=[99]"],
            env={"NOTESMITH_HOME": str(folder / "home")},
        )
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    return folder, paths, result, failed, handler.lines, opened


def test_sockets_are_blocked():
    with pytest.raises((SocketBlockedError, UserWarning)):
        socket.socket()


def test_the_main_path_ends_with_a_report(run):
    folder, _, result, *_ = run
    assert result.exit_code == 0, result.output
    assert (folder / "run" / "report.html").exists()
    assert (folder / "run" / "examples.html").exists()
    assert "report.html" in result.output
    results = json.loads((folder / "run" / "results.json").read_text())
    assert results["verdict"]["recommendation"] == "demonstration"
    assert len(results["arms"]) == 8


def test_status_and_report_commands(run):
    folder = run[0] / "run"
    found = CliRunner().invoke(app, ["status", str(folder)])
    assert found.exit_code == 0 and "coverage" in found.output
    assert CliRunner().invoke(app, ["report", str(folder)]).exit_code == 0


def spellings(text: str) -> list[bytes]:
    """Ways in which ``text`` could hide in a file: its words, quoted, escaped, encoded."""
    found = []
    for word in [text.strip(), *text.split()[:1], *text.split("-")[1:2]]:
        raw = word.encode()
        found += [
            raw,
            raw.lower(),
            urllib.parse.quote(word).encode(),
            repr(word).encode()[1:-1],
            *(base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)),
        ]
    return [spelling for spelling in found if len(spelling) > 5]


def test_planted_strings_stay_in_the_files_of_documents(run):
    folder, paths, *_ = run
    written = [p for p in folder.rglob("*") if p.is_file() and p not in paths.values()]
    held = [p for p in written if PLANTED.strip().encode() in p.read_bytes()]
    assert held and {p.name for p in held} <= DOCUMENTS
    for path in written:
        if path.name not in DOCUMENTS:
            data = path.read_bytes()
            for spelling in spellings(PLANTED):
                assert spelling not in data, path


def test_planted_strings_are_not_printed_or_logged(run):
    _, _, result, failed, lines, _ = run
    assert failed.exit_code == 1
    said = "\n".join([result.output, failed.output, str(failed.exception), *lines]).encode()
    assert lines
    for spelling in spellings(PLANTED):
        assert spelling not in said


def test_no_mention_stands_in_text_free_files(run):
    folder, paths, *_ = run
    notes = [doc for path in paths.values() for doc in read_corpus(path).docs]
    sentences = {doc.text[:40].encode() for doc in notes}
    for name in ("results.json", "report.html", "seal.json", "recipe.toml"):
        data = (folder / "run" / name).read_bytes()
        assert not [s for s in sentences if s in data]
    for path in (folder / "run" / "cells").rglob("metrics.json"):
        data = path.read_bytes()
        assert not [doc.id for doc in notes if f'"{doc.id}"'.encode() in data]


def test_no_test_document_reaches_training_sampling_filters_or_selection(run):
    """By hash: nothing that these stages read or wrote holds a run of words of a test note."""
    folder, paths, *_ = run
    test = read_corpus(paths["test"]).docs
    own = fingerprint((Document(d.id, remark("test", i)) for i, d in enumerate(test)), n=3)
    cells = folder / "run" / "cells"
    n_checked = 0
    for path in (p for p in cells.glob("*/*/docs.jsonl") if p.stat().st_size):
        docs = read_corpus(path, ReadingConfig(format="jsonl")).docs
        n_checked += check_no_leak(own, docs, what=path.parent.parent.name)
    for path in cells.glob("sample/*/candidates.jsonl"):
        made = [Document(c.id, c.marked) for c in load_candidates(path.parent) if c.marked]
        n_checked += check_no_leak(own, made, what="sample")
    assert n_checked > 20
    # The check itself sees a leak, and so does the stage that scores.
    with pytest.raises(StageError, match="hold held-out text: 'test-0'"):
        check_no_leak(own, test[:1], what="scored")
    ids = [f'"{doc.id}"'.encode() for doc in test]
    for path in (p for p in cells.rglob("*") if p.is_file()):
        if path.name != "predictions.json":
            data = path.read_bytes()
            assert not [i for i in ids if i in data], path


def test_only_scoring_stages_open_held_out_files(run):
    """At the reader: train for draws; dev and test for scores, coverage, and to find repeats.

    Draws leave out of train what stands in dev or test too.

    The gate looks for documents on both sides and for sets that were opened before. Scores read
    train for the documents beyond their draw.
    """
    assert run[5] == {
        ("gate", "train"),
        ("gate", "dev"),
        ("gate", "test"),
        ("draw", "train"),
        ("draw", "dev"),
        ("draw", "test"),
        ("filter", "dev"),
        ("filter", "test"),
        ("score", "dev"),
        ("score", "test"),
        ("score", "train"),
        ("coverage", "test"),
    }


def unkeyed(text: str) -> list[str]:
    """Hashes that anybody can make of a text: of its words, of runs of them, of it all."""
    words = text.split()
    runs = [" ".join(words[i : i + n]) for n in (1, 8, 10) for i in range(len(words) - n + 1)]
    found = []
    for run in (*runs, text):
        for each in {run, run.lower()}:
            data = each.encode()
            found += [hashlib.sha256(data).hexdigest(), hashlib.md5(data).hexdigest()]
            found += [hashlib.blake2b(data, digest_size=n).hexdigest() for n in (8, 16, 32)]
            small = hashlib.blake2b(data, digest_size=8).digest()
            found += [str(int.from_bytes(small, "big")), str(int.from_bytes(small, "little"))]
    return [each[:16] for each in found]


def test_no_hash_on_disk_can_be_looked_up(run):
    """Nothing in the run folder or the home holds a hash of held-out words that needs no key."""
    folder, paths, *_ = run
    held_out = [doc for split in ("dev", "test") for doc in read_corpus(paths[split]).docs]
    hashes = {each for doc in held_out for each in unkeyed(doc.text)}
    kept = [p for p in folder.rglob("*") if p.suffix in (".json", ".jsonl", "") and p.is_file()]
    assert len(kept) > 50 and any(p.parent.name == "openings" for p in kept)
    for path in kept:
        written = set(re.findall(r"[0-9a-f]{16,}|[0-9]{16,}", path.read_text(errors="replace")))
        assert not hashes & {each[:16] for each in written}, path
