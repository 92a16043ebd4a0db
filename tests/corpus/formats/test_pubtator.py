import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import ConceptRelation, Document, Entity, Section
from notesmith.errors import CorpusError
from tests.corpus.documents import entities, plain_texts, words

ONE = (
    "11|t|Gout after diuretics.\n"
    "11|a|A man had gout and  renal failure.\n"
    "11\t0\t4\tGout\tDisease\tD1\n"
    "11\t32\t36\tgout\tDisease\tD1\n"
    "11\t42\t55\trenal failure\tDisease\tD2|D3\n"
    "11\t11\t20\tdiuretics\tChemical\t-1\n"
    "11\tCID\tD9\tD1\n"
)
TWO = "12|t|Nothing here.\n12|a|\n"


def put(tmp_path, text, name="c.txt"):
    path = tmp_path / name
    path.write_text(text, newline="")
    return path


def test_reads_text_mentions_concepts_and_relations(tmp_path):
    read = read_corpus(put(tmp_path, f"\n{ONE}\n{TWO}"))
    assert read.format == "pubtator"
    doc = read.docs[0]
    assert doc.text == "Gout after diuretics. A man had gout and  renal failure."
    assert doc.mentions() == ["Gout", "gout", "renal failure", "diuretics"]
    assert doc.entities[2] == Entity("T3", "Disease", ((42, 55),), normalized=("D2", "D3"))
    assert doc.entities[3].normalized == ()
    assert doc.concept_relations == (ConceptRelation("CID", "D9", "D1"),)
    assert doc.sections == (Section("title", 0, 21), Section("abstract", 22, 56))
    assert read.docs[1].text == "Nothing here."
    assert read.counts == {"mentions without a concept": 1}


def test_white_space_in_the_mention_column_may_differ_and_is_counted(tmp_path):
    text = ONE.replace("\trenal failure\t", "\trenal  failure\t")
    read = read_corpus(put(tmp_path, text))
    assert read.docs[0].mentions()[2] == "renal failure"
    assert read.counts["mention columns that differ in white space (offsets kept)"] == 1


@st.composite
def docs(draw):
    text = draw(plain_texts)
    ents = tuple(
        Entity(e.id, e.label, e.spans, normalized=tuple(draw(st.lists(words, max_size=2))))
        for e in draw(entities(text))
    )
    n = len(text.partition(". ")[0]) + 1
    titled = text[n : n + 1] == " " and len(text) > n + 1
    return Document(
        draw(words),
        text,
        ents,
        concept_relations=tuple(
            draw(st.lists(st.builds(ConceptRelation, st.just("CID"), words, words), max_size=2))
        ),
        sections=(Section("title", 0, n), Section("abstract", n + 1, len(text))) if titled else (),
    )


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(docs(), min_size=1, max_size=3, unique_by=lambda d: d.id))
def test_read_undoes_write(tmp_path, documents):
    path = tmp_path / "c.pubtator"
    lost = write_corpus(documents, path, format="pubtator")
    found = read_corpus(path, ReadingConfig(format="pubtator"), expect_mentions=False).docs
    # Where the title ends is found again only if it was known.
    assert [(d.id, d.text, d.entities, d.concept_relations) for d in found] == [
        (d.id, d.text, d.entities, d.concept_relations) for d in documents
    ]
    for doc, back in zip(documents, found, strict=True):
        if doc.sections:
            assert back == doc
    assert lost == {}


def test_line_ends_become_spaces_and_offsets_stand(tmp_path):
    doc = Document("a", "HPI:\r\nchest\npain", (Entity("T1", "Problem", ((6, 16),)),))
    lost = write_corpus([doc], tmp_path / "c.txt", format="pubtator")
    assert lost == {"line ends written as spaces": 3}
    assert read_corpus(tmp_path / "c.txt").docs[0].mentions() == ["chest pain"]


def test_what_the_format_cannot_hold_is_counted(tmp_path):
    doc = Document(
        "a", "chest pain", (Entity("x", "P", ((0, 2), (6, 8)), ("negated",)),), metadata={"k": "v"}
    )
    assert write_corpus([doc], tmp_path / "c.txt", format="pubtator") == {
        "attributes left out": 1,
        "discontinuous mentions written whole": 1,
        "documents whose metadata or provenance was left out": 1,
        "entity ids numbered anew": 1,
    }


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (
            "11\t0\t4\tGout\tDisease\tD1\n",
            "11\t0\t4\tGout\n",
            3,
            "5 or 6 filled columns; is the file",
        ),
        ("11\tCID\tD9\tD1\n", "11\tCID\tD9\n", 7, "cut off"),
        ("11\tCID\tD9\tD1\n", "11\tCID\tD9\t\n", 7, "4 or 5 filled columns"),
        ("11\tCID\tD9\tD1\n", "11\t4", 7, "cut off"),
        ("\t42\t55\t", "\t42\t95\t", 5, r"'T3' \[42, 95\) is past end 56; correct"),
        ("\t42\t55\t", "\t43\t56\t", 5, "mention column differs from the text"),
        ("\t42\t55\t", "\t55\t42\t", 5, "empty or negative"),
        ("12|t|", "12|a|", 9, "abstract line out of place"),
        ("11\t0", "77\t0", 3, "doc '11': neither text, mention nor relation"),
        ("12|a|\n", "", 9, "doc '12': no abstract line"),
        ("11|t|", "11;t;", 1, "stands before any title line"),
    ],
)
def test_bad_line_names_file_line_and_doc_but_no_text(tmp_path, old, new, line, message):
    path = put(tmp_path, f"{ONE}\n{TWO}".replace(old, new))
    with pytest.raises(CorpusError, match=message) as error:
        read_corpus(path, ReadingConfig(format="pubtator"))
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert "renal" not in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_lines_are_dropped_and_counted_if_asked(tmp_path):
    text = f"{ONE}\n{TWO}".replace("\t42\t55\t", "\t42\t95\t").replace("12|a|\n", "")
    read = read_corpus(put(tmp_path, text), ReadingConfig(on_problem="count"))
    assert [len(doc.entities) for doc in read.docs] == [3]
    assert read.counts == {
        "dropped: document": 1,
        "masked: mention": 1,
        "mentions without a concept": 1,
    }
    # The mention is unknown, not absent.
    doc = read.docs[0]
    assert [doc.text[start:end] for start, end in doc.masked] == ["renal failure."]


def test_a_file_cut_off_anywhere_is_an_error_or_counted(tmp_path):
    whole = f"{ONE}\n{TWO}"
    for n in range(1, len(whole) - 1):
        path = put(tmp_path, whole[:n])
        if whole[n - 1] == "\n":
            continue
        try:
            read = read_corpus(path, ReadingConfig(format="pubtator"))
        except CorpusError as error:
            assert str(error).startswith(str(path))
        else:
            assert read.counts["files whose last line has no line end: cut off?"] == 1


def test_files_without_a_concept_column(tmp_path):
    text = "1|t|Gout.\n1|a|Bad gout.\n1\t0\t4\tGout\tDisease\n1\t10\t14\tgout\tDisease\n"
    assert len(read_corpus(put(tmp_path, text)).docs[0].entities) == 2


def test_a_concept_may_be_absent_where_others_have_one_but_not_at_a_cut_off_end(tmp_path):
    text = "1|t|Gout.\n1|a|Bad.\n1\t0\t4\tGout\tDisease\n\n2|t|Rash.\n2|a|\n2\t0\t4\tRash\tDisease"
    read = read_corpus(put(tmp_path, f"{text}\tD1\n"))
    assert [doc.entities[0].normalized for doc in read.docs] == [(), ("D1",)]
    assert read.counts == {"mentions without a concept": 1}
    with pytest.raises(CorpusError, match=r"c\.txt:4: .*6 filled columns; is the file cut off"):
        read_corpus(put(tmp_path, "3|t|A.\n3|a|\n3\t0\t1\tA\tX\tD1\n" + "3\t0\t1\tA\tX"))


# ftp.ncbi.nlm.nih.gov/pub/lu/BioRED: relations have a fourth column (issue 18 of bionlplab/bioc).
BIORED = (
    "7|t|Gene BRX1 | c.5A>G\n7|a| Rash after drug.\n"
    "7\t5\t9\tBRX1\tGeneOrGeneProduct\t123\n"
    "7\t12\t18\tc.5A>G\tSequenceVariant\tc|SUB|A|5|G\tRSID:12\n"
    "7\t20\t24\tRash\tDisease\tD1;D2\n"
    "7\tAssociation\t123\tD1\tNovel\n"
    "7\tPositive_Correlation\tc|SUB|A|5|G\tD1\tNo\n"
    "7\tBind\t123\tD2\n"
)


def test_biored(tmp_path):
    read = read_corpus(put(tmp_path, BIORED.replace("\n", "\r\n"), "c.pubtator"))
    (doc,) = read.docs
    assert doc.mentions() == ["BRX1", "c.5A>G", "Rash"]
    assert [ent.normalized for ent in doc.entities] == [
        ("123",),
        ("c|SUB|A|5|G", "RSID:12"),
        ("D1", "D2"),
    ]
    assert doc.concept_relations == (
        ConceptRelation("Association", "123", "D1"),
        ConceptRelation("Positive_Correlation", "c|SUB|A|5|G", "D1"),
        ConceptRelation("Bind", "123", "D2"),
    )
    assert read.counts == {"novelty of relations left out": 2}
    write_corpus(read.docs, tmp_path / "d.pubtator", format="pubtator")
    assert read_corpus(tmp_path / "d.pubtator").docs == [doc]


@pytest.mark.parametrize(
    ("title", "abstract", "mention"),
    [("Ratio |t| of A|B", "", "A|B"), ("", "Only fever.", "fever"), (" One. ", " Two. ", "Two")],
)
def test_pipes_spaces_and_empty_parts_of_the_text(tmp_path, title, abstract, mention):
    text = f"{title} {abstract}" if abstract else title
    at = text.index(mention)
    row = f"1\t{at}\t{at + len(mention)}\t{mention}\tX\t1\n"
    (doc,) = read_corpus(put(tmp_path, f"1|t|{title}\n1|a|{abstract}\n{row}")).docs
    assert (doc.text, doc.mentions()) == (text, [mention])


@pytest.mark.parametrize("line", ["11\t7\tCID\n", "a second line of the abstract\n"])
def test_a_line_that_may_be_anything_leaves_its_document_out(tmp_path, line):
    two = f"{TWO}12\t0\t7\tNothing\tX\tD1\n"
    path = put(tmp_path, f"{ONE}{line}\n{two}")
    with pytest.raises(CorpusError, match=r"c\.txt:8: doc '11': neither text, mention nor rel"):
        read_corpus(path)
    read = read_corpus(path, ReadingConfig(on_problem="count"))
    assert [doc.id for doc in read.docs] == ["12"]
    assert read.counts == {"dropped: line": 1, "dropped: document with an unreadable line": 1}


def test_identical_record_collapses_and_another_is_an_error(tmp_path):
    read = read_corpus(put(tmp_path, f"{ONE}\n{ONE}"))
    assert (len(read.docs), read.counts["identical records collapsed"]) == (1, 1)
    path = put(tmp_path, f"{ONE}\n{ONE.replace('D9', 'D8')}")
    with pytest.raises(CorpusError, match="doc '11' stands twice with different content; rename"):
        read_corpus(path)
    assert (
        read_corpus(path, ReadingConfig(on_problem="count")).counts[
            "dropped: second record of an id"
        ]
        == 1
    )


def test_not_utf8_drops_the_document_only(tmp_path):
    path = tmp_path / "c.txt"
    path.write_bytes(ONE.replace("A man", "A m\xe9n").encode("latin-1") + b"\n" + TWO.encode())
    with pytest.raises(CorpusError, match=r"c\.txt:2: byte \d+ is not UTF-8"):
        read_corpus(path)
    assert [
        d.id
        for d in read_corpus(path, ReadingConfig(on_problem="count"), expect_mentions=False).docs
    ] == ["12"]


def test_ids_and_labels_that_break_the_columns_are_refused(tmp_path):
    with pytest.raises(CorpusError, match="the id holds"):
        write_corpus([Document("a|b", "x")], tmp_path / "c.txt", format="pubtator")
    doc = Document("a", "x", (Entity("T1", "P", ((0, 1),), normalized=("D1|D2",)),))
    with pytest.raises(CorpusError, match="'T1' has a tab"):
        write_corpus([doc], tmp_path / "c.txt", format="pubtator")
    assert list(tmp_path.iterdir()) == []
