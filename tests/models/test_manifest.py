"""A folder of ours is what it was when it was written, or says what is not."""

from __future__ import annotations

import os

import pytest

from notesmith.errors import ModelError
from notesmith.models.manifest import (
    MANIFEST,
    check_manifest,
    is_whole,
    strangers,
    write_manifest,
)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "w.bin").write_bytes(bytes(100))
    write_manifest(folder)
    return folder


def test_a_whole_folder_passes_with_what_people_put_beside_it(folder):
    check_manifest(folder)
    (folder / ".git").mkdir()
    for name in ("README.md", "LICENSE", "NOTICE.txt", ".gitattributes", ".git/config"):
        (folder / name).write_text("for people")
    assert is_whole(folder)


@pytest.mark.parametrize("name", [MANIFEST, "config.json"])
def test_a_pipe_is_not_waited_for(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelError):
        check_manifest(folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "config.json").write_text("[]"), r"config\.json: not as it was written"),
        (lambda f: (f / "sub" / "w.bin").unlink(), r"w\.bin: absent, or no file"),
        (lambda f: (f / "more.json").write_text("{}"), "'more.json' was not there when"),
        (lambda f: (f / MANIFEST).unlink(), "no list of its files"),
        (lambda f: (f / MANIFEST).write_text("{}"), "damaged"),
        (lambda f: (f / MANIFEST).write_text("[" * 99999), "damaged"),
        (lambda f: (f / MANIFEST).write_text((f / MANIFEST).read_text() + " "), "damaged; make"),
    ],
)
def test_damage_is_named_with_a_remedy(folder, damage, said):
    damage(folder)
    with pytest.raises(ModelError, match=said) as error:
        check_manifest(folder, remedy="make it again")
    assert str(error.value).endswith("make it again") and "\n" not in str(error.value)
    assert not is_whole(folder)


def test_every_bit_of_the_list_counts(folder):
    path = folder / MANIFEST
    good = path.read_bytes()
    for at in range(0, len(good), 7):
        data = bytearray(good)
        data[at] ^= 1
        path.write_bytes(data)
        assert not is_whole(folder), at


def test_a_folder_that_holds_others_files_is_not_replaced(tmp_path):
    for name in ("student", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notesmith.json").write_text("{}")
        write_manifest(tmp_path / name)
    assert strangers(tmp_path / "target") == []
    for name in ("my-results.csv", ".env", "README.md"):
        (tmp_path / "target" / name).write_text("mine")
    assert strangers(tmp_path / "target") == [".env", "README.md", "my-results.csv"]
