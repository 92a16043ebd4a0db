from pathlib import Path

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import FORMATS, demo_corpus_path, read_corpus, write_corpus
from notesmith.corpus.problems import Tally
from notesmith.corpus.reading import relabel
from notesmith.document import Document, Entity, Relation
from notesmith.errors import ConfigError, CorpusError, FileError

DOC = Document(
    "n1",
    "Weak left arm",
    (
        Entity("T1", "Sign", ((0, 4),)),
        Entity("T2", "Disease", ((0, 4),)),
        Entity("T3", "Body", ((5, 13),)),
    ),
    (Relation("R1", "where", "T2", "T3"), Relation("R2", "same", "T1", "T2")),
)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reads_what_it_writes(tmp_path, name):
    doc = Document("n1", "Weak left arm", (Entity("T1", "Sign", ((0, 4),)),))
    target = FORMATS[name].path(tmp_path, "c")
    write_corpus([doc], target, format=name)
    (back,) = read_corpus(target).docs
    # These two name no document.
    doc_id = "c-1" if name in ("gliner", "spacy-tuples") else doc.id
    assert (back.id, back.text, back.entities) == (doc_id, doc.text, doc.entities)


def test_mixed_formats_are_listed_with_the_option_to_name(tmp_path):
    write_corpus([DOC], tmp_path / "a.jsonl")
    write_corpus([DOC], tmp_path / "b", format="brat")
    with pytest.raises(
        CorpusError, match=r"several formats: jsonl \(1 file\), brat \(2 files in b\)"
    ):
        read_corpus(tmp_path)
    with pytest.raises(CorpusError, match=r"--format jsonl"):
        read_corpus(tmp_path)
    read = read_corpus(tmp_path, ReadingConfig(format="jsonl"))
    assert ([d.id for d in read.docs], read.counts) == (
        ["n1"],
        {"files of other formats passed over": 2},
    )
    with pytest.raises(CorpusError, match="holds no conll files"):
        read_corpus(tmp_path, ReadingConfig(format="conll"))


def test_nothing_there_nothing_known_nothing_in_it(tmp_path):
    with pytest.raises(CorpusError, match="x: not found"):
        read_corpus(tmp_path / "x")
    with pytest.raises(CorpusError, match="empty; formats are jsonl"):
        read_corpus(tmp_path)
    (tmp_path / "a.dat").write_text("?")
    with pytest.raises(CorpusError, match="not in a format that is recognised"):
        read_corpus(tmp_path)
    (tmp_path / "a.jsonl").write_text("\n")
    for on_problem in ("raise", "count"):
        with pytest.raises(CorpusError, match="no documents in format jsonl"):
            read_corpus(tmp_path / "a.jsonl", ReadingConfig(on_problem=on_problem))
    with pytest.raises(ConfigError, match="format 'xml' is not one of jsonl"):
        read_corpus(tmp_path / "a.jsonl", ReadingConfig(format="xml"))


def test_a_file_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.symlink_to(tmp_path / "gone")
    with pytest.raises(CorpusError, match=r"a\.jsonl: not found|cannot be read"):
        read_corpus(path)
    with pytest.raises(CorpusError, match="cannot be read"):
        read_corpus(tmp_path)


def test_one_id_in_two_files(tmp_path):
    write_corpus([DOC], tmp_path / "a.jsonl")
    write_corpus([DOC], tmp_path / "b.jsonl")
    read = read_corpus(tmp_path)
    assert (len(read.docs), read.counts) == (1, {"identical records collapsed": 1})
    write_corpus([Document("n1", "other")], tmp_path / "b.jsonl")
    with pytest.raises(
        CorpusError, match=r"b\.jsonl: doc 'n1' stands twice with different content"
    ):
        read_corpus(tmp_path)


def test_label_map_renames_drops_and_collapses():
    tally = Tally()
    doc = relabel(DOC, {"Body": "", "*": "Problem"}, tally)
    assert doc.entities == (Entity("T1", "Problem", ((0, 4),)),)
    assert doc.relations == (Relation("R2", "same", "T1", "T1"),)
    assert tally.counts == {
        "mentions left out by the label map": 1,
        "mentions made identical by the label map": 1,
        "relations left out by the label map": 1,
    }


def test_label_map_keeps_labels_it_does_not_name():
    tally = Tally()
    assert relabel(DOC, {"Sign": "Problem"}, tally).labels == {"Problem", "Disease", "Body"}
    assert tally.counts == {}


def test_a_corpus_without_any_mention_is_an_error_unless_it_is_meant_so(tmp_path):
    write_corpus([Document("a", "No fever."), Document("b", "x")], tmp_path / "a.jsonl")
    with pytest.raises(CorpusError) as raised:
        read_corpus(tmp_path / "a.jsonl")
    assert str(raised.value) == (
        f"{tmp_path / 'a.jsonl'}: none of 2 documents has a mention (read as jsonl); name the "
        "labelled files, or give --without-mentions if they are meant so "
        "(corpus.without_mentions in a recipe)"
    )
    for options, expected in (
        (ReadingConfig(without_mentions=True), True),
        (ReadingConfig(), False),
    ):
        read = read_corpus(tmp_path / "a.jsonl", options, expect_mentions=expected)
        assert len(read.docs) == 2


def test_a_label_map_that_leaves_no_mention(tmp_path):
    write_corpus([DOC], tmp_path / "a.jsonl")
    with pytest.raises(CorpusError, match="the label map leaves none of 3 mentions; correct"):
        read_corpus(tmp_path, ReadingConfig(label_map={"*": ""}))


def test_label_map_through_read_corpus(tmp_path):
    write_corpus([DOC], tmp_path / "a.jsonl")
    assert read_corpus(tmp_path, ReadingConfig(label_map={"*": "X"})).docs[0].labels == {"X"}


def test_unwritable_document_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.jsonl"
    write_corpus([DOC], path)
    before = path.read_bytes()
    with pytest.raises(FileError):
        write_corpus([DOC, Document("x", "a\ud800")], path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_metadata_table_is_added_by_id(tmp_path):
    write_corpus([DOC, Document("n2", "x", metadata={"kind": "old"})], tmp_path / "a.jsonl")
    table = tmp_path / "patients.csv"
    table.write_text('id,patient,kind\nn2,p1,"ward, night"\nn3,p2,\nn1,,\n')
    read = read_corpus(tmp_path / "a.jsonl", metadata=table)
    assert [dict(d.metadata) for d in read.docs] == [{}, {"patient": "p1", "kind": "ward, night"}]
    assert read.counts == {"lines of the metadata table without a document": 1}


def test_packaged_notes_are_found():
    assert (demo_corpus_path() / "train").is_dir()
    assert all("patient" in d.metadata for d in read_corpus(demo_corpus_path()).docs)


def test_the_examples_of_the_formats_page_are_read(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    (tmp_path / "a.jsonl").write_text(page.split("```json\n")[1].split("```")[0])
    assert read_corpus(tmp_path / "a.jsonl").docs[0].mentions() == ["chest pain"]
    (tmp_path / "a.txt").write_text("id: n017" + page.split("```\nid: n017")[1].split("```")[0])
    doc = read_corpus(tmp_path / "a.txt").docs[0]
    assert doc.mentions() == ["chest pain", "metoprolol", "25 mg", "palpitations"]


def test_the_patient_is_told_by_the_id_unless_it_is_known(tmp_path):
    docs = [
        Document("P01-clinic-3", "a", (Entity("T1", "Sign", ((0, 1),)),)),
        Document("P02-ward", "b", metadata={"patient": "known"}),
        Document("loose", "c"),
    ]
    write_corpus(docs, tmp_path / "c.jsonl")
    read = read_corpus(tmp_path / "c.jsonl", patient_from=r"^(P\d+)-")
    assert [doc.metadata.get("patient") for doc in read.docs] == ["P01", "known", None]
    assert read.counts == {"documents whose id tells no patient": 1}
    whole = read_corpus(tmp_path / "c.jsonl", patient_from=r"P\d+").docs
    assert whole[0].metadata["patient"] == "P01"
    for pattern in ("(", "nobody"):
        with pytest.raises(ConfigError, match="patient-from"):
            read_corpus(tmp_path / "c.jsonl", patient_from=pattern)
