"""Tables as Excel, pandas and hospital databases write them (PyHealth#1159 for the lost zeros)."""

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.corpus.metadata import add_metadata, read_metadata
from notesmith.corpus.problems import Tally
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError

DOCS = [Document("001", "Has a cough."), Document("002", "Well."), Document("003", "Tired.")]
PLAIN = {"001": {"patient": "p1"}, "002": {"patient": "p1"}, "003": {"patient": "p2"}}


@pytest.fixture
def table(tmp_path):
    def write(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def patients(path, docs=DOCS, on_problem="raise"):
    tally = Tally(on_problem)
    found = add_metadata(docs, read_metadata(path), tally)
    return [doc.metadata.get("patient") for doc in found], dict(tally.counts)


@pytest.mark.parametrize(
    "content",
    [
        "id,patient\n001,p1\n002,p1\n003,p2\n",
        "\ufeffid,patient\n001,p1\n002,p1\n003,p2\n",
        "id;patient\r\n001;p1\r\n002;p1\r\n003;p2\r\n",
        "sep=;\r\nid;patient\r\n001;p1\r\n002;p1\r\n003;p2\r\n",
        "id\tpatient\n001\tp1\n002\tp1\n003\tp2\n",
        "id|patient\n001|p1\n002|p1\n003|p2\n",
        "ID,Patient\n001,p1\n002,p1\n003,p2\n",
        " Note ID , PATIENT_ID \n 001 , p1 \n 002,p1\n003 ,p2\n",
        '"doc_id";"Subject-ID"\n"001";"p1"\n"002";"p1"\n"003";"p2"\n',
        "person_id,File Name\np1,001\np1,002\np2,003\n",
        "id,patient\n001,p1\n002,p1\n003,p2\n,\n\n",
        "id,patient\n001,p1\n002,p1\n003,p2\n".encode("utf-16"),
    ],
)
def test_a_table_is_read_as_people_write_it(table, content):
    assert read_metadata(table(content)).rows == PLAIN
    assert patients(table(content)) == (["p1", "p1", "p2"], {})


def test_other_columns_keep_their_names(table):
    path = table("ID,Patient,Kind,Seen On\n001,p1,letter,2020\n")
    assert read_metadata(path).rows == {
        "001": {"patient": "p1", "kind": "letter", "Seen On": "2020"}
    }


def test_another_encoding_is_named(table):
    path = table("id,patient,kind\n001,p1,März\n".encode("cp1252"))
    with pytest.raises(CorpusError, match=r"t\.csv:2: byte \d+ is not utf-8; name .* --encoding"):
        read_metadata(path)
    assert read_metadata(path, encoding="cp1252").rows["001"]["kind"] == "März"
    with pytest.raises(ConfigError, match="'klingon' is unknown"):
        read_metadata(path, encoding="klingon")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,patient\n", r"t\.csv:1: no column of document ids among its columns \(name, pat"),
        ("", r"t\.csv:1: no column of document ids among its columns \(none\)"),
        ("id,Patients_key\n", r"no column is known to be that of patients \(id, Patients_key\)"),
        ("id,kind,kind\n", r"t\.csv:1: column kind stands twice"),
        ("id,patient\n1,p\n1,q\n", r"t\.csv:3: doc '1' stands twice"),
        ("id,patient\n1,p,q\n", r"t\.csv:2: more cells than columns"),
        ("id,patient\n,p\n", r"t\.csv:2: no id; name the document"),
        ('id,patient\n1,"p\n', r"t\.csv:2: not CSV"),
        (b"PK\x03\x04rest", r"t\.csv: a workbook, .*save the sheet as CSV"),
    ],
)
def test_what_is_no_table_of_documents_says_why(table, content, message):
    with pytest.raises(CorpusError, match=message):
        read_metadata(table(content))


def test_zeros_that_a_spreadsheet_took_away(table):
    found, counts = patients(table("id,patient\n1,p1\n2,p1\n3,p2\n"))
    assert found == ["p1", "p1", "p2"]
    assert counts == {"documents matched with the metadata table without leading zeros": 3}


def test_file_names_match_ids_without_their_ending(table):
    found, counts = patients(table("file,patient\n001.txt,p1\n002.txt,p1\n003.txt,p2\n"))
    assert found == ["p1", "p1", "p2"] and "endings of file names" in next(iter(counts))


def test_zeros_in_doubt_are_an_error_with_the_cause(table):
    docs = [*DOCS, Document("01", "Sleeps.")]
    with pytest.raises(CorpusError, match="leading zeros were lost, and it is in doubt"):
        patients(table("id,patient\n1,p1\n2,p1\n3,p2\n"), docs)
    with pytest.raises(CorpusError, match="leading zeros were lost"):  # not all documents
        patients(table("id,patient\n1,p1\n2,p1\n"))


def test_documents_without_a_line_are_an_error_with_counts_and_ids(table):
    path = table("id,patient\n001,p1\n9,p1\n")
    with pytest.raises(
        CorpusError,
        match=r"2 of 3 documents have no line, such as doc '002'; 1 of its 2 lines have no "
        r"document, such as '9' \(column id\)",
    ):
        patients(path)
    assert patients(path, on_problem="count") == (
        ["p1", None, None],
        {
            "documents without a line in the metadata table": 2,
            "lines of the metadata table without a document": 1,
        },
    )
    with pytest.raises(CorpusError, match="3 of 3 documents have no line"):  # nothing matches
        patients(table("id,patient\nx1,p1\n"), on_problem="count")


def test_words_where_an_id_should_stand_are_not_shown(table):
    with pytest.raises(CorpusError) as error:
        patients(table("id,patient\nQuillfeather came,p1\n"))
    assert "Quillfeather" not in str(error.value)


def test_a_corpus_is_read_with_its_table(tmp_path, table):
    write_corpus(DOCS, tmp_path / "c.jsonl")
    path = table("ID;Patient\n1;p1\n2;p1\n3;p2\n")
    options = ReadingConfig(without_mentions=True)
    read = read_corpus(tmp_path / "c.jsonl", options, metadata=path)
    assert [doc.metadata["patient"] for doc in read.docs] == ["p1", "p1", "p2"]
