import os
import random
import stat
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from notesmith.errors import NotesmithError, StageError
from notesmith.experiment.contents import DONE, METRICS
from notesmith.experiment.graph import Cell, seed_for
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.store import CellStore
from notesmith.files.checksums import canonical, hash_path
from notesmith.files.processes import Owner

from .fakes import DRAW, SCORE, Settings, chain, fake_stages


def measured(cell):
    """As the engine fills in what a stage measured."""
    return Metrics(stage=cell.stage.name, seed=cell.seed, seconds=1.5, peak_memory_bytes=9)


def finish(cell, store, body="text"):
    with store.write(cell) as out:
        (out / "data.txt").write_text(body)
        measured(cell).write(out)


@pytest.fixture
def store(tmp_path):
    return CellStore(tmp_path / "cells")


@pytest.fixture
def cell():
    return Cell(DRAW, Settings(documents=5), fingerprints={"train": "aa"}, seed=3)


def test_key_depends_on_each_part_and_not_on_labels(cell):
    up = Cell(SCORE)
    others = [
        replace(cell, stage=replace(DRAW, name="draws")),
        replace(cell, stage=replace(DRAW, version=2)),
        replace(cell, config=Settings(documents=6)),
        replace(cell, fingerprints={"train": "ab"}),
        replace(cell, seed=4),
        replace(cell, inputs={"gold": up}),
    ]
    assert len({c.key for c in [cell, *others]}) == 7
    same = replace(cell, arm="x", size=9, replicate=1)
    assert same.key == cell.key


def test_key_depends_on_inputs_of_inputs():
    first, second = chain(1)[0], chain(1, documents=6)[0]
    assert first.key != second.key


def test_seed_depends_on_root_and_parts():
    assert seed_for(13, "draw", 0) == seed_for(13, "draw", 0)
    assert len({seed_for(13, "draw", 0), seed_for(13, "draw", 1), seed_for(14, "draw", 0)}) == 3
    assert 0 <= seed_for(1) < 2**31


def test_canonical_json_ignores_order_of_keys():
    assert canonical({"b": 1, "a": [2, "é"]}) == '{"a":[2,"é"],"b":1}'


def test_a_cell_goes_from_absent_to_done_with_private_modes(store, cell):
    assert store.state(cell) == "absent"
    finish(cell, store)
    assert store.state(cell) == "done"
    assert CellStore(store.root).verify(cell)
    folder = store.folder(cell)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}


def test_an_error_leaves_nothing(store, cell):
    with pytest.raises(RuntimeError), store.write(cell) as out:
        (out / "data.txt").write_text("half")
        raise RuntimeError
    assert store.state(cell) == "absent"
    assert list((store.root / "draw").iterdir()) == []


def test_every_truncation_and_flip_is_detected(store, cell):
    rng = random.Random(1)
    n_detected = 0
    for name in ("data.txt", METRICS, DONE):
        for _ in range(20):
            finish(cell, store, body="a note that is long enough to be cut in many places")
            path = store.folder(cell) / name
            data = bytearray(path.read_bytes())
            if rng.random() < 0.5:
                data = data[: rng.randrange(len(data) - 1)]
            else:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            if name == DONE and data.strip() == path.read_bytes().strip():
                continue
            path.write_bytes(bytes(data))
            assert not CellStore(store.root).verify(cell)
            n_detected += 1
    assert n_detected >= 58


def test_a_missing_file_is_detected(store, cell):
    finish(cell, store)
    (store.folder(cell) / "data.txt").unlink()
    assert store.state(cell) == "broken"


def test_discard_keeps_metrics(store, cell):
    finish(cell, store)
    store.discard(cell)
    assert store.state(cell) == "discarded"
    assert store.metrics(cell).seconds == 1.5
    assert sorted(p.name for p in store.folder(cell).iterdir()) == [DONE, METRICS]
    assert not store.verify(cell)


def dead():
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def left_by(pid, path):
    """The temporary name that a process with this number would have given."""
    me = Owner.me()
    return path.with_name(f".{path.name}.{pid}-{me.started}-{me.place}-0123abcd.tmp")


def test_clean_removes_leftovers_and_keeps_cells_scratch_and_what_is_not_ours(store, cell):
    finish(cell, store)
    stage = store.root / "draw"
    left_by(dead(), stage / cell.key).mkdir()
    alive = left_by(os.getpid(), stage / cell.key)
    alive.mkdir()
    (stage / ".stray").write_text("x")
    (stage / "notes").mkdir()
    (stage / "notes" / "mine.txt").write_text("x")
    (store.root / "mine.txt").write_text("x")
    (stage / f".{cell.key}.0123456789ab.tmp").mkdir()
    (stage / f"{'0' * 24}.partial").mkdir()
    # Killed between finishing the cell and deleting its scratch.
    (stage / f"{cell.key}.partial").mkdir()
    cleaned = store.clean()
    assert cleaned.n_removed == 2
    strangers = [stage / f".{cell.key}.0123456789ab.tmp", stage / ".stray", stage / "notes"]
    assert set(cleaned.strangers) == {*strangers, store.root / "mine.txt"}
    assert (stage / "notes" / "mine.txt").read_text() == "x"
    assert {p.name for p in stage.iterdir()} == {
        *(cell.key, f"{'0' * 24}.partial", alive.name),
        *(path.name for path in strangers),
    }


def test_clean_finishes_an_interrupted_discard(store, cell, monkeypatch):
    with store.write(cell) as out:
        (out / METRICS).write_text("{}")
        (out / "model").mkdir()
        (out / "model" / "weights.bin").write_text("w")
    monkeypatch.setattr("notesmith.experiment.store.drop", lambda folder, names: None)
    store.discard(cell)
    monkeypatch.undo()
    (store.folder(cell) / "mine.txt").write_text("x")
    assert (store.folder(cell) / "model" / "weights.bin").exists()
    store.clean()
    assert {p.name for p in store.folder(cell).iterdir()} == {DONE, METRICS, "mine.txt"}


def test_a_file_that_is_not_of_the_cell_is_never_used_and_never_deleted(store, cell):
    finish(cell, store)
    mine = store.folder(cell) / "mine.txt"
    mine.write_text("x")
    assert store.state(cell) == "broken"
    with pytest.raises(StageError, match=r"mine.txt: is not of the cell.*move it away"):
        finish(cell, store)
    assert mine.read_text() == "x"
    mine.unlink()
    assert store.state(cell) == "done"


def test_a_cell_without_its_marker_is_put_aside(store, cell):
    finish(cell, store)
    folder = store.folder(cell)
    (folder / "mine.txt").write_text("x")
    (folder / DONE).write_text("{")
    finish(cell, store)
    assert store.state(cell) == "done"
    (aside,) = folder.parent.glob(f"{cell.key}.damaged-*")
    assert (aside / "mine.txt").read_text() == "x"
    assert store.clean().strangers == (aside,)


@pytest.mark.parametrize("part", ["root", "stage", "cell", "file"])
def test_a_link_in_the_place_of_a_cell_is_refused(store, cell, tmp_path, part):
    finish(cell, store)
    folder = store.folder(cell)
    path = {"root": store.root, "stage": folder.parent, "cell": folder, "file": folder / METRICS}
    elsewhere = tmp_path / "elsewhere"
    path[part].rename(elsewhere)
    path[part].symlink_to(elsewhere)
    before = elsewhere.read_bytes() if part == "file" else sorted(elsewhere.rglob("*"))
    with pytest.raises(NotesmithError, match=r"a link or another kind|is not of the cell"):
        if store.state(cell) == "broken":
            store.remove(cell)
    after = elsewhere.read_bytes() if part == "file" else sorted(elsewhere.rglob("*"))
    assert before == after


def test_metrics_of_a_damaged_cell_are_not_read(store, cell):
    finish(cell, store)
    path = store.folder(cell) / METRICS
    path.write_text(path.read_text().replace("1.5", "9.5"))
    assert store.metrics(cell) is None


def test_a_change_with_equal_size_and_time_is_seen_in_the_same_process(store, cell):
    finish(cell, store)
    path = store.folder(cell) / "data.txt"
    for wait in (0, 0.15):
        time.sleep(wait)
        assert store.state(cell) == "done"
        before = path.stat()
        path.write_text("tex7")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert store.state(cell) == "broken"
        path.write_text("text")


def test_hash_path_follows_names_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("1")
    first = hash_path(tmp_path)
    (tmp_path / "a" / "x.txt").write_text("2")
    second = hash_path(tmp_path)
    (tmp_path / "a" / "x.txt").rename(tmp_path / "a" / "y.txt")
    assert len({first, second, hash_path(tmp_path)}) == 3


def test_fakes_cover_their_stages():
    assert {c.stage.name for c in chain(1)[0].walk()} == set(fake_stages())


def test_what_may_be_shared_holds_scores_and_metrics_alone(tmp_path):
    store, shared = CellStore(tmp_path / "here"), CellStore(tmp_path / "there")
    draw = Cell(DRAW, seed=1)
    score = Cell(SCORE, inputs={"gold": draw})
    absent = Cell(SCORE, seed=9)
    for cell in (draw, score):
        with store.write(cell) as folder:
            measured(cell).write(folder)
            (folder / "docs.jsonl").write_text("a note")
    copied = [store.copy_text_free(cell, shared) for cell in (draw, score, absent)]
    assert copied == [True, True, False]
    assert shared.state(draw) == "discarded" and shared.metrics(draw) == measured(draw)
    assert not (shared.folder(draw) / "docs.jsonl").exists()
    assert shared.verify(score)
