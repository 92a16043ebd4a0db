import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.corpus.formats import label_studio
from notesmith.corpus.problems import Tally
from notesmith.document import ConceptRelation, Document, Entity, Provenance, Relation, Section
from notesmith.errors import CorpusError, OffsetError
from tests.corpus.documents import entities, texts, words

TEXT = "Denies chest pain.\r\nStarted metoprolol 25 mg today."
# As Label Studio 1.23 exports one annotated task.
EXPORT = r"""
[
  {
    "id": 17,
    "annotations": [
      {
        "id": 31,
        "completed_by": {"id": 4, "email": "ann@example.org", "first_name": "", "last_name": ""},
        "result": [
          {
            "value": {"start": 7, "end": 17, "text": "chest pain", "labels": ["Problem"]},
            "id": "eKp4GFOe0i",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "origin": "manual"
          },
          {
            "value": {"start": 7, "end": 17, "text": "chest pain", "choices": ["negated"]},
            "id": "eKp4GFOe0i",
            "from_name": "negated",
            "to_name": "text",
            "type": "choices",
            "origin": "manual"
          },
          {
            "value": {"start": 7, "end": 17, "text": "chest pain", "choices": ["stable"]},
            "id": "eKp4GFOe0i",
            "from_name": "trend",
            "to_name": "text",
            "type": "choices",
            "origin": "manual"
          },
          {
            "value": {"start": 7, "end": 17, "text": ["UMLS:C0008031"]},
            "id": "eKp4GFOe0i",
            "from_name": "concept",
            "to_name": "text",
            "type": "textarea",
            "origin": "manual"
          },
          {
            "value": {"start": 28, "end": 38, "text": "metoprolol", "labels": ["Drug", "New"]},
            "id": "5TX2lN7gpf",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "origin": "prediction",
            "score": 0.87
          },
          {
            "value": {"start": 11, "end": 27, "text": "t pain.\\n\\nStarted", "labels": ["X"]},
            "id": "c-3",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "origin": "manual"
          },
          {
            "from_id": "eKp4GFOe0i",
            "to_id": "5TX2lN7gpf",
            "type": "relation",
            "direction": "left",
            "labels": ["for", "since"]
          },
          {"from_id": "c-3", "to_id": "eKp4GFOe0i", "type": "relation", "direction": "bi"},
          {
            "value": {"choices": ["clinic letter"]},
            "id": "k2",
            "from_name": "kind",
            "to_name": "text",
            "type": "choices",
            "origin": "manual"
          },
          {
            "value": {"rating": 4},
            "id": "k3",
            "from_name": "stars",
            "to_name": "text",
            "type": "rating",
            "origin": "manual"
          }
        ],
        "was_cancelled": false,
        "ground_truth": false,
        "created_at": "2026-03-09T22:16:08.728353Z",
        "updated_at": "2026-03-09T22:16:08.728378Z",
        "draft_created_at": null,
        "lead_time": 4.288,
        "prediction": {},
        "result_count": 10,
        "task": 17,
        "project": 3,
        "parent_prediction": null
      },
      {"id": 32, "completed_by": 5, "result": [], "was_cancelled": true, "task": 17}
    ],
    "file_upload": "f8a1-notes.json",
    "drafts": [],
    "predictions": [9],
    "data": {"id": "n017", "text": "TEXT", "patient": "p06", "tokens": ["a"]},
    "meta": {"date": "2026-03-01"},
    "created_at": "2026-03-09T21:52:49.513742Z",
    "inner_id": 1,
    "project": 3
  }
]
""".replace('"TEXT"', json.dumps(TEXT))


def put(tmp_path, value, name="export.json"):
    path = tmp_path / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), newline="")
    return path


def read(path, tally=None, **options):
    return list(label_studio.read(path, tally or Tally(), **options))


def region(start, end, text=None, label="A", key="r1", **more):
    value = {"start": start, "end": end, "labels": [label]}
    if text is not None:
        value["text"] = text
    return {
        "id": key,
        "type": "labels",
        "from_name": "label",
        "to_name": "text",
        "value": value,
    } | more


def annotation(*results, who=1, **more):
    return {"completed_by": who, "result": list(results), "was_cancelled": False} | more


def task(*annotations, text="No chest pain.", number=1, **more):
    return {"id": number, "annotations": list(annotations), "data": {"text": text}} | more


def test_reads_everything_that_an_export_holds(tmp_path):
    tally = Tally()
    (doc,) = read(put(tmp_path, EXPORT), tally)
    assert (doc.id, doc.text, doc.provenance) == ("n017", TEXT, Provenance())
    assert doc.entities == (
        Entity(
            "eKp4GFOe0i", "Problem", ((7, 17),), ("negated", "trend=stable"), ("UMLS:C0008031",)
        ),
        Entity("5TX2lN7gpf", "Drug", ((28, 38),)),
        Entity("5TX2lN7gpf_2", "New", ((28, 38),)),
        Entity("c-3", "X", ((11, 27),)),
    )
    assert doc.relations == (
        Relation("R1", "for", "5TX2lN7gpf", "eKp4GFOe0i"),
        Relation("R2", "since", "5TX2lN7gpf", "eKp4GFOe0i"),
        Relation("R3", "relation", "c-3", "eKp4GFOe0i", symmetric=True),
    )
    assert doc.metadata == {
        "patient": "p06",
        "date": "2026-03-01",
        "kind": "clinic letter",
        "annotator": "ann@example.org",
    }
    assert tally.counts == {
        "cancelled annotations left out": 1,
        "nested metadata fields left out": 1,
        "predictions left out": 1,
        "regions with several labels, a mention each": 1,
        "relations of regions with several labels, kept for the first": 1,
        "relations without a label, named 'relation'": 1,
        "results of type rating left out": 1,
        "scores of a model on an annotator's regions left out": 1,
    }


def test_a_single_task_and_a_page_of_the_api_are_read_too(tmp_path):
    (whole,) = json.loads(EXPORT)
    docs = read(put(tmp_path, EXPORT))
    assert read(put(tmp_path, whole)) == docs
    assert read(put(tmp_path, {"tasks": [whole], "total": 1})) == docs
    assert read(put(tmp_path, "\ufeff" + EXPORT)) == docs


def test_an_old_export_has_completions(tmp_path):
    old = {"id": 1, "completions": [{"result": [region(3, 13)]}, {"result": [], "skipped": True}]}
    (doc,) = read(put(tmp_path, [old | {"data": {"text": "No chest pain."}}]))
    assert (doc.id, doc.mentions(), doc.metadata) == ("1", ["chest pain"], {})


@pytest.mark.parametrize(
    ("value", "is_it"),
    [
        (EXPORT, True),
        ([task(annotation())], True),
        ({"data": {"text": "x"}, "predictions": [{"result": []}]}, True),
        ([{"id": 1, "text": "x", "label": [{"start": 0}]}], False),
        ([{"id": 1, "text": "x" * 70_000, "annotator": 1, "annotation_id": 7}], True),
        ({"images": [], "annotations": [{"bbox": []}]}, False),
        ({"documents": [{"passages": [{"annotations": [], "infons": {}}]}]}, False),
        ("not JSON", False),
    ],
)
def test_claims(tmp_path, value, is_it):
    path = put(tmp_path, value)
    assert label_studio.claims(path, path.read_text()) is is_it
    assert not label_studio.claims(path.with_suffix(".txt"), path.read_text())


# Offsets: 👩‍⚕️ is four code points, five UTF-16 units.
ASTRAL = "👩‍⚕️ saw 𝛼 rash.\nNo e\u0301dema."


def utf16(text, found):
    at = text.index(found)
    start = len(text[:at].encode("utf-16-le")) // 2
    return start, start + len(found.encode("utf-16-le")) // 2


@pytest.mark.parametrize("in_units", [False, True])
def test_the_unit_of_offsets_is_told_by_the_regions_texts(tmp_path, in_units):
    def place(found):
        at = ASTRAL.index(found)
        return utf16(ASTRAL, found) if in_units else (at, at + len(found))

    results = [region(*place(x), x, key=x[:2]) for x in ("👩", "𝛼 rash", "e\u0301dema")]
    # Nothing tells here, neither text nor range: the unit of the file counts.
    other = task(annotation(region(*place("rash"))), text=ASTRAL, number=2)
    tally = Tally()
    docs = read(put(tmp_path, [task(annotation(*results), text=ASTRAL), other]), tally)
    assert docs[0].mentions() == ["👩", "𝛼 rash", "e\u0301dema"]
    assert docs[1].mentions() == ["rash"]
    assert tally.counts == (
        {"regions with offsets in UTF-16 units, made code points": 4} if in_units else {}
    )


def test_a_file_may_hold_regions_of_both_units_where_each_has_its_text(tmp_path):
    """A project that was begun before Label Studio 1.4 and went on after it."""
    old = [region(*utf16(ASTRAL, x), x, key=x[:2]) for x in ("rash", "e\u0301dema")]
    new = region(ASTRAL.index("saw"), ASTRAL.index("saw") + 3, "saw")
    tally = Tally()
    (doc,) = read(put(tmp_path, [task(annotation(new, *old), text=ASTRAL)]), tally)
    assert doc.mentions() == ["saw", "rash", "e\u0301dema"]
    assert tally.counts == {"regions with offsets in UTF-16 units, made code points": 2}


@pytest.mark.parametrize(("start", "end"), [(3, 8), (7, 11)])
def test_a_region_without_text_tells_its_unit_where_one_alone_is_possible(tmp_path, start, end):
    """3 lies inside of a surrogate pair, 11 past the end in code points."""
    path = put(tmp_path, [task(annotation(region(start, end)), text="𝛼𝛼𝛼 rash")])
    assert read(path)[0].mentions() == [" rash" if start == 3 else "rash"]


def test_texts_as_displayed_may_differ_in_white_space_only(tmp_path):
    text = "No  chest\npain."
    tally = Tally()
    results = [region(0, 14, r"No  chest\npain"), region(0, 9, "No chest", key="r2")]
    (doc,) = read(put(tmp_path, [task(annotation(*results), text=text)]), tally)
    assert [ent.spans for ent in doc.entities] == [((0, 14),), ((0, 9),)]
    assert tally.counts == {"regions' texts that differ in white space (offsets kept)": 1}


TWO = [
    task(annotation(region(3, 13), who=1), annotation(who={"email": "b@x.org"})),
    task(annotation(who=1), number=2),
    task(annotation(who=1, was_cancelled=True), number=3),
]


def test_several_annotators_must_be_chosen_from(tmp_path):
    path = put(tmp_path, TWO)
    with pytest.raises(CorpusError) as error:
        read(path)
    assert str(error.value) == (
        f"{path}: element 0: task '1': several annotators and no single ground truth; choose one "
        "with --annotator: 1, b@x.org"
    )
    with pytest.raises(CorpusError, match=r"no annotator '7'; there are 1, b@x.org"):
        read(path, annotator="7")
    tally = Tally()
    docs = read(path, tally, annotator="b@x.org")
    assert [(doc.id, doc.entities, doc.metadata["annotator"]) for doc in docs] == [
        ("1", (), "b@x.org")
    ]
    assert tally.counts == {
        "annotations not chosen left out": 2,
        "cancelled annotations left out": 1,
        "tasks without an annotation left out": 2,
    }


def test_read_each_gives_the_documents_of_every_annotator(tmp_path):
    each = label_studio.read_each(put(tmp_path, TWO), Tally())
    assert {who: [(doc.id, len(doc.entities)) for doc in docs] for who, docs in each.items()} == {
        "1": [("1", 1), ("2", 0)],
        "b@x.org": [("1", 0)],
    }


def test_tasks_without_ids_have_the_same_name_for_every_annotator(tmp_path):
    tasks = [
        {"data": {"text": "a b"}, "annotations": [annotation(who=w) for w in who]}
        for who in ([1], [1, 2])
    ]
    each = label_studio.read_each(put(tmp_path, tasks), Tally())
    assert {who: [doc.id for doc in docs] for who, docs in each.items()} == {
        "1": ["export-1", "export-2"],
        "2": ["export-2"],
    }


def test_ground_truth_comes_first_then_the_latest_of_the_only_annotator(tmp_path):
    truth = task(annotation(who=1), annotation(region(3, 13), who=2, ground_truth=True))
    again = task(
        annotation(region(3, 13), updated_at="2026-02-02T10:00:00Z"),
        annotation(updated_at="2026-02-01T10:00:00Z"),
        number=2,
    )
    tally = Tally()
    docs = read(put(tmp_path, [truth, again]), tally)
    assert [len(doc.entities) for doc in docs] == [1, 1]
    assert tally.counts == {
        "annotations not chosen left out": 1,
        "earlier annotations of a task left out": 1,
    }


def test_an_unannotated_task_is_no_document_and_an_empty_annotation_is(tmp_path):
    tally = Tally()
    docs = read(put(tmp_path, [task(), task(annotation(), number=2)]), tally)
    assert [doc.id for doc in docs] == ["2"]
    assert tally.counts == {"tasks without an annotation left out": 1}


def test_predictions_are_read_when_asked(tmp_path):
    made = {"model_version": "m1", "score": 0.9, "result": [region(3, 13, score=0.5)]}
    path = put(tmp_path, [task(predictions=[made])])
    with pytest.raises(CorpusError, match=r"holds predictions only; read those \(--predictions\)"):
        read(path)
    with pytest.raises(CorpusError, match="holds annotations only; leave out --predictions"):
        read(put(tmp_path, [task(annotation())], "human.json"), predictions=True)
    (doc,) = read(path, predictions=True)
    assert doc.provenance == Provenance("silver", model="m1")
    assert doc.entities == (Entity("r1", "A", ((3, 13),), ("score=0.5",)),)
    assert doc.metadata == {}
    path = put(tmp_path, [task(predictions=[made, made | {"model_version": "m2", "result": []}])])
    with pytest.raises(CorpusError, match=r"several models and no single .*: m1, m2"):
        read(path, predictions=True)
    (doc,) = read(path, predictions=True, annotator="m2")
    assert doc.entities == ()


def test_annotations_by_themselves_are_joined_with_their_tasks(tmp_path):
    path = put(
        tmp_path,
        [
            {"id": 5, "task": 1, "completed_by": 1, "result": [region(3, 13)]},
            {"id": 6, "task": 1, "completed_by": 2, "result": []},
            {"id": 7, "task": 1, "model_version": "m", "result": []},
        ],
    )
    with pytest.raises(CorpusError, match=r"give the file of the tasks \(--tasks FILE\)"):
        read(path, annotator="1")
    tasks = put(tmp_path, [{"id": 1, "data": {"text": "No chest pain.", "id": "n1"}}], "tasks.json")
    (doc,) = read(path, annotator="1", tasks=tasks)
    assert (doc.id, doc.mentions()) == ("n1", ["chest pain"])
    assert sorted(label_studio.read_each(path, Tally(), tasks=tasks)) == ["1", "2"]


def test_an_annotation_of_a_target_storage_holds_its_task(tmp_path):
    one = annotation(region(3, 13)) | {
        "id": 5,
        "task": {"id": 8, "data": {"text": "No chest pain."}},
    }
    (doc,) = read(put(tmp_path, one))
    assert (doc.id, doc.mentions()) == ("8", ["chest pain"])


def test_a_text_that_is_an_address_is_taken_from_the_tasks(tmp_path):
    path = put(tmp_path, [task(annotation(region(3, 13)), text="s3://bucket/n1.txt")])
    with pytest.raises(CorpusError, match="data 'text' is an address, not the text; give a file"):
        read(path)
    tasks = put(tmp_path, [{"id": 1, "data": {"text": "No chest pain."}}], "tasks.json")
    assert read(path, tasks=tasks)[0].mentions() == ["chest pain"]
    tally = Tally("count")
    others = put(tmp_path, [{"id": 2, "data": {"text": "x"}}], "tasks.json")
    assert read(path, tally, tasks=others) == []
    assert tally.counts == {
        "dropped: document": 1,
        "tasks that the file of tasks does not hold": 1,
    }


@pytest.mark.parametrize(
    ("data", "result", "options", "text"),
    [
        ({"note": "a b", "text": "c d"}, region(0, 1), {}, "c d"),
        ({"note": "a b"}, region(0, 1), {}, "a b"),
        ({"note": "a b", "who": "cd e"}, region(0, 1, to_name="note"), {}, "a b"),
        ({"note": "a b", "who": "cd e"}, region(0, 2, "cd"), {}, "cd e"),
        ({"note": "a b", "who": "cd e"}, region(0, 1), {"text_key": "note"}, "a b"),
        ({"note": "a b", "text": "c d"}, region(0, 1), {"text_key": "note"}, "a b"),
    ],
)
def test_the_field_of_the_text(tmp_path, data, result, options, text):
    path = put(tmp_path, [task(annotation(result), data=data)])
    (doc,) = read(path, **options)
    assert doc.text == text
    assert doc.metadata == {"annotator": "1"} | {k: v for k, v in data.items() if v != text}


def test_a_field_of_the_text_that_cannot_be_told_is_asked_for(tmp_path):
    path = put(tmp_path, [task(annotation(region(0, 1)), data={"note": "a b", "who": "c d"})])
    with pytest.raises(
        CorpusError, match=r"which field of data is the text\? note, who; name it w"
    ):
        read(path)


def test_choices_are_attributes_of_all_labels_of_their_region(tmp_path):
    results = [
        {"id": "r1", "type": "choices", "from_name": "status", "value": {"choices": [["a", "b"]]}},
        region(3, 13),
        region(3, 13, label="B", from_name="other"),
    ]
    (doc,) = read(put(tmp_path, [task(annotation(*results))]))
    assert [(e.id, e.label, e.attributes) for e in doc.entities] == [
        ("r1", "A", ("status=a/b",)),
        ("r1_2", "B", ("status=a/b",)),
    ]


def test_regions_without_a_label_or_an_id(tmp_path):
    no_label = region(0, 2, key="u")
    del no_label["value"]["labels"]
    said_of_it = {"id": "u", "type": "choices", "from_name": "c", "value": {"choices": ["x"]}}
    anonymous = region(3, 8)
    del anonymous["id"]
    relation = {"type": "relation", "from_id": "u", "to_id": "T1", "labels": ["x"]}
    results = [no_label, said_of_it, anonymous, region(9, 13, key="T1"), relation]
    path = put(tmp_path, [task(annotation(*results))])
    with pytest.raises(
        CorpusError, match=r"region 'u' \[0, 2\) has no label; label it, remove it, "
    ):
        read(path)
    tally = Tally("count")
    (doc,) = read(path, tally)
    assert [(e.id, e.spans) for e in doc.entities] == [("T2", ((3, 8),)), ("T1", ((9, 13),))]
    assert (doc.relations, doc.masked, doc.metadata) == ((), ((0, 2),), {"annotator": "1"})
    assert tally.counts == {"masked: region": 1, "relations of masked regions left out": 1}


BAD_RESULTS = [
    ("x", "result 0: a result and its value must be objects"),
    ({"type": "labels", "value": []}, "must be objects"),
    ({"id": "r1", "type": "labels"}, "'start' and 'end' must be whole numbers"),
    (region("3", 13), "'start' and 'end' must be whole numbers"),
    (region(True, 13), "'start' and 'end' must be whole numbers"),
    (region(3, 99), r"\[3, 99\) is past end 14; correct the offsets"),
    (region(13, 3), r"\[13, 3\) is empty or negative"),
    (region(-1, 3), r"\[-1, 3\) is empty or negative"),
    (region(3, 13, label=7), "'labels' must be a list of strings"),
    ({"id": "r9", "type": "choices", "value": {"choices": ["x"]}}, "choices need 'from_name'"),
    (
        {"id": "r9", "type": "choices", "from_name": "n", "value": {"start": 0, "choices": ["x"]}},
        "choices of an unknown region",
    ),
    (
        {"id": "r9", "type": "textarea", "from_name": "concept", "value": {"text": ["C1"]}},
        "names no labelled region",
    ),
    ({"type": "relation", "from_id": "r9", "to_id": "r9"}, "a relation names an unknown region"),
    ({"type": "relation"}, "a relation names an unknown region"),
]


@pytest.mark.parametrize(("result", "message"), BAD_RESULTS)
def test_a_bad_result_names_file_task_and_document_but_no_text(tmp_path, result, message):
    path = put(tmp_path, [task(annotation(result), number=17)])
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: element 0: task '17': doc '17': ")
    assert "hest" not in str(error.value)
    assert "\n" not in str(error.value)
    tally = Tally("count")
    docs = read(path, tally)
    assert sum(len(doc.entities) for doc in docs) == 0
    assert sum(n for what, n in tally.counts.items() if what.startswith("dropped: ")) == 1


def test_a_region_that_stands_twice_and_a_direction_that_is_none(tmp_path):
    with pytest.raises(OffsetError, match="region 'r1' stands twice, at other offsets"):
        read(put(tmp_path, [task(annotation(region(3, 13), region(0, 2)))]))
    relation = {"type": "relation", "from_id": "r1", "to_id": "r1", "direction": "up"}
    with pytest.raises(CorpusError, match="'direction' of a relation must be left, right or bi"):
        read(put(tmp_path, [task(annotation(region(3, 13), relation))]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (EXPORT[: len(EXPORT) // 2], "not JSON .*; is it cut off?"),
        ("", "not JSON"),
        ("[1e999999, NaN]", "NaN is not JSON"),
        ("[" * 100_000, "not JSON|nested too deeply"),
        ("7", "element 0: a task must be an object"),
        (["x"], "element 0: a task must be an object"),
        ([{"text": "x", "label": []}], "neither a task .*; export as JSON"),
        ([task(data=[1])], "'data' and 'meta' must be objects"),
        ([task(annotations={})], "'annotations' must be a list; export as JSON"),
        ([task(predictions="x")], "'predictions' must be a list"),
        ([task("x")], "task '1': annotation 0: must be an object with a list 'result'"),
        ([task({"result": {}})], "annotation 0: must be an object with a list 'result'"),
        ([task(annotation(), data={"text": 5})], "no field of data is text in every task"),
        ([task(annotation(), text="bad \ud800 text")], "lone surrogate at offset 4"),
    ],
)
def test_a_malformed_file_gives_one_line(tmp_path, value, message):
    path = put(tmp_path, value)
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_an_export_cut_off_anywhere_is_an_error(tmp_path):
    text = json.dumps([task(annotation(region(3, 13)))])
    for n in range(len(text) - 1):
        with pytest.raises(CorpusError, match=r"is it cut off\?"):
            read(put(tmp_path, text[:n]))


def test_not_utf8(tmp_path):
    path = tmp_path / "export.json"
    path.write_bytes(b'[\n{"data": "na\xefve"}]')
    with pytest.raises(CorpusError, match=r"export\.json:2: byte \d+ is not UTF-8"):
        read(path)
    tally = Tally("count")
    assert read(path, tally) == []
    assert tally.counts == {"dropped: file that is not UTF-8": 1}


# Hypothesis draws names that stand in the source; those of controls are refused, as tested below.
flags = words.filter(lambda name: name not in ("text", "label", "concept"))
attributes = flags | st.builds("{}={}".format, words.map("n{}".format), words) | st.just("x=a=b")


@st.composite
def docs(draw, *, scored=False):
    text = draw(texts)
    ents = []
    for ent in draw(entities(text)):
        marks = set(draw(st.lists(attributes, max_size=3)))
        if scored and draw(st.booleans()):
            marks.add(f"score={json.dumps(draw(st.floats(0, 1) | st.integers(0, 1)))}")
        concepts = tuple(dict.fromkeys(draw(st.lists(words, max_size=2))))
        ents.append(replace(ent, attributes=tuple(marks), normalized=concepts))
    ids = [ent.id for ent in ents]
    pairs = st.tuples(st.sampled_from(ids), st.sampled_from(ids)) if ids else st.nothing()
    found = draw(st.lists(pairs, max_size=4 if ids else 0, unique=True))
    relations = tuple(
        Relation(f"R{n}", draw(words), head, tail, draw(st.booleans()))
        for n, (head, tail) in enumerate(found, 1)
    )
    names = words | st.sampled_from(["id", "doc_id", "text", "patient"])
    values = (
        st.none() | st.booleans() | st.integers() | words | st.floats(allow_nan=False, width=16)
    )
    metadata = draw(st.dictionaries(names, values.filter(lambda x: x != float("inf")), max_size=3))
    metadata = {k: v for k, v in metadata.items() if v != float("-inf")}
    return Document(draw(words), text, tuple(ents), relations, metadata=metadata)


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(docs(), min_size=1, max_size=3))
def test_read_undoes_write(tmp_path, documents):
    path = tmp_path / "c.json"
    lost = label_studio.write(documents, path)
    tally = Tally()
    found = read(path, tally)
    assert +lost == {}
    assert found == documents
    assert tally.counts == {}
    assert label_studio.claims(path, path.read_text(encoding="utf-8")[:65_536])


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(docs(scored=True), min_size=1, max_size=3), st.none() | words)
def test_machine_made_documents_are_predictions(tmp_path, documents, model):
    made = [replace(doc, provenance=Provenance("silver", model=model)) for doc in documents]
    path = tmp_path / "c.json"
    assert +label_studio.write(made, path) == {}
    assert read(path, predictions=True) == made


def test_scores_and_model_of_predictions(tmp_path):
    ents = (
        Entity("T1", "A", ((0, 2),), ("negated", "score=0.5")),
        Entity("T2", "A", ((3, 4),), ("score=0.25",)),
        Entity("T3", "A", ((3, 4),), ("score=high",)),
    )
    doc = Document("a", "ab c", ents, provenance=Provenance("synthetic", model="m1", seed=3))
    path = tmp_path / "c.json"
    lost = label_studio.write([doc], path)
    assert +lost == {"documents whose provenance was left out": 1}
    (made,) = json.loads(path.read_text())
    assert made["annotations"] == []
    (prediction,) = made["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("m1", 0.375)
    assert [x.get("score") for x in prediction["result"]] == [0.5, None, 0.25, None, None]
    assert read(path, predictions=True)[0].entities == ents


def test_gold_documents_become_predictions_if_asked(tmp_path):
    path = tmp_path / "c.json"
    lost = label_studio.write([Document("a", "x")], path, as_predictions=True)
    assert +lost == {"documents whose provenance was left out": 1}
    (made,) = json.loads(path.read_text())
    assert (made["annotations"], made["predictions"]) == ([], [{"result": []}])


def test_what_the_format_cannot_hold_is_counted(tmp_path):
    doc = Document(
        "a",
        "chest pain",
        (Entity("T 1", "P", ((0, 2), (6, 8)), ("=v", "x=x"), ("C1", "C1")),),
        (Relation("q", "L", "T 1", "T 1"), Relation("q2", "L", "T 1", "T 1")),
        (ConceptRelation("CID", "D1", "D2"),),
        (Section("HPI", 0, 5),),
        metadata={"notes": [1], "patient": "p1"},
    )
    path = tmp_path / "c.json"
    assert +label_studio.write([doc], path) == {
        "attributes NAME=NAME written as the flag NAME": 1,
        "attributes without a name left out": 1,
        "concept ids that a mention has twice": 1,
        "concept relations left out": 1,
        "discontinuous mentions written whole": 1,
        "documents whose sections or masks were left out": 1,
        "entity ids numbered anew": 1,
        "nested metadata fields left out": 1,
        "relation ids numbered anew": 1,
        "relations that stand twice": 1,
    }
    (back,) = read(path)
    assert back.entities == (Entity("T1", "P", ((0, 8),), ("x",), ("C1",)),)
    assert back.relations == (Relation("R1", "L", "T1", "T1"),)
    assert back.metadata == {"patient": "p1"}


def test_relations_of_the_same_regions_take_the_places_that_label_studio_has(tmp_path):
    ents = (Entity("T1", "A", ((0, 1),)), Entity("T2", "A", ((1, 2),)))
    relations = (
        Relation("R1", "a", "T1", "T2"),
        Relation("R2", "b", "T1", "T2"),
        Relation("R3", "c", "T1", "T2", symmetric=True),
    )
    path = tmp_path / "c.json"
    assert +label_studio.write([Document("d", "xy", ents, relations)], path) == {}
    (made,) = json.loads(path.read_text())
    links = [x for x in made["annotations"][0]["result"] if x["type"] == "relation"]
    assert [(x["from_id"], x["to_id"], x["direction"], x["labels"]) for x in links] == [
        ("T2", "T1", "left", ["a", "b"]),
        ("T1", "T2", "bi", ["c"]),
    ]
    assert read(path)[0].relations == relations
    more = (*relations, Relation("R4", "d", "T2", "T1", symmetric=True))
    lost = label_studio.write([Document("d", "xy", ents, more)], path)
    assert +lost == {"relations that Label Studio may not show": 1}


def test_offsets_are_written_in_code_points(tmp_path):
    path = tmp_path / "c.json"
    at = ASTRAL.index("rash")
    label_studio.write([Document("a", ASTRAL, (Entity("T1", "A", ((at, at + 4),)),))], path)
    (made,) = json.loads(path.read_text(encoding="utf-8"))
    assert made["annotations"][0] == {
        "result": [
            {
                "id": "T1",
                "to_name": "text",
                "from_name": "label",
                "type": "labels",
                "value": {"start": at, "end": at + 4, "text": "rash", "labels": ["A"]},
            }
        ],
        "was_cancelled": False,
        "ground_truth": False,
    }


def test_an_attribute_with_the_name_of_another_control_is_refused(tmp_path):
    doc = Document("a", "xy", (Entity("T1", "A", ((0, 1),), ("text=1",)),))
    with pytest.raises(CorpusError, match="doc 'a': 'T1': attribute text has the name of"):
        label_studio.write([doc], tmp_path / "c.json")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CorpusError, match="attribute label has the name of another control"):
        label_studio.labeling_config(["A"], ["label"])


def test_labeling_config():
    assert label_studio.labeling_config(
        ["Problem", 'Dr"ug & <x>'], ["negated", "trend=up", "trend=stable"], ["for"], concepts=True
    ) == (
        "<View>\n"
        "  <Style>.htx-text, .htx-richtext { white-space: pre-wrap; }</Style>\n"
        '  <Labels name="label" toName="text">\n'
        "    <Label value='Dr\"ug &amp; &lt;x&gt;'/>\n"
        '    <Label value="Problem"/>\n'
        "  </Labels>\n"
        '  <Text name="text" value="$text"/>\n'
        '  <Choices name="negated" toName="text" perRegion="true" choice="multiple">\n'
        '    <Choice value="negated"/>\n'
        "  </Choices>\n"
        '  <Choices name="trend" toName="text" perRegion="true" choice="multiple">\n'
        '    <Choice value="stable"/>\n'
        '    <Choice value="up"/>\n'
        "  </Choices>\n"
        '  <TextArea name="concept" toName="text" perRegion="true"/>\n'
        '  <Relations choice="multiple">\n'
        '    <Relation value="for"/>\n'
        "  </Relations>\n"
        "</View>\n"
    )
    with pytest.raises(CorpusError, match=r"holds the character U\+0001, which XML cannot hold"):
        label_studio.labeling_config(["a\x01"])


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(docs(scored=True), max_size=3))
def test_the_configuration_knows_all_that_was_written(tmp_path, documents):
    path = tmp_path / "c.json"
    label_studio.write(documents, path)
    root = ET.fromstring(label_studio.config_for(documents))
    controls = {
        node.get("name"): (node.tag.lower(), {child.get("value") for child in node})
        for node in root
        if node.get("name")
    }
    linked = {node.get("value") for node in root.iterfind("Relations/Relation")}
    for made in json.loads(path.read_text(encoding="utf-8")):
        for result in made["annotations"][0]["result"]:
            if result["type"] == "relation":
                assert set(result["labels"]) <= linked
            else:
                kind, values = controls[result["from_name"]]
                assert kind == result["type"]
                assert set(result["value"].get(kind, [])) <= values
                assert result["to_name"] in controls
