"""A remembered hash is never that of another content, whatever the times of a file say."""

from __future__ import annotations

import json
import mmap
import os
import posix
import time
from pathlib import Path

import pytest

from notesmith.files.checksums import hash_file
from notesmith.models import hashes
from notesmith.models.fingerprint import fingerprint_model
from notesmith.models.hashes import FileHashes

LARGE = 1 << 20


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files settle at once, and every file system counts as local: the tests run in moments."""
    monkeypatch.setattr(hashes, "SETTLED", -1.0)
    monkeypatch.setattr(hashes, "_is_local", lambda path, device: True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(b"a" * LARGE)
    return path


def count(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return hash_file(path)

    monkeypatch.setattr(hashes, "hash_file", counted)
    return read


def test_a_file_that_did_not_change_is_read_once(tmp_path, file, settled, monkeypatch):
    read = count(monkeypatch)
    first = FileHashes(tmp_path / "h.json")
    assert first.sha256(file) == first.sha256(file) == hash_file(file) and len(read) == 1
    first.save()
    assert FileHashes(tmp_path / "h.json").sha256(file) == hash_file(file) and len(read) == 1
    assert (tmp_path / "h.json").stat().st_mode & 0o777 == 0o600


def test_equal_size_and_time_do_not_fool_it(tmp_path, file, settled):
    known = FileHashes(tmp_path / "h.json")
    stat, before = file.stat(), known.sha256(file)
    file.write_bytes(b"b" * LARGE)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_mtime_ns == stat.st_mtime_ns
    assert known.sha256(file) == hash_file(file) != before


def test_another_file_moved_to_its_name_does_not_fool_it(tmp_path, file, settled):
    known = FileHashes(tmp_path / "h.json")
    stat, before = file.stat(), known.sha256(file)
    other = tmp_path / "other"
    other.write_bytes(b"b" * LARGE)
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(other, file)
    assert known.sha256(file) == hash_file(file) != before


def test_a_write_through_a_map_that_was_open_before_does_not_fool_it(tmp_path, file, monkeypatch):
    monkeypatch.setattr(hashes, "SETTLED", -1.0)
    # The true one sets the times of what was written through a map.
    monkeypatch.setattr(os, "fsync", posix.fsync)
    if not hashes._is_local(file, file.stat().st_dev):
        pytest.skip("files on this file system are hashed every time")
    known = FileHashes(tmp_path / "h.json")
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        mapped[0] = ord("b")  # the page is dirty, and its times are set
        before = known.sha256(file)
        time.sleep(0.02)  # more than a tick of the kernel's clock
        mapped[1] = ord("c")
        assert known.sha256(file) == hash_file(file) != before


def test_a_file_of_a_moment_ago_is_not_remembered(tmp_path, file, monkeypatch):
    """git's racy entry: a second write within a tick of the clock would leave equal times."""
    monkeypatch.setattr(hashes, "_is_local", lambda path, device: True)
    read = count(monkeypatch)
    known = FileHashes(tmp_path / "h.json")
    assert known.sha256(file) == known.sha256(file) and len(read) == 2
    monkeypatch.setattr(hashes.time, "time", lambda: file.stat().st_ctime + 4)
    assert known.sha256(file) == known.sha256(file) and len(read) == 3


def test_a_file_from_the_future_is_not_remembered(tmp_path, file, monkeypatch):
    """The clock was set back: a write now can get the times that the file has already."""
    monkeypatch.setattr(hashes, "_is_local", lambda path, device: True)
    monkeypatch.setattr(hashes.time, "time", lambda: file.stat().st_ctime - 100)
    read = count(monkeypatch)
    known = FileHashes(tmp_path / "h.json")
    assert known.sha256(file) == known.sha256(file) and len(read) == 2


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    tmp_path, file, settled, monkeypatch
):
    def meanwhile(path: Path) -> str:
        found = hash_file(path)
        path.write_bytes(b"c" * LARGE)
        return found

    known = FileHashes(tmp_path / "h.json")
    monkeypatch.setattr(hashes, "hash_file", meanwhile)
    before = known.sha256(file)
    monkeypatch.setattr(hashes, "hash_file", hash_file)
    assert known.sha256(file) == hash_file(file) != before


def test_other_file_systems_are_read_every_time(tmp_path, file, monkeypatch):
    monkeypatch.setattr(hashes, "SETTLED", -1.0)
    monkeypatch.setattr(hashes, "_LOCAL", frozenset())
    read = count(monkeypatch)
    known = FileHashes(tmp_path / "h.json")
    assert known.sha256(file) == known.sha256(file) and len(read) == 2


@pytest.mark.parametrize("at", [0, 30, 90, 160, -3])
def test_a_damaged_memory_is_as_good_as_none(tmp_path, file, settled, at):
    path = tmp_path / "h.json"
    first = FileHashes(path)
    first.sha256(file)
    first.save()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert FileHashes(path).sha256(file) == hash_file(file)
    entry = {"files": {"1:2": "f" * 64}, "sha256": "0"}
    path.write_text(json.dumps(entry))
    assert FileHashes(path)._known == {}


def test_a_folders_identity_is_all_of_it(tmp_path, monkeypatch):
    """Not its ends alone: a byte in the middle of 5 MB counts."""
    monkeypatch.setenv("NOTESMITH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "model.safetensors"
    path.write_bytes(b"a" * (5 << 20))
    before, stat = fingerprint_model(str(folder)), path.stat()
    with path.open("r+b") as file:
        file.seek(5 << 19)
        file.write(b"b")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint_model(str(folder)) != before
    assert fingerprint_model("minilm") == "minilm"
