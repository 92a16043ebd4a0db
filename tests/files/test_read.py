"""Only regular files are opened, and what comes of them is bounded by no word of theirs."""

import ast
import gzip
import json
import lzma
import os
import socket
import time
from pathlib import Path

import pytest

import notesmith
from notesmith.corpus import read_corpus
from notesmith.corpus.notes import find_notes, survey
from notesmith.errors import ConfigError, CorpusError
from notesmith.files import read as opening
from notesmith.files.read import MIB, open_file, raw_lines, read_bytes

ROOT = Path(notesmith.__file__).parent / "corpus"


def test_no_reader_opens_a_file_by_itself():
    for path in ROOT.rglob("*.py"):
        # These write, lock and hash what is written, or read the table of processes.
        if path.name in ("opening.py", "files.py", "labelling.py", "checked.py", "processes.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                name = called.rpartition(".")[2]
                ours = called in ("open_file", "read_bytes", "read_text", "archive.open")
                opens = name in (
                    "open",
                    "read_bytes",
                    "read_text",
                    "memory_map",
                    "fdopen",
                    "OSFile",
                )
                assert ours or not opens, f"{path.name}:{node.lineno}: {called}"


def make_special(folder):
    os.mkfifo(folder / "pipe.jsonl")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "socket.jsonl"))
    return {
        folder / "pipe.jsonl": "is a pipe",
        folder / "socket.jsonl": "is a socket",
        Path("/dev/zero"): "is a device",
        Path("/dev/null"): "is a device",
        folder: "is a folder",
    }


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    for path, kind in make_special(tmp_path).items():
        began = time.monotonic()
        for read in (open_file, read_bytes, lambda path: next(raw_lines(path))):
            with pytest.raises(CorpusError, match=f"^{path}: {kind}, a file is needed; write its"):
                read(path)
        assert time.monotonic() - began < 1


def test_a_corpus_that_is_or_holds_a_pipe_is_refused_at_once(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"schema": 1, "id": "a", "text": "x"}\n')
    os.mkfifo(tmp_path / "b.jsonl")
    for path in (tmp_path, tmp_path / "b.jsonl"):
        for read in (read_corpus, find_notes):
            with pytest.raises(CorpusError, match=r"b\.jsonl: is a pipe, a file is needed"):
                read(path)
    os.rename(tmp_path / "b.jsonl", tmp_path / "b.txt")
    with pytest.raises(CorpusError, match=r"b\.txt: is a pipe, a file is needed"):
        find_notes(tmp_path / "b.txt")
    with pytest.raises(CorpusError, match="is a device, a file is needed"):
        read_corpus("/dev/zero")


def test_a_folder_that_may_not_be_listed_is_an_error_and_not_passed_over(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text('{"schema": 1, "id": "a", "text": "x"}\n')
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    real = os.scandir

    def scandir(path):
        if Path(path) == hidden:
            raise PermissionError(13, "Permission denied", str(hidden))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(CorpusError, match=r"hidden: cannot be read \(Permission denied\)"):
        read_corpus(tmp_path)


def test_a_file_beyond_the_limit_is_refused_with_the_remedy(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_bytes(b"x\n" * MIB)
    monkeypatch.setenv(opening.VARIABLE, "1")
    said = r"a\.txt: larger than 1 MiB; divide it, or set NOTESMITH_READ_MIB=NUMBER"
    with pytest.raises(CorpusError, match=said):
        read_bytes(path)
    with pytest.raises(CorpusError, match=r"a\.txt: holds more than 1 MiB, too much for a file of"):
        list(raw_lines(path))
    assert sum(map(len, raw_lines(path, whole=False))) == 2 * MIB
    monkeypatch.setenv(opening.VARIABLE, "2")
    assert len(read_bytes(path)) == sum(map(len, raw_lines(path))) == 2 * MIB
    for odd in ("0", "", "-1", "²", "1e3", "9" * 10):
        monkeypatch.setenv(opening.VARIABLE, odd)
        with pytest.raises(ConfigError, match="NOTESMITH_READ_MIB must be a whole number of MiB"):
            read_bytes(path)


def test_a_file_that_says_it_is_empty_is_read(tmp_path):
    assert read_bytes(Path("/proc/self/status")).startswith(b"Name:")


def test_a_sparse_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CorpusError, match=r"a\.jsonl:1: a line of more than 16 MiB; divide it"):
        survey(find_notes(path))
    with pytest.raises(CorpusError, match="larger than 1,024 MiB"):
        read_bytes(path)


def test_text_that_packs_as_text_does_is_no_bomb(tmp_path):
    line = json.dumps({"schema": 1, "id": "ID", "text": "Reports chest pain. " * 50})
    content = "".join(f"{line}\n".replace("ID", f"n{i}") for i in range(2000)).encode()
    for name, pack in (("a.jsonl.gz", gzip.compress), ("a.jsonl.xz", lzma.compress)):
        (tmp_path / name).write_bytes(pack(content))
        assert len(read_corpus(tmp_path / name, expect_mentions=False).docs) == 2000
