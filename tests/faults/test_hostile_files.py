"""Hostile files: bombs, archives whose members leave the folder, ids that would."""

import os
import stat
import zipfile

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import FORMATS, read_corpus, write_corpus
from notesmith.document import Document
from notesmith.errors import NotesmithError
from tests.corpus.bombs import BOMBS, read_apart
from tests.faults.test_readers import make_zip

SHORT = ("lies.parquet", "lies.zip", "lol.xml")


def test_bombs(tmp_path, tried, amount):
    for name in (amount(0, 1) and BOMBS) or SHORT:
        path = tmp_path / name
        path.write_bytes(BOMBS[name]())
        said, seconds, peak = read_apart(path)
        refused = said.startswith(str(path)) and seconds < 10 and peak < 1000
        tried.count("small file that unpacks to much or names entities", refused)
        path.unlink()
    tried.check()


NAMES = (
    *("../out.xmi", "../../out.xmi", "a/../../out.xmi", "/tmp/notesmith-out.xmi", "..\\out.xmi"),
    *("C:\\out.xmi", "//host/out.xmi", "a\0b.xmi", ".", "..", "a/", "con.xmi", "x" * 5000 + ".xmi"),
    *(
        "../../TypeSystem.xml",
        "/etc/TypeSystem.xml",
        "TypeSystem.xml",
        "\u202egol.xmi",
        "\x1b[2J.xmi",
    ),
)
KINDS = (stat.S_IFREG, stat.S_IFLNK, stat.S_IFBLK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK)


def tree(folder):
    return sorted((str(p), p.lstat().st_mode) for p in folder.rglob("*"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_an_archive_leave_no_folder(tmp_path, tried):
    inside = tmp_path / "in" / "deep"
    inside.mkdir(parents=True)
    good = make_zip(inside)
    with zipfile.ZipFile(good) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name in NAMES:
        for kind in KINDS:
            with zipfile.ZipFile(good, "w") as archive:
                for member, data in members.items():
                    archive.writestr(member, data)
                info = zipfile.ZipInfo("x")
                info.filename = name
                info.external_attr = (kind | 0o777) << 16
                archive.writestr(info, "../../etc/passwd" if kind == stat.S_IFLNK else b"x")
            before = tree(tmp_path)
            try:
                docs = read_corpus(good, ReadingConfig(format="uima")).docs
                fine = all(doc.id for doc in docs)
            except NotesmithError as error:
                fine = "\n" not in str(error)
            tried.count(
                "zip member with a name or kind of its own", fine and tree(tmp_path) == before
            )
    assert not os.path.exists("/tmp/notesmith-out.xmi")
    tried.check()


IDS = (
    *("../out", "/out", "a/../../out", "..", ".", "a/./b", ".hidden", "a\\b", "a\0b", "a\nb", ""),
    *(
        "a//b",
        "x" * 300,
        "a/",
        "~/out",
        "con",
        "\u202ea",
        "-rf",
        "$HOME",
        "é" * 150,
        "a" + "/a" * 900,
    ),
)


@pytest.mark.parametrize("format", [name for name, fmt in FORMATS.items() if fmt.is_folder])
def test_ids_of_documents_leave_no_folder(format, tmp_path, tried):
    for i, doc_id in enumerate(filter(None, IDS)):
        root = tmp_path / f"r{i}"
        root.mkdir()
        try:
            write_corpus([Document(doc_id, "Has fever.")], root / "out", format=format)
            fine = True
        except NotesmithError as error:
            fine = "\n" not in str(error)
        left = [p for p in root.iterdir() if p.name != "out"]
        # Below a folder of its own only a link could lead elsewhere.
        outside = [p for p in (root / "out").rglob("*") if p.is_symlink()]
        tried.count("document id that would leave the folder", fine and not left and not outside)
        assert [p.name for p in tmp_path.iterdir() if p.name[0] != "r"] == []
    tried.check()


def test_links_and_pipes_in_a_corpus_folder(tmp_path, tried):
    (tmp_path / "a.jsonl").write_text('{"schema": 1, "id": "a", "text": "x"}\n')

    def pipe(path):
        os.mkfifo(path)

    makes = {
        "pipe": pipe,
        "link to a device": lambda path: path.symlink_to("/dev/zero"),
        "link to nothing": lambda path: path.symlink_to("nothing"),
        "link to itself": lambda path: path.symlink_to(path.name),
        "link to a folder": lambda path: path.symlink_to("."),
    }
    for what, make in makes.items():
        make(tmp_path / "b.jsonl")
        try:
            docs = read_corpus(tmp_path).docs
            fine = what == "link to a folder" and len(docs) == 1
        except NotesmithError as error:
            fine = str(error).startswith(f"{tmp_path / 'b.jsonl'}: ")
        tried.count(f"{what} in a corpus folder", fine)
        (tmp_path / "b.jsonl").unlink()
    tried.check()
