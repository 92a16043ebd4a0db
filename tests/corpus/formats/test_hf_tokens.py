import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.corpus import read_corpus, write_corpus
from notesmith.corpus.formats import hf_tokens
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity
from notesmith.errors import CorpusError
from tests.corpus.documents import entities, texts

WORDS = ["Began", "warfarin", "after", "a", "mild", "stroke."]
TAGS = ["O", "B-Drug", "O", "O", "B-Problem", "I-Problem"]
ROW = {"id": "n1", "tokens": WORDS, "ner_tags": TAGS}
FOUND = (Entity("T1", "Drug", ((6, 14),)), Entity("T2", "Problem", ((23, 35),)))


def put(path, *records):
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def read(path, tally=None, **options):
    return list(hf_tokens.read(path, "c", tally or Tally(), **options))


@pytest.mark.parametrize("field", ["ner_tags", "tags", "ner", "labels"])
def test_tokens_and_tags(tmp_path, field):
    """Columns of conll2003 on the hub; ``tags`` are AutoTrain's (docs/source/tasks)."""
    found = read_corpus(put(tmp_path / "c.jsonl", {"id": "n1", "tokens": WORDS, field: TAGS}))
    assert found.format == "hf-tokens"
    assert found.docs == [Document("n1", " ".join(WORDS), FOUND, metadata={"tokens": "spaces"})]
    assert found.counts == {"files with IOB2 tags": 1}


def test_schemes_are_recognised_or_named(tmp_path):
    tags = ["O", "U-Drug", "O", "O", "B-Problem", "L-Problem"]
    tally = Tally()
    (doc,) = read(put(tmp_path / "c.jsonl", ROW | {"ner_tags": tags}), tally)
    assert (doc.entities, tally.counts) == (FOUND, {"files with BIOES tags": 1})
    tags = ["O", "I-Drug", "O", "O", "I-Problem", "I-Problem"]
    path = put(tmp_path / "c.jsonl", ROW | {"ner_tags": tags})
    assert read(path)[0].entities == FOUND
    with pytest.raises(CorpusError, match=r":1:1: doc 'n1': I continues no mention .*IOB2"):
        read(path, scheme="iob2")


def test_text_by_offsets_in_order_or_by_spaces(tmp_path):
    text = "Began  warfarin\nafter a mild stroke."
    assert read(put(tmp_path / "c.jsonl", ROW | {"text": text}))[0].mentions() == [
        "warfarin",
        "mild stroke.",
    ]
    spaces = [False, True, True, True, True, False]
    (doc,) = read(put(tmp_path / "c.jsonl", ROW | {"spaces": spaces}))
    assert (doc.text, doc.metadata) == ("Beganwarfarin after a mild stroke.", {})
    with pytest.raises(CorpusError, match="token 1 is not what stands at 7 in the text"):
        read(put(tmp_path / "c.jsonl", ROW | {"text": text.replace("warf", "Warf")}))


def test_other_columns_are_left_out_by_name_or_kept(tmp_path):
    row = ROW | {"pos_tags": [1] * 6, "chunk_tags": ["B-NP"] * 6, "ward": "4B", "seen": {"n": 1}}
    tally = Tally()
    (doc,) = read(put(tmp_path / "c.jsonl", row), tally)
    assert doc.metadata == {"ward": "4B", "tokens": "spaces"}
    assert tally.counts == {
        "files with IOB2 tags": 1,
        "nested metadata fields left out": 1,
        "records whose field 'chunk_tags' was left out": 1,
        "records whose field 'pos_tags' was left out": 1,
    }


def test_ids_that_count_rows_name_no_document(tmp_path):
    rows = [{"id": str(n), "tokens": ["x"], "ner_tags": ["O"]} for n in range(2)]
    assert [doc.id for doc in read(put(tmp_path / "c.jsonl", *rows))] == ["c-1", "c-2"]
    assert [doc.id for doc in read(put(tmp_path / "c.jsonl", rows[1]))] == ["1"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"ner_tags": [0, 1, 0, 0, 2, 3]},
            r"doc 'n1': 'ner_tags' holds numbers, and JSON does not name them; write their names",
        ),
        ({"ner_tags": TAGS[:-1]}, "doc 'n1': 6 tokens but 5 tags"),
        ({"ner_tags": ["O", "Drug", "O", "O", "O", "O"]}, "doc 'n1': token 1: the tag is not O"),
        ({"ner_tags": ["O", None, "O", "O", "O", "O"]}, "doc 'n1': token 1: the tag is not O"),
        ({"tokens": [{"text": "x"}]}, "must be an object with lists 'tokens' and 'ner_tags'"),
        ({"spaces": [True]}, "doc 'n1': column spaces must hold true or false for each of 6"),
    ],
)
def test_a_bad_record_names_its_place_but_no_text(tmp_path, fields, message):
    path = put(tmp_path / "c.jsonl", ROW | {"id": "n0"}, ROW | fields)
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}:2: ")
    assert "warfarin" not in str(error.value)
    assert [doc.id for doc in read(path, Tally("count"))] == ["n0"]


@st.composite
def docs(draw):
    text = draw(texts)
    kept = []
    for ent in sorted(draw(entities(text)), key=lambda ent: (ent.start, -ent.end)):
        if len(ent.spans) == 1 and (not kept or ent.start >= kept[-1].end):
            kept.append(Entity(f"T{len(kept) + 1}", ent.label, ent.spans))
    return Document("x", text, tuple(kept))


@settings(suppress_health_check=list(HealthCheck))
@given(docs())
def test_read_undoes_write(tmp_path, document):
    path = tmp_path / "c.jsonl"
    path.unlink(missing_ok=True)
    write_corpus([document], path, format="hf-tokens")
    found = read_corpus(path, expect_mentions=False)
    assert (found.format, found.docs) == ("hf-tokens", [document])


def test_writes_tokens_tags_text_and_offsets(tmp_path):
    write_corpus(
        [Document("a", "No mild rash.", (Entity("T1", "Problem", ((3, 12),)),))],
        tmp_path / "c.jsonl",
        format="hf-tokens",
    )
    assert json.loads((tmp_path / "c.jsonl").read_text()) == {
        "id": "a",
        "tokens": ["No", "mild", "rash", "."],
        "ner_tags": ["O", "B-Problem", "I-Problem", "O"],
        "text": "No mild rash.",
        "offsets": [[0, 2], [3, 7], [8, 12], [12, 13]],
    }
