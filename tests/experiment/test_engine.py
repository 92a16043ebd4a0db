import errno
import itertools
import json
import os

import pytest

from notesmith.errors import NotesmithError, StageError
from notesmith.experiment.engine import count, run_cells
from notesmith.experiment.store import CellStore

from .fakes import CONTEXT, chain, fake_stages


@pytest.fixture
def store(tmp_path):
    return CellStore(tmp_path / "cells")


def test_all_cells_run_once_and_a_second_run_does_nothing(store):
    calls: list[str] = []
    outcome = run_cells(chain(2), store=store, context=CONTEXT, instead=fake_stages(calls=calls))
    assert calls == ["draw", "make", "train", "score"] * 2
    assert outcome.left == ()
    again = run_cells(
        chain(2), store=CellStore(store.root), context=CONTEXT, instead=fake_stages(calls=calls)
    )
    assert again.computed == () and len(calls) == 8


def test_metrics_hold_seconds_memory_and_what_the_stage_measured(store):
    target = chain(1)[0]
    run_cells([target], store=store, context=CONTEXT, instead=fake_stages())
    metrics = store.metrics(target)
    assert metrics.stage == "score" and metrics.tokens == 10
    assert metrics.seconds >= 0 and metrics.peak_memory_bytes > 1e6


def test_a_damaged_cell_is_computed_again_and_its_readers_keep_what_they_have(store):
    calls: list[str] = []
    target = chain(1)[0]
    run_cells([target], store=store, context=CONTEXT, instead=fake_stages(calls=calls))
    train, score = store.folder(target.inputs["model"]), store.folder(target)
    before = (train / "data.txt").read_text(), (score / "data.txt").read_text()
    written = (score / "data.txt").stat().st_mtime_ns
    (train / "data.txt").write_text("damaged")
    run_cells(
        [target], store=CellStore(store.root), context=CONTEXT, instead=fake_stages(calls=calls)
    )
    assert calls[4:] == ["train"]
    (score / "data.txt").write_text("damaged")
    run_cells(
        [target], store=CellStore(store.root), context=CONTEXT, instead=fake_stages(calls=calls)
    )
    assert calls[5:] == ["score"]
    assert ((train / "data.txt").read_text(), (score / "data.txt").read_text()) == before
    assert (score / "data.txt").stat().st_mtime_ns > written


def test_what_a_stage_reads_is_checked_when_it_reads_it(store):
    """Damaged after it was finished, in the same run."""
    target = chain(1)[0]

    def damage(event):
        if event.kind == "start" and event.cell.stage.name == "train":
            (store.folder(target.inputs["gold"]) / "data.txt").write_text("damaged")

    with pytest.raises(StageError, match=r"what it reads, draw.* is damaged.*same command"):
        run_cells([target], store=store, context=CONTEXT, instead=fake_stages(), on_cell=damage)
    assert run_cells([target], store=store, context=CONTEXT, instead=fake_stages()).left == ()


def test_a_damaged_cell_that_was_thrown_away_comes_back_and_goes_again(store):
    target = chain(1)[0]
    train = target.inputs["model"]

    def run():
        return run_cells(
            [target],
            store=CellStore(store.root),
            context=CONTEXT,
            instead=fake_stages(),
            may_discard=lambda cell: cell.stage.name == "train",
        )

    run()
    metrics = store.folder(train) / "metrics.json"
    metrics.write_text(metrics.read_text().replace("10", "11"))
    assert [cell.stage.name for cell in run().computed] == ["train"]
    assert store.state(train) == "discarded" and store.metrics(train).tokens == 10


def test_weights_go_when_their_readers_are_done(store):
    targets = chain(2)
    run_cells(
        targets,
        store=store,
        context=CONTEXT,
        instead=fake_stages(),
        may_discard=lambda cell: cell.stage.name == "train" and cell.replicate > 0,
    )
    assert store.state(targets[0].inputs["model"]) == "done"
    assert store.state(targets[1].inputs["model"]) == "discarded"
    census = count(targets, store)
    assert (len(census.done), len(census.left)) == (8, 0)
    calls: list[str] = []
    run_cells(
        targets, store=CellStore(store.root), context=CONTEXT, instead=fake_stages(calls=calls)
    )
    assert calls == []


def test_a_discarded_input_comes_back_when_a_reader_needs_it(store):
    target = chain(1)[0]
    run_cells([target], store=store, context=CONTEXT, instead=fake_stages())
    store.discard(target.inputs["model"])
    store.remove(target)
    calls: list[str] = []
    run_cells([target], store=store, context=CONTEXT, instead=fake_stages(calls=calls))
    assert calls == ["train", "score"]


def test_what_lies_below_a_finished_cell_is_not_waited_for(store):
    """As in a run that was unpacked from its text-free part."""
    targets = chain(2)
    run_cells(targets, store=store, context=CONTEXT, instead=fake_stages())
    below = targets[0].inputs["model"]
    store.remove(below)
    census = count(targets, store)
    assert not census.left and len(census.done) == 7
    store.remove(targets[0])
    assert {c.key for c in count(targets, store).left} == {targets[0].key, below.key}


def test_it_stops_between_cells(store):
    calls: list[str] = []
    outcome = run_cells(
        chain(2),
        store=store,
        context=CONTEXT,
        instead=fake_stages(calls=calls),
        should_stop=lambda: len(calls) >= 3,
    )
    assert calls == ["draw", "make", "train"]
    assert len(outcome.left) == 2
    census = count(chain(2), store)
    assert (len(census.done), len(census.left)) == (3, 5)


def test_an_error_keeps_finished_cells_and_leaves_no_half_cell(store):
    stages = fake_stages()

    def fail(work):
        (work.out / "data.txt").write_text("half")
        raise StageError("no unit to train on")

    with pytest.raises(StageError, match="no unit"):
        run_cells(chain(1), store=store, context=CONTEXT, instead={**stages, "train": fail})
    census = count(chain(1), store)
    assert {c.stage.name for c in census.done} == {"draw", "make"}
    outcome = run_cells(chain(1), store=store, context=CONTEXT, instead=stages)
    assert [c.stage.name for c in outcome.computed] == ["train", "score"]


def test_events_count_up(store):
    events = []
    run_cells(chain(2), store=store, context=CONTEXT, instead=fake_stages(), on_cell=events.append)
    done = [e for e in events if e.kind == "done"]
    assert [e.n_done for e in done] == list(range(1, 9))
    assert {e.n_total for e in events} == {8}
    first, last = events[0], events[-1]
    assert (first.eta, first.n_untimed) == (0, 8) and (last.eta, last.n_untimed) == (0, 0)
    # After one of each stage the other four are known.
    middle = next(e for e in done if e.n_done == 4)
    assert middle.n_untimed == 0


def test_metrics_file_is_json_without_text(store):
    target = chain(1)[0]
    run_cells([target], store=store, context=CONTEXT, instead=fake_stages())
    value = json.loads((store.folder(target) / "metrics.json").read_text())
    assert set(value) == {"stage", "seed", "seconds", "peak_memory_bytes", "tokens"}


def contents(store):
    """Every artefact but those that hold times."""
    return {
        path.relative_to(store.root): path.read_bytes()
        for path in store.root.rglob("*")
        if path.is_file() and path.name not in ("metrics.json", "done.json")
    }


def test_a_full_disk_at_any_moment_leaves_old_or_new(tmp_path, monkeypatch):
    """Fail the n-th fsync or rename, for every n: what is there after is whole, and it goes on."""
    whole = CellStore(tmp_path / "whole")
    run_cells(chain(1), store=whole, context=CONTEXT, instead=fake_stages())
    fsync, replace = os.fsync, os.replace
    n_failed = 0
    for n in range(1, 200):
        calls = itertools.count(1)

        def failing(function, calls=calls, n=n):
            def call(*args, **options):
                if next(calls) == n:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return function(*args, **options)

            return call

        monkeypatch.setattr(os, "fsync", failing(fsync))
        monkeypatch.setattr(os, "replace", failing(replace))
        store = CellStore(tmp_path / str(n))
        try:
            run_cells(chain(1), store=store, context=CONTEXT, instead=fake_stages())
            failed = False
        except NotesmithError as error:
            assert "disk full" in str(error)
            failed = True
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replace)
        n_failed += failed
        again = CellStore(store.root)
        for cell in chain(1)[0].walk():
            assert again.state(cell) == "absent" or again.verify(cell)
        run_cells(chain(1), store=again, context=CONTEXT, instead=fake_stages())
        assert contents(again) == contents(whole)
        if next(calls) <= n:
            break
    assert n_failed > 20


def test_a_library_that_finds_the_disk_full_in_its_own_words(store):
    def full(work):
        raise RuntimeError("IoError(Os { code: 28, message: 'No space left on device' })")

    with pytest.raises(StageError, match="disk full"):
        run_cells(chain(1), store=store, context=CONTEXT, instead={**fake_stages(), "make": full})
