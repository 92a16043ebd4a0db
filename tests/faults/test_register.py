"""Faults of the register of openings: damage is told, and no opening is lost."""

import json
import random
import shutil

import pytest

from notesmith.errors import SealError
from notesmith.evaluate.seal import Plan, Seal
from notesmith.experiment.register import KEY, Register
from tests.processes import CONTEXT

RECIPE = {
    "arm": [{"name": "gold"}],
    "draws": {"sizes": [5], "curve": [], "replicates": 2, "replicates_by_size": {}, "seed": 13},
}
TEXTS = {"test": [f"Fictional note number {i}." for i in range(12)]}


def seal(i):
    return Seal(Plan({**RECIPE, "ner": {"steps": i}}, {"test": "t"}), run=f"run-{i}")


def fill(folder, n=4):
    register = Register(folder)
    for i in range(n):
        register.add(seal(i), {k: register.marks(v) for k, v in TEXTS.items()}, when="2026-01-15")
    return register


def told(folder, name=""):
    """Whether reading the register says in one line what is wrong with which file."""
    try:
        Register(folder).entries()
    except SealError as error:
        said = str(error)
        return "\n" not in said and name in said and "restore it from a backup" in said
    return False


@pytest.mark.parametrize("kind", ["byte flipped", "cut short", "deleted", "emptied"])
def test_damage_is_told_and_nothing_is_begun_anew(tmp_path, tried, amount, kind):
    rng = random.Random(kind)
    whole = tmp_path / "whole"
    fill(whole)
    names = sorted(path.name for path in whole.iterdir())
    last = max(Register(whole).entries(), key=lambda entry: len(entry.after)).name
    for _ in range(amount(12, 150)):
        folder = tmp_path / "damaged"
        shutil.copytree(whole, folder)
        # Of the last opening nothing later knows: its loss is a removal, which cannot be seen.
        mine = [n for n in names if kind != "deleted" or not n.startswith(last)]
        path = folder / rng.choice(mine)
        data = bytearray(path.read_bytes())
        # White space around the key, and line ends, are no part of what is kept.
        at = rng.choice([i for i, byte in enumerate(data) if byte not in b" \n"])
        if kind == "byte flipped":
            data[at] ^= 1 << rng.randrange(5)
        elif kind == "cut short":
            del data[at:]
        elif kind == "emptied":
            data.clear()
        path.write_bytes(bytes(data))
        if kind == "deleted":
            path.unlink()
        before = {p.name: p.read_bytes() for p in folder.iterdir()}
        # Under another key no opening is signed right, and the first of them is named.
        good = told(folder, "" if path.name == KEY else path.name)
        with pytest.raises(SealError):  # a report does not go on without it
            Register(folder).find("run-1", seal(1).plan.hash)
        with pytest.raises(SealError):  # nor does a new opening heal it by beginning anew
            fill(folder, 6)
        good = good and before == {p.name: p.read_bytes() for p in folder.iterdir()}
        tried.count(f"opening in the register: {kind}", good)
        shutil.rmtree(folder)
    tried.check()


def test_another_key_or_an_opening_of_another_home_is_told(tmp_path, tried):
    fill(tmp_path / "a")
    fill(tmp_path / "b")
    for name in ("key", next(p.name for p in (tmp_path / "b").glob("*.json"))):
        shutil.copytree(tmp_path / "a", tmp_path / "mixed")
        shutil.copyfile(tmp_path / "b" / name, tmp_path / "mixed" / name)
        tried.count("register mixed with that of another home", told(tmp_path / "mixed"))
        shutil.rmtree(tmp_path / "mixed")
    tried.check()


def _add(folder, i):
    register = Register(folder)
    register.add(seal(i), {k: register.marks(v) for k, v in TEXTS.items()}, when="2026-01-15")


def test_processes_that_register_at_once_lose_no_opening(tmp_path, tried, amount):
    for attempt in range(amount(2, 25)):
        folder = tmp_path / str(attempt)
        children = [CONTEXT.Process(target=_add, args=(folder, i)) for i in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        found = Register(folder).entries()
        good = {entry.run for entry in found} == {f"run-{i}" for i in range(4)}
        tried.count("processes that open a test set at once", good)
    tried.check()


def test_a_write_that_fails_leaves_the_register_as_it_was(tmp_path, tried, monkeypatch):
    from notesmith.errors import FileError
    from notesmith.experiment import register as module
    from notesmith.files import write as writing

    def full(*_):
        raise OSError(28, "No space left on device")

    for name, at in ((None, 0), ("replace", 4), ("fsync", 4), ("link", 0), ("open", 2)):
        folder = tmp_path / str(name)
        if at:
            fill(folder, at)
        before = {p.name: p.read_bytes() for p in folder.glob("*")}
        with monkeypatch.context() as patch:
            if name:
                patch.setattr(module.os if name == "link" else writing.os, name, full)
            if name == "link":
                patch.setattr(module.os, "rename", full)
            try:
                fill(folder, at + 1)
                good = name is None
            except FileError as error:
                good = "disk full" in str(error)
                good = good and before == {p.name: p.read_bytes() for p in folder.glob("*")}
        tried.count("full disk while an opening is registered", good)
        assert len(fill(folder, at + 1).entries()) == at + 1
    tried.check()


def test_the_register_holds_no_text_and_no_plain_hash(tmp_path):
    fill(tmp_path / "one", 1)
    fill(tmp_path / "two", 1)
    one, two = ({m for e in Register(tmp_path / x).entries() for m in e.documents["test"]}
                for x in ("one", "two"))  # fmt: skip
    assert len(one) == len(two) == 12 and not one & two
    text = "".join(path.read_text() for path in (tmp_path / "one").iterdir())
    assert "Fictional" not in text and "number" not in json.dumps(text)
