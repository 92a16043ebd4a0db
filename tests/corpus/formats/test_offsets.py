import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.corpus.formats import offsets
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Provenance, Relation, Section
from notesmith.errors import CorpusError, OffsetError
from tests.corpus.documents import entities, texts, words

TEXT = "Began warfarin after a stroke."
FOUND = [("Drug", (6, 14)), ("Problem", (23, 29))]
LISTS = [[6, 14, "Drug"], [23, 29, "Problem"]]
# As ``ExportedSpan.to_dict`` and ``ExportedRelation.to_dict`` of doccano write them
# (backend/data_export/models.py).
DICTS = [
    {"id": 40, "label": "Drug", "start_offset": 6, "end_offset": 14},
    {"id": 41, "label": "Problem", "start_offset": 23, "end_offset": 29},
]
TREATS = {"id": 5, "from_id": 40, "to_id": 41, "type": "treats"}
PLAIN = [{"start": 6, "end": 14, "label": "Drug"}, {"start": 23, "end": 29, "label": "Problem"}]


def put(path, *records):
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def read(path, tally=None):
    return list(offsets.read(path, "c", tally or Tally()))


def mentions(doc):
    return [(ent.label, ent.spans[0]) for ent in doc.entities]


@pytest.mark.parametrize(
    ("fields", "format"),
    [
        ({"label": LISTS, "Comments": []}, "doccano"),
        ({"labels": LISTS, "username": "u1"}, "doccano"),
        ({"entities": DICTS}, "doccano"),
        ({"entities": DICTS, "relations": []}, "doccano"),
        ({"entities": DICTS, "relations": [], "Comments": []}, "doccano"),
        ({"entities": LISTS, "cats": ["order"]}, "doccano"),
        ({"entities": PLAIN}, "offsets"),
        ({"entities": LISTS}, "offsets"),
        ({"spans": PLAIN}, "offsets"),
        ({"ents": PLAIN, "sents": [{"start": 0, "end": 30}], "tokens": []}, "offsets"),
    ],
)
def test_every_dialect_is_read(tmp_path, fields, format):
    """doccano/doccano#1795, doccano-transformer#34; ``Doc.to_json`` of spaCy for ``ents``."""
    found = read_corpus(put(tmp_path / "c.jsonl", {"id": 7, "text": TEXT, **fields}))
    assert found.format == format
    assert [(doc.id, doc.text, mentions(doc)) for doc in found.docs] == [("7", TEXT, FOUND)]


def test_relations_by_the_ids_of_mentions(tmp_path):
    record = {"id": 7, "text": TEXT, "entities": DICTS, "relations": [TREATS]}
    (doc,) = read(put(tmp_path / "c.jsonl", record))
    assert doc.relations == (Relation("R1", "treats", "T1", "T2"),)
    wrong = record | {"relations": [TREATS | {"to_id": 99}]}
    with pytest.raises(CorpusError, match=r"relations\[0\]: 'from_id' and 'to_id' must be ids"):
        read(put(tmp_path / "c.jsonl", wrong))


def test_what_is_not_of_mentions_is_counted_or_kept(tmp_path):
    """doccano writes the fields of its ``meta`` beside the text (``ExportedExample.to_dict``)."""
    record = {
        "id": 7,
        "doc_id": "note-3",
        "data": TEXT,
        "label": [*LISTS, LISTS[0], [6, 29, "Course"]],
        "Comments": ["look again"],
        "cats": ["order"],
        "username": "u1",
        "ward": "4B",
        "codes": ["I10"],
    }
    tally = Tally()
    (doc,) = read(put(tmp_path / "c.jsonl", record), tally)
    assert doc.id == "note-3"
    assert mentions(doc) == [*FOUND, ("Course", (6, 29))]
    assert doc.metadata == {"annotator": "u1", "id": 7, "ward": "4B"}
    assert tally.counts == {
        "comments left out": 1,
        "identical mentions collapsed": 1,
        "labels of whole texts left out": 1,
        "nested metadata fields left out": 1,
    }


@pytest.mark.parametrize(
    ("items", "message", "masked"),
    [
        ([{"start": 6, "end": 99, "label": "A"}], r"\[6, 99\) is past end 30", ((6, 30),)),
        ([{"start": 6, "end": 14, "label": 3}], "the label must be a string", ((6, 14),)),
        ([{"start": 6, "end": 14, "label": ""}], "label must not be empty", ((6, 14),)),
        # The text says where the mention may be instead.
        (
            [{"start": 7, "end": 15, "label": "A", "text": "stroke"}],
            r"\[7, 15\): its text differs from the text there",
            ((7, 15), (23, 29)),
        ),
        ([[23, 29, None]], "the label must be a string", ((23, 29),)),
        # Nothing says which stretch is unknown: the document is left out.
        ([{"start": 99, "end": 120, "label": "A"}], "is past end 30", None),
        ([{"start": 14, "end": 6, "label": "A"}], "empty or negative", None),
        ([{"start": "6", "end": 14, "label": "A"}], "must be whole numbers", None),
        ([{"start": 6, "label": "A"}], "must be whole numbers", None),
        ([[6, 14, "A"], [6, 14]], r"spans\[1\]: a mention must be \[start, end, label\]", None),
    ],
)
def test_a_mention_that_cannot_be_read_is_unknown(tmp_path, items, message, masked):
    path = put(
        tmp_path / "c.jsonl", {"text": "ok", "spans": []}, {"id": 1, "text": TEXT, "spans": items}
    )
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}:2: doc '1': spans[")
    assert "warfarin" not in str(error.value) and "stroke" not in str(error.value)
    tally = Tally("count")
    docs = read(path, tally)
    assert [doc.masked for doc in docs[1:]] == ([] if masked is None else [masked])
    assert tally.counts == {"dropped: document" if masked is None else "masked: mention": 1}


def test_a_relation_of_a_masked_mention_is_left_out(tmp_path):
    entities = [DICTS[0], DICTS[1] | {"end_offset": 99}]
    record = {"text": TEXT, "entities": entities, "relations": [TREATS]}
    tally = Tally("count")
    (doc,) = read(put(tmp_path / "c.jsonl", record), tally)
    assert (len(doc.entities), doc.relations, doc.masked) == (1, (), ((23, 30),))
    assert tally.counts["relations of masked mentions left out"] == 1


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"text": "No rash."}, "'spans' in the records before, and here in no such field"),
        ({"text": "No rash.", "label": []}, "and here in 'label'"),
        ({"spans": []}, "an object with a string 'text'"),
        ({"text": "x", "spans": [], "label": LISTS}, "'spans', but 'label' holds some too"),
        ({"text": "x", "spans": [], "meta": [1]}, "'meta' must be an object"),
    ],
)
def test_labels_are_read_whole_or_not_at_all(tmp_path, second, message):
    path = put(tmp_path / "c.jsonl", {"text": TEXT, "spans": PLAIN}, second)
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}:2: ")
    assert len(read(path, Tally("count"))) == 1


def test_offsets_are_code_points(tmp_path):
    text = "👩‍⚕️ saw 𝛼 rash.\r\nNo e\u0301dema."
    spans = [[text.index(x), text.index(x) + len(x), "A"] for x in ("👩", "𝛼 rash", "e\u0301dema")]
    (doc,) = read(put(tmp_path / "c.jsonl", {"text": text, "label": spans}))
    assert doc.mentions() == ["👩", "𝛼 rash", "e\u0301dema"]


def test_a_list_in_one_file(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps([{"text": TEXT, "entities": LISTS}] * 2, indent=2))
    read = read_corpus(tmp_path / "c.json")
    assert [doc.id for doc in read.docs] == ["c-1", "c-2"]
    wrong = [{"text": TEXT, "entities": LISTS}, {"text": TEXT, "entities": [[6, 99, "A"]]}]
    (tmp_path / "c.json").write_text(json.dumps(wrong))
    with pytest.raises(OffsetError, match=r"c\.json: record 2: doc 'c-2': entities\[0\]: \[6, 99"):
        read_corpus(tmp_path / "c.json")
    found = read_corpus(tmp_path / "c.json", ReadingConfig(on_problem="count"))
    assert found.counts == {"masked: mention": 1}


@st.composite
def docs(draw):
    text = draw(texts)
    found = {(ent.label, ent.spans): ent for ent in draw(entities(text)) if len(ent.spans) == 1}
    ents = [Entity(f"T{i}", label, spans) for i, (label, spans) in enumerate(found, 1)]
    metadata = draw(st.dictionaries(st.just("ward"), st.none() | words, max_size=1))
    return Document(draw(words), text, tuple(ents), metadata=metadata)


@pytest.mark.parametrize("format", ["offsets", "doccano"])
@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(docs(), min_size=1, max_size=3, unique_by=lambda doc: doc.id))
def test_read_undoes_write(tmp_path, format, documents):
    path = tmp_path / f"{format}.jsonl"
    path.unlink(missing_ok=True)
    assert write_corpus(documents, path, format=format) == {}
    found = read_corpus(path, expect_mentions=False)
    assert (found.format, found.docs, found.counts) == (format, documents, {})


def test_writes_what_doccano_imports(tmp_path):
    """``label`` for sequence labelling; ``entities`` and ``relations`` where relations are used.

    As in doccano's backend/data_import/pipeline/examples, relation_extraction/example.jsonl.
    """
    ents = (Entity("T1", "Drug", ((6, 14),)), Entity("T2", "Problem", ((23, 29),)))
    doc = Document("a", TEXT, ents, metadata={"ward": "4B"})
    path = tmp_path / "c.jsonl"
    offsets.write_doccano([doc], path)
    assert json.loads(path.read_text()) == {
        "doc_id": "a",
        "text": TEXT,
        "label": LISTS,
        "ward": "4B",
    }
    related = Document("b", TEXT, ents, (Relation("R1", "treats", "T1", "T2"),))
    offsets.write_doccano([doc, related], path)
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert [ent["id"] for ent in first["entities"] + second["entities"]] == [1, 2, 3, 4]
    assert (first["relations"], "label" in first) == ([], False)
    assert second["relations"] == [{"from_id": 3, "to_id": 4, "type": "treats"}]
    assert read(path) == [doc, related]


def test_what_the_formats_cannot_hold_is_counted(tmp_path):
    doc = Document(
        "a",
        "chest pain",
        (Entity("x", "P", ((0, 2), (6, 8)), ("negated",), ("C1",)),),
        (Relation("r", "L", "x", "x", symmetric=True),),
        sections=(Section("HPI", 0, 5),),
        provenance=Provenance("silver"),
        metadata={"label": "taken", "_x": 1, "notes": [1], "patient": "p1"},
    )
    both = {
        "attributes left out": 1,
        "concept ids left out": 1,
        "discontinuous mentions written whole": 1,
        "documents whose provenance was left out": 1,
        "documents whose sections or masks were left out": 1,
        "entity ids numbered anew": 1,
        "metadata fields left out": 3,
    }
    directed = {"relation ids numbered anew": 1, "symmetric relations written as directed": 1}
    assert +offsets.write([doc], tmp_path / "c.jsonl") == {**both, "relations left out": 1}
    assert +offsets.write_doccano([doc], tmp_path / "d.jsonl") == {**both, **directed}
