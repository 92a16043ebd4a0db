"""Damaged corpora through every reader: a document list or one typed line, soon, without a word.

Each mutation is read twice, stopping at the first problem and counting them. What is read must be
writable again. The notes hold a planted name, and mutations put it where ids and labels stand.
"""

import gzip
import io
import json
import lzma
import random
import re
import signal
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import FORMATS, read_corpus, write_corpus
from notesmith.corpus.formats import NAMES, jsonl
from notesmith.corpus.formats.json_values import NoteFields
from notesmith.corpus.metadata import read_metadata
from notesmith.corpus.notes import find_notes, survey
from notesmith.corpus.problems import Tally, read_lines
from notesmith.document import Document, Entity, Relation
from notesmith.errors import NotesmithError

NAME = "Quillfeather"
WORDS = f"{NAME} wept aloud"
SECONDS = 5

DOCS = [
    Document(
        f"n{i}",
        f"{NAME} has fever {i}.\nDenies chest pain, took 40 mg.",
        (
            Entity("T1", "Sign", ((17, 22),), ("negated",), ("D1",)),
            Entity("T2", "Sign", ((33, 43),)),
            Entity("T3", "Dose", ((50, 55),)),
        ),
        (Relation("R1", "of", "T3", "T2"),),
        metadata={"patient": f"p{i}", "kind": "letter"},
    )
    for i in range(3)
]


def swap_tokens(rng, data):
    parts = re.split(rb"([\s,;:|\"'<>=\[\]{}/]+)", data)
    if len(parts) > 4:
        a, b = (2 * rng.randrange((len(parts) + 1) // 2) for _ in range(2))
        parts[a], parts[b] = parts[b], parts[a]
    return b"".join(parts)


def put(rng, data, piece):
    at = rng.randrange(len(data) + 1)
    return data[:at] + piece + data[at:]


def in_place_of(rng, data, pattern, piece):
    found = list(re.finditer(pattern, data))
    if not found:
        return put(rng, data, piece)
    match = rng.choice(found)
    return data[: match.start()] + piece + data[match.end() :]


def flip(rng, data):
    made = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def again(rng, data):
    pieces = data.splitlines(keepends=True) if rng.random() < 0.5 else re.split(rb"(?<=,)", data)
    at = rng.randrange(len(pieces))
    return b"".join([*pieces[: at + 1], *pieces[at : at + rng.randint(1, 3)], *pieces[at + 1 :]])


NUMBERS = [b"9" * 5000, b"1" + b"0" * 30, "²".encode(), "١٢".encode(), b"-1", b"1e999", b"NaN"]
NESTS = [b"[" * 3000, b'{"a":' * 3000, b"<a>" * 3000, b"[" * 900 + b"]" * 900, b"<Sign>" * 500]
ENDS = [b"\r", b"\r\n", "\x85".encode(), "\u2028".encode(), b"\x0b", b"\x0c", b"\n\n"]
ODD = [b"\xed\xa0\x80", b'"\\ud800"', b"\\udc00", b"\xff\xfe", b"\x1b[31m", "\u202e".encode()]
WORD = rb"[\w.\-]+"

MUTATIONS = {
    "bytes flipped": flip,
    "cut off": lambda rng, data: data[: rng.randrange(len(data))],
    "a piece cut out": lambda rng, data: (lambda a: data[:a] + data[a + rng.randint(1, 20) :])(
        rng.randrange(len(data))
    ),
    "random bytes put in": lambda rng, data: put(rng, data, rng.randbytes(rng.randint(1, 20))),
    "nested deeply": lambda rng, data: put(rng, data, rng.choice(NESTS)),
    "nested deeply in place of a word": lambda rng, data: in_place_of(
        rng, data, WORD, rng.choice(NESTS)
    ),
    "two words swapped": swap_tokens,
    "a line or field doubled": again,
    "an odd number": lambda rng, data: in_place_of(rng, data, rb"[0-9]+", rng.choice(NUMBERS)),
    "half a surrogate pair or a control character": lambda rng, data: in_place_of(
        rng, data, WORD, rng.choice(ODD)
    ),
    "a null character": lambda rng, data: put(rng, data, b"\0"),
    "a byte order mark": lambda rng, data: (
        put(rng, data, b"\xef\xbb\xbf") if rng.random() < 0.5 else b"\xef\xbb\xbf" + data
    ),
    "other line ends": lambda rng, data: (
        data.replace(b"\n", rng.choice(ENDS))
        if rng.random() < 0.5
        else in_place_of(rng, data, rb"\n", rng.choice(ENDS))
    ),
    "words of the note in place of a word": lambda rng, data: in_place_of(
        rng, data, WORD, WORDS.encode()
    ),
    "UTF-16": lambda rng, data: data.decode("utf-8", "replace").encode(
        rng.choice(["utf-16", "utf-16-le", "utf-16-be"])
    ),
}


def docbin_inside(mutate, data):
    return zlib.compress(mutate(zlib.decompress(data)))


def zip_inside(mutate, data):
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, mutate(old.read(info)))
    return made.getvalue()


def plainly(mutate, data):
    return mutate(data)


@dataclass(frozen=True)
class Case:
    """Files to damage, how to read them, and how a file is taken apart first."""

    make: Callable[[Path], Path]
    read: Callable[[Path, str], object]
    inside: Callable[..., bytes] = plainly
    only: str = ""


def read_with(format, **options):
    def read(path, on_problem):
        reading = ReadingConfig(format=format, on_problem=on_problem, **options)
        return read_corpus(path, reading).docs

    return read


def written(format):
    def make(folder):
        path = FORMATS[format].path(folder, "c")
        write_corpus(DOCS, path, format=format)
        return path

    return make


def put_file(name, content):
    def make(folder):
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def make_zip(folder):
    inside = written("uima")(folder)
    path = folder / "c.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("TypeSystem.xml", "n0.xmi"):
            archive.writestr(name, (inside / name).read_bytes())
    return path


def streamed(**fields):
    def read(path, on_problem):
        notes = find_notes(path, fields=NoteFields(**fields) if fields else None)
        survey(notes, ReadingConfig(on_problem=on_problem))
        return list(notes(Tally(on_problem)))

    return read


def make_tasks(folder):
    tasks = folder / "tasks.json"
    tasks.write_text(json.dumps([{"id": i, "data": {"text": d.text}} for i, d in enumerate(DOCS)]))
    path = folder / "c.json"
    result = {"id": "a", "type": "labels", "from_name": "label", "to_name": "text"}
    result |= {"value": {"start": 17, "end": 22, "labels": ["Sign"]}}
    answer = {"result": [result], "completed_by": 1}
    path.write_text(json.dumps([answer | {"task": i} for i in range(3)]))
    return tasks


XML_2012 = (
    '<?xml version="1.0" encoding="UTF-8" ?>\n<root>\n<TEXT><![CDATA[\n'
    f"{NAME} & co has fever.\n]]></TEXT>\n<TAGS>\n"
    '<EVENT id="E0" start="24" end="29" text="fever" type="PROBLEM" polarity="NEG" />\n'
    f'<EVENT id="E1" start="2" end="14" text="{NAME}" type="PROBLEM" />\n'
    '<TLINK id="TL0" fromID="E0" toID="Admission" type="BEFORE" />\n</TAGS>\n</root>\n'
)
PLAIN = "".join(json.dumps({"note": doc.text, "nr": i}) + "\n" for i, doc in enumerate(DOCS))
PRODIGY = "".join(
    json.dumps(
        {
            "text": doc.text,
            "meta": {"id": doc.id},
            "spans": [{"start": 17, "end": 22, "label": "Sign", "token_end": 2}],
            "relations": [{"head": 2, "child": 2, "label": "of"}],
            "answer": "accept",
            "_annotator_id": "anna",
        }
    )
    + "\n"
    for doc in DOCS
)
TABLE = f'id,patient,kind\nn0,p0,letter\nn1,p1,"a, {NAME}"\nn2,p2,\n'


def jsonl_bytes():
    return "".join(f"{jsonl.dumps(doc)}\n" for doc in DOCS).encode()


CASES = {
    **{name: Case(written(name), read_with(name)) for name in NAMES},
    "docbin, unpacked": Case(written("docbin"), read_with("docbin"), docbin_inside),
    "uima, zip": Case(make_zip, read_with("uima")),
    "uima, members of a zip": Case(make_zip, read_with("uima"), zip_inside),
    "i2b2-xml, 2012": Case(put_file("n0.xml", XML_2012), read_with("i2b2-xml")),
    "prodigy, with relations": Case(put_file("c.jsonl", PRODIGY), read_with("prodigy")),
    "jsonl.gz": Case(
        lambda f: put_file("c.jsonl.gz", gzip.compress(jsonl_bytes()))(f), read_with("jsonl")
    ),
    "jsonl.xz": Case(
        lambda f: put_file("c.jsonl.xz", lzma.compress(jsonl_bytes()))(f), read_with("jsonl")
    ),
    "label-studio, tasks": Case(
        make_tasks,
        lambda path, on_problem: read_with("label-studio", tasks=str(path))(
            path.with_name("c.json"), on_problem
        ),
    ),
    "label-studio, predictions": Case(
        written("label-studio"), read_with("label-studio", predictions=True, annotator="1")
    ),
    "notes, recognised": Case(written("brat"), streamed()),
    "notes, JSON lines": Case(put_file("c.jsonl", PLAIN), streamed(text="note", id="nr")),
    "notes, Parquet": Case(written("parquet"), streamed()),
    "notes, texts": Case(put_file("a.txt", f"{NAME} has fever.\n"), streamed()),
    "metadata table": Case(put_file("m.csv", TABLE), lambda path, _: read_metadata(path)),
    "metadata table, tabs": Case(
        put_file("m.tsv", TABLE.replace(",", "\t")), lambda path, _: read_metadata(path)
    ),
    "term list": Case(
        put_file("t.txt", f"fever\nchest pain\n{NAME}\n"),
        lambda path, on_problem: read_lines(path, Tally(on_problem)),
    ),
}


@contextmanager
def limited():
    """End what takes longer than a reader may."""

    def ring(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(case, path, on_problem):
    """Why a reading was no good; empty if it was."""
    began = time.monotonic()
    try:
        with limited():
            found = case.read(path, on_problem)
            if isinstance(found, list) and found and isinstance(found[0], Document):
                # What was read can be written again and read the same.
                for doc in found:
                    line = jsonl.dumps(doc)
                    line.encode()
                    assert jsonl.loads(line) == doc
    except NotesmithError as error:
        said = str(error)
        return f"words: {said}" if NAME.casefold() in said.casefold() else ""
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]} after {time.monotonic() - began:.1f} s"
    return ""


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_corpus_is_a_document_list_or_a_typed_line(name, tmp_path, tried, amount):
    case = CASES[name]
    path = case.make(tmp_path)
    files = sorted(p for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file())
    before = {file: file.read_bytes() for file in files}
    # The whole one is read.
    assert not outcome(case, path, "raise") or name == "label-studio, predictions"
    lost = []
    n = amount(4, 16 * len(MUTATIONS))
    for i in range(n):
        rng = random.Random(f"{name} {i}")
        kind = [*MUTATIONS][(i + len(name)) % len(MUTATIONS)]
        file = rng.choice(files)
        damaged = case.inside(
            lambda data, k=kind, r=rng: MUTATIONS[k](r, data or b" "), before[file]
        )
        file.write_bytes(damaged)
        for on_problem in ("raise", "count"):
            why = outcome(case, path, on_problem)
            tried.count(f"{kind}, read as {name.partition(',')[0]}", not why)
            if why:
                lost.append(f"mutation {i} of {file.name}, {on_problem}: {why}")
        file.write_bytes(before[file])
    assert not lost
    tried.check()


TEXTUAL = [
    name
    for name in CASES
    if not name.startswith(("docbin", "parquet", "uima, zip", "notes", "jsonl.", "term list"))
]


@pytest.mark.parametrize("name", TEXTUAL)
def test_words_in_any_slot_are_in_no_message(name, tmp_path, tried, amount):
    """Each word of each file in turn is replaced by words of the note."""
    case = CASES[name]
    path = case.make(tmp_path)
    files = sorted(p for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file())
    lost = []
    for file in files:
        before = file.read_bytes()
        places = list(re.finditer(WORD, before)) if case.inside is plainly else range(60)
        for place in places[:: 1 if len(places) <= amount(5, 10_000) else max(len(places) // 5, 1)]:
            for words in (WORDS, WORDS.split()[0]):

                def plant(data, place=place, words=words):
                    if isinstance(place, int):
                        place = (list(re.finditer(WORD, data)) or [None])[
                            place % max(len(re.findall(WORD, data)), 1)
                        ]
                    return data[: place.start()] + words.encode() + data[place.end() :]

                file.write_bytes(case.inside(plant, before))
                for on_problem in ("raise", "count"):
                    why = outcome(case, path, on_problem)
                    tried.count(f"words in a slot of {name.partition(',')[0]}", not why)
                    if why:
                        lost.append(f"{file.name} {place}: {words}: {on_problem}: {why}")
        file.write_bytes(before)
    assert not lost
    tried.check()
