"""Only regular files are opened, and what comes of them is bounded by no word of theirs."""

import ast
import gzip
import io
import json
import lzma
import os
import socket
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import notesmith
from notesmith.corpus import opening, read_corpus
from notesmith.corpus.notes import find_notes, survey
from notesmith.corpus.opening import MIB, open_file, raw_lines, read_bytes
from notesmith.errors import ConfigError, CorpusError

ROOT = Path(notesmith.__file__).parent / "corpus"


def test_no_reader_opens_a_file_by_itself():
    for path in ROOT.rglob("*.py"):
        # These write, and lock what they write.
        if path.name in ("opening.py", "files.py", "labelling.py"):
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


def lied(data):
    """A Parquet file whose footer says 1,000 values in place of 20 million."""

    def number(n, length=0):
        found = bytearray()
        while n > 127:
            found.append(n & 127 | 128)
            n >>= 7
        found.append(n)
        while len(found) < length:
            found[-1] |= 128
            found.append(0)
        return bytes(found)

    n = int.from_bytes(data[-8:-4], "little")
    true = number(40_000_000)
    return data[: -8 - n] + data[-8 - n : -8].replace(true, number(2000, len(true))) + data[-8:]


def repeated(n, word):
    """A Parquet file of one row of ``n`` tokens, all of them ``word``."""
    numbers = pa.array(np.zeros(n, dtype=np.int32))
    columns = {
        name: pa.ListArray.from_arrays(
            pa.array([0, n], pa.int32()), pa.DictionaryArray.from_arrays(numbers, pa.array([value]))
        )
        for name, value in (("tokens", word), ("ner_tags", "O"))
    }
    made = io.BytesIO()
    pq.write_table(pa.table(columns), made, store_schema=False)
    return made.getvalue()


def zipped(method, content):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("TypeSystem.xml", "<a/>")
        archive.writestr("a.xmi", content)
    return made.getvalue()


def zip_that_lies(content):
    """A zip that says its members are of 100 bytes."""
    data, true = zipped(zipfile.ZIP_DEFLATED, content), len(content)
    return data.replace(true.to_bytes(4, "little"), (100).to_bytes(4, "little"))


def docbin_of(**parts):
    """A DocBin of one document made by hand."""
    from srsly import msgpack_dumps

    return zlib.compress(msgpack_dumps(parts))


def long_token():
    """A DocBin whose one long string is each of 400,000 tokens."""
    from spacy.strings import hash_string

    word = "w" * 1_000_000
    tokens = np.zeros((400_000, 2), dtype="uint64")
    tokens[:, 0] = hash_string(word)
    return docbin_of(
        version=0.1,
        attrs=[65, 80],
        tokens=tokens.tobytes(),
        spaces=np.zeros((400_000, 1), dtype=bool).tobytes(),
        lengths=np.asarray([400_000], dtype="int32").tobytes(),
        strings=[word],
        cats=[{}],
        flags=[{"has_unknown_spaces": False}],
        span_groups=[b""],
    )


BOMBS = {
    "a.jsonl.gz": lambda: gzip.compress(b"{}\n" * (20 * MIB)),
    "line.jsonl.gz": lambda: gzip.compress(b"[{}" + b",{}" * (20 * MIB)),
    "a.jsonl.xz": lambda: lzma.compress(b"\n" * (100 * MIB)),
    "pubtator.txt.xz": lambda: lzma.compress(b"\n" * (100 * MIB)),
    "conll.conll.xz": lambda: lzma.compress(b"a O\n" * (25 * MIB)),
    "zeros.spacy": lambda: zlib.compress(bytes(100 * MIB)),
    "lists.spacy": lambda: zlib.compress(b"\xdd\x7f\xff\xff\xff" + b"\x90" * (100 * MIB)),
    "token.spacy": long_token,
    "many.parquet": lambda: repeated(20_000_000, "w" * 1000),
    "long.parquet": lambda: repeated(100_000, "w" * 100_000),
    "lies.parquet": lambda: lied(repeated(20_000_000, "w")),
    "a.zip": lambda: zipped(zipfile.ZIP_DEFLATED, "x" * (200 * MIB)),
    "bz2.zip": lambda: zipped(zipfile.ZIP_BZIP2, "x" * (200 * MIB)),
    "lies.zip": lambda: zip_that_lies("x" * (50 * MIB)),
    "lol.xml": lambda: (
        b"""<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">
        <!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><root><TEXT>&b;</TEXT><TAGS></TAGS></root>"""
    ),
}
SHORT = ("line.jsonl.gz", "token.spacy", "long.parquet", "lies.parquet", "bz2.zip", "lol.xml")


def read_apart(path):
    """Read in another process: what it says, its seconds and its highest memory in MiB."""
    program = (
        "import re, sys, time; from notesmith.corpus import read_corpus;"
        "from notesmith.errors import NotesmithError\n"
        "began = time.monotonic()\n"
        "try:\n"
        " read_corpus(sys.argv[1], format=sys.argv[2] or None); said = 'read'\n"
        "except NotesmithError as error: said = str(error)\n"
        "import json\n"
        # Of this process alone: what ``getrusage`` gives is its parent's if that was larger.
        "peak = int(re.search('VmHWM:\\\\s+(\\\\d+)', open('/proc/self/status').read())[1]) / "
        "1024\n"
        "print(json.dumps([said, time.monotonic() - began, peak]))"
    )
    format = {"pubtator.txt.xz": "pubtator", "conll.conll.xz": "conll"}.get(path.name, "")
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), format], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-500:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_seconds_and_little_memory(name, tmp_path, request):
    if name not in SHORT and not request.config.getoption("--full"):
        pytest.skip("with --full")
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    assert path.stat().st_size < 400_000
    said, seconds, peak = read_apart(path)
    assert said.startswith(str(path)) and said != "read", said
    assert seconds < 10 and peak < 1000, (said, seconds, peak)


def test_text_that_packs_as_text_does_is_no_bomb(tmp_path):
    line = json.dumps({"schema": 1, "id": "ID", "text": "Reports chest pain. " * 50})
    content = "".join(f"{line}\n".replace("ID", f"n{i}") for i in range(2000)).encode()
    for name, pack in (("a.jsonl.gz", gzip.compress), ("a.jsonl.xz", lzma.compress)):
        (tmp_path / name).write_bytes(pack(content))
        assert len(read_corpus(tmp_path / name).docs) == 2000
