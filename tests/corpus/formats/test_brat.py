import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
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


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(docs(), min_size=1, max_size=2, unique_by=lambda d: d.id))
def test_read_undoes_write(tmp_path, documents):
    folder = tmp_path / "c"
    shutil.rmtree(folder, ignore_errors=True)
    assert write_corpus(documents, folder, format="brat") == {}
    found = {doc.id: doc for doc in read_corpus(folder, expect_mentions=False).docs}
    assert found == {doc.id: doc for doc in documents}


def test_either_file_of_a_pair_can_be_named(tmp_path):
    put(tmp_path / "c")
    for suffix in (".txt", ".ann"):
        assert [d.id for d in read_corpus(tmp_path / "c" / f"n1{suffix}").docs] == ["n1"]


def test_subfolders_become_part_of_the_id(tmp_path):
    put(tmp_path / "c" / "train", name="n.1")
    put(tmp_path / "c" / "dev", name="n.1")
    assert [doc.id for doc in read_corpus(tmp_path / "c").docs] == ["dev/n.1", "train/n.1"]


def test_windows_line_ends_of_text_count_as_two(tmp_path):
    folder = put(tmp_path / "c", "No\r\npain", "T1\tProblem 4 8\tpain\r\n")
    assert read_corpus(folder).docs[0].mentions() == ["pain"]
    put(tmp_path / "c", "No\r\npain", "T1\tProblem 3 7\tpain\r\n")
    with pytest.raises(CorpusError, match=r"offsets count \\r\\n as two"):
        read_corpus(folder)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("T1\tProblem 3 13\tchest pain", "T1\tProblem 3 13", 1, "needs label, offsets and text"),
        ("3 13\t", "3 x\t", 1, "needs label, offsets and text"),
        ("3 13\t", "3 113\t", 1, r"'T1' \[3, 113\) is past end 53"),
        ("3 13\t", "4 14\t", 1, "differs from the text there"),
        ("T2\t", "T1\t", 2, "'T1' stands twice"),
        ("15 19;30 33", "15 31;30 33", 2, "overlaps or is unsorted"),
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
    assert sum(n for what, n in read.counts.items() if what.startswith("dropped")) >= 1


def test_a_half_of_a_pair_is_an_error_or_a_counted_drop(tmp_path):
    folder = put(tmp_path / "c")
    (folder / "n2.txt").write_text("x")
    with pytest.raises(CorpusError, match=r"n2\.txt: no n2\.ann beside it; add it"):
        read_corpus(folder)
    read = read_corpus(folder, ReadingConfig(on_problem="count"))
    assert read.counts["dropped: .txt file without its .ann file"] == 1
    (folder / "n2.txt").rename(folder / "n2.ann")
    with pytest.raises(CorpusError, match=r"n2\.ann: no n2\.txt beside it"):
        read_corpus(folder)


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
