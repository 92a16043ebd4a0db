import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.corpus.formats import jsonl, prodigy, prodigy_write
from notesmith.corpus.formats.json_records import layout_of_file
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Provenance, Relation, Section
from notesmith.errors import CorpusError, OffsetError
from tests.corpus.documents import entities, texts, words

# As ner.manual and rel.manual of Prodigy 1.11 save them (db-out).
MANUAL = {
    "text": "Denies chest pain.",
    "meta": {"source": "clinic", "id": "n017"},
    "_input_hash": -1886656284,
    "_task_hash": 1122046838,
    "_is_binary": False,
    "tokens": [
        {"text": "Denies", "start": 0, "end": 6, "id": 0, "ws": True},
        {"text": "chest", "start": 7, "end": 12, "id": 1, "ws": True},
        {"text": "pain", "start": 13, "end": 17, "id": 2, "ws": False},
        {"text": ".", "start": 17, "end": 18, "id": 3, "ws": False},
    ],
    "_view_id": "ner_manual",
    "spans": [{"start": 7, "end": 17, "token_start": 1, "token_end": 2, "label": "Problem"}],
    "answer": "accept",
    "_timestamp": 1773093368,
    "_annotator_id": "notes-ann",
    "_session_id": "notes-ann",
}
RELATIONS = {
    "text": "metoprolol 25 mg",
    "tokens": [
        {"text": "metoprolol", "start": 0, "end": 10, "id": 0, "ws": True, "disabled": False},
        {"text": "25", "start": 11, "end": 13, "id": 1, "ws": True, "disabled": False},
        {"text": "mg", "start": 14, "end": 16, "id": 2, "ws": False, "disabled": False},
    ],
    "_view_id": "relations",
    "spans": [
        {"text": "metoprolol", "start": 0, "token_start": 0, "token_end": 0, "end": 10,
         "type": "span", "label": "Drug"},
        {"text": "25 mg", "start": 11, "token_start": 1, "token_end": 2, "end": 16,
         "type": "span", "label": "Dose"},
    ],
    "relations": [
        {
            "head": 0,
            "child": 2,
            "head_span": {"start": 0, "end": 10, "token_start": 0, "token_end": 0, "label": "Drug"},
            "child_span": {"start": 11, "end": 16, "token_start": 1, "token_end": 2,
                           "label": "Dose"},
            "color": "#b5c6c9",
            "label": "dose",
        },
        {"head": 2, "child": 0, "label": "of"},
        {
            "head": 1,
            "child": 0,
            "head_span": {"start": 11, "end": 13, "token_start": 1, "token_end": 1, "label": None},
            "child_span": {"start": 0, "end": 10, "token_start": 0, "token_end": 0,
                           "label": "Drug"},
            "label": "dep",
        },
    ],
    "answer": "accept",
}  # fmt: skip
PLAIN = {"text": "No rash.", "spans": [{"start": 3, "end": 7, "label": "Problem"}]}


def put(tmp_path, *records, name="notes.jsonl"):
    path = tmp_path / name
    lines = [x if isinstance(x, str) else json.dumps(x) for x in records]
    path.write_text("".join(f"{line}\n" for line in lines), newline="")
    return path


def read(path, tally=None, **options):
    return list(prodigy.read(path, path.stem, tally or Tally(), **options))


def test_reads_spans_relations_and_meta(tmp_path):
    tally = Tally()
    docs = read(put(tmp_path, MANUAL, "", RELATIONS, PLAIN), tally)
    assert docs == [
        Document(
            "n017",
            "Denies chest pain.",
            (Entity("T1", "Problem", ((7, 17),)),),
            metadata={"source": "clinic", "annotator": "notes-ann"},
        ),
        Document(
            "notes-3",
            "metoprolol 25 mg",
            (Entity("T1", "Drug", ((0, 10),)), Entity("T2", "Dose", ((11, 16),))),
            (Relation("R1", "dose", "T1", "T2"), Relation("R2", "of", "T2", "T1")),
        ),
        Document("notes-4", "No rash.", (Entity("T1", "Problem", ((3, 7),)),)),
    ]
    assert tally.counts == {
        "lines without an answer (taken as accepted)": 1,
        "relations of tokens that are no labelled span left out": 1,
    }


def test_rejected_and_ignored_lines_are_left_out(tmp_path):
    tally = Tally()
    lines = [PLAIN | {"answer": answer} for answer in ("accept", "reject", "ignore")]
    assert len(read(put(tmp_path, *lines), tally)) == 1
    assert tally.counts == {
        "lines left out: answer reject": 1,
        "lines left out: answer ignore": 1,
    }


def test_lines_without_an_answer_are_left_out_and_a_file_of_them_is_refused(tmp_path):
    tally = Tally()
    assert len(read(put(tmp_path, PLAIN, MANUAL | {"answer": None}), tally)) == 1
    assert tally.counts["lines left out: no answer"] == 1
    path = put(tmp_path, MANUAL | {"answer": None, "spans": None}, MANUAL | {"answer": "ignore"})
    with pytest.raises(CorpusError, match=r"every line is left out \(answer ignore; no answer\)"):
        read(path)
    tally = Tally("count")
    assert read(path, tally) == []
    assert tally.counts["dropped: file without annotations"] == 1


@pytest.mark.parametrize(
    ("fields", "doc_id"),
    [
        ({}, "notes-1"),
        ({"_input_hash": -17}, "-17"),
        ({"id": 5, "_input_hash": -17}, "5"),
        ({"meta": {"id": "a"}, "id": 5}, "a"),
        ({"meta": {"id": "a", "doc_id": "b"}}, "b"),
        ({"meta": {"id": ""}}, "notes-1"),
        ({"meta": {"id": True}}, "notes-1"),
    ],
)
def test_the_id(tmp_path, fields, doc_id):
    assert [doc.id for doc in read(put(tmp_path, PLAIN | fields))] == [doc_id]


def test_texts_that_share_an_id_are_numbered(tmp_path):
    lines = [{"text": text, "spans": [], "meta": {"id": "n1"}} for text in ("a b", "c d", "a b")]
    tally = Tally()
    assert [doc.id for doc in read(put(tmp_path, *lines), tally)] == ["n1-1", "n1-2"]
    assert tally.counts["identical tasks of one text merged"] == 1


def test_annotators_are_chosen_or_read_each(tmp_path):
    def line(text, who, n):
        spans = [{"start": 0, "end": 1 + 2 * i, "label": "A"} for i in range(n)]
        return {"text": text, "spans": spans, "_session_id": who, "answer": "accept"}

    path = put(tmp_path, line("a b", "x", 1), line("a b", "y", 0), line("c d", "y", 2))
    with pytest.raises(CorpusError, match=r"texts with several annotators; choose one .*: x, y"):
        read(path)
    with pytest.raises(CorpusError, match=r"no annotator 'z'; there are x, y"):
        read(path, annotator="z")
    tally = Tally()
    docs = read(path, tally, annotator="y")
    assert [len(doc.entities) for doc in docs] == [0, 2]
    assert tally.counts == {"lines of other annotators left out": 1}
    each = prodigy.read_each(path, "notes", Tally())
    assert {who: [len(doc.entities) for doc in docs] for who, docs in each.items()} == {
        "x": [1],
        "y": [0, 2],
    }
    lone = put(tmp_path, line("a b", "x", 1), line("c d", "y", 2))
    assert [doc.metadata["annotator"] for doc in read(lone)] == ["x", "y"]


def test_further_fields_are_counted(tmp_path):
    span = {"start": 3, "end": 7, "label": "P", "kb_id": "C1", "score": 0.5}
    bare = {"start": 0, "end": 2}
    line = {"text": "No rash.", "spans": [span, bare], "accept": ["x"], "meta": {"n": [1], "m": 2}}
    tally = Tally()
    (doc,) = read(put(tmp_path, line | {"answer": "accept"}), tally)
    assert (len(doc.entities), doc.metadata) == (1, {"m": 2})
    assert tally.counts == {
        "further fields of lines left out": 1,
        "further fields of spans left out": 1,
        "nested metadata fields left out": 1,
        "spans without a label left out": 1,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"spans": [{"start": 3, "end": 99, "label": "P"}]},
            r"spans\[0\]: \[3, 99\) is past end 8; correct",
        ),
        ({"spans": [{"start": 7, "end": 3, "label": "P"}]}, "empty or negative"),
        ({"spans": [{"start": "3", "end": 7, "label": "P"}]}, "must be whole numbers"),
        ({"spans": [{"start": True, "end": 7, "label": "P"}]}, "must be whole numbers"),
        ({"spans": [{"start": 3, "end": 7, "label": 4}]}, "the label must be a string"),
        ({"spans": [{"start": 3, "end": 7, "label": ""}]}, "label must not be empty"),
        ({"spans": [{"start": 3, "end": 7, "label": "P", "text": "ash."}]}, "differs from the tex"),
        ({"spans": [{}], "tokens": 3}, "'tokens' must be a list of objects"),
        ({"spans": ["No rash."]}, "'spans' must be a list of objects"),
        ({"meta": ["No rash."]}, "'meta' must be an object"),
        ({"relations": [{"head": 0, "child": 1}]}, r"relations\[0\]: a relation needs a 'label'"),
        ({"relations": [{"child": 1, "label": "x"}]}, "a relation needs 'head', the number of a"),
        ({"relations": [{"head": 0, "child": None, "label": "x"}]}, "a relation needs 'child'"),
        ({"relations": [{"head_span": {}, "child": 1, "label": "x"}]}, "must be whole numbers"),
    ],
)
def test_a_bad_line_names_file_line_and_document_but_no_text(tmp_path, change, message):
    path = put(tmp_path, MANUAL, PLAIN | change)
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}:2: doc 'notes-2': ")
    assert "ash" not in str(error.value)
    assert "\n" not in str(error.value)
    tally = Tally("count")
    docs = read(path, tally)
    assert docs[0].id == "n017"
    counted = [what for what in tally.counts if what.startswith(("dropped: ", "masked: "))]
    assert sum(tally.counts[what] for what in counted) == 1
    # A mention that cannot be read is unknown: masked, or its document is left out.
    assert len(docs) == 1 or docs[1].masked or counted == ["dropped: relation"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (json.dumps(PLAIN)[:30], "not JSON .*; is it cut off?"),
        ('{"text": "x", "n": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "not JSON|nested too deeply"),
        ('{"text": "x", "n": ' + "9" * 5000 + "}", "number too long"),
        ("[1]", "a line must be an object with 'text'; is it Prodigy's?"),
        ('{"spans": []}', "a line must be an object with 'text'"),
        ('{"text": 3, "spans": []}', "a line must be an object with 'text'"),
        ('{"text": "x", "answer": "yes"}', "'answer' must be one of accept, reject, ignore"),
        ('{"text": "x\\ud800", "spans": []}', "lone surrogate at offset 1"),
    ],
)
def test_a_malformed_line_gives_one_line(tmp_path, line, message):
    path = put(tmp_path, MANUAL, line)
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}:2: ")
    assert "\n" not in str(error.value)
    tally = Tally("count")
    assert [doc.id for doc in read(path, tally)] == ["n017"]
    assert tally.counts == {"dropped: record": 1}


def test_not_utf8(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_bytes(json.dumps(PLAIN).encode() + b'\n{"text": "na\xefve", "spans": []}\n')
    with pytest.raises(CorpusError, match=r"notes\.jsonl:2: byte \d+ is not UTF-8"):
        read(path)


def test_offsets_are_code_points(tmp_path):
    text = "👩‍⚕️ saw 𝛼 rash.\r\nNo e\u0301dema."
    spans = [
        {"start": text.index(x), "end": text.index(x) + len(x), "label": "A", "text": x}
        for x in ("👩", "𝛼 rash", "e\u0301dema")
    ]
    (doc,) = read(put(tmp_path, {"text": text, "spans": spans}))
    assert doc.mentions() == ["👩", "𝛼 rash", "e\u0301dema"]
    with pytest.raises(OffsetError, match="differs from the text there"):
        read(put(tmp_path, {"text": text, "spans": [spans[1] | {"start": spans[1]["start"] + 1}]}))


@pytest.mark.parametrize(
    ("line", "layout"),
    [
        (MANUAL, "prodigy"),
        (RELATIONS, "prodigy"),
        ({"text": "x", "answer": "accept"}, "prodigy"),
        ({"text": "x" * 70_000, "spans": [], "_task_hash": 3}, "prodigy"),
        (PLAIN, "offsets"),
        ({"schema": 1, "id": "a", "text": "x" * 70_000}, "jsonl"),
        ({"text": "x", "schema": 1, "spans": [], "answer": "accept"}, "jsonl"),
        ({"text": "x"}, None),
        ({"id": 1, "data": "x", "spans": []}, "offsets"),
        ("No rash.", None),
        ("", None),
    ],
)
def test_lines_are_told_by_what_only_they_have(tmp_path, line, layout):
    path = put(tmp_path, "", line)
    assert layout_of_file(path) == layout
    text = tmp_path / "notes.txt"
    text.write_bytes(path.read_bytes())
    assert layout_of_file(text) is None


def test_our_own_lines_are_not_claimed(tmp_path):
    jsonl.write([Document("a", 'say "text": "spans"')], tmp_path / "own.jsonl")
    assert layout_of_file(tmp_path / "own.jsonl") == "jsonl"


TOKENS = [
    {"text": text, "start": start, "end": start + len(text), "id": i, "ws": i < 3}
    for i, (text, start) in enumerate(
        [("Cough", 0), ("since", 6), ("taking", 12), ("ramipril", 19)]
    )
]
COUGH = {"start": 0, "end": 5, "token_start": 0, "token_end": 0, "label": "Problem"}
RAMIPRIL = {"start": 19, "end": 27, "token_start": 3, "token_end": 3, "label": "Drug"}
REACTION = {"start": 0, "end": 27, "token_start": 0, "token_end": 3, "label": "ADR"}


def task(view, *spans, number=1, **fields):
    """A line of db-out: https://prodi.gy/docs/api-interfaces, and hashes as in api-loaders."""
    return {
        "text": "Cough since taking ramipril",
        "_input_hash": 5,
        "_task_hash": number,
        "_view_id": view,
        "tokens": TOKENS,
        "spans": list(spans),
        "answer": "accept",
        **fields,
    }


def found(doc):
    return [(ent.label, ent.start, ent.end) for ent in doc.entities]


PROBLEM, DRUG, ADR = ("Problem", 0, 5), ("Drug", 19, 27), ("ADR", 0, 27)


@pytest.mark.parametrize(
    ("lines", "mentions", "counted"),
    [
        (
            [task("ner_manual", COUGH), task("ner_manual", COUGH, number=2)],
            [PROBLEM],
            "identical tasks of one text merged",
        ),
        (
            [task("ner_manual", COUGH), task("ner_manual", COUGH, RAMIPRIL, number=2)],
            [PROBLEM, DRUG],
            "tasks of one text joined",
        ),
        (
            [task("ner_manual", COUGH), task("spans_manual", RAMIPRIL, REACTION, number=2)],
            [PROBLEM, DRUG, ADR],
            "tasks of one text joined",
        ),
        (
            [
                task("ner_manual", COUGH),
                task("spans_manual", COUGH, REACTION | {"label": "Problem"}, number=2),
            ],
            [PROBLEM, ("Problem", 0, 27)],
            "tasks of one text joined",
        ),
        (
            [task("ner_manual", COUGH), {**task("choice", number=2), "accept": ["ADR"]}],
            [PROBLEM],
            "lines left out: view choice marks no mentions",
        ),
        (
            [task("ner", RAMIPRIL, number=2), task("ner_manual", COUGH)],
            [PROBLEM],
            "answers to questions about one span left out (their text is annotated by hand)",
        ),
    ],
)
def test_tasks_of_one_text_are_one_document(tmp_path, lines, mentions, counted):
    tally = Tally()
    (doc,) = read(put(tmp_path, *lines), tally)
    assert (found(doc), doc.masked) == (mentions, ())
    assert tally.counts == {counted: 1}


def test_tasks_of_one_text_that_contradict_each_other(tmp_path):
    path = put(tmp_path, task("ner_manual", COUGH), task("ner_manual", REACTION, RAMIPRIL))
    with pytest.raises(CorpusError, match=r"2: doc '5': \[0, 27\) overlaps \[0, 5\) of another"):
        read(path)
    tally = Tally("count")
    (doc,) = read(path, tally)
    assert (found(doc), doc.masked) == ([DRUG], ((0, 27),))
    assert tally.counts["masked: mention"] == 1


def test_relations_of_joined_tasks_keep_their_ends(tmp_path):
    link = {"head": 3, "child": 0, "label": "causes"}
    lines = [
        task("ner_manual", COUGH),
        task("relations", RAMIPRIL, COUGH, number=2, relations=[link]),
    ]
    (doc,) = read(put(tmp_path, *lines))
    assert found(doc) == [PROBLEM, DRUG]
    assert doc.relations == (Relation("R1", "causes", "T2", "T1"),)


def test_a_question_about_one_span_leaves_the_rest_of_its_text_unknown(tmp_path):
    """ner.teach: https://support.prodi.gy/t/ner-train-number-of-examples/641."""
    tally = Tally()
    lines = [task("ner", RAMIPRIL), task("ner", COUGH, number=2, answer="reject")]
    (doc,) = read(put(tmp_path, *lines), tally)
    assert (found(doc), doc.masked) == ([DRUG], ((0, 19),))
    assert tally.counts == {
        "lines left out: answer reject to a question about one span": 1,
        "texts of which only single spans were asked for (the rest is masked)": 1,
    }
    old = {"text": "No rash.", "spans": PLAIN["spans"], "answer": "accept", "meta": {"score": 0.5}}
    (doc,) = read(put(tmp_path, old))
    assert doc.masked == ((0, 3), (7, 8))
    (doc,) = read(put(tmp_path, MANUAL | {"_is_binary": True, "_view_id": "blocks"}))
    assert doc.masked == ((0, 7), (17, 18))
    with pytest.raises(CorpusError, match=r"every line is left out .answer reject to a question"):
        read(put(tmp_path, task("ner", COUGH, answer="reject")))


def test_spans_by_tokens_alone_or_not_accepted(tmp_path):
    by_tokens = {"token_start": 2, "token_end": 3, "label": "Drug"}
    lines = task("ner_manual", by_tokens, COUGH | {"answer": "reject"})
    tally = Tally()
    (doc,) = read(put(tmp_path, lines), tally)
    assert (found(doc), doc.masked) == ([("Drug", 12, 27)], ((0, 5),))
    assert tally.counts == {"spans that were not accepted masked": 1}
    path = put(tmp_path, task("ner_manual", by_tokens | {"token_end": 9}))
    with pytest.raises(CorpusError, match=r"spans\[0\]: start and end must be whole numbers"):
        read(path)
    assert read(path, Tally("count")) == []


def test_mentions_in_a_further_field_are_an_error(tmp_path):
    with pytest.raises(CorpusError, match="from 'spans', but 'entities' holds some too"):
        read(put(tmp_path, task("ner_manual", entities=[[0, 5, "Problem"]])))
    versions = [{"spans": [COUGH], "_session_id": "a"}]
    assert len(read(put(tmp_path, task("review", COUGH, versions=versions)))) == 1


@st.composite
def docs(draw):
    text = draw(texts)
    ents = {(ent.label, ent.spans): ent for ent in draw(entities(text))}
    ents = [replace(ent, id=f"T{i}") for i, ent in enumerate(ents.values(), 1)]
    ids = [ent.id for ent in ents]
    ends = st.sampled_from(ids) if ids else st.nothing()
    found = draw(st.lists(st.tuples(words, ends, ends), max_size=3 if ids else 0))
    relations = tuple(Relation(f"R{i}", *link) for i, link in enumerate(found, 1))
    metadata = draw(st.dictionaries(words, st.none() | st.booleans() | words, max_size=2))
    return Document(draw(words), text, tuple(ents), relations, metadata=metadata)


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(docs(), min_size=1, max_size=3, unique_by=lambda doc: doc.id))
def test_read_undoes_write(tmp_path, documents):
    path = tmp_path / "c.jsonl"
    assert +prodigy_write.write(documents, path) == {}
    tally = Tally()
    assert read(path, tally) == documents
    assert tally.counts == {}
    lines = path.read_text(encoding="utf-8").split("\n")
    assert layout_of_file(path) == "prodigy"
    for doc, line in zip(documents, lines, strict=False):
        record = json.loads(line)
        tokens = record["tokens"]
        assert "".join(x["text"] + " " * x["ws"] for x in tokens) == doc.text
        assert [doc.text[x["start"] : x["end"]] for x in tokens] == [x["text"] for x in tokens]
        for span in record["spans"]:
            assert tokens[span["token_start"]]["start"] == span["start"]
            last = tokens[span["token_end"]]
            assert span["end"] in (last["end"], last["end"] + last["ws"])
        # The numbers of tokens are enough to find the mentions, unless two end together.
        if len({span["token_end"] for span in record["spans"]}) == len(record["spans"]):
            for link in record.get("relations", []):
                del link["head_span"], link["child_span"]
            for span in record["spans"]:
                del span["token_end"]
            (bare,) = read(put(tmp_path, record, name="bare.jsonl"))
            assert bare == doc


def test_writes_what_prodigy_shows(tmp_path):
    ents = (Entity("T1", "Problem", ((3, 13),)), Entity("T2", "Site", ((3, 7),)))
    doc = Document("a", "No chest\n  pain", ents, (Relation("R1", "at", "T1", "T2"),))
    path = tmp_path / "c.jsonl"
    prodigy_write.write([doc, Document("b", "x", provenance=Provenance("silver"))], path)
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(x["text"], x["start"], x["ws"]) for x in first["tokens"]] == [
        ("No", 0, True),
        ("ches", 3, False),
        ("t", 7, False),
        ("\n  ", 8, False),
        ("pa", 11, False),
        ("in", 13, False),
    ]
    head = {"start": 3, "end": 13, "token_start": 1, "token_end": 4, "label": "Problem"}
    child = {"start": 3, "end": 7, "token_start": 1, "token_end": 1, "label": "Site"}
    assert first["spans"] == [head, child]
    assert first["relations"] == [
        {"head": 4, "child": 1, "head_span": head, "child_span": child, "label": "at"}
    ]
    assert (first["answer"], first["meta"]) == ("accept", {"id": "a"})
    assert "answer" not in second


def test_what_the_format_cannot_hold_is_counted(tmp_path):
    doc = Document(
        "a",
        "chest pain",
        (Entity("x", "P", ((0, 2), (6, 8)), ("negated",), ("C1",)),),
        (Relation("r", "L", "x", "x", symmetric=True),),
        sections=(Section("HPI", 0, 5),),
        provenance=Provenance("silver"),
        metadata={"id": "other", "notes": [1], "patient": "p1"},
    )
    assert +prodigy_write.write([doc], tmp_path / "c.jsonl") == {
        "attributes left out": 1,
        "concept ids left out": 1,
        "discontinuous mentions written whole": 1,
        "documents whose provenance was left out": 1,
        "documents whose sections or masks were left out": 1,
        "entity ids numbered anew": 1,
        "metadata fields left out": 2,
        "relation ids numbered anew": 1,
        "symmetric relations written as directed": 1,
    }
