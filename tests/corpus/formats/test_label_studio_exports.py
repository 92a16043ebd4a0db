"""Exports as projects of Label Studio give them: several texts, HTML, old offsets, JSON-MIN.

The shapes follow HumanSignal/label-studio-sdk (``converter/converter.py``: ``convert_to_json_min``,
``annotation_result_from_task``) and the region values of HumanSignal/label-studio
(``web/libs/editor/src/regions/RichTextRegion.js`` and ``ParagraphsRegion.js``).
"""

import json

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus.formats import label_studio
from notesmith.corpus.problems import Tally
from notesmith.corpus.reading import read_corpus
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError, OffsetError
from tests.corpus.formats.test_label_studio import annotation, put, read, region, task, utf16

HEAD, BODY = "Warfarin and bleeding", "She takes warfarin; no bleeding was seen."


def mark(text, found, to_name, *, told=True, label="Drug", key=None):
    at = text.index(found)
    where = {"to_name": to_name, "key": key or f"{to_name}-{found}"}
    return region(at, at + len(found), found if told else None, label, **where)


def mentions(docs):
    return {doc.id: [(ent.label, ent.mention(doc.text)) for ent in doc.entities] for doc in docs}


# Several texts in a task


@pytest.mark.parametrize("told", [True, False])
def test_regions_go_to_the_text_of_their_tag(tmp_path, told):
    results = [
        mark(HEAD, "Warfarin", "head", told=told),
        mark(BODY, "bleeding", "body", told=told, label="Problem"),
    ]
    data = {"head": HEAD, "body": BODY, "patient": "p1"}
    tally = Tally()
    docs = read(put(tmp_path, [task(annotation(*results), number=12, data=data)]), tally)
    assert mentions(docs) == {
        "12-head": [("Drug", "Warfarin")],
        "12-body": [("Problem", "bleeding")],
    }
    assert [doc.metadata for doc in docs] == [{"patient": "p1", "annotator": "1"}] * 2
    assert tally.counts == {}


def test_each_annotated_task_gives_a_document_for_each_text_it_has(tmp_path):
    both = annotation(mark(HEAD, "Warfarin", "head"), mark(BODY, "bleeding", "body"))
    tasks = [
        task(both, data={"head": HEAD, "body": BODY}),
        task(annotation(), number=2, data={"head": "Nothing new", "body": "Well."}),
        task(annotation(), number=3, data={"head": None, "body": "Well again."}),
    ]
    tally = Tally()
    docs = read(put(tmp_path, tasks), tally)
    assert [doc.id for doc in docs] == ["1-head", "1-body", "2-head", "2-body", "3-body"]
    assert tally.counts == {"texts that a task lacks left out": 1}


def test_a_tag_of_another_name_is_known_by_its_regions_texts(tmp_path):
    """``<Text name="t2" value="$body"/>``: the export does not hold the configuration."""
    results = [mark(HEAD, "Warfarin", "t1"), mark(BODY, "takes warfarin", "t2")]
    data = {"head": HEAD, "body": BODY, "site": "north"}
    docs = read(put(tmp_path, [task(annotation(*results), data=data)]))
    assert mentions(docs) == {
        "1-head": [("Drug", "Warfarin")],
        "1-body": [("Drug", "takes warfarin")],
    }


def test_a_tag_with_the_name_of_another_field_goes_where_its_texts_stand(tmp_path):
    data = {"note": "seen by a nurse", "body": BODY}
    path = put(tmp_path, [task(annotation(mark(BODY, "warfarin", "note")), data=data)])
    assert mentions(read(path)) == {"1": [("Drug", "warfarin")]}


def test_tags_that_cannot_be_told_are_asked_for(tmp_path):
    results = [
        mark(HEAD, "Warfarin", "t1", told=False),
        mark(BODY, "bleeding", "t2", told=False),
    ]
    path = put(tmp_path, [task(annotation(*results), data={"head": HEAD, "body": BODY})])
    with pytest.raises(CorpusError) as error:
        read(path)
    assert str(error.value) == (
        f"{path}: regions lie on several texts, and nothing tells which field of data the tag t1 "
        "shows: body, head; name it with --text-key t1=FIELD, which reads that text alone"
    )
    with pytest.raises(
        CorpusError, match=r"\(t1, t2\), and none is known to be that of field body"
    ):
        read(path, text_key="body")
    with pytest.raises(ConfigError, match="no region lies on t3; tags with regions: t1, t2"):
        read(path, text_key="t3=body")
    tally = Tally()
    assert mentions(read(path, tally, text_key="t2=body")) == {"1": [("Drug", "bleeding")]}
    assert tally.counts == {"regions on texts not asked for left out": 1}


def test_one_of_several_texts_is_read_when_named(tmp_path):
    results = [mark(HEAD, "Warfarin", "head"), mark(BODY, "bleeding", "body")]
    path = put(tmp_path, [task(annotation(*results), data={"head": HEAD, "body": BODY})])
    tally = Tally()
    assert mentions(read(path, tally, text_key="head")) == {"1": [("Drug", "Warfarin")]}
    assert tally.counts == {"regions on texts not asked for left out": 1}


def test_a_relation_between_two_texts_is_refused_or_counted_once(tmp_path):
    results = [
        mark(HEAD, "Warfarin", "head", key="h"),
        mark(BODY, "bleeding", "body", key="b1"),
        mark(BODY, "warfarin", "body", key="b2"),
        {"type": "relation", "from_id": "h", "to_id": "b1", "labels": ["same"]},
        {"type": "relation", "from_id": "b1", "to_id": "b2", "labels": ["of"]},
    ]
    path = put(tmp_path, [task(annotation(*results), data={"head": HEAD, "body": BODY})])
    with pytest.raises(CorpusError, match="a relation joins regions of two texts"):
        read(path)
    tally = Tally("count")
    docs = read(path, tally)
    assert [[rel.label for rel in doc.relations] for doc in docs] == [[], ["of"]]
    assert tally.counts == {"dropped: relation": 1}


# Regions that do not lie on plain text

XPATH = {"start": "/p[1]/text()[1]", "end": "/p[1]/text()[1]", "startOffset": 4, "endOffset": 9}
OTHER = [
    ("hypertextlabels", XPATH, "HTML or paragraphs"),
    ("labels", XPATH, "HTML or paragraphs"),
    ("paragraphlabels", {"start": "0", "end": "0", "startOffset": 1, "endOffset": 4}, "HTML or"),
    ("timeserieslabels", {"start": 1, "end": 5, "instant": False}, "something else"),
]


@pytest.mark.parametrize(("kind", "place", "what"), OTHER)
def test_a_document_with_regions_on_no_plain_text_is_refused(tmp_path, kind, place, what):
    other = {"id": "x", "type": kind, "from_name": "l", "to_name": "text", "value": {**place}}
    other["value"][kind] = ["Drug"]
    tasks = [
        task(annotation(other), number=5, data={"text": "<p>The drug</p>"}),
        task(annotation(region(3, 13)), number=6),
    ]
    path = put(tmp_path, tasks)
    with pytest.raises(
        CorpusError, match=f"task '5': result 0: a region of type {kind} lies on {what}"
    ):
        read(path)
    tally = Tally("count")
    assert [doc.id for doc in read(path, tally)] == ["6"]
    assert tally.counts == {"dropped: document": 1}


def test_a_region_that_names_no_type_is_told_by_its_labels(tmp_path):
    bare = region(3, 13)
    del bare["type"]
    (doc,) = read(put(tmp_path, [task(annotation(bare))]))
    assert doc.mentions() == ["chest pain"]
    bare["value"]["paragraphlabels"] = bare["value"].pop("labels")
    with pytest.raises(CorpusError, match="a region of type paragraphlabels lies on"):
        read(put(tmp_path, [task(annotation(bare))]))


def test_paragraphs_are_named_even_where_no_field_is_text(tmp_path):
    """Paragraphs: a region has the number of the turn and offsets in it."""
    turn = {"author": "Patient", "text": "I take aspirin."}
    value = {"start": "0", "end": "0", "startOffset": 7, "endOffset": 14, "text": "aspirin"}
    other = {"type": "paragraphlabels", "to_name": "d", "value": value | {"paragraphlabels": ["D"]}}
    with pytest.raises(CorpusError, match="a region of type paragraphlabels lies on HTML"):
        read(put(tmp_path, [task(annotation(other), data={"dialogue": [turn]})]))


def test_regions_of_an_image_beside_a_labelled_text_are_counted(tmp_path):
    box = {"type": "rectanglelabels", "to_name": "image", "from_name": "box"}
    box["value"] = {"x": 1, "y": 1, "width": 3, "height": 2, "rectanglelabels": ["Wound"]}
    tally = Tally()
    (doc,) = read(put(tmp_path, [task(annotation(region(3, 13), box))]), tally)
    assert doc.mentions() == ["chest pain"]
    assert tally.counts == {"results of type unknown left out": 1}


# Offsets

ASTRAL = "💊 stopped, as 😀 had a mild rash on both arms."
ZWJ = "👩🏽‍🚒 has smoke cough."


@pytest.mark.parametrize("text", [ASTRAL, ZWJ])
@pytest.mark.parametrize("old", [True, False])
def test_the_regions_texts_tell_how_offsets_count(tmp_path, text, old):
    found = "mild rash" if text == ASTRAL else "smoke cough"
    at = text.index(found)
    place = utf16(text, found) if old else (at, at + len(found))
    (doc,) = read(put(tmp_path, [task(annotation(region(*place, found)), text=text)]))
    assert doc.mentions() == [found]


def test_an_offset_whose_unit_nothing_tells_is_refused_and_masked(tmp_path):
    results = [region(*utf16(ASTRAL, "rash")), region(*utf16(ASTRAL, "mild"), key="r2")]
    path = put(tmp_path, [task(annotation(*results), text=ASTRAL, number=3)])
    with pytest.raises(OffsetError) as error:
        read(path)
    assert str(error.value) == (
        f"{path}: element 0: task '3': doc '3': result 0: region 'r1' [29, 33): it cannot be told "
        "whether characters beyond U+FFFF and line ends before it count as one or two; give the "
        "regions their texts (value.text), or mask it (--on-problem count)"
    )
    tally = Tally("count")
    (doc,) = read(path, tally)
    assert (doc.entities, tally.counts["masked: region"]) == ((), 2)
    hidden = "".join(ASTRAL[slice(*span)] for span in doc.masked)
    assert "rash" in hidden
    assert "mild" in hidden


def test_a_text_that_stands_at_both_places_counts_code_points(tmp_path):
    text = "💊 aaaa"
    (doc,) = read(put(tmp_path, [task(annotation(region(3, 5, "aa")), text=text)]))
    assert [ent.spans for ent in doc.entities] == [((3, 5),)]


def test_other_regions_decide_where_a_text_stands_at_both_places(tmp_path):
    text = "💊 o aaaa"
    results = [region(3, 4, "o"), region(6, 8, "aa", key="r2")]
    (doc,) = read(put(tmp_path, [task(annotation(*results), text=text)]))
    assert [ent.spans for ent in doc.entities] == [((2, 3),), ((5, 7),)]


def test_nothing_is_asked_where_no_astral_character_stands_before(tmp_path):
    text = "Mild rash. 😀"
    (doc,) = read(put(tmp_path, [task(annotation(region(5, 9)), text=text)]))
    assert doc.mentions() == ["rash"]


LINES = "First line\r\nhas a cough\r\nand a fever"


@pytest.mark.parametrize("text", [LINES, LINES.replace("\r\n", "\n")])
def test_line_ends_count_as_the_regions_texts_tell(tmp_path, text):
    """Programs that make annotations of text with ``\\n`` and store it with ``\\r\\n``."""
    at = [text.index(x) for x in ("cough", "fever")]
    results = [region(at[0], at[0] + 5, "cough"), region(at[1], at[1] + 5, "fever", key="r2")]
    tally = Tally()
    (doc,) = read(put(tmp_path, [task(annotation(*results), text=LINES)]), tally)
    assert doc.mentions() == ["cough", "fever"]
    counted = {"regions with offsets that count CRLF as one character, made two": 2}
    assert tally.counts == ({} if text == LINES else counted)


def test_line_ends_are_two_characters_where_nothing_tells(tmp_path):
    """The editor shows a line end for each of ``\\r`` and ``\\n``."""
    at = LINES.index("fever")
    (doc,) = read(put(tmp_path, [task(annotation(region(at, at + 5)), text=LINES)]))
    assert doc.mentions() == ["fever"]


# A region that is wrong

NOTE = "Has a severe cough, no fever."
STALE = [
    (6, 18, "ere co", {(6, 18), (9, 15)}),  # Granularity "word": offsets grew, the text did not.
    (0, 3, "fever", {(0, 3), (23, 28)}),  # The text was changed after it was annotated.
    (0, 3, "nausea", {(0, 3)}),
]


@pytest.mark.parametrize(("start", "end", "text", "masked"), STALE)
def test_a_stale_region_is_masked_and_its_neighbours_are_read(tmp_path, start, end, text, masked):
    fits = mark(NOTE, "cough", "text", key="ok")
    path = put(tmp_path, [task(annotation(region(start, end, text), fits), text=NOTE)])
    with pytest.raises(OffsetError) as error:
        read(path)
    assert str(error.value) == (
        f"{path}: element 0: task '1': doc '1': result 0: region 'r1' [{start}, {end}): the "
        "region's text does not stand there; correct the offsets, annotate the region anew, or "
        "mask it (--on-problem count)"
    )
    tally = Tally("count")
    (doc,) = read(path, tally)
    assert (doc.mentions(), set(doc.masked)) == (["cough"], masked)
    assert tally.counts == {"masked: region": 1}


def test_a_region_that_may_be_anywhere_drops_its_document_only(tmp_path):
    tasks = [
        task(annotation(region(3, 99), region(3, 13, key="r2"))),
        task(annotation(region(3, 13)), number=2),
    ]
    tally = Tally("count")
    assert [doc.id for doc in read(put(tmp_path, tasks), tally)] == ["2"]
    assert tally.counts == {"dropped: document": 1}


def test_an_empty_label_is_no_label(tmp_path):
    tally = Tally("count")
    (doc,) = read(put(tmp_path, [task(annotation(region(3, 13, label="")))]), tally)
    assert (doc.entities, doc.masked) == ((), ((3, 13),))


def test_granularity_and_runs_of_spaces(tmp_path):
    text = "No pain,  nausea or rash."
    (doc,) = read(put(tmp_path, [task(annotation(region(3, 16, "pain, nausea")), text=text)]))
    assert doc.mentions() == ["pain,  nausea"]


def test_tasks_and_annotations_that_are_null(tmp_path):
    tasks = [
        task(),
        task(number=2) | {"annotations": None},
        task(annotation(who=None), number=3),
        task(annotation(region(3, 13), was_cancelled=True), number=4),
        task(annotation(region(3, 13)), number=5, data={"text": None}),
        task({"completed_by": 1, "result": None}, number=6),
    ]
    path = put(tmp_path, tasks)
    with pytest.raises(CorpusError, match="task '6': annotation 0: must be an object with a list"):
        read(path)
    with pytest.raises(CorpusError, match="task '5': doc '5': data has no text 'text'"):
        read(put(tmp_path, tasks[:5]))
    tally = Tally("count")
    assert read(put(tmp_path, tasks), tally) == [Document("3", "No chest pain.")]
    assert tally.counts == {
        "cancelled annotations left out": 1,
        "dropped: annotation": 1,
        "dropped: document": 1,
        "tasks without an annotation left out": 4,
    }


# JSON-MIN, CSV and TSV


def record(number, text, **controls):
    """A record as ``convert_to_json_min`` makes it: data, id, controls, then who and when."""
    return {
        "text": text,
        "patient": "p1",
        "id": number,
        **controls,
        "annotator": 1,
        "annotation_id": 70 + number,
        "created_at": "2026-02-01T10:00:00Z",
        "updated_at": "2026-02-01T10:00:00Z",
        "lead_time": 3.2,
    }


def value(text, found, label):
    at = text.index(found)
    return {"start": at, "end": at + len(found), "text": found, "labels": [label]}


def test_json_min_is_read(tmp_path):
    text = "Started lisinopril for hypertension."
    records = [
        record(1, text, label=[value(text, "lisinopril", "Drug")], kind="letter"),
        record(2, "Nothing new."),
    ]
    path = put(tmp_path, records)
    assert label_studio.claims(path, path.read_text())
    tally = Tally()
    docs = read(path, tally)
    assert mentions(docs) == {"1": [("Drug", "lisinopril")], "2": []}
    assert docs[0].metadata == {"patient": "p1", "kind": "letter", "annotator": "1"}
    assert tally.counts == {}


def test_label_fields_of_json_min_are_united_and_its_choices_counted(tmp_path):
    text = "Started lisinopril for hypertension."
    drug, problem = value(text, "lisinopril", "Drug"), value(text, "hypertension", "Problem")
    said = {"start": 23, "end": 35, "text": "hypertension", "choices": ["stable"]}
    remark = {"start": 23, "end": 35, "text": ["see below"]}
    path = put(tmp_path, [record(1, text, drugs=[drug], problems=[problem], trend=[said, remark])])
    tally = Tally()
    assert mentions(read(path, tally)) == {
        "1": [("Drug", "lisinopril"), ("Problem", "hypertension")]
    }
    assert tally.counts == {
        "choices and texts of regions left out (JSON-MIN; the JSON export has them)": 2
    }


def test_json_min_of_two_texts_html_and_no_annotation(tmp_path):
    marks = {"a": [value(HEAD, "Warfarin", "Drug")], "b": [value(BODY, "bleeding", "Problem")]}
    two = record(1, BODY, **marks) | {"head": HEAD}
    unseen = record(2, "Not annotated.") | {"annotation_id": None, "head": "New"}
    tally = Tally()
    docs = read(put(tmp_path, [two, unseen]), tally)
    assert mentions(docs) == {
        "1-head": [("Drug", "Warfarin")],
        "1-text": [("Problem", "bleeding")],
    }
    assert tally.counts == {"tasks without an annotation left out": 1}
    html = [XPATH | {"hypertextlabels": ["Drug"], "text": "drug"}]
    with pytest.raises(CorpusError, match="a region of type hypertextlabels lies on HTML"):
        read(put(tmp_path, [record(1, "<p>The drug</p>", label=html)]))


def test_several_annotators_of_json_min_must_be_chosen_from(tmp_path):
    one, two = record(1, "No rash."), record(1, "No rash.") | {"annotator": 2, "annotation_id": 9}
    path = put(tmp_path, [one, two])
    with pytest.raises(CorpusError, match="choose one with --annotator: 1, 2"):
        read(path)
    assert sorted(label_studio.read_each(path, Tally())) == ["1", "2"]


@pytest.mark.parametrize(("suffix", "sign"), [(".csv", ","), (".tsv", "\t")])
def test_a_table_says_which_export_to_take(tmp_path, suffix, sign):
    """``csv2.convert`` writes the records of JSON-MIN, with JSON in the cells of controls."""
    cell = json.dumps([value("No rash.", "rash", "Problem")]).replace('"', '""')
    rows = [
        ["annotation_id", "annotator", "id", "label", "text"],
        ["7", "1", "1", f'"{cell}"', "No rash."],
    ]
    path = tmp_path / f"export{suffix}"
    path.write_text("\n".join(sign.join(row) for row in rows))
    assert label_studio.claims(path, path.read_text())
    with pytest.raises(CorpusError, match="export the project as JSON"):
        read(path)
    plain = tmp_path / f"notes{suffix}"
    plain.write_text(sign.join(["id", "text"]) + "\n" + sign.join(["1", "No rash."]))
    assert not label_studio.claims(plain, plain.read_text())


def test_an_export_is_recognised_past_a_long_first_text(tmp_path):
    first = task(annotation(region(0, 4)), text="rash " * 20_000)
    path = put(tmp_path, [{"data": first.pop("data"), **first}])
    content = path.read_text()
    assert label_studio.claims(path, content)
    assert len(read_corpus(path, ReadingConfig(format="label-studio")).docs) == 1
