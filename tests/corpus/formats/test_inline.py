import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.config import ReadingConfig
from notesmith.corpus import demo_corpus_path, read_corpus, write_corpus
from notesmith.corpus.formats import inline
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Relation
from notesmith.errors import CorpusError
from notesmith.segments import sections
from tests.corpus.documents import nested, texts, words

NOTE = """id: n017
patient: p06
kind: clinic letter
date: 2021-03-09
# the dose belongs to the drug
relation: drug-dose d1 -> s1
relation: same p1 <-> T1
---
HPI: Pt denies <Problem>{#p1 negated}chest pain</>. BP <90, temp > 38.
PLAN: <Drug>{#d1}metoprolol</> <Dose>{#s1}25 mg</> for <Problem>palpitations</>.
"""


def put(tmp_path, note=NOTE, name="n017.txt"):
    path = tmp_path / name
    path.write_text(note, newline="")
    return path


def test_reads_the_example(tmp_path):
    (doc,) = read_corpus(put(tmp_path)).docs
    assert doc.id == "n017"
    assert doc.metadata == {"patient": "p06", "kind": "clinic letter", "date": "2021-03-09"}
    assert doc.text == (
        "HPI: Pt denies chest pain. BP <90, temp > 38.\nPLAN: metoprolol 25 mg for palpitations."
    )
    assert [(e.id, e.label, e.mention(doc.text), e.attributes) for e in doc.entities] == [
        ("p1", "Problem", "chest pain", ("negated",)),
        ("d1", "Drug", "metoprolol", ()),
        ("s1", "Dose", "25 mg", ()),
        ("T1", "Problem", "palpitations", ()),
    ]
    assert doc.relations == (
        Relation("R1", "drug-dose", "d1", "s1"),
        Relation("R2", "same", "p1", "T1", symmetric=True),
    )
    assert [sec.name for sec in doc.sections] == ["HPI", "PLAN"]


def test_written_again_only_what_needs_one_has_a_block(tmp_path):
    (doc,) = read_corpus(put(tmp_path)).docs
    lost = write_corpus([doc], tmp_path / "out", format="inline")
    assert lost == {}
    again = (tmp_path / "out" / "n017.txt").read_text()
    assert again == NOTE.replace("# the dose belongs to the drug\n", "").replace(
        "for <Problem>", "for <Problem>{#T1}"
    )
    assert read_corpus(tmp_path / "out").docs == [doc]


@st.composite
def docs(draw):
    text = draw(texts)
    free = st.sampled_from(["x1", "T1", "T2", "T3", "T9", "p-4", "q", "r", "s", "t"])
    ents = draw(nested(text, labels=["A", "B-2", "Lab_value"]))
    ids = draw(st.lists(free, min_size=len(ents), max_size=len(ents), unique=True))
    attributes = st.lists(st.sampled_from(["negated", "family", "TREND=UP"]), max_size=2)
    # Identical spans of one label are ordered by id; the order is not part of what is tested.
    seen = {(e.label, e.spans): i for i, e in enumerate(ents)}
    ents = tuple(
        Entity(ent_id, e.label, e.spans, tuple(draw(attributes)))
        for i, (ent_id, e) in enumerate(zip(ids, ents, strict=True))
        if seen[e.label, e.spans] == i
    )
    relations = []
    if ents:
        ends = st.sampled_from([e.id for e in ents])
        for i in range(draw(st.integers(0, 2))):
            relations.append(
                Relation(f"R{i + 1}", "has-dose", draw(ends), draw(ends), draw(st.booleans()))
            )
    keys = st.sampled_from(["patient", "kind", "date", "ward-2"])
    return Document(
        draw(words),
        text,
        ents,
        tuple(relations),
        sections=sections(text),
        metadata=draw(st.dictionaries(keys, words, max_size=2)),
    )


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(docs(), min_size=1, max_size=2, unique_by=lambda d: d.id))
def test_read_undoes_write(tmp_path, documents):
    folder = tmp_path / "c"
    shutil.rmtree(folder, ignore_errors=True)
    assert write_corpus(documents, folder, format="inline") == {}
    found = read_corpus(folder, ReadingConfig(format="inline"), expect_mentions=False).docs
    assert sorted(found, key=lambda d: d.id) == sorted(documents, key=lambda d: d.id)


def test_windows_files_keep_their_line_ends_in_the_text_and_lose_the_last(tmp_path):
    path = put(tmp_path, "id: a\r\nkind: x\r\n---\r\nNo <P>pain</>.\r\nEnd\r\n")
    (doc,) = read_corpus(path).docs
    assert (doc.text, doc.metadata) == ("No pain.\r\nEnd", {"kind": "x"})


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfid: n1\n---\nFever.\n")
    (doc,) = read_corpus(tmp_path, expect_mentions=False).docs
    assert (doc.id, doc.text) == ("n1", "Fever.")


def test_a_note_without_id_takes_its_path(tmp_path):
    (tmp_path / "c" / "train").mkdir(parents=True)
    put(tmp_path / "c" / "train", "kind: x\n---\npain\n", "a.txt")
    put(tmp_path / "c", "# guideline\n---\n", "README.md")
    put(tmp_path / "c", "# guideline\n---\n", "guideline.md")
    assert [d.id for d in read_corpus(tmp_path / "c", expect_mentions=False).docs] == ["train/a"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("chest pain</>", "chest pain", r"line 10: doc 'n017': open without close; add </>"),
        ("palpitations</>", "palpitations</></>", "line 10: .*close without open"),
        ("temp >", r"temp \>", r"line 9: .*bad escape; write a literal backslash as \\\\"),
        ("{#s1}", "{#p1}", "bad details; a block is"),
        ("{#p1 negated}", "{#p1  negated}", "line 9: .*bad details"),
        ("25 mg", "", "line 10: .*empty mention"),
        ("d1 -> s1", "d1 -> s9", "names unknown 's9'"),
        ("d1 -> s1", "d1 s1", "line 6: a relation is 'LABEL HEAD -> TAIL'"),
        ("date: 2021", "kind: 2021", "line 4: its key stands twice"),
        ("date: 2021", "date 2021", "line 4: a header line is 'key: value'"),
        ("---\n", "", "no line '---'"),
    ],
)
def test_bad_notes_name_file_and_line_and_no_text(tmp_path, old, new, message):
    path = put(tmp_path, NOTE.replace(old, new, 1))
    with pytest.raises(CorpusError, match=message) as error:
        read_corpus(path, ReadingConfig(format="inline"))
    assert str(error.value).startswith(f"{path}: ")
    assert "palpitations" not in str(error.value)
    assert "\n" not in str(error.value)
    put(tmp_path, NOTE.replace("n017", "n018"), "n018.txt")
    if new != "date 2021" and old != "---\n":
        read = read_corpus(tmp_path, ReadingConfig(on_problem="count"))
        assert ([d.id for d in read.docs], read.counts) == (["n018"], {"dropped: note": 1})


def test_losses_are_counted():
    doc = Document(
        "a",
        "chest pain now",
        (
            Entity("T1", "P", ((0, 2), (6, 8)), normalized=("C1",)),
            Entity("T2", "P", ((6, 10),)),
        ),
        (Relation("R1", "x", "T1", "T2"),),
        metadata={"n": 3, "x y": "z", "ok": "z"},
    )
    lost = Tally().counts
    inline.dumps(doc, lost)
    assert {what: n for what, n in lost.items() if n} == {
        "concept ids left out": 1,
        "crossing mentions left out": 1,
        "discontinuous mentions written whole": 1,
        "metadata left out": 2,
        "relations left out": 1,
    }


@pytest.mark.parametrize(
    ("doc", "message"),
    [
        (Document("a\nb", "x"), "line end"),
        (Document(" a", "x"), "outer white space"),
        (Document("a", "x", (Entity("T1", "my label", ((0, 1),)),)), "cannot be a mark"),
        (Document("a", "x", (Entity("T 1", "P", ((0, 1),)),)), "details block"),
        (
            Document(
                "a", "x", (Entity("T1", "P", ((0, 1),)),), (Relation("R1", "a b", "T1", "T1"),)
            ),
            "a relation holds white space",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, doc, message):
    with pytest.raises(CorpusError, match=message):
        write_corpus([doc], tmp_path / "c", format="inline")
    assert list(tmp_path.iterdir()) == []


def test_ids_that_make_one_file_name_get_two(tmp_path):
    write_corpus([Document("a/b", "x"), Document("a:b", "y")], tmp_path / "c", format="inline")
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["a_b.txt", "a_b_2.txt"]
    assert [d.id for d in read_corpus(tmp_path / "c", expect_mentions=False).docs] == ["a/b", "a:b"]


def test_the_packaged_notes_read_back_after_writing(tmp_path):
    docs = read_corpus(demo_corpus_path()).docs
    assert write_corpus(docs, tmp_path / "c", format="inline") == {}
    assert sorted(read_corpus(tmp_path / "c").docs, key=lambda d: d.id) == sorted(
        docs, key=lambda d: d.id
    )
