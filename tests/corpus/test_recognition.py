"""Which files of a folder are read, in what format, and what is refused by name."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import FORMATS, CorpusRead, read_corpus, recognition, write_corpus
from notesmith.corpus.formats import Source
from notesmith.corpus.recognition import appearance, refuse_beside
from notesmith.document import Document, Entity
from notesmith.errors import CorpusError

NAME = "Quillfeather"
DOC = Document("n1", "Weak left arm", (Entity("T1", "Sign", ((0, 4),)),))


def tree(folder: Path, **files: str) -> Path:
    """A folder with ``files``, by name, where ``__`` is a dot and ``_in_`` a subfolder."""
    for name, content in files.items():
        path = folder / name.replace("_in_", "/").replace("__", ".")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(content)
    return folder


def read(path: Path, **options: object) -> CorpusRead:
    return read_corpus(path, ReadingConfig.model_validate(options))


def test_a_file_that_would_not_be_read_is_named_with_the_option(tmp_path: Path) -> None:
    write_corpus([DOC], tmp_path / "a.jsonl")
    tree(tmp_path, stats__json="{}", old_in_b__csv="id,text\n")
    with pytest.raises(CorpusError) as raised:
        read(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}: 2 files would not be read as jsonl: stats.json, old/b.csv; leave out what "
        "holds no notes with --ignore '*.json' (corpus.ignore in a recipe)"
    )
    found = read(tmp_path, ignore=("*.json", "old/*"))
    assert (len(found.docs), found.counts) == (1, {"files or folders ignored as asked": 2})
    assert len(read(tmp_path, ignore=("stats.json", "old")).docs) == 1


def test_five_files_at_most_are_named(tmp_path: Path) -> None:
    write_corpus([DOC], tmp_path / "z.jsonl")
    tree(tmp_path, **{f"f{i}": "x" for i in range(7)})
    with pytest.raises(CorpusError, match=r"7 files would not .*: f0, f1, f2, f3, f4 and 2 more; "):
        read(tmp_path)


def test_files_that_hold_no_notes_are_counted(tmp_path: Path) -> None:
    write_corpus([DOC], tmp_path / "a.jsonl")
    tree(tmp_path, README__md="x", LICENSE="x", SOURCE__txt="x", _in___x="x")
    (tmp_path / ".notes.jsonl").write_text("{")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "b.jsonl").write_text("{")
    said = "files passed over that hold no notes, such as README.md"
    assert read(tmp_path, ignore=(".x",)).counts == {said: 3}


def test_a_note_may_have_any_name(tmp_path: Path) -> None:
    write_corpus([Document("source", DOC.text, DOC.entities)], tmp_path, format="brat")
    assert [doc.id for doc in read(tmp_path).docs] == ["source"]
    assert [doc.id for doc in read(tmp_path / "source.txt").docs] == ["source"]


def test_what_the_tools_of_a_format_keep_beside_the_notes_may_be_there(tmp_path: Path) -> None:
    write_corpus([DOC], tmp_path / "b", format="brat")
    tree(tmp_path / "b", annotation__conf="[entities]\nSign\n", visual__conf="", _stats_cache="x")
    (tmp_path / "b" / "_stats_cache").rename(tmp_path / "b" / ".stats_cache")
    assert read(tmp_path / "b").counts == {}
    write_corpus([DOC], tmp_path / "p" / "part-0.parquet", format="parquet")
    tree(tmp_path / "p", _SUCCESS="")
    assert len(read(tmp_path / "p").docs) == 1


def test_a_link_to_a_folder_is_refused_rather_than_passed_over(tmp_path: Path) -> None:
    write_corpus([DOC], tmp_path / "c" / "a.jsonl")
    (tmp_path / "more").mkdir()
    (tmp_path / "c" / "more").symlink_to(tmp_path / "more")
    with pytest.raises(CorpusError, match=r"more: is a link to a folder, .* --ignore 'more'"):
        read(tmp_path / "c")
    assert len(read(tmp_path / "c", ignore=("more",)).docs) == 1


def test_files_beside_the_parts_of_a_corpus_are_refused(tmp_path: Path) -> None:
    parts = [tmp_path / "train.jsonl", tmp_path / "test"]
    write_corpus([DOC], parts[0])
    write_corpus([DOC], parts[1], format="brat")
    tree(tmp_path, README__md="x", labels__txt="Sign\n")
    refuse_beside(tmp_path, parts, ReadingConfig())
    write_corpus([DOC], tmp_path / "extra.jsonl")
    said = "1 file would not be read: extra.jsonl; its parts are train.jsonl, test; name the paths"
    with pytest.raises(CorpusError, match=said):
        refuse_beside(tmp_path, parts, ReadingConfig())
    refuse_beside(tmp_path, parts, ReadingConfig(ignore=("extra*",)))


def test_the_format_is_the_one_that_every_file_fits(tmp_path: Path) -> None:
    """A note in a brat folder that looks like PubTator or like a marked note is one of brat's."""
    docs = [
        Document("a", "12|t|he note began with a pipe\n", ()),
        Document("b", "kind: letter\n---\nWeak arm\n", (Entity("T1", "Sign", ((17, 21),)),)),
    ]
    write_corpus(docs, tmp_path, format="brat")
    found = read(tmp_path)
    assert (found.format, [doc.text for doc in found.docs]) == ("brat", [d.text for d in docs])


def test_a_file_that_fits_two_formats_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = {**FORMATS, "conll": replace(FORMATS["conll"], claims=lambda source: True)}
    monkeypatch.setattr(recognition, "FORMATS", greedy)
    write_corpus([DOC], tmp_path / "a.pubtator", format="pubtator")
    with pytest.raises(CorpusError) as raised:
        read(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path / 'a.pubtator'}: fits conll and pubtator; name one with --format conll or "
        "--format pubtator"
    )
    assert read(tmp_path, format="pubtator").docs[0].mentions() == ["Weak"]


def test_json_is_read_on_where_the_telling_field_stands_late(tmp_path: Path) -> None:
    write_corpus([DOC], tmp_path / "e.json", format="label-studio")
    (task,) = json.loads((tmp_path / "e.json").read_text())
    # Label Studio keeps fields in the order of the import: a long one may stand first.
    late = {"data": {"history": "x" * 70_000, **task.pop("data")}, **task}
    (tmp_path / "e.json").write_text(json.dumps([late]))
    assert read(tmp_path / "e.json").format == "label-studio"


def test_of_json_lines_the_first_line_is_seen_whole(tmp_path: Path) -> None:
    """Prodigy writes the text first; what tells it from other JSON lines stands behind."""
    text = "Weak arm. " * 9000
    task = {"text": text, "spans": [{"start": 0, "end": 4, "label": "Sign"}], "answer": "accept"}
    (tmp_path / "a.jsonl").write_text(json.dumps(task) + "\n")
    assert read(tmp_path / "a.jsonl").format == "prodigy"


def test_packed_lines_are_recognised_by_what_they_hold(tmp_path: Path) -> None:
    write_corpus([DOC], tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    assert read(tmp_path / "a.jsonl.gz").docs == [DOC]


@pytest.mark.parametrize(
    ("name", "head", "said"),
    [
        ("a.dat", f"{NAME} has fever", "a .dat file of text"),
        ("a", " ", "an empty file"),
        ("a.csv", f"id,{NAME},b\n", "a .csv file, a table of 3 columns divided by commas"),
        (
            "a.txt",
            f"no\t{NAME}\tb\n1\t{NAME}\tc\n",
            "a .txt file, a table of 3 columns divided by tabs",
        ),
        ("a.txt", f"{NAME}\tcough\nfever\n", "a .txt file of text"),
        ("a.xml", "<?xml version='1.0'?><Report id='1'>", "a .xml file of XML with the root elem"),
        (
            "a.json",
            f'{{"id": 1, "{NAME}": 2}}',
            "a .json file that begins with a JSON object of 2 f",
        ),
        ("a.json", '{"doc_id": 1}', "a JSON object of 1 fields (doc_id)"),
        ("a.json", f'[["{NAME}", 1]]', "a JSON list of 1, the first a list"),
        ("a.json", f'{{"text": "{NAME}', "JSON that is long, or is cut off"),
        ("a.txt", "a\0b\0", "or text whose encoding is to be named (--encoding)"),
    ],
)
def test_an_unknown_file_is_described_without_its_text(name: str, head: str, said: str) -> None:
    found = appearance(Source(Path(name), Path(), head))
    assert said in found and NAME not in found


def test_a_folder_of_unknown_files_names_one(tmp_path: Path) -> None:
    tree(tmp_path, in_in_a__dat="?")
    with pytest.raises(
        CorpusError, match=r"recognised \(in/a\.dat is a \.dat file of text\); form"
    ):
        read(tmp_path)


def test_plain_notes_are_said_to_be_for_predict(tmp_path: Path) -> None:
    tree(tmp_path, a__txt="Weak left arm.", b__text="No fever.")
    for path, is_one in ((tmp_path, "holds plain texts"), (tmp_path / "a.txt", "is plain text")):
        with pytest.raises(CorpusError) as raised:
            read(path)
        said = f"{path}: {is_one} without labels; plain notes are for notesmith predict; formats"
        assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("head", "format"), [("Visit: clinic\n---\nCough.\n", "inline"), ("12|t| x |\n", "pubtator")]
)
def test_plain_notes_beside_one_that_looks_labelled(tmp_path: Path, head: str, format: str) -> None:
    tree(tmp_path, a__txt="Weak left arm.", b__txt=head, c__txt="Date: 1\nSeen.")
    with pytest.raises(CorpusError) as raised:
        read(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}: 2 texts are plain notes without labels: a.txt, c.txt (b.txt could be read "
        f"as {format}); plain notes are for notesmith predict; to read labelled notes, name them "
        "alone"
    )


@pytest.mark.parametrize("as_lines", [False, True])
def test_a_field_of_labels_in_json_that_no_layout_has_is_named(
    tmp_path: Path, as_lines: bool
) -> None:
    records = [
        {"id": "a1", "text": "Well."},
        {"id": "a2", "text": f"{NAME} is weak.", "marks": [[0, 12, "Name"]]},
    ]
    lines = "\n".join(map(json.dumps, records))
    (tmp_path / "a.json").write_text(lines if as_lines else json.dumps(records))
    with pytest.raises(CorpusError) as raised:
        read(tmp_path / "a.json")
    assert str(raised.value) == (
        f"{tmp_path / 'a.json'}: the layout of 'marks' is not one that is read; write them as "
        '"spans": [{"start": 0, "end": 4, "label": "Drug"}]'
    )


def test_utf_16_and_a_named_encoding(tmp_path: Path) -> None:
    lines = "Weak\tB-Sign\nnaïve\tO\n"
    for name, encoding in (("a", "utf-16"), ("b", "utf-8-sig"), ("c", "utf-32")):
        (tmp_path / f"{name}.conll").write_bytes(lines.encode(encoding))
        assert [doc.text for doc in read(tmp_path / f"{name}.conll").docs] == ["Weak naïve"]
    brat = tmp_path / "brat"
    write_corpus([Document("d", "naïve", (Entity("T1", "X", ((0, 5),)),))], brat, format="brat")
    for file in (brat / "d.txt", brat / "d.ann"):
        file.write_bytes(file.read_text().encode("cp1252"))
    with pytest.raises(
        CorpusError, match=r"byte . is not UTF-8; name its encoding, such as --encod"
    ):
        read(brat / "d.ann")
    assert read(brat / "d.ann", encoding="cp1252").docs[0].mentions() == ["naïve"]
