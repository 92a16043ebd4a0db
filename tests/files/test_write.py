import errno
import os
import resource
import stat
import subprocess
import sys

import pytest

from notesmith.errors import FileError
from notesmith.files.leftovers import hidden_beside
from notesmith.files.write import (
    atomic_folder,
    atomic_write_bytes,
    atomic_write_text,
    make_folder,
    write_part,
)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_file_and_new_folders_are_private(tmp_path):
    path = tmp_path / "a" / "b" / "notes.txt"
    atomic_write_text(path, "x\r\ny")
    assert path.read_bytes() == b"x\r\ny"
    assert mode(path) == 0o600
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700


def test_existing_folder_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o755)
    make_folder(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(FileError, match="a: is a file"):
        make_folder(tmp_path / "a")
    with pytest.raises(FileError, match="cannot be written"):
        make_folder(tmp_path / "a" / "b")


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, call, number):
    path = tmp_path / "notes.txt"
    atomic_write_text(path, "old")

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(FileError, match=r"notes\.txt: disk full") as error:
        atomic_write_text(path, "new")
    monkeypatch.undo()
    assert "\n" not in str(error.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_interrupt_while_writing_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(fd):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write_bytes(tmp_path / "x", b"x")
    assert list(tmp_path.iterdir()) == []


def test_lone_surrogate_is_an_error(tmp_path):
    with pytest.raises(FileError, match="lone surrogate at offset 1"):
        atomic_write_text(tmp_path / "x", "a\ud800")


def test_folder_appears_whole_and_private(tmp_path):
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "x").write_text("x")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "sub" / "x").read_text() == "x"
    assert mode(tmp_path / "out" / "sub") == 0o700
    assert mode(tmp_path / "out" / "sub" / "x") == 0o600


def test_parts_of_a_folder_are_private_and_a_full_disk_names_the_folder(tmp_path, monkeypatch):
    with atomic_folder(tmp_path / "out") as folder:
        write_part(folder / "sub" / "x", "x")
    assert mode(tmp_path / "out" / "sub" / "x") == 0o600

    def full(self, data):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with (
        pytest.raises(FileError, match=r"/new: disk full"),
        atomic_folder(tmp_path / "new") as folder,
    ):
        write_part(folder / "x", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_name_too_long_is_one_line(tmp_path):
    with pytest.raises(FileError, match=r"cannot be written .File name too long"):
        atomic_write_text(tmp_path / ("x" * 300) / "y", "z")


def test_folder_vanishes_on_error(tmp_path):
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "out") as folder:
        (folder / "x").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "no space"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_full_disk_inside_a_folder_is_one_line(tmp_path, error):
    with (
        pytest.raises(FileError, match="out: disk full"),
        atomic_folder(tmp_path / "out"),
    ):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_a_folder_names_it_as_the_caller_knows_it(tmp_path):
    with (
        pytest.raises(FileError, match=f"^{tmp_path}/out/x/y: text holds a lone surrogate"),
        atomic_folder(tmp_path / "out") as folder,
    ):
        write_part(folder / "x" / "y", "\ud800")


def test_filled_folder_is_not_written_over_unless_asked(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("old")
    with pytest.raises(FileError, match="exists already"), atomic_folder(out):
        pass
    with atomic_folder(out, replace=True) as folder:
        (folder / "new").write_text("new")
    assert [p.name for p in out.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [out]


def test_failed_swap_keeps_the_old_folder(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("old")
    real = os.replace
    calls = []

    def second_fails(a, b):
        calls.append(a)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "no space")
        real(a, b)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(FileError, match="disk full"), atomic_folder(out, replace=True):
        pass
    assert (out / "old").read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_replaced_folder_comes_back_if_its_writer_died_in_between(tmp_path):
    out = tmp_path / "out"
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    name = hidden_beside(out, "old").name.replace(f".{os.getpid()}-", f".{child.pid}-")
    (tmp_path / name).mkdir()
    (tmp_path / name / "old").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(out, replace=True) as folder:
        (folder / "new").write_text("new")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (out / "old").read_text() == "old"


def test_long_names_leave_room_for_a_temporary_one(tmp_path):
    path = tmp_path / ("å" * 120 + ".jsonl")
    atomic_write_text(path, "x")
    atomic_write_text(path, "y")
    assert path.read_text() == "y" and list(tmp_path.iterdir()) == [path]


def test_a_size_limit_is_one_line_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    atomic_write_text(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(FileError, match=r"a.txt: larger than a file may be here"):
            atomic_write_text(path, "new" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_link_to_a_folder_is_not_written_through(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileError, match="out: exists already"), atomic_folder(tmp_path / "out"):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []
