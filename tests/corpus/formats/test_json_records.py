import gzip
import json

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import FORMATS, read_corpus
from notesmith.corpus.formats import Source
from notesmith.corpus.formats.json_records import iter_records, layout_of, layout_of_file
from notesmith.corpus.problems import Tally
from notesmith.errors import CorpusError

TEXT = "Took aspirin for pain."
OWN = {"schema": 1, "id": "a", "text": TEXT}
DOCCANO = {"id": 3, "text": TEXT, "label": [[5, 12, "Drug"]]}
SPANS = {"text": TEXT, "spans": [{"start": 5, "end": 12, "label": "Drug"}]}
TUPLE = [TEXT, {"entities": [[5, 12, "Drug"]]}]
TOKENS = {"tokens": ["Took", "aspirin"], "ner_tags": ["O", "B-Drug"]}
GLINER = {"tokenized_text": ["Took", "aspirin"], "ner": [[1, 1, "Drug"]]}
PRODIGY = SPANS | {"_task_hash": 7, "answer": "accept"}
LAYOUTS = {
    "jsonl": OWN,
    "prodigy": PRODIGY,
    "doccano": DOCCANO,
    "offsets": SPANS,
    "spacy-tuples": TUPLE,
    "hf-tokens": TOKENS,
    "gliner": GLINER,
}


def lines(path, *records):
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("record", "layout"),
    [
        *((record, layout) for layout, record in LAYOUTS.items()),
        ({"text": TEXT}, None),
        ({"text": TEXT, "label": "cardiology"}, None),
        ({"text": TEXT, "labels": ["cardiology", "letter"]}, None),
        ({"text": TEXT, "entities": ["aspirin"]}, None),
        ({"text": TEXT, "entities": [{"begin": 5, "end": 12, "label": "Drug"}]}, None),
        ({"text": TEXT, "label": []}, "doccano"),
        ({"data": TEXT, "label": [[5, 12, "Drug"]]}, "doccano"),
        ({"text": TEXT, "entities": []}, "offsets"),
        ({"text": TEXT, "entities": [], "relations": [], "Comments": []}, "doccano"),
        ({"text": TEXT, "entities": [[5, 12, "Drug"]]}, "offsets"),
        ({"text": TEXT, "entities": [[5, 12, "Drug"]], "cats": ["order"]}, "doccano"),
        ({"text": TEXT, "ents": [{"start": 5, "end": 12, "label": "Drug"}]}, "offsets"),
        ({"text": TEXT, "label": [{"start": 5, "end": 12, "labels": ["Drug"]}]}, None),
        ({"tokens": ["Took"], "pos_tags": ["VBD"]}, None),
        ([TEXT, "x"], None),
        ("x", None),
    ],
)
def test_a_layout_is_told_by_what_only_it_has(record, layout):
    assert layout_of(record) == layout


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["c.jsonl", "c.ndjson", "list.json", "lines.json", "c.jsonl.gz"])
def test_lines_and_lists_are_claimed_by_one_format_alone(tmp_path, layout, name):
    path = tmp_path / name
    record = LAYOUTS[layout]
    if name == "list.json":
        path.write_text(json.dumps([record, record], indent=1))
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(json.dumps(record).encode()))
    else:
        lines(path, record, record)
    source = Source(path, tmp_path, path.read_bytes()[:100].decode("utf-8", "replace"))
    claims = [fmt.name for fmt in FORMATS.values() if fmt.claims(source)]
    # Our own format stands in lines only.
    assert claims == ([] if layout == "jsonl" and name.endswith(".json") else [layout])
    assert {type(x.value) for x in iter_records(path, Tally())} == {type(record)}


def test_a_first_record_of_any_length_is_looked_at(tmp_path):
    long = {"text": "x" * 70_000, **{k: v for k, v in DOCCANO.items() if k != "text"}}
    assert layout_of_file(lines(tmp_path / "c.jsonl", long)) == "doccano"
    (tmp_path / "c.json").write_text(json.dumps([long, long]))
    assert layout_of_file(tmp_path / "c.json") == "doccano"


def test_an_empty_list_of_entities_leaves_it_to_the_next_records(tmp_path):
    entity = {"id": 1, "start_offset": 5, "end_offset": 12, "label": "Drug"}
    path = lines(
        tmp_path / "c.jsonl", {"text": "x", "entities": []}, {"text": TEXT, "entities": [entity]}
    )
    read = read_corpus(path)
    assert (read.format, [len(doc.entities) for doc in read.docs]) == ("doccano", [0, 1])


def test_broken_json_is_of_no_layout(tmp_path):
    for text in ("", "{", "[", "[1", "{'a': 1}", "\x00", "[" * 100_000):
        for name in ("c.jsonl", "c.json", "c.jsonl.gz"):
            (tmp_path / name).write_text(text)
            assert layout_of_file(tmp_path / name) is None


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("other", LAYOUTS)
def test_a_line_of_another_layout_is_an_error_with_its_number(tmp_path, layout, other):
    # Prodigy's own lines may lack what tells them, and are plain offsets then.
    if layout == other or (layout, other) == ("prodigy", "offsets"):
        return
    path = lines(tmp_path / "c.jsonl", LAYOUTS[layout], LAYOUTS[other])
    with pytest.raises(CorpusError) as error:
        read_corpus(path)
    assert str(error.value).startswith(f"{path}:2: ")
    assert "aspirin" not in str(error.value)
    read = read_corpus(path, ReadingConfig(on_problem="count"), expect_mentions=False)
    assert len(read.docs) == 1
    assert sum(n for what, n in read.counts.items() if what.startswith("dropped: ")) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"annotations": [{"label": 12, "start_offset": 5, "end_offset": 12, "user": 1}]},
        {"annotation": [{"label": ["Drug"], "points": [{"start": 5, "end": 11, "text": "x"}]}]},
        {"Entities": [{"BeginOffset": 5, "EndOffset": 12, "Type": "Drug"}]},
        {"found": {"Drug": [[5, 12]]}},
        {"triples": [[5, 12, "Drug"]]},
        {"bio": ["O", "B-Drug", "O"]},
        {"entities": [{"begin": 5, "length": 7, "label": "Drug"}]},
    ],
)
def test_labels_in_a_field_that_no_layout_has_are_an_error_that_names_it(tmp_path, fields):
    """Such as doccano-transformer's ``annotations``, DataTurks', Comprehend's."""
    path = lines(tmp_path / "c.jsonl", {"id": 1, "text": TEXT, **fields})
    (name,) = fields
    with pytest.raises(
        CorpusError, match=f"the layout of '{name}' is not one that is read"
    ) as error:
        read_corpus(path)
    assert str(error.value).startswith(f"{path}:1: no 'schema'")
    assert '"spans": [{"start"' in str(error.value)


def test_other_fields_of_plain_notes_are_no_labels(tmp_path):
    fields = {"visit": {"start": 2010, "end": 2012}, "codes": ["I10", "E11"], "n": [[1, 2]]}
    path = lines(tmp_path / "c.jsonl", {"id": 1, "text": TEXT, **fields})
    with pytest.raises(CorpusError, match="no 'schema' and no field of mentions"):
        read_corpus(path)
