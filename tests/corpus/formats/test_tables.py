"""Tables of mentions, with the headings of DisTEMIST, MedProcNER, ProfNER and of spreadsheets."""

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import demo_corpus_path, read_corpus, write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import CorpusError

TEXTS = {"n1": "Denies fever, takes aspirin.", "n2": "Knee pain since May.", "n3": "No news."}
ROWS = (("n1", 7, 12, "Problem", "fever"), ("n1", 20, 27, "Drug", "aspirin"))
TWO = (*ROWS, ("n2", 0, 9, "Problem", "Knee pain"))
HEAD = ("doc_id", "start", "end", "label", "text")


def table(rows=TWO, head=HEAD, sign=","):
    return "".join(sign.join(map(str, row)) + "\n" for row in (head, *rows))


def corpus(folder, body=None, texts=TEXTS, name="mentions.csv", below="."):
    (folder / below).mkdir(exist_ok=True, parents=True)
    for doc_id, text in texts.items():
        (folder / below / f"{doc_id}.txt").write_text(text, newline="")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(table() if body is None else body, newline="")
    return folder


def found(docs):
    return {doc.id: [(ent.label, mention) for ent, mention in pairs(doc)] for doc in docs}


def pairs(doc):
    return zip(doc.entities, doc.mentions(), strict=True)


RIGHT = {
    "n1": [("Problem", "fever"), ("Drug", "aspirin")],
    "n2": [("Problem", "Knee pain")],
}


def test_a_folder_of_texts_with_a_table_of_mentions(tmp_path):
    read = read_corpus(corpus(tmp_path, below="txt", name="tsv/train.csv"))
    assert read.format == "table"
    assert found(read.docs) == {**RIGHT, "txt/n3": []}
    assert read.counts == {"texts without a row in a table, read as without mentions": 1}


def test_the_table_alone_leaves_texts_without_a_row_out(tmp_path):
    read = read_corpus(corpus(tmp_path) / "mentions.csv")
    assert found(read.docs) == RIGHT
    assert read.counts == {"texts without a row in the table, left out": 1}


@pytest.mark.parametrize(
    ("head", "sign", "name"),
    [
        (("filename", "off0", "off1", "label", "span"), "\t", "a.tsv"),
        (("tweet_id", "begin", "end", "type", "extraction"), "\t", "a.tsv"),
        (("filename", "start_span", "end_span", "label", "text"), "\t", "a.tab"),
        (("Note ID", "Start Offset", "End Offset", "Entity Type", "Mention"), ";", "a.csv"),
        (("DOCUMENT_ID", "Begin", "Stop", "Category", "Term"), "|", "a.csv"),
        (("id", "start", "end", "entity", "text"), ",", "a.csv"),
    ],
)
def test_headings_are_matched_as_people_write_them(tmp_path, head, sign, name):
    body = table(head=head, sign=sign).replace("n2", "n2.txt")
    read = read_corpus(corpus(tmp_path, "\ufeff" + body.replace("\n", "\r\n"), name=name))
    assert found(read.docs) == {**RIGHT, "n3": []}


def test_texts_in_a_table_of_their_own_and_by_option(tmp_path):
    notes = 'Note_ID,Text\nn1,"Denies fever, takes aspirin."\nn2,Knee pain since May.\n'
    (tmp_path / "notes.csv").write_text(notes)
    (tmp_path / "marks.csv").write_text(table())
    assert found(read_corpus(tmp_path).docs) == RIGHT
    other = tmp_path / "labels" / "marks.csv"
    other.parent.mkdir()
    other.write_text(table())
    with pytest.raises(CorpusError, match=r"marks\.csv:2: doc 'n1': no text of this id.*--tasks"):
        read_corpus(other)
    read = read_corpus(other, ReadingConfig(tasks=str(tmp_path / "notes.csv")))
    assert (found(read.docs), read.counts) == (RIGHT, {})


def test_columns_that_are_not_found_are_an_error_that_lists_those_seen(tmp_path):
    body = table(head=("doc_id", "start", "end", "what", "text"))
    path = corpus(tmp_path, body) / "mentions.csv"
    with pytest.raises(CorpusError, match="no column for label among: doc_id, start, end, what"):
        read_corpus(path)
    assert found(read_corpus(path, ReadingConfig(feature="what")).docs) == RIGHT
    path.write_text("a,b\n1,2\n")
    with pytest.raises(CorpusError, match="no column for document, start, label, end among: a, b"):
        read_corpus(path, ReadingConfig(format="table"))


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (lambda s, e: (s, e - 1), "tables whose end offset is inside the mention"),
        (lambda s, e: (s + 1, e + 1), "tables whose offsets count from 1"),
    ],
)
def test_texts_of_mentions_tell_how_offsets_count(tmp_path, move, said):
    rows = [(doc_id, *move(start, end), *rest) for doc_id, start, end, *rest in TWO]
    read = read_corpus(corpus(tmp_path, table(rows)) / "mentions.csv")
    assert found(read.docs) == RIGHT
    assert read.counts[said] == 1
    # Without texts, the borders of words tell as much.
    bare = [row[:4] for row in rows]
    read = read_corpus(corpus(tmp_path, table(bare, HEAD[:4])) / "mentions.csv")
    assert found(read.docs) == RIGHT
    assert read.counts["tables without texts of mentions, read by borders of words"] == 1


def test_a_table_that_nothing_explains_is_refused(tmp_path):
    body = table([("n1", 7, 9, "Problem")], HEAD[:4])
    with pytest.raises(
        CorpusError, match=r"mentions\.csv: has no column with the texts.*add a col"
    ):
        read_corpus(corpus(tmp_path, body) / "mentions.csv")


def test_a_length_needs_no_guess(tmp_path):
    rows = [(doc_id, start, end - start, *rest) for doc_id, start, end, *rest in TWO]
    body = table(rows, ("doc_id", "offset", "length", "label", "text"))
    assert found(read_corpus(corpus(tmp_path, body) / "mentions.csv").docs) == RIGHT


def test_bytes_and_line_ends_are_told_too(tmp_path):
    text = "Fièvre\r\net douleur"
    for first, start, said in (
        (6, 10, r"tables whose offsets count \r\n as one (text read so)"),
        (7, 12, "tables whose offsets count bytes of UTF-8"),
    ):
        body = table([("a1", 0, first, "P", "Fièvre"), ("a1", start, start + 7, "P", "douleur")])
        read = read_corpus(corpus(tmp_path, body, {"a1": text}) / "mentions.csv")
        assert read.docs[0].mentions() == ["Fièvre", "douleur"]
        assert read.counts[said] == 1


def test_a_wrong_row_is_an_error_or_masked(tmp_path):
    rows = (*TWO, ("n2", 0, 4, "Problem", "since"))
    path = corpus(tmp_path, table(rows)) / "mentions.csv"
    with pytest.raises(CorpusError, match=r"mentions\.csv:5: doc 'n2': \[0, 4\): the mention"):
        read_corpus(path)
    read = read_corpus(path, ReadingConfig(on_problem="count"))
    assert read.docs[1].masked == ((0, 4), (10, 15))
    assert read.counts["masked: mention"] == 1
    path.write_text(table((*TWO, ("n2", "x", 4, "Problem", "gone"))))
    with pytest.raises(CorpusError, match=r":5: doc 'n2': start and end must be whole numbers"):
        read_corpus(path)
    read = read_corpus(path, ReadingConfig(on_problem="count"))
    assert (found(read.docs).keys(), read.counts["dropped: document"]) == ({"n1"}, 1)


def test_a_ragged_line_is_an_error_or_its_document_is_lost(tmp_path):
    path = corpus(tmp_path, table() + "n2,1,2\n") / "mentions.csv"
    with pytest.raises(CorpusError, match=r"mentions\.csv:5: 3 cells, the heading has 5"):
        read_corpus(path)


def test_rows_say_that_a_document_has_no_mention_and_codes_are_joined(tmp_path):
    head = ("tweet_id", "begin", "end", "type", "extraction", "code", "who")
    rows = [
        ("n3", "-", "-", "-", "-", "", ""),
        ("n1", 7, 12, "Problem", "fever", "C1|C2", "me"),
        ("n1", 7, 12, "Problem", "fever", "C3", "me"),
    ]
    read = read_corpus(corpus(tmp_path, table(rows, head, "\t"), name="a.tsv") / "a.tsv")
    assert found(read.docs) == {"n3": [], "n1": [("Problem", "fever")]}
    assert read.docs[1].entities[0].normalized == ("C1", "C2", "C3")
    assert read.counts == {
        "cells of column who left out": 2,
        "rows of one mention joined": 1,
        "rows that say that a document has no mention": 1,
        "texts without a row in the table, left out": 1,
    }


def test_tabs_without_quotes_are_read_as_they_stand(tmp_path):
    text = 'Says "fine" and left.'
    body = 'filename\tstart\tend\tlabel\ttext\nq1\t5\t11\tQuote\t"fine"\nq1\t5\t6\tMark\t"\n'
    read = read_corpus(corpus(tmp_path, body, {"q1": text}, name="a.tsv") / "a.tsv")
    assert read.docs[0].mentions() == ['"fine"', '"']


def test_two_tables_share_the_texts(tmp_path):
    corpus(tmp_path, table(ROWS), name="dev.csv")
    (tmp_path / "train.csv").write_text(table(TWO[2:]))
    assert found(read_corpus(tmp_path).docs) == {**RIGHT, "n3": []}


def test_the_demo_corpus_comes_back_but_for_what_is_counted(tmp_path):
    docs = read_corpus(demo_corpus_path() / "dev").docs
    lost = write_corpus(docs, tmp_path / "t", format="table")
    assert set(lost) == {
        "attributes left out",
        "documents whose metadata, sections or provenance were left out",
        "relations left out",
    }
    back = read_corpus(tmp_path / "t").docs

    def bare(doc):
        ents = [(e.id, e.label, e.spans, e.normalized) for e in doc.entities]
        return doc.id, doc.text, ents

    assert sorted(map(bare, back)) == sorted(map(bare, docs))


def test_hostile_texts_come_back(tmp_path):
    text = 'a "b", c\r\nd;\te|f\x85\u2028 𝛼 é'
    doc = Document("x, 1", text, (Entity("T1", "P", ((2, 12),)), Entity("T2", "Q", ((19, 22),))))
    write_corpus([doc], tmp_path / "t", format="table")
    assert read_corpus(tmp_path / "t").docs == [doc]
