import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.corpus.formats import i2b2_2010
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Relation
from notesmith.errors import CorpusError
from tests.corpus.documents import entities, texts, words

TEXT = (
    "Admission Date :\n"
    'He has  a so-called " silent " ulcer and no chest\n'
    "pain after Aspirin .\n"
    "His father had gout .\n"
)
CON = (
    'c="a so-called " silent " ulcer" 2:2 2:7||t="problem"\n'
    'c="chest pain" 2:10 3:0||t="problem"\n'
    'c="aspirin" 3:2 3:2||t="treatment"\n'
    'c="gout" 4:3 4:3||t="problem"\n'
)
AST = (
    'c="chest pain" 2:10 3:0||t="problem"||a="absent"\n'
    'c="a so-called " silent " ulcer" 2:2 2:7||t="problem"||a="present"\n'
    'c="gout" 4:3 4:3||t="problem"||a="associated_with_someone_else"\n'
)
REL = 'c="aspirin" 3:2 3:2||r="TrAP"||c="chest pain" 2:10 3:0\n'
CONTENT = {".txt": TEXT, ".con": CON, ".ast": AST, ".rel": REL}
PARALLEL = {".txt": "txt", ".con": "concept", ".ast": "ast", ".rel": "rel"}


def put(folder, name="n1", folders=None, **changed):
    for suffix, content in {**CONTENT, **{f".{k}": v for k, v in changed.items()}}.items():
        if content is None:
            continue
        file = folder / (folders or {}).get(suffix, "") / f"{name}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, newline="")
    return folder


def read(folder, tally=None, **options):
    """As ``read_corpus`` walks a folder."""
    tally = tally or Tally()
    docs = []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        head = path.read_bytes()[:65536].decode(errors="replace")
        if i2b2_2010.claims(path, head, unlabelled=options.get("unlabelled", False)):
            stem = path.relative_to(folder).with_suffix("").as_posix()
            docs += i2b2_2010.read(path, stem, tally, **options)
    return docs


def mentions(doc):
    return [(ent.mention(doc.text), ent.label, *ent.attributes) for ent in doc.entities]


EXPECTED = [
    ('a so-called " silent " ulcer', "problem", "present"),
    ("chest\npain", "problem", "absent"),
    ("Aspirin", "treatment"),
    ("gout", "problem", "associated_with_someone_else"),
]


def test_reads_concepts_assertions_and_relations_side_by_side(tmp_path):
    tally = Tally()
    (doc,) = read(put(tmp_path), tally)
    assert (doc.id, doc.text) == ("n1", TEXT)
    assert mentions(doc) == EXPECTED
    assert doc.entities[1] == Entity("T2", "problem", ((61, 71),), ("absent",))
    assert doc.relations == (Relation("R1", "TrAP", "T3", "T2"),)
    assert tally.counts == {}


def test_parallel_folders_are_no_part_of_the_id(tmp_path):
    put(tmp_path / "beth", folders=PARALLEL)
    put(tmp_path / "partners", name="n.1", folders=PARALLEL)
    docs = read(tmp_path)
    assert [doc.id for doc in docs] == ["beth/n1", "partners/n.1"]
    assert all(mentions(doc) == EXPECTED and doc.relations for doc in docs)


def test_the_test_set_has_its_texts_in_another_folder(tmp_path):
    reference = "reference_standard_for_test_data"
    put(
        tmp_path,
        folders={
            ".txt": "test_data",
            ".con": f"{reference}/concepts",
            ".ast": f"{reference}/ast",
            ".rel": f"{reference}/rel",
        },
    )
    (doc,) = read(tmp_path)
    assert doc.id == f"{reference}/n1"
    assert mentions(doc) == EXPECTED
    assert len(doc.relations) == 1


@pytest.mark.parametrize("suffix", [".txt", ".con", ".ast", ".rel"])
def test_any_file_of_a_document_can_be_named(tmp_path, suffix):
    put(tmp_path, folders=PARALLEL)
    path = tmp_path / PARALLEL[suffix] / f"n1{suffix}"
    (doc,) = i2b2_2010.read(path, "n1", Tally(), alone=True)
    assert (doc.id, len(doc.entities), len(doc.relations)) == ("n1", 4, 1)


def test_a_text_without_concepts_is_an_error_unless_asked_for(tmp_path):
    put(tmp_path)
    (tmp_path / "n2.txt").write_text("Well .")
    with pytest.raises(CorpusError, match=r"n2\.txt: doc 'n2': no n2\.con beside it or in a par"):
        read(tmp_path)
    tally = Tally("count")
    assert [doc.id for doc in read(tmp_path, tally)] == ["n1"]
    assert tally.counts == {"dropped: .txt file without its .con file": 1}
    tally = Tally()
    docs = read(tmp_path, tally, unlabelled=True)
    assert docs[1] == Document("n2", "Well .")
    assert tally.counts == {"texts without concepts, read as unlabelled": 1}


@pytest.mark.parametrize(("absent", "left"), [(".txt", ".con"), (".con", ".ast")])
def test_an_orphan_is_an_error(tmp_path, absent, left):
    path = put(tmp_path, txt=None, con=None if absent == ".con" else CON) / f"n1{left}"
    with pytest.raises(CorpusError, match=f"n1{left}: doc 'n1': no n1{absent} beside it"):
        list(i2b2_2010.read(path, "n1", Tally()))


def test_claims_texts_of_the_corpus_only(tmp_path):
    put(tmp_path / "a", folders=PARALLEL)
    other = tmp_path / "a" / "unannotated" / "n9.txt"
    other.parent.mkdir()
    other.write_text("x")
    assert i2b2_2010.claims(tmp_path / "a" / "txt" / "n1.txt", TEXT)
    assert not i2b2_2010.claims(other, "x")
    assert i2b2_2010.claims(other, "x", unlabelled=True)
    assert i2b2_2010.claims(tmp_path / "x.con", "\n")
    assert i2b2_2010.claims(tmp_path / "x.con", CON)
    assert not i2b2_2010.claims(tmp_path / "x.con", "[section]")
    assert not i2b2_2010.claims(tmp_path / "x.ann", CON)


@pytest.mark.parametrize(
    ("text", "place", "note"),
    [
        ("No chest  pain now .", "1:1 1:2", None),
        ("\tNo  chest\tpain", "1:1 1:2", None),
        (" No chest pain", "1:1 1:2", None),
        ("No chest  pain now .", "1:1 1:3", "files that count an empty token in a double space"),
        ("A\u00a0b no chest pain", "1:2 1:3", "files whose tokens are apart by spaces only"),
        ("\ufeffchest pain", "1:0 1:1", None),
        ("No\r\nchest pain\r\n", "2:0 2:1", None),
        ("👩‍⚕️ e\u0301 𝛼 : chest pain", "1:4 1:5", None),
        ("A\u2028b chest pain\x85", "1:2 1:3", None),
    ],
)
def test_white_space_is_read_as_the_concept_strings_say(tmp_path, text, place, note):
    put(tmp_path, txt=text, con=f'c="chest pain" {place}||t="problem"\r\n', ast="", rel=None)
    tally = Tally()
    (doc,) = read(tmp_path, tally)
    assert doc.text == text
    assert "".join(doc.mentions()[0].split()) == "chestpain"
    assert tally.counts == ({note: 1} if note else {})


def test_two_labels_on_the_same_tokens(tmp_path):
    both = CON + 'c="aspirin" 3:2 3:2||t="problem"\n'
    tally = Tally()
    (doc,) = read(put(tmp_path, con=both), tally)
    assert [ent.label for ent in doc.entities if ent.mention(TEXT) == "Aspirin"] == [
        "treatment",
        "problem",
    ]
    assert doc.relations[0].head == "T3"
    assert tally.counts == {"relation ends on concepts of two labels, the first taken": 1}


def test_identical_lines_collapse_and_a_spelt_out_assertion_is_known(tmp_path):
    tally = Tally()
    put(
        tmp_path,
        con=CON + CON,
        ast=AST.replace("with_someone_else", "with someone else") + AST,
        rel=REL + REL,
    )
    (doc,) = read(tmp_path, tally)
    assert mentions(doc) == EXPECTED
    assert tally.counts == {
        "identical concept lines collapsed": 4,
        "identical assertion lines collapsed": 3,
        "identical relation lines collapsed": 1,
    }


@pytest.mark.parametrize(
    ("suffix", "old", "new", "line", "message"),
    [
        (".con", "4:3 4:3", "4:3 4:4", 4, "4:3 4:4: the concept string differs from the tokens"),
        (".con", "4:3 4:3", "9:3 9:3", 4, "9:3 9:3 is past the end of the text"),
        (".con", "4:3 4:3", "0:3 4:3", 4, "0:3 4:3 is past the end"),
        (".con", "4:3 4:3", "4:3 4:9", 4, "4:3 4:9 is past the end of the text or its line"),
        (".con", "4:3 4:3", "4:3 4:2", 4, "backwards"),
        (".con", '||t="problem"\nc="aspirin', '||t="pro\nc="aspirin', 2, "not a line of concepts"),
        (".con", '2:7||t="problem"', '2:7||t=""', 1, "not a line of concepts; is the file cut"),
        (".con", "4:3 4:3", f"{'4' * 5000}:3 4:3", 4, "not a line of concepts"),
        (".ast", '"absent"', '"denied"', 1, "2:10 3:0: its assertion is none of absent, assoc"),
        (".ast", '||a="absent"', "", 1, "not a line of assertions"),
        (".ast", "4:3 4:3", "4:4 4:4", 3, "differs from the tokens there"),
        (".ast", 'c="gout" 4:3 4:3', 'c="father" 4:1 4:1', 3, "4:1 4:1: no such concept"),
        (".ast", "4:3 4:3||t", '4:3 4:3||t="test"||t', 3, "not a line of assertions"),
        (".ast", AST, AST + AST.replace("absent", "possible"), 4, "has two assertions; remove"),
        (".rel", 'c="aspirin" 3:2 3:2', 'c="after" 3:1 3:1', 1, "3:1 3:1: no such concept; add"),
        (".rel", '||r="TrAP"', "", 1, "not a line of relations"),
    ],
)
def test_bad_line_names_file_line_and_doc_but_no_text(tmp_path, suffix, old, new, line, message):
    assert old in CONTENT[suffix]
    put(tmp_path, **{suffix[1:]: CONTENT[suffix].replace(old, new, 1)})
    with pytest.raises(CorpusError, match=message) as error:
        read(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / f'n1{suffix}'}:{line}: doc 'n1': ")
    assert not any(word in str(error.value) for word in ("gout", "father", "aspirin", "\n"))
    tally = Tally("count")
    (doc,) = read(tmp_path, tally)
    kind = "masked: " if suffix == ".con" else "dropped: "
    assert sum(n for what, n in tally.counts.items() if what.startswith(kind)) >= 1
    assert len(doc.entities) >= 3
    # A concept that cannot be read is unknown, not absent.
    assert bool(doc.masked) == (suffix == ".con")


def test_files_that_are_not_utf8(tmp_path):
    put(tmp_path)
    (tmp_path / "n1.con").write_bytes(CON.encode() + b'c="\xe9" 4:0 4:0||t="problem"\n')
    with pytest.raises(CorpusError, match=r"n1\.con:5: byte 3 is not UTF-8"):
        read(tmp_path)
    tally = Tally("count")
    # The concept may stand anywhere.
    assert read(tmp_path, tally) == []
    assert tally.counts == {"dropped: line that is not UTF-8": 1, "dropped: document": 1}
    (tmp_path / "n1.txt").write_bytes(b"na\xefve")
    with pytest.raises(CorpusError, match=r"n1\.txt:1: byte 2 is not UTF-8"):
        read(tmp_path)
    assert read(tmp_path, Tally("count")) == []


def test_a_file_cut_off_anywhere_is_an_error_or_reads(tmp_path):
    for suffix, content in ((".con", CON), (".ast", AST), (".rel", REL), (".txt", TEXT)):
        for n in range(0, len(content), 5):
            put(tmp_path, **{suffix[1:]: content[:n]})
            try:
                read(tmp_path)
            except CorpusError as error:
                assert str(error).startswith(str(tmp_path))
                assert "\n" not in str(error)


def test_written_again_it_reads_equal_in_parallel_folders(tmp_path):
    docs = read(put(tmp_path / "c"))
    assert +i2b2_2010.write(docs, tmp_path / "d") == {}
    files = {f.relative_to(tmp_path / "d").as_posix(): f for f in (tmp_path / "d").rglob("*.*")}
    assert sorted(files) == ["ast/n1.ast", "concept/n1.con", "rel/n1.rel", "txt/n1.txt"]
    assert files["txt/n1.txt"].read_text() == TEXT
    assert files["concept/n1.con"].read_text() == CON
    assert sorted(files["ast/n1.ast"].read_text().splitlines()) == sorted(AST.splitlines())
    assert files["rel/n1.rel"].read_text() == REL
    assert read(tmp_path / "d") == docs


def tokenwise(doc):
    """The same mentions, widened to whole tokens by the plainest way, without white space alone."""
    kept = {}
    for ent in doc.entities:
        start, end = ent.start, ent.end
        if not doc.text[start:end].strip("\ufeff" if start == 0 else "").split():
            continue
        while doc.text[start].isspace():
            start += 1
        while doc.text[end - 1].isspace():
            end -= 1
        while start > 0 and not doc.text[start - 1].isspace():
            start -= 1
        while end < len(doc.text) and not doc.text[end].isspace():
            end += 1
        if start == 0 and doc.text[0] == "\ufeff":
            start = 1
        values = [a for a in ent.attributes if a in i2b2_2010.ASSERTIONS][:1]
        kept.setdefault((ent.label, (start, end)), values)
    return [(label, span, values) for (label, span), values in kept.items()]


@st.composite
def docs(draw):
    text = draw(texts)
    ents = tuple(
        Entity(
            e.id,
            e.label,
            e.spans,
            tuple(
                draw(st.lists(st.sampled_from([*sorted(i2b2_2010.ASSERTIONS), "x=y"]), max_size=2))
            ),
        )
        for e in draw(entities(text, pieces=2))
    )
    ends = st.sampled_from([e.id for e in ents]) if ents else st.nothing()
    relations = st.builds(Relation, words, st.sampled_from(["TrAP", "PIP"]), ends, ends)
    doc_id = "/".join(
        draw(st.lists(st.sampled_from(["a", "txt", "b.1", "é", "c d"]), min_size=1, max_size=3))
    )
    return Document(doc_id, text, ents, tuple(draw(st.lists(relations, max_size=3 if ents else 0))))


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(docs(), min_size=1, max_size=2, unique_by=lambda d: d.id))
def test_read_undoes_write_up_to_token_borders(tmp_path, documents):
    folder = tmp_path / "c"
    shutil.rmtree(folder, ignore_errors=True)
    lost = i2b2_2010.write(documents, folder)
    tally = Tally()
    found = {doc.id: doc for doc in read(folder, tally)}
    assert set(found) == {doc.id for doc in documents}
    assert tally.counts.keys() <= {"relation ends on concepts of two labels, the first taken"}
    for doc in documents:
        back = found[doc.id]
        assert back.text == doc.text
        assert [(e.label, e.spans[0], list(e.attributes)) for e in back.entities] == tokenwise(doc)
    n_lost = sum(len(doc.relations) - len(found[doc.id].relations) for doc in documents)
    assert (
        n_lost == lost["relations of mentions left out"] + lost["identical relations written once"]
    )
    again = tmp_path / "d"
    shutil.rmtree(again, ignore_errors=True)
    back = list(found.values())
    assert not +i2b2_2010.write(back, again) or tally.counts
    assert read(again) == back


def test_what_the_format_cannot_hold_is_counted(tmp_path):
    ents = (
        Entity("x", "P", ((0, 3), (6, 8)), ("absent", "negated"), ("C1",)),
        Entity("T2", "P", ((5, 6),)),
        Entity("T3", "Q", ((0, 10),)),
        Entity("T4", "Q", ((0, 9),), ("absent",)),
    )
    relations = (
        Relation("R1", "A", "x", "T3", symmetric=True),
        Relation("R2", "A", "x", "T3"),
        Relation("R3", "A", "x", "T2"),
    )
    doc = Document("a", "chest pain", ents, relations, metadata={"k": "v"})
    spaced = Document("b", "a  b", (Entity("T1", "P", ((1, 3),)),))
    assert +i2b2_2010.write([doc, spaced], tmp_path / "c") == {
        "attributes left out": 2,
        "concept ids left out": 1,
        "discontinuous mentions written whole": 1,
        "documents whose metadata, sections or provenance were left out": 1,
        "entity ids numbered anew": 3,
        "identical relations written once": 1,
        "mentions moved to the borders of tokens": 2,
        "mentions of one label on the same tokens written once": 1,
        "mentions of white space alone left out": 2,
        "relation ends that another label's mention on the same tokens takes": 2,
        "relation ids numbered anew": 1,
        "relations of mentions left out": 1,
        "symmetric relations written as directed": 1,
    }


@pytest.mark.parametrize("doc_id", ["../up", "/etc/x", "a//b", ".hidden", "a\nb", "x" * 300])
def test_an_id_that_is_no_safe_file_name_is_refused(tmp_path, doc_id):
    with pytest.raises(CorpusError, match="cannot be a file name; use jsonl"):
        i2b2_2010.write([Document(doc_id, "x")], tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_a_label_with_a_quote_is_refused_and_nothing_is_left(tmp_path):
    doc = Document("a", "x", (Entity("T1", 'My "label"', ((0, 1),)),))
    with pytest.raises(CorpusError, match="doc 'a': a label is empty or holds a quote"):
        i2b2_2010.write([doc], tmp_path / "c")
    with pytest.raises(CorpusError, match="two documents would share a file"):
        i2b2_2010.write([Document("a", "x"), Document("a", "y")], tmp_path / "c")
    assert list(tmp_path.iterdir()) == []
