import shutil
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.corpus.formats import brat
from notesmith.document import Document, Entity, Relation
from notesmith.errors import CorpusError
from tests.corpus.documents import entities, texts, words

TEXT = "No chest pain. Left and right arm weak since Monday.\n"
ANN = (
    "T1\tProblem 3 13\tchest pain\n"
    "T2\tBody 15 19;30 33\tLeft arm\n"
    "T3\tProblem 34 38\tweak\n"
    "T4\tDate 45 51\tMonday\n"
    "E1\tProblem:T1 \n"
    "E2\tProblem:T3 Site:T2 When:T4\n"
    "A1\tnegated E1\n"
    "A2\tTREND T3 STAY\n"
    "R1\tMODIFY Arg1:T2 Arg2:E2\t\n"
    "*\tOVERLAP E1 E2 T4\n"
    "N1\tReference T3 UMLS:C1\tweakness\n"
    "#1\tAnnotatorNotes E2\tcheck\tagain\n"
)


def put(folder, text=TEXT, ann=ANN, name="n1"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text(text, newline="")
    (folder / f"{name}.ann").write_text(ann, newline="")
    return folder


def test_reads_everything_that_brat_holds(tmp_path):
    read = read_corpus(put(tmp_path / "c"))
    (doc,) = read.docs
    assert (read.format, doc.id, doc.text) == ("brat", "n1", TEXT)
    assert doc.entities == (
        Entity("T1", "Problem", ((3, 13),), ("negated",)),
        Entity("T2", "Body", ((15, 19), (30, 33))),
        Entity("T3", "Problem", ((34, 38),), ("TREND=STAY",), ("UMLS:C1",)),
        Entity("T4", "Date", ((45, 51),)),
    )
    assert doc.relations == (
        Relation("R1", "MODIFY", "T2", "T3"),
        Relation("*1", "OVERLAP", "T1", "T3", symmetric=True),
        Relation("*2", "OVERLAP", "T1", "T4", symmetric=True),
        Relation("*3", "OVERLAP", "T3", "T4", symmetric=True),
        Relation("R5", "Site", "T3", "T2"),
        Relation("R6", "When", "T3", "T4"),
    )
    assert doc.metadata == {
        "notes": [{"kind": "AnnotatorNotes", "of": "T3", "text": "check\tagain"}]
    }
    assert read.counts == {
        "event arguments made relations": 2,
        "events folded into their triggers": 2,
        "notes kept": 1,
        "symmetric relation lines": 1,
    }


def test_written_again_it_reads_equal_with_one_line_for_the_symmetric_relation(tmp_path):
    docs = read_corpus(put(tmp_path / "c")).docs
    assert write_corpus(docs, tmp_path / "d", format="brat") == {}
    assert read_corpus(tmp_path / "d").docs == docs
    assert "*\tOVERLAP T1 T3 T4\n" in (tmp_path / "d" / "n1.ann").read_text()


@st.composite
def docs(draw):
    text = draw(texts)
    ents = tuple(
        Entity(
            e.id,
            e.label,
            e.spans,
            tuple(draw(st.lists(words.map("{0}=x".format) | words, max_size=2))),
            tuple(draw(st.lists(words, max_size=2))),
        )
        for e in draw(entities(text, pieces=3))
    )
    relations = []
    n_symmetric = 0
    if ents:
        ends = st.sampled_from([e.id for e in ents])
        for i in range(draw(st.integers(0, 8))):
            head, tail, symmetric = draw(ends), draw(ends), draw(st.booleans())
            n_symmetric += symmetric
            rel_id = f"*{n_symmetric}" if symmetric else f"R{i}"
            relations.append(Relation(rel_id, "OVERLAP", head, tail, symmetric))
    doc_id = "/".join(
        draw(st.lists(st.sampled_from(["a", "b.1", "é", "c d"]), min_size=1, max_size=2))
    )
    return Document(doc_id, text, ents, tuple(relations))


JOINED = "discontinuous mentions whose parts only white space divides, joined"


def with_joined_parts(doc):
    return replace(
        doc,
        entities=tuple(replace(e, spans=brat.joined(doc.text, e.spans)) for e in doc.entities),
    )


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(docs(), min_size=1, max_size=2, unique_by=lambda d: d.id))
def test_read_undoes_write(tmp_path, documents):
    folder = tmp_path / "c"
    shutil.rmtree(folder, ignore_errors=True)
    lost = write_corpus(documents, folder, format="brat")
    assert lost.keys() <= {JOINED}
    found = {doc.id: doc for doc in read_corpus(folder, expect_mentions=False).docs}
    assert found == {doc.id: with_joined_parts(doc) for doc in documents}


def test_either_file_of_a_pair_can_be_named(tmp_path):
    put(tmp_path / "c")
    for suffix in (".txt", ".ann"):
        assert [d.id for d in read_corpus(tmp_path / "c" / f"n1{suffix}").docs] == ["n1"]


def test_subfolders_become_part_of_the_id(tmp_path):
    put(tmp_path / "c" / "train", name="n.1")
    put(tmp_path / "c" / "dev", name="n.1")
    assert [doc.id for doc in read_corpus(tmp_path / "c").docs] == ["dev/n.1", "train/n.1"]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("T1\tProblem 3 13\tchest pain", "T1\tProblem 3 13", 1, "needs label, offsets and text"),
        ("3 13\t", "3 x\t", 1, "needs label, offsets and text"),
        ("3 13\t", "3 113\t", 1, r"'T1' \[3, 113\) is past end 53"),
        ("3 13\t", "4 14\t", 1, "differs from the text there"),
        ("T2\t", "T1\t", 2, "'T1' stands twice"),
        ("15 19;30 33", "15 31;30 33", 2, "differs from the text there"),
        ("3 13\t", "3 3\t", 1, r"'T1' \[3, 3\) is empty or negative"),
        ("E1\tProblem:T1 ", "E1\tProblem:T9 ", 5, "names unknown 'T9'"),
        ("Site:T2", "Site:T8", 6, "names unknown 'T8'"),
        ("A1\tnegated E1", "A1\tnegated", 7, "'A1': an attribute needs"),
        ("A1\tnegated E1", "A1\tnegated E7", 7, "names unknown 'E7'"),
        ("Arg2:E2\t", "", 9, "'R1': a relation needs two ends; is the file cut off"),
        ("R1\tMODIFY Arg1:T2 Arg2:E2\t", "R1", 9, "an id, a tab and a body"),
        ("E1 E2 T4", "E1", 10, "needs two members"),
        ("Reference T3 UMLS:C1", "Reference T3", 11, "'N1': a normalisation needs"),
        ("#1\t", "?1\t", 12, "of no known kind"),
    ],
)
def test_bad_line_names_file_line_and_doc_but_no_text(tmp_path, old, new, line, message):
    folder = put(tmp_path / "c", ann=ANN.replace(old, new, 1))
    with pytest.raises(CorpusError, match=message) as error:
        read_corpus(folder)
    assert str(error.value).startswith(f"{folder / 'n1.ann'}:{line}: doc 'n1': ")
    assert "chest" not in str(error.value)
    read = read_corpus(folder, ReadingConfig(on_problem="count"))
    assert len(read.docs) == 1
    assert sum(n for what, n in read.counts.items() if what.startswith(("dropped", "masked"))) >= 1
    assert bool(read.docs[0].masked) == new.startswith(("T1", "3 ", "4 ", "15"))


def test_a_note_without_annotations_file_is_left_out_and_said(tmp_path):
    folder = put(tmp_path / "c")
    (folder / "n2.txt").write_text("x")
    (folder / "n3.txt").write_text("Nothing here.")
    (folder / "n3.ann").write_text("")
    read = read_corpus(folder)
    assert [doc.id for doc in read.docs] == ["n1", "n3"]
    assert read.counts["notes without an .ann file, left out as not annotated"] == 1
    with pytest.raises(CorpusError, match=r"n2\.txt: no n2\.ann beside it; add it"):
        read_corpus(folder / "n2.txt")


def test_annotations_without_a_text_are_an_error_or_a_counted_drop(tmp_path):
    folder = put(tmp_path / "c")
    (folder / "n2.ann").write_text("")
    with pytest.raises(CorpusError, match=r"n2\.ann: no n2\.txt beside it; add it"):
        read_corpus(folder)
    read = read_corpus(folder, ReadingConfig(on_problem="count"))
    assert read.counts["dropped: .ann file without its .txt file"] == 1


def test_text_that_is_not_utf8(tmp_path):
    folder = put(tmp_path / "c")
    put(folder, name="n2")
    (folder / "n2.txt").write_bytes(b"line\nna\xefve")
    with pytest.raises(CorpusError, match=r"n2\.txt:2: byte 7 is not UTF-8"):
        read_corpus(folder)
    read = read_corpus(folder, ReadingConfig(on_problem="count"))
    assert [d.id for d in read.docs] == ["n1"]
    assert read.counts["dropped: file that is not UTF-8"] == 1


def test_attribute_of_a_relation_is_counted(tmp_path):
    folder = put(tmp_path / "c", ann=f"{ANN}A3\tsure R1\n")
    assert read_corpus(folder).counts["attributes of relations left out"] == 1


def test_ids_of_other_kinds_are_numbered_and_counted(tmp_path):
    ents = (Entity("p1", "P", ((0, 1),)), Entity("T1", "P", ((1, 2),)))
    doc = Document("a", "xy", ents, (Relation("q", "L", "p1", "T1"),))
    lost = write_corpus([doc], tmp_path / "c", format="brat")
    assert lost == {"entity ids numbered anew": 1, "relation ids numbered anew": 1}
    back = read_corpus(tmp_path / "c").docs[0]
    assert [e.id for e in back.entities] == ["T2", "T1"]
    assert back.relations == (Relation("R1", "L", "T2", "T1"),)


@pytest.mark.parametrize(
    "doc_id", ["../up", "/etc/x", "a//b", ".hidden", "a\\b", "a\nb", "x" * 300]
)
def test_an_id_that_is_no_safe_file_name_is_refused(tmp_path, doc_id):
    with pytest.raises(CorpusError, match="cannot be a file name; use jsonl"):
        write_corpus([Document(doc_id, "x")], tmp_path / "c", format="brat")
    assert list(tmp_path.iterdir()) == []


def test_a_label_with_white_space_is_refused_and_nothing_is_left(tmp_path):
    doc = Document("a", "x", (Entity("T1", "My label", ((0, 1),)),))
    with pytest.raises(CorpusError, match="doc 'a': a label, attribute or concept"):
        write_corpus([doc], tmp_path / "c", format="brat")
    assert list(tmp_path.iterdir()) == []


def test_a_mangled_line_is_not_quoted(tmp_path):
    (tmp_path / "a.txt").write_text("Fever.")
    (tmp_path / "a.ann").write_text("The man from Ulm\twas sad\tand\n")
    with pytest.raises(CorpusError) as error:
        read_corpus(tmp_path)
    assert "a.ann:1: doc 'a': an id of an unknown kind: a mention needs" in str(error.value)


@pytest.mark.parametrize(
    "notes",
    ["free text", [3], [{"kind": "k", "of": "T1"}], [{"kind": "", "of": "", "text": "a\nb"}]],
)
def test_metadata_that_only_share_the_name_of_notes_are_left_out(tmp_path, notes):
    lost = write_corpus(
        [Document("a", "x", metadata={"notes": notes})], tmp_path / "c", format="brat"
    )
    assert lost == {"documents whose metadata, sections or provenance were left out": 1}
    assert read_corpus(tmp_path / "c", expect_mentions=False).docs == [Document("a", "x")]


# A mention over a line end as brat writes it: ``__create_span`` of server/src/annotator.py divides
# it at line ends and joins the texts of its fragments with spaces (issue 1042 of nlplab/brat).
LINES = "Reaction to iodine\nbased dye.\nSevere\n  skin rash noted.\n"


@pytest.mark.parametrize(
    ("spans", "written", "mention"),
    [
        ("12 18;19 28", "iodine based dye", "iodine\nbased dye"),
        ("19 28;12 18", "based dye iodine", "iodine\nbased dye"),
        ("19 28;12 18", "iodine based dye", "iodine\nbased dye"),
        ("30 36;37 48", "Severe   skin rash", "Severe\n  skin rash"),
        ("30 36;39 43;44 48", "Severe skin rash", "Severe\n  skin rash"),
        ("39 48;44 48", "skin rash rash", "skin rash"),
        ("39 41;41 48", "sk in rash", "skin rash"),
        ("39 41;41 48", "skin rash", "skin rash"),
    ],
)
def test_fragments_that_only_white_space_divides_are_one_mention(tmp_path, spans, written, mention):
    folder = put(tmp_path / "c", LINES, f"T1\tSign {spans}\t{written}\n")
    read = read_corpus(folder)
    (ent,) = read.docs[0].entities
    assert [LINES[start:end] for start, end in ent.spans] == [mention]


def test_a_mention_over_line_ends_is_written_as_fragments_and_read_back(tmp_path):
    text = "See iodine\r\n based\n\ndye now"
    docs = [Document("a", text, (Entity("T1", "Drug", ((4, 24),)),))]
    assert write_corpus(docs, tmp_path / "c", format="brat") == {}
    assert (tmp_path / "c" / "a.ann").read_text() == (
        "T1\tDrug 4 10;13 18;20 24\tiodine based dye \n"
    )
    assert read_corpus(tmp_path / "c").docs == docs


NAIVE = "Na\u00efve patient.\nTakes aspirin \U0001f48a daily.\nMild rash.\n"


def ann(text, *mentions, at=lambda text, i: i):
    """Lines of mentions, their offsets as ``at`` counts them."""
    lines = []
    for n, mention in enumerate(mentions, 1):
        start = text.index(mention)
        lines.append(f"T{n}\tX {at(text, start)} {at(text, start + len(mention))}\t{mention}\n")
    return "".join(lines)


def as_bytes(text, i):
    return len(text[:i].encode())


def as_utf16(text, i):
    return len(text[:i].encode("utf-16-le")) // 2


def as_lf(text, i):
    return len(text[:i].replace("\r\n", "\n"))


CRLF = NAIVE.replace("\n", "\r\n")
COUNTED = "files whose offsets count "


@pytest.mark.parametrize(
    ("data", "text", "at", "counted"),
    [
        (NAIVE.encode(), NAIVE, lambda text, i: i, None),
        (CRLF.encode(), CRLF, lambda text, i: i, None),
        (CRLF.encode(), CRLF, as_lf, r"\r\n as one character"),
        (NAIVE.encode(), NAIVE, as_bytes, "bytes"),
        (NAIVE.encode(), NAIVE, as_utf16, "UTF-16 units"),
        (NAIVE.encode("utf-8-sig"), NAIVE, lambda text, i: i, None),
        (NAIVE.encode("utf-8-sig"), NAIVE, lambda text, i: i + 1, "the byte order mark"),
        (
            NAIVE.encode("utf-8-sig"),
            NAIVE,
            lambda text, i: as_bytes(text, i) + 3,
            "bytes and the byte order mark",
        ),
    ],
)
def test_the_mentions_show_what_offsets_count(tmp_path, data, text, at, counted):
    folder = put(tmp_path / "c", ann=ann(text, "aspirin", "rash", at=at))
    (folder / "n1.txt").write_bytes(data)
    read = read_corpus(folder)
    (doc,) = read.docs
    assert (doc.text, doc.mentions(), doc.masked) == (text, ["aspirin", "rash"], ())
    assert read.counts == ({COUNTED + counted: 1} if counted else {})


def test_other_encodings(tmp_path):
    text, lines = "Na\u00efve. Takes aspirin.\n", "T1\tDrug 13 20\taspirin\n"
    folder = put(tmp_path / "c", text, lines)
    (folder / "n1.txt").write_bytes(text.encode("cp1252"))
    with pytest.raises(CorpusError, match=r"n1\.txt:1: byte 2 is not UTF-8"):
        read_corpus(folder)
    read = read_corpus(folder, ReadingConfig(encoding="cp1252"))
    assert (read.docs[0].text, read.docs[0].mentions()) == (text, ["aspirin"])
    for name, content in (("n1.txt", text), ("n1.ann", lines)):
        (folder / name).write_bytes(content.encode("utf-16"))
    read = read_corpus(folder)
    assert (read.docs[0].text, read.docs[0].mentions()) == (text, ["aspirin"])


def test_one_wrong_mention_hides_not_what_the_others_count(tmp_path):
    lines = ann(CRLF, "patient", "aspirin", "rash", at=as_lf) + "T9\tX 0 5\tfever\n"
    folder = put(tmp_path / "c", CRLF, lines)
    with pytest.raises(
        CorpusError, match=r"n1\.ann:4: doc 'n1': 'T9' \[0, 5\): the mention column"
    ):
        read_corpus(folder)
    doc = read_corpus(folder, ReadingConfig(on_problem="count")).docs[0]
    assert (doc.mentions(), doc.masked) == (["patient", "aspirin", "rash"], ((0, 5),))


def test_a_mention_that_cannot_be_read_is_masked_and_no_negative(tmp_path):
    text = "Cough, then cough and fever. Fever gone."
    lines = (
        "T1\tSign 12 17\tcough\n"
        "T2\tSign 0 5\tfever\n"  # the text stands elsewhere
        "T3\tSign 90 95\tCough\n"  # no such place, but the text is known
        "A1\tNegated T2\n"
    )
    folder = put(tmp_path / "c", text, lines)
    read = read_corpus(folder, ReadingConfig(on_problem="count"))
    (doc,) = read.docs
    assert (doc.mentions(), doc.masked) == (["cough"], ((0, 5), (22, 27)))
    assert read.counts == {"masked: mention": 2, "dropped: attribute": 1}


def test_a_document_is_left_out_where_a_mention_may_stand_anywhere(tmp_path):
    folder = put(tmp_path / "c", "Cough.", "T1\tSign 90 95\tfever\n")
    put(tmp_path / "c", "Cough.", "T1\tSign 0 5\tCough\n", name="n2")
    read = read_corpus(folder, ReadingConfig(on_problem="count"))
    assert [doc.id for doc in read.docs] == ["n2"]
    assert read.counts == {"masked: mention": 1, "dropped: document": 1}
