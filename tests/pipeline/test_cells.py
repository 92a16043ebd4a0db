import json
import random
import stat

import pytest

from notesmith.pipeline.cells import DONE, METRICS, Cell, CellStore, canonical, hash_path, seed_for

from .fakes import chain, fake_stages


def finish(cell, store, body="text"):
    with store.write(cell) as out:
        (out / "data.txt").write_text(body)
        (out / METRICS).write_text(json.dumps({"seconds": 1.5, "stage": cell.stage}))


@pytest.fixture
def store(tmp_path):
    return CellStore(tmp_path / "cells")


@pytest.fixture
def cell():
    return Cell("draw", 1, {"documents": 5}, sources={"train": "aa"}, seed=3)


def test_key_depends_on_each_part_and_not_on_labels(cell):
    up = Cell("up", 1)
    others = [
        Cell("draws", 1, {"documents": 5}, sources={"train": "aa"}, seed=3),
        Cell("draw", 2, {"documents": 5}, sources={"train": "aa"}, seed=3),
        Cell("draw", 1, {"documents": 6}, sources={"train": "aa"}, seed=3),
        Cell("draw", 1, {"documents": 5}, sources={"train": "ab"}, seed=3),
        Cell("draw", 1, {"documents": 5}, sources={"train": "aa"}, seed=4),
        Cell("draw", 1, {"documents": 5}, {"gold": up}, sources={"train": "aa"}, seed=3),
    ]
    assert len({c.key for c in [cell, *others]}) == 7
    same = Cell(
        "draw", 1, {"documents": 5}, sources={"train": "aa"}, seed=3, arm="x", size=9, replicate=1
    )
    assert same.key == cell.key


def test_key_depends_on_inputs_of_inputs():
    first, second = chain(1)[0], chain(1, version=2)[0]
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
    assert store.metrics(cell)["seconds"] == 1.5
    assert sorted(p.name for p in store.folder(cell).iterdir()) == [DONE, METRICS]
    assert not store.verify(cell)


def test_clean_removes_leftovers_and_keeps_cells_and_scratch(store, cell):
    finish(cell, store)
    stage = store.root / "draw"
    (stage / f".{cell.key}.0123456789ab.tmp").mkdir()
    (stage / f".old-{cell.key}").mkdir()
    (stage / ".stray").write_text("x")
    (stage / f"{'0' * 24}.partial").mkdir()
    # Killed between finishing the cell and deleting its scratch.
    (stage / f"{cell.key}.partial").mkdir()
    assert store.clean() == 4
    assert sorted(p.name for p in stage.iterdir()) == sorted([cell.key, f"{'0' * 24}.partial"])


def test_clean_finishes_an_interrupted_discard(store, cell, monkeypatch):
    finish(cell, store)
    monkeypatch.setattr("notesmith.pipeline.cells._keep_metrics_only", lambda folder: None)
    store.discard(cell)
    monkeypatch.undo()
    assert (store.folder(cell) / "data.txt").exists()
    store.clean()
    assert not (store.folder(cell) / "data.txt").exists()


def test_hash_path_follows_names_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("1")
    first = hash_path(tmp_path)
    (tmp_path / "a" / "x.txt").write_text("2")
    second = hash_path(tmp_path)
    (tmp_path / "a" / "x.txt").rename(tmp_path / "a" / "y.txt")
    assert len({first, second, hash_path(tmp_path)}) == 3


def test_fakes_cover_their_stages():
    assert {c.stage for c in chain(1)[0].walk()} == set(fake_stages())


def test_what_may_be_shared_holds_scores_and_metrics_alone(tmp_path):
    store, shared = CellStore(tmp_path / "here"), CellStore(tmp_path / "there")
    draw = Cell("draw", 1, seed=1)
    score = Cell("score", 1, inputs={"gold": draw})
    absent = Cell("score", 1, seed=9)
    for cell in (draw, score):
        with store.write(cell) as folder:
            (folder / "metrics.json").write_text('{"f1": 1}')
            (folder / "docs.jsonl").write_text("a note")
    copied = [store.copy_text_free(cell, shared) for cell in (draw, score, absent)]
    assert copied == [True, True, False]
    assert shared.state(draw) == "discarded" and shared.metrics(draw) == {"f1": 1}
    assert not (shared.folder(draw) / "docs.jsonl").exists()
    assert shared.verify(score)
