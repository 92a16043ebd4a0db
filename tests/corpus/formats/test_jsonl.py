import json

import pytest
from hypothesis import given

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.corpus.formats import jsonl
from notesmith.document import Document, Entity
from notesmith.errors import CorpusError
from tests.corpus.documents import documents

GOOD = {
    "schema": 1,
    "id": "n1",
    "text": "Mild chest pain.",
    "entities": [{"id": "T1", "label": "Problem", "spans": [[5, 15]]}],
}


@given(documents())
def test_loads_undoes_dumps(doc):
    line = jsonl.dumps(doc)
    assert "\n" not in line
    assert jsonl.loads(line) == doc


def test_file_round_trip_with_line_separators_in_text(tmp_path):
    docs = [Document("a", "x\u2028y\x85\r\nz"), Document("b", "", metadata={"patient": "p1"})]
    assert write_corpus(docs, tmp_path / "c.jsonl") == {}
    assert read_corpus(tmp_path / "c.jsonl", expect_mentions=False).docs == docs


def test_empty_fields_are_left_out_and_the_schema_stands_first():
    assert jsonl.dumps(Document("a", "é")) == (
        '{"schema": 1, "id": "a", "text": "é", "provenance": {"kind": "gold"}}'
    )


def change(**fields):
    return json.dumps({k: v for k, v in {**GOOD, **fields}.items() if v is not ...})


def entity(**fields):
    return change(entities=[{**GOOD["entities"][0], **fields}])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (change()[:-9], r"not JSON .* is it cut off\?"),
        ("[1]", "must be a JSON object"),
        (change(schema=...), "no 'schema'"),
        (change(schema=2), "schema 2 is not 1"),
        (change(schema=True), "'schema' must be a whole number"),
        (change(id=...), "no 'id'"),
        (change(id=""), "empty id"),
        (change(text=3), "'text' must be a string"),
        (change(text="a\ud800"), "doc 'n1': lone surrogate at offset 1"),
        (change(extra=1), "doc 'n1': 1 unknown field"),
        (change(entities={}), "doc 'n1': 'entities' must be a list"),
        (change(entities=[1]), r"doc 'n1': entities\[0\] must be an object"),
        (entity(spans=[[5, 99]]), r"doc 'n1': 'T1' \[5, 99\) is past end 16"),
        (entity(spans=[[5]]), r"entities\[0\]: a span must be"),
        (entity(spans=[[5, True]]), r"entities\[0\]: a span must be"),
        (entity(spans=[[9, 5]]), "is empty or negative"),
        (entity(attributes=["a", 1]), "'attributes' must be a list of strings"),
        (entity(colour="red"), r"entities\[0\]: 1 unknown field"),
        (
            change(relations=[{"id": "R1", "label": "x", "head": "T1", "tail": "T7"}]),
            "unknown 'T7'",
        ),
        (change(provenance={"kind": "bronze"}), "'kind' must be one of gold, silver"),
        ("[" * 100_000, "nested too deeply|not JSON"),
        ('{"schema": ' + "9" * 5000, "a number too long to read"),
        (change(metadata={"x": float("nan")}), "NaN is not JSON"),
    ],
)
def test_bad_record_names_file_and_line_and_no_text(tmp_path, line, message):
    path = tmp_path / "c.jsonl"
    path.write_text(f"{change(id='n0')}\n\n{line}\n")
    with pytest.raises(CorpusError, match=message) as error:
        read_corpus(path)
    assert f"{path}:3: " in str(error.value)
    assert "chest" not in str(error.value)
    assert "\n" not in str(error.value)
    read = read_corpus(path, ReadingConfig(on_problem="count"))
    assert [doc.id for doc in read.docs] == ["n0"]
    assert read.counts == {"dropped: record": 1}


def test_invalid_utf8_names_the_line(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(change().encode() + b"\n" + b'{"schema": 1, "id": "x\xff"}\n')
    with pytest.raises(CorpusError, match=r"c\.jsonl:2: byte 22 is not UTF-8; name its"):
        read_corpus(path)
    read = read_corpus(path, ReadingConfig(on_problem="count"))
    assert (len(read.docs), read.counts) == (1, {"dropped: line that is not UTF-8": 1})


def test_byte_order_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + change().encode() + b"\r\n")
    assert read_corpus(path).docs[0].entities == (Entity("T1", "Problem", ((5, 15),)),)


def test_metadata_that_is_not_json_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match="doc 'a': metadata is not JSON"):
        write_corpus([Document("a", "x", metadata={"x": {1}})], tmp_path / "c.jsonl")
    with pytest.raises(CorpusError, match="metadata is not JSON"):
        write_corpus([Document("a", "x", metadata={"x": float("nan")})], tmp_path / "c.jsonl")
    assert list(tmp_path.iterdir()) == []
