from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.corpus.formats.json_values import NoteFields
from notesmith.corpus.notes import find_notes, survey
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Section
from notesmith.errors import ConfigError, CorpusError

NAME = "Quillfeather"
COUNT = ReadingConfig(on_problem="count")
DOCS = [
    Document("b", f"{NAME} has fever.", (Entity("T1", "Sign", ((17, 22),)),)),
    Document("a", "No cough.", sections=(Section("x", 0, 9),), metadata={"patient": "p"}),
]


def read(path: Path, format: str | None = None, fields: NoteFields | None = None) -> list[Document]:
    return list(find_notes(path, ReadingConfig(format=format), fields=fields)(Tally()))


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


@pytest.mark.parametrize("name", ["notes.jsonl", "notes.parquet"])
def test_a_corpus_is_streamed_as_it_is_read(tmp_path: Path, name: str) -> None:
    write_corpus(DOCS, tmp_path / name, format=Path(name).suffix[1:])
    want = read_corpus(tmp_path / name).docs
    if name.endswith("parquet"):  # Labels are not looked at there.
        want = [doc.with_entities(()) for doc in want]
    assert read(tmp_path / name) == read(tmp_path) == want


def texts(folder: Path, **contents: str | bytes) -> Path:
    """A folder of files; ``__`` in a name is a dot, bytes are written as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def test_texts_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b.txt", "a/c.txt", "a/b.txt", "a.txt", ".h/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(f"{name}\r\n".encode())
    found = read(tmp_path)
    assert [doc.id for doc in found] == ["a", "b", "a/b", "a/c"]
    assert [doc.text for doc in found] == [f"{doc.id}.txt\r\n" for doc in found]
    assert [doc.id for doc in read(tmp_path / "a" / "c.txt")] == ["c"]


def test_every_plain_text_is_a_note_whatever_it_is_called(tmp_path: Path) -> None:
    names = {
        "a__TXT": "A.",
        "b__text": "B.",
        "c__Text": "C.",
        "license__txt": "D.",
        "readme__txt": "",
    }
    folder = texts(tmp_path / "in", **names, __hidden__txt="E.")
    assert [(doc.id, doc.text) for doc in read(folder)] == [
        *(("a", "A."), ("b", "B."), ("c", "C."), ("license", "D."), ("readme", "")),
    ]


LIKE_OTHERS = {
    "a header and dashes": "Visit: clinic\nDate: 2031-03-04\n---\nHeadache.\n",
    "a title of PubTator": "12|t|he pipe was typed by hand\nHeadache.\n",
    "marks": "Visit: clinic\n---\nBP <Low> was noted </> today.\n",
}


@pytest.mark.parametrize("text", LIKE_OTHERS.values(), ids=list(LIKE_OTHERS))
def test_a_text_that_looks_like_a_format_is_a_text_among_others(tmp_path: Path, text: str) -> None:
    folder = texts(tmp_path / "in", a__txt=text, b__txt="Fever.\n")
    assert [doc.text for doc in read(folder)] == [text, "Fever.\n"]


def test_texts_that_all_look_like_a_format_are_asked_about(tmp_path: Path) -> None:
    folder = texts(tmp_path / "in", a__txt=LIKE_OTHERS["marks"])
    said = "in: could be plain text or inline; name one with --format text or --format inline"
    with pytest.raises(CorpusError, match=said):
        read(folder)
    assert read(folder, "text")[0].text == LIKE_OTHERS["marks"]
    assert read(folder, "inline")[0].mentions() == [" was noted "]
    folder = texts(tmp_path / "pipes", a__txt=LIKE_OTHERS["a title of PubTator"])
    with pytest.raises(CorpusError, match="plain text or pubtator; name one with --format text"):
        read(folder)
    # Without a mark nothing says that the header is one of ours.
    folder = texts(tmp_path / "headers", a__txt=LIKE_OTHERS["a header and dashes"])
    assert read(folder)[0].text == LIKE_OTHERS["a header and dashes"]


def test_a_corpus_in_text_files_is_still_one(tmp_path: Path) -> None:
    write_corpus(DOCS, tmp_path / "inline", format="inline")
    assert [doc.text for doc in read(tmp_path / "inline")] == ["No cough.", DOCS[0].text]
    write_corpus(DOCS, tmp_path / "p" / "corpus.txt", format="pubtator")
    assert [doc.id for doc in read(tmp_path / "p")] == ["b", "a"]


def test_labels_beside_some_of_the_texts_do_not_hide_the_others(tmp_path: Path) -> None:
    folder = texts(
        tmp_path / "in", a__txt="Has fever.", a__ann="T1\tSign 4 9\tfever\n", b__txt="Fine."
    )
    (folder / "annotation.conf").write_text("[entities]\nSign\n")
    found = survey(find_notes(folder))
    assert (found.n_docs, found.labels) == (2, {})
    assert found.counts == {"files of labels beside the texts, not read": 1}


def test_files_that_are_no_texts_stop_it_unless_they_are_ignored(tmp_path: Path) -> None:
    folder = texts(tmp_path / "in", a__txt="A.", n__csv="id\n", scan__pdf="%PDF", x__md="x")
    with pytest.raises(CorpusError) as raised:
        find_notes(folder)
    assert str(raised.value) == (
        f"{folder}: 3 files would not be read: n.csv, scan.pdf, x.md; the notes are the files "
        "that end in .txt or .text; leave out what holds no notes with --ignore '*.csv' "
        "(corpus.ignore in a recipe)"
    )
    options = ReadingConfig(ignore=("*.csv", "*.pdf", "*.md"))
    found = survey(find_notes(folder, options), options)
    assert (found.n_docs, found.counts) == (1, {"files or folders ignored as asked": 3})


def test_two_texts_of_one_id_are_refused(tmp_path: Path) -> None:
    folder = texts(tmp_path / "in", a__TXT="A.", a__txt="B.")
    with pytest.raises(
        CorpusError, match=r"a\.txt: would have the id of a\.TXT; rename one, or le"
    ):
        find_notes(folder)
    assert len(list(find_notes(folder, ReadingConfig(ignore=("a.TXT",)))(Tally()))) == 1
    # Folders are part of an id.
    texts(tmp_path / "two" / "x", a__txt="A.")
    assert len(read(texts(tmp_path / "two", a__text="B."))) == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_names_the_encoding_and_is_no_text(tmp_path: Path, encoding: str) -> None:
    folder = texts(tmp_path / "in", a__txt="naïve\r\n".encode(encoding), b__txt="naïve")
    assert [doc.text for doc in read(folder)] == ["naïve\r\n", "naïve"]


def test_other_encodings_are_named_never_guessed(tmp_path: Path) -> None:
    folder = texts(tmp_path / "in", a__txt=f"x\n{NAME} naïve".encode("cp1252"), b__txt="Sœur")
    with pytest.raises(CorpusError) as raised:
        survey(find_notes(folder))
    assert str(raised.value) == (
        f"{folder / 'a.txt'}:2: byte 17 is not UTF-8; name its encoding, such as --encoding cp1252 "
        "(corpus.encoding in a recipe)"
    )
    options = ReadingConfig(encoding="cp1252")
    found = survey(find_notes(folder, options), options)
    assert found.counts == {"files read as cp1252 that could also be UTF-8": 1}
    with pytest.raises(ConfigError, match="encoding 'cp12' is not known; name one such as cp1252"):
        survey(find_notes(folder), ReadingConfig(encoding="cp12"))


def test_wide_characters_without_a_mark_are_no_note(tmp_path: Path) -> None:
    folder = texts(tmp_path / "in", a__txt="Fever.".encode("utf-16-le"))
    said = r"a\.txt: holds a NUL character at 1; name its encoding, such as --encoding utf-16-le"
    with pytest.raises(CorpusError, match=said):
        survey(find_notes(folder))
    options = ReadingConfig(encoding="utf-16-le")
    assert [doc.text for doc in find_notes(folder, options)(Tally.of(options))] == ["Fever."]


def test_a_table_is_named_with_the_way(tmp_path: Path) -> None:
    texts(tmp_path, n__csv="note_id,text\n1,Has fever.\n")
    said = (
        r"a \.csv file, a table of 2 columns divided by commas\).* Parquet or JSON lines \(--text-f"
    )
    with pytest.raises(CorpusError, match=said):
        find_notes(tmp_path / "n.csv")


def test_texts_of_a_corpus_are_read_as_that(tmp_path: Path) -> None:
    write_corpus(DOCS, tmp_path / "brat", format="brat")
    assert {doc.id for doc in read(tmp_path / "brat")} == {"a", "b"}
    assert {len(doc.entities) for doc in read(tmp_path / "brat")} == {0, 1}
    assert not any(doc.entities for doc in read(tmp_path / "brat", format="text"))


def test_plain_json_lines_need_text_alone(tmp_path: Path) -> None:
    path = lines(tmp_path / "n.jsonl", {"text": "One.", "source": "x"}, {"id": 7, "text": "Two."})
    assert read(path, format="jsonl") == [Document("n-1", "One."), Document("7", "Two.")]


def test_fields_are_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "n.jsonl", {"note": "One.", "key": "k1", "text": "other"})
    fields = NoteFields("note", "key")
    assert read(path, fields=fields) == read(tmp_path, fields=fields) == [Document("k1", "One.")]
    with pytest.raises(CorpusError, match=r"n\.jsonl:1: no string or number 'kex'; name the note"):
        read(path, fields=NoteFields("note", "kex"))
    with pytest.raises(CorpusError, match=r"n\.jsonl:1: no string 'nots'; name the field"):
        read(path, fields=NoteFields("nots"))
    (tmp_path / "t.txt").write_text("x")
    with pytest.raises(ConfigError, match="fields of text and id are for JSON lines and Parquet"):
        read(tmp_path / "t.txt", fields=fields)
    with pytest.raises(CorpusError, match=r"1 file would not be read as jsonl: t\.txt; "):
        read(tmp_path, fields=fields)


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_compressed_lines(tmp_path: Path, suffix: str, pack: object) -> None:
    plain = lines(tmp_path / "n.jsonl", {"text": "One."}, {"text": f"{NAME}."})
    data = pack(plain.read_bytes())  # type: ignore[operator]
    plain.unlink()
    path = tmp_path / f"n.jsonl{suffix}"
    path.write_bytes(data)
    assert read(path) == read(tmp_path) == [Document("n-1", "One."), Document("n-2", f"{NAME}.")]
    path.write_bytes(data[:-9])
    with pytest.raises(CorpusError, match=rf"n\.jsonl{suffix}: cannot be unpacked"):
        read(path)


def test_a_compressed_corpus_is_a_corpus(tmp_path: Path) -> None:
    write_corpus(DOCS, tmp_path / "n.jsonl")
    (tmp_path / "n.jsonl.gz").write_bytes(gzip.compress((tmp_path / "n.jsonl").read_bytes()))
    assert read_corpus(tmp_path / "n.jsonl.gz").docs == DOCS


def parquet(path: Path, **columns: list[object]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def test_parquet_of_plain_notes(tmp_path: Path) -> None:
    path = parquet(tmp_path / "n.parquet", text=["a", "b", "c"], id=[3, 1, 2], more=[0, 0, 0])
    assert read(path) == [Document("3", "a"), Document("1", "b"), Document("2", "c")]
    path = parquet(tmp_path / "m.parquet", note=["a", "b", "c"])
    found = read(path, fields=NoteFields("note"))
    assert found == [Document(f"m-{i}", text) for i, text in enumerate("abc")]
    with pytest.raises(
        CorpusError, match="no column 'text'; name the one of the text, it has note"
    ):
        read(path)
    with pytest.raises(CorpusError, match="no column 'key'"):
        read(path, fields=NoteFields("note", "key"))
    path = parquet(tmp_path / "o.parquet", text=["a", None])
    with pytest.raises(CorpusError, match=r"o\.parquet:1: column text is null"):
        read(path)
    (tmp_path / "p.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(CorpusError, match=r"p\.parquet: not Parquet that can be read"):
        read(tmp_path / "p.parquet")


def test_parquet_of_tokens_is_joined_as_the_corpus_does(tmp_path: Path) -> None:
    tokens, tags = [["No", "cough", "."], ["Fever"]], [["O", "O", "O"], ["B-Sign"]]
    path = parquet(tmp_path / "n.parquet", id=["0", "1"], tokens=tokens, ner_tags=tags)
    want = [doc.with_entities(()) for doc in read_corpus(path).docs]
    assert read(path) == want and want[0].id == "n-0" and want[0].text == "No cough ."


def test_an_id_stands_once(tmp_path: Path) -> None:
    one = {"id": "a", "text": "One."}
    path = lines(tmp_path / "n.jsonl", one, one)
    found = survey(find_notes(path))
    assert (found.n_docs, found.counts) == (1, {"identical records collapsed": 1})
    path = lines(tmp_path / "n.jsonl", one, {"id": "a", "text": "Two."})
    with pytest.raises(CorpusError, match="doc 'a' stands twice with different content"):
        survey(find_notes(path))


def test_a_survey_counts_and_knows_its_notes(tmp_path: Path) -> None:
    write_corpus(DOCS, tmp_path / "n.jsonl")
    found = survey(find_notes(tmp_path / "n.jsonl"))
    assert (found.n_docs, found.n_chars, found.labels) == (2, 32, {"Sign": 1})
    write_corpus(DOCS[::-1], tmp_path / "m.jsonl")
    assert survey(find_notes(tmp_path / "m.jsonl")).digest != found.digest
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(CorpusError, match="no note to label"):
        survey(find_notes(tmp_path / "empty.jsonl"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f'{{"text": "{NAME}"', r"n\.jsonl:2: not JSON"),
        (f'["{NAME}"]', r"n\.jsonl:2: a record must be a JSON object"),
        (f'{{"{NAME}": 1}}', r"n\.jsonl:2: no string 'text'"),
        (f'{{"text": "{NAME} \\ud800"}}', r"n\.jsonl:2: lone surrogate at offset 13"),
        (f'{{"text": "{NAME}", "id": true}}', r"n\.jsonl:2: no string or number 'id'"),
        (f'{{"schema": 9, "text": "{NAME}", "id": "a"}}', r"n\.jsonl:2: schema 9 is not 1"),
    ],
)
def test_a_bad_line_is_named_without_its_text(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "n.jsonl").write_text(f'{{"text": "fine"}}\n{line}\n')
    with pytest.raises(CorpusError, match=said) as raised:
        survey(find_notes(tmp_path / "n.jsonl"))
    assert NAME not in str(raised.value)


def test_bad_notes_are_dropped_and_counted_on_demand(tmp_path: Path) -> None:
    path = lines(tmp_path / "n.jsonl", {"text": None}, {"text": "One."})
    found = survey(find_notes(path), COUNT)
    assert (found.n_docs, found.options) == (1, COUNT)
    assert found.counts == {"dropped: record": 1}
    write_corpus(DOCS, tmp_path / "brat", format="brat")
    (tmp_path / "brat" / "a.ann").write_text("T1\tSign 90 95\tfever\n")
    with pytest.raises(CorpusError):
        find_notes(tmp_path / "brat")
    found = survey(find_notes(tmp_path / "brat", COUNT), COUNT)
    assert sum(n for what, n in found.counts.items() if what.startswith("dropped")) == 1


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="not found"):
        find_notes(tmp_path / "none")
    with pytest.raises(CorpusError, match=r"holds no \.txt or \.text file"):
        find_notes(tmp_path, ReadingConfig(format="text"))
