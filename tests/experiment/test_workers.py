import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from notesmith.allocator import n_side_by_side
from notesmith.errors import MissingExtraError, StageError
from notesmith.experiment.engine import run_cells
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.store import CellStore
from notesmith.experiment.workers import visible_gpus, working
from notesmith.processors import n_cores

from . import fakes
from .fakes import CONTEXT, STAGES, chain, fake_stages


def contents(store):
    return {
        path.relative_to(store.root).as_posix(): path.read_bytes()
        for path in sorted(store.root.rglob("*"))
        if path.is_file() and path.name not in ("metrics.json", "done.json")
    }


def run(targets, store, instead, n=2, **options):
    """In fresh processes, each of which loads Python and libraries anew."""
    with working(n, store.root, CONTEXT, instead) as workers:
        return run_cells(targets, store=store, context=CONTEXT, workers=workers, **options)


def test_side_by_side_gives_what_one_after_another_gives(tmp_path):
    one, two = CellStore(tmp_path / "one"), CellStore(tmp_path / "two")
    run_cells(chain(4), store=one, context=CONTEXT, instead=fake_stages())
    events, threads = [], os.environ.get("OMP_NUM_THREADS")
    outcome = run(chain(4), two, fake_stages(), on_cell=events.append)
    assert len(outcome.computed) == 16 and outcome.left == ()
    assert contents(one) == contents(two)
    done = [event.n_done for event in events if event.kind == "done"]
    assert done == sorted(done) and len(done) == done[-1] == 16
    assert os.environ.get("OMP_NUM_THREADS") == threads
    again = in_this_process(chain(4), CellStore(two.root))
    assert again.computed == ()


def in_this_process(targets, store):
    return run_cells(targets, store=store, context=CONTEXT, instead=fake_stages())


def fail(work, replicate, error):
    """Raises, or ends its process, in one replicate."""
    if work.cell.replicate != replicate:
        return fakes.run(work, 0.1)
    if error is None:
        os.kill(os.getpid(), signal.SIGKILL)
    raise error


def failing_stages(stage, replicate, error):
    """Fakes of which one fails."""
    return {**fake_stages(), stage: partial(fail, replicate=replicate, error=error)}


def test_an_error_lets_the_others_end_and_starts_no_more(tmp_path):
    store = CellStore(tmp_path / "cells")
    targets = chain(3)
    # An error of two arguments, of which its text is made, comes back as it was.
    with pytest.raises(MissingExtraError, match=r"^vllm is not installed; .*notesmith\[vllm\]"):
        run(targets, store, failing_stages("make", 0, MissingExtraError("vllm", "vllm")))
    assert [store.state(target) for target in targets] == ["absent"] * 3
    # The failed cell stood beside another, which was finished.
    assert store.state(targets[0].inputs["gold"]) == "done"
    assert not [path for path in store.root.rglob("*.tmp")]
    assert in_this_process(targets, store).left == ()


def test_a_killed_worker_is_an_error_with_a_remedy(tmp_path):
    store = CellStore(tmp_path / "cells")
    with pytest.raises(StageError, match=r"worker process was killed.*make · replicate 2.*--jobs"):
        run(chain(2), store, failing_stages("make", 1, None))
    assert in_this_process(chain(2), store).left == ()


def shares(work):
    """Writes what its process may take."""
    text = f"{n_side_by_side()} {os.environ['OMP_NUM_THREADS']}"
    (work.out / "data.txt").write_text(text)
    return Metrics()


def test_workers_share_cores_and_memory(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    store, target = CellStore(tmp_path / "cells"), chain(1)[0]
    run([target], store, {stage.name: shares for stage in STAGES}, n=3)
    written = (store.folder(target) / "data.txt").read_text()
    assert written == f"3 {max(1, n_cores() // 3)}"
    assert n_side_by_side() == 1 and "OMP_NUM_THREADS" not in os.environ


def meet(work, place, n):
    """Writes the GPU of its process and how many share it, once ``n`` processes do so."""
    text = f"{os.environ['CUDA_VISIBLE_DEVICES']} {n_side_by_side()}"
    (place / str(os.getpid())).write_text(text)
    wait_until(lambda: len(list(place.iterdir())) == n)
    return fakes.run(work)


def test_workers_take_the_gpus_in_turn(tmp_path, monkeypatch):
    monkeypatch.setattr("notesmith.experiment.workers.visible_gpus", lambda: ["3", "5"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    place = tmp_path / "place"
    place.mkdir()
    stages = {**fake_stages(), "draw": partial(meet, place=place, n=3)}
    run(chain(3), CellStore(tmp_path / "cells"), stages, n=3)
    assert sorted(path.read_text() for path in place.iterdir()) == ["3 2", "3 2", "5 2"]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("named", "n", "found"),
    [(None, 2, ["0", "1"]), ("1,GPU-7f,2", 3, ["1", "GPU-7f", "2"]), ("", 0, [])],
)
def test_gpus_are_named_as_the_user_named_them(monkeypatch, named, n, found):
    monkeypatch.setattr("torch.cuda.device_count", lambda: n)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == found


def test_it_stops_between_cells(tmp_path):
    store = CellStore(tmp_path / "cells")
    asked = iter([False] * 3 + [True] * 99)
    outcome = run(chain(2), store, fake_stages(), should_stop=lambda: next(asked))
    assert 0 < len(outcome.computed) < 8 and len(outcome.left) == 2


PARENT = """
import sys
from functools import partial
from pathlib import Path
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.store import CellStore
from notesmith.experiment.workers import working
from notesmith.experiment.engine import run_cells
from notesmith.processors import n_cores
from tests.experiment.fakes import CONTEXT, chain, fake_stages
if __name__ == "__main__":
    store = CellStore(Path(sys.argv[1]))
    with working(2, store.root, CONTEXT, fake_stages(0.5)) as workers:
        run_cells(chain(9), store=store, context=CONTEXT, workers=workers)
"""


@pytest.mark.skipif(not os.path.exists("/proc"), reason="looks processes up in /proc")
def test_workers_end_with_their_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    path = os.pathsep.join(filter(None, sys.path))
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "cells")],
        env={**os.environ, "PYTHONPATH": path},
    )
    workers = wait_until(lambda: busy(parent.pid))
    parent.kill()
    parent.wait()
    assert wait_until(lambda: not any(alive(pid) for pid in workers))


def busy(parent):
    """Children of ``parent`` that are at a cell, once there are two."""
    found = [
        int(pid)
        for pid in os.listdir("/proc")
        if pid.isdigit() and parent_of(pid) == parent and "spawn_main" in command(pid)
    ]
    return found if len(found) == 2 else []


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""


def alive(pid):
    return parent_of(pid) != 0 and "spawn_main" in command(pid)


def wait_until(condition):
    for _ in range(1200):
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("waited two minutes in vain")
