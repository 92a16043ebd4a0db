import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.corpus import read_corpus, write_corpus
from notesmith.corpus.formats import spacy_tuples
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Relation
from notesmith.errors import CorpusError
from tests.corpus.documents import entities, texts

TEXT = "Began warfarin after a stroke."
FOUND = (Entity("T1", "Drug", ((6, 14),)), Entity("T2", "Problem", ((23, 29),)))
NOTES = {"entities": [[6, 14, "Drug"], [23, 29, "Problem"]]}
PAIRS = [[TEXT, NOTES], ["No rash.", {"entities": []}]]


def put(path, content):
    path.write_text(content, encoding="utf-8")
    return path


def read(path, tally=None):
    return list(spacy_tuples.read(path, path.stem, tally or Tally()))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.json", json.dumps(PAIRS)),
        ("c.json", json.dumps(PAIRS, indent=2)),
        ("c.jsonl", "".join(f"{json.dumps(pair)}\n" for pair in PAIRS)),
        ("c.json", "".join(f"{json.dumps(pair)}\n" for pair in PAIRS)),
        # NER Annotator's export, github.com/tecoholic/ner-annotator/issues/44.
        ("c.json", json.dumps({"classes": ["DRUG"], "annotations": PAIRS})),
    ],
)
def test_a_list_lines_or_an_export_of_ner_annotator(tmp_path, name, content):
    found = read_corpus(put(tmp_path / name, content))
    assert found.format == "spacy-tuples"
    assert found.docs == [Document("c-1", TEXT, FOUND), Document("c-2", "No rash.")]


def test_a_text_that_was_skipped_is_left_out(tmp_path):
    """NER Annotator writes ``null`` for it (tecoholic/ner-annotator, issue 119)."""
    export = {"classes": [], "annotations": [PAIRS[0], None]}
    tally = Tally()
    docs = read(put(tmp_path / "c.json", json.dumps(export)), tally)
    assert [doc.id for doc in docs] == ["c-1"]
    assert tally.counts == {"texts that were skipped in annotation left out": 1}


def test_groups_of_spans_and_further_fields(tmp_path):
    """``spans`` of ``Example.from_dict`` (spacy/training/example.pyx)."""
    notes = NOTES | {
        "spans": {"sc": [*NOTES["entities"], [6, 29, "Course"]]},
        "cats": {"order": 1.0},
        "links": {},
    }
    tally = Tally()
    (doc,) = read(put(tmp_path / "c.json", json.dumps([[TEXT, notes]])), tally)
    assert doc.entities == (*FOUND, Entity("T3", "Course", ((6, 29),)))
    assert tally.counts == {
        "further fields of annotations left out": 1,
        "labels of whole texts left out": 1,
    }


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({"cats": {"order": 1.0}}, "no list 'entities'; write the mentions there"),
        ({"ents": [[6, 14, "Drug"]]}, r"no list 'entities' \('ents' is not read\)"),
        ({"entities": None}, "no list 'entities'"),
        ({"entities": ["O", "U-Drug"]}, "entities are tags, one a token"),
        ({"entities": [[6, 14]]}, r"entities\[0\]: a mention must be \[start, end, label\]"),
        ({"entities": [[6, 99, "Drug"]]}, r"entities\[0\]: \[6, 99\) is past end 30"),
        ({"entities": [], "spans": []}, None),
        ({"entities": [], "spans": {"sc": 1}}, "'spans' must be an object with a list"),
    ],
)
def test_a_bad_tuple_names_its_place_but_no_text(tmp_path, notes, message):
    path = put(tmp_path / "c.json", json.dumps([PAIRS[1], [TEXT, notes]]))
    if message is None:
        assert len(read(path)) == 2
        return
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: record 2: doc 'c-2': ")
    assert "warfarin" not in str(error.value)
    tally = Tally("count")
    docs = read(path, tally)
    assert len(docs) == 1 or docs[1].masked
    assert sum(tally.counts.values()) == 1


def test_other_records_are_refused(tmp_path):
    path = put(tmp_path / "c.json", json.dumps([PAIRS[0], {"text": "x", "spans": []}]))
    with pytest.raises(CorpusError, match=r"must be .text, .*this one has the layout of offsets"):
        read(path)


@st.composite
def docs(draw):
    text = draw(texts)
    found = {(ent.label, ent.spans): ent for ent in draw(entities(text)) if len(ent.spans) == 1}
    return Document("x", text, tuple(Entity(f"T{i}", *key) for i, key in enumerate(found, 1)))


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(docs(), min_size=1, max_size=3))
def test_read_undoes_write(tmp_path, documents):
    path = tmp_path / "c.json"
    path.unlink(missing_ok=True)
    write_corpus(documents, path, format="spacy-tuples")
    found = read_corpus(path, expect_mentions=False)
    assert (found.format, found.counts) == ("spacy-tuples", {})
    assert [(doc.text, {(e.label, e.spans) for e in doc.entities}) for doc in found.docs] == [
        (doc.text, {(e.label, e.spans) for e in doc.entities}) for doc in documents
    ]


def test_spacy_takes_what_is_written(tmp_path):
    spacy = pytest.importorskip("spacy")
    from spacy.training import Example

    nested = Document("a", TEXT, (*FOUND, Entity("T3", "Course", ((6, 29),))))
    write_corpus([nested, Document("b", TEXT, FOUND)], tmp_path / "c.json", format="spacy-tuples")
    nlp = spacy.blank("en")
    first, second = [
        Example.from_dict(nlp.make_doc(text), notes).reference
        for text, notes in json.loads((tmp_path / "c.json").read_text())
    ]
    assert [ent.label_ for ent in first.ents] == ["Course"]
    assert [span.label_ for span in first.spans["sc"]] == ["Drug", "Problem", "Course"]
    assert [ent.label_ for ent in second.ents] == ["Drug", "Problem"]


def test_what_the_format_cannot_hold_is_counted(tmp_path):
    ents = (Entity("x", "A", ((0, 1),), ("negated",)),)
    doc = Document("a", "x y", ents, (Relation("R1", "r", "x", "x"),), metadata={"n": 1})
    assert +spacy_tuples.write([doc], tmp_path / "c.json") == {
        "attributes left out": 1,
        "document ids left out": 1,
        "documents whose metadata was left out": 1,
        "entity ids numbered anew": 1,
        "relations left out": 1,
    }
