"""Small files that unpack to much, and a process apart to read them in."""

import gzip
import io
import json
import lzma
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from notesmith.files.read import MIB


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


def read_apart(path):
    """Read in another process: what it says, its seconds and its highest memory in MiB."""
    program = (
        "import re, sys, time; from notesmith.config import ReadingConfig;"
        "from notesmith.corpus import read_corpus;"
        "from notesmith.errors import NotesmithError\n"
        "began = time.monotonic()\n"
        "try:\n"
        " read_corpus(sys.argv[1], ReadingConfig(format=sys.argv[2] or None)); said = 'read'\n"
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
