import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.corpus.formats import parquet
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Relation, Section
from notesmith.errors import CorpusError, OffsetError
from tests.corpus.documents import documents, entities, texts

NAMES = ["O", "B-P", "I-P", "B-Q", "I-Q"]
ROWS = [
    {"id": "a", "tokens": ["No", "chest", "pain", "."], "ner_tags": [0, 1, 2, 0]},
    {"id": "b", "tokens": ["Weak", "arm"], "ner_tags": [1, 3]},
]
FEATURE = {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "List"}


def put(tmp_path, rows, feature=FEATURE, name="c.parquet", schema=None):
    metadata = {"huggingface": json.dumps({"info": {"features": {"ner_tags": feature}}})}
    table = pa.Table.from_pylist(rows, schema)
    path = tmp_path / name
    pq.write_table(table.replace_schema_metadata(metadata if feature else None), path)
    return path


def read(path, on_problem="raise"):
    tally = Tally(on_problem)
    docs = list(parquet.read(path, path.stem, tally))
    return docs, dict(tally.counts)


def found(docs):
    return [[(ent.label, ent.mention(doc.text)) for ent in doc.entities] for doc in docs]


@pytest.mark.parametrize(
    "feature",
    [
        FEATURE,
        FEATURE | {"_type": "Sequence", "length": -1},
        [{"num_classes": 5, "names": NAMES, "_type": "ClassLabel"}],
    ],
)
def test_numbers_are_named_as_each_release_of_datasets_writes_it(tmp_path, feature):
    docs, counts = read(put(tmp_path, ROWS, feature))
    assert [(doc.id, doc.text) for doc in docs] == [("a", "No chest pain ."), ("b", "Weak arm")]
    assert found(docs) == [[("P", "chest pain")], [("P", "Weak"), ("Q", "arm")]]
    assert counts == {"files with IOB2 tags": 1}
    assert docs[0].metadata == {"tokens": "spaces"}


def test_tags_may_be_strings_of_any_scheme(tmp_path):
    rows = [{"tokens": ["No", "chest", "pain"], "ner_tags": ["O", "B-P", "E-P"]}]
    docs, counts = read(put(tmp_path, rows, feature=None))
    assert docs[0].id == "c-0"
    assert found(docs) == [[("P", "chest pain")]]
    assert counts == {"files with BIOES tags": 1}


def test_strings_may_be_large_or_a_dictionary(tmp_path):
    schema = pa.schema(
        {
            "id": pa.int32(),
            "tokens": pa.large_list(pa.large_string()),
            "ner_tags": pa.list_(pa.dictionary(pa.int8(), pa.string())),
        }
    )
    tokens = pa.array([["chest", "pain"]], schema.field("tokens").type)
    inner = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), ["B-P", "I-P"])
    tags = pa.ListArray.from_arrays([0, 2], inner)
    path = tmp_path / "c.parquet"
    pq.write_table(pa.table([pa.array([7], pa.int32()), tokens, tags], schema=schema), path)
    docs, _ = read(path)
    assert (docs[0].id, found(docs)) == ("7", [[("P", "chest pain")]])


def test_numbers_of_rows_name_no_document(tmp_path):
    rows = [row | {"id": str(i)} for i, row in enumerate(ROWS)]
    path = put(tmp_path, rows, name="train.parquet")
    assert [doc.id for doc in read(path)[0]] == ["train-0", "train-1"]
    rows = [row | {"text": " ".join(row["tokens"])} for row in rows]
    path = put(tmp_path, rows, name="train.parquet")
    assert [doc.id for doc in read(path)[0]] == ["0", "1"]


def test_text_is_found_by_offsets_by_order_or_by_spaces(tmp_path):
    row = {"id": "a", "tokens": ["𝛼-pain", ".", "e\u0301"], "ner_tags": [1, 0, 0]}
    text = "𝛼-pain.\r\n e\u0301 "
    docs, _ = read(put(tmp_path, [row | {"text": text}]))
    assert docs == [Document("a", text, (Entity("T1", "P", ((0, 6),)),))]
    again, _ = read(put(tmp_path, [row | {"text": text, "offsets": [[0, 6], [6, 7], [10, 12]]}]))
    assert again == docs
    spaced, _ = read(put(tmp_path, [row | {"spaces": [False, True, False]}]))
    assert (spaced[0].text, spaced[0].metadata) == ("𝛼-pain. e\u0301", {})


@st.composite
def docs(draw):
    text = draw(texts)
    kept, end = [], 0
    for ent in sorted(draw(entities(text)), key=lambda e: e.spans):
        if ent.start >= end:
            kept.append(Entity(f"T{len(kept) + 1}", ent.label, ent.spans))
            end = ent.end
    return Document(draw(st.text("ab/ é", min_size=1)), text, tuple(kept))


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(docs(), max_size=3))
def test_read_undoes_write(tmp_path, documents):
    path = tmp_path / "c.parquet"
    assert +parquet.write(documents, path) == {}
    assert read(path)[0] == documents


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(documents(), min_size=1, max_size=2))
def test_any_document_keeps_its_text_and_its_outermost_mentions(tmp_path, documents):
    path = tmp_path / "c.parquet"
    lost = parquet.write(documents, path)
    back = read(path)[0]
    assert [doc.text for doc in back] == [doc.text for doc in documents]
    n_kept = sum(len(doc.entities) for doc in documents)
    assert sum(len(doc.entities) for doc in back) == (
        n_kept - lost["nested or crossing mentions left out"]
    )
    for doc, again in zip(documents, back, strict=True):
        whole = {(ent.label, ent.start, ent.end) for ent in doc.entities}
        assert whole >= {(ent.label, ent.start, ent.end) for ent in again.entities}


def test_datasets_reads_what_is_written(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import Features

    doc = Document("a", "No chest pain.", (Entity("T1", "P", ((3, 13),)),))
    parquet.write([doc], tmp_path / "c.parquet")
    features = Features.from_arrow_schema(pq.read_schema(tmp_path / "c.parquet"))
    assert features["ner_tags"].feature.names == ["O", "B-P", "I-P"]
    assert list(features) == ["id", "tokens", "ner_tags", "text", "offsets"]
    table = pq.read_table(tmp_path / "c.parquet").cast(features.arrow_schema)
    assert features.decode_example(table.to_pylist()[0])["ner_tags"] == [0, 1, 2, 0]


def test_what_the_format_cannot_hold_is_counted(tmp_path):
    doc = Document(
        "a",
        "chest pain",
        (
            Entity("x", "P", ((0, 2), (6, 8)), ("negated",), ("C1", "C2")),
            Entity("y", "Q", ((0, 5),)),
        ),
        relations=(Relation("R1", "r", "x", "y"),),
        sections=(Section("s", 0, 5),),
        metadata={"patient": "p"},
    )
    assert +parquet.write([doc], tmp_path / "c.parquet") == {
        "attributes left out": 1,
        "concept ids left out": 2,
        "discontinuous mentions written whole": 1,
        "documents whose metadata, sections or provenance were left out": 1,
        "entity ids numbered anew": 1,
        "nested or crossing mentions left out": 1,
        "relations left out": 1,
    }


@pytest.mark.parametrize(
    ("row", "feature", "message"),
    [
        ({}, None, "ner_tags holds numbers and the file does not name them; cast it to a Class"),
        ({}, {"feature": {"dtype": "int64", "_type": "Value"}, "_type": "List"}, "cast it to a"),
        ({}, {"feature": {"names": [1], "_type": "ClassLabel"}}, "names of ner_tags are no list"),
        ({}, {"feature": {"names": ["O", "PER"]}}, "tag name PER is not O, B-LABEL, I-LABEL"),
        ({}, {"feature": {"names": ["O", "B-two|words"]}}, "rename the ClassLabel's names"),
        (
            {},
            {"feature": {"names": ["O", "B-P"]}},
            ":0: doc 'b': token 1: tag 3 is not one of the 2",
        ),
        ({"ner_tags": [0, 1, -100, 0]}, FEATURE, "token 2: tag -100 is not one of the 5"),
        ({"ner_tags": [0, 1]}, FEATURE, "4 tokens but 2 tags; give each token one"),
        ({"ner_tags": [0, 2, 2, 0]}, FEATURE, ":1:1: doc 'a': I continues no mention of this lab"),
        ({"tokens": None}, FEATURE, "column tokens is null or holds a null"),
        ({"tokens": ["a", None, "b", "c"]}, FEATURE, "column tokens is null or holds a null"),
        ({"ner_tags": [0, 1, None, 0]}, FEATURE, "column ner_tags is null or holds a null"),
        ({"id": None}, FEATURE, ":1: id is no string and no number"),
        ({"id": ""}, FEATURE, ":1: id is no string and no number"),
        ({"text": "No chest  ache ."}, FEATURE, "token 2 is not what stands at 10 in the text"),
        ({"text": "No chest pain . More"}, FEATURE, "text goes on at 15 after its last token"),
        ({"text": 7}, FEATURE, "column text is no string"),
        ({"text": "No chest pain .", "offsets": [[0, 2]]}, FEATURE, "4 tokens but 1 offsets"),
        ({"text": "No", "offsets": [[0, 2]] * 4}, FEATURE, r"token 1 \[0, 2\) is not what stands"),
        ({"text": "No", "offsets": [[0, 2], [0], [0], [0]]}, FEATURE, r"must be \[start, end\]"),
        ({"text": "No", "offsets": [[0, 2], None, [0], [0]]}, FEATURE, "column offsets is null"),
        ({"text": "No", "offsets": [[-2, 0]] * 4}, FEATURE, "token 0"),
        ({"text": "No", "offsets": ["a"] * 4}, FEATURE, r"must be \[start, end\]"),
        ({"spaces": [True]}, FEATURE, "true or false for each of 4 tokens"),
        ({"tokens": ["No", "", "", "."]}, FEATURE, None),
        ({"tokens": ["No", "", "x", "."], "ner_tags": [0, 1, 0, 0]}, FEATURE, "empty or negative"),
    ],
)
def test_bad_row_names_its_place_but_no_text(tmp_path, row, feature, message):
    rows = [ROWS[1] | {name: None for name in row}, ROWS[0] | row]
    rows[0] |= {name: ROWS[1][name] for name in ROWS[1]}
    path = put(tmp_path, rows, feature)
    if message is None:
        assert len(read(path)[0]) == 2
        return
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert not {"chest", "pain", "ache"} & set(str(error.value).split())
    assert "\n" not in str(error.value)
    _, counts = read(path, "count")
    assert any("dropped" in what or "nearest" in what for what in counts)


def test_string_tags_that_are_none_are_errors(tmp_path):
    rows = [{"id": "a", "tokens": ["chest"], "ner_tags": ["chest pain"]}]
    with pytest.raises(CorpusError, match="token 0: the tag is not O, B-LABEL") as error:
        read(put(tmp_path, rows, None))
    assert "pain" not in str(error.value)


def test_ill_formed_tags_are_read_as_the_nearest_if_asked(tmp_path):
    rows = [ROWS[0] | {"ner_tags": [0, 2, 2, 0]}, ROWS[1]]
    docs, counts = read(put(tmp_path, rows), "count")
    assert found(docs)[0] == [("P", "chest pain")]
    assert counts["ill-formed tags read as the nearest legal ones"] == 1


def test_other_columns_are_an_error_that_lists_them(tmp_path):
    path = put(tmp_path, [{"sentence": "x", "label": 1}])
    with pytest.raises(CorpusError, match=r"no token classification: .* has sentence, label; ren"):
        read(path)
    rows = [{"tokens": "a b", "ner_tags": [0]}]
    with pytest.raises(CorpusError, match="tokens \\(list of strings\\)"):
        read(put(tmp_path, rows))
    with pytest.raises(CorpusError, match="has tokens, tokens"):
        table = pa.table([[["a"]], [["a"]]], names=["tokens", "tokens"])
        pq.write_table(table, tmp_path / "d.parquet")
        read(tmp_path / "d.parquet")


def test_a_file_cut_off_anywhere_is_an_error(tmp_path):
    whole = put(tmp_path, ROWS).read_bytes()
    path = tmp_path / "cut.parquet"
    for n in range(0, len(whole), 7):
        path.write_bytes(whole[:n])
        with pytest.raises(CorpusError, match=r"not Parquet that can be read .*; is the file cut"):
            read(path)
        assert read(path, "count") == ([], {"dropped: file": 1})
    with pytest.raises(CorpusError, match="cannot be read"):
        read(tmp_path / "none.parquet")


@settings(suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_damaged_file_is_read_or_an_error(tmp_path, data):
    whole = bytearray(put(tmp_path, ROWS).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "cut.parquet"
    path.write_bytes(bytes(whole))
    try:
        read(path)
    except CorpusError as error:
        assert str(error).startswith(str(path))


def test_not_utf8_is_one_line(tmp_path):
    raw = pa.array([b"a\xff"]).cast(pa.binary())
    tokens = pa.Array.from_buffers(pa.string(), 1, raw.buffers())
    tokens = pa.ListArray.from_arrays([0, 1], tokens)
    tags = pa.array([["O"]])
    pq.write_table(pa.table([tokens, tags], names=["tokens", "ner_tags"]), tmp_path / "c.parquet")
    with pytest.raises(CorpusError, match="doc 'c-0': column tokens is not UTF-8"):
        read(tmp_path / "c.parquet")


def test_what_cannot_be_written_is_refused(tmp_path):
    path = tmp_path / "c.parquet"
    with pytest.raises(CorpusError, match="lone surrogate"):
        parquet.write([Document("a", "x\ud800")], path)
    with pytest.raises(CorpusError, match=r"label \(not shown\) cannot be a tag"):
        parquet.write([Document("a", "x", (Entity("T1", "two|words", ((0, 1),)),))], path)
    assert not path.exists()


def test_claims_by_name():
    assert parquet.claims(Path("data/train-00000-of-00001.parquet"))
    assert not parquet.claims(Path("train.jsonl"))


def test_offset_errors_are_offset_errors(tmp_path):
    row = ROWS[0] | {"text": "No", "offsets": [[0, 2]] * 4}
    with pytest.raises(OffsetError):
        read(put(tmp_path, [row]))
