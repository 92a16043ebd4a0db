import json
import os

import pytest

from notesmith.errors import StageError
from notesmith.experiment import lock
from notesmith.experiment.lock import LOCK, run_lock


def hold_in_child(folder):
    """Fork a child that takes the lock and waits; returns its pid once it holds it."""
    ready, tell = os.pipe()
    stop, keep = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(keep)
        with run_lock(folder):
            os.write(tell, b"x")
            os.read(stop, 1)
            os._exit(0)
    os.read(ready, 1)
    os.close(stop)
    for descriptor in (ready, tell):
        os.close(descriptor)
    return pid, keep


@pytest.mark.parametrize("flock_works", [True, False])
def test_a_second_process_is_refused(tmp_path, monkeypatch, flock_works):
    if not flock_works:
        monkeypatch.setattr(lock.fcntl, "flock", lambda descriptor, how: None)
    pid, keep = hold_in_child(tmp_path)
    try:
        with pytest.raises(StageError, match=f"process {pid}"), run_lock(tmp_path):
            pass
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(keep)
    # Its owner is dead: the lock recovers.
    with run_lock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_a_recycled_process_number_does_not_hold_it(tmp_path):
    (tmp_path / LOCK).write_text(json.dumps({"pid": os.getppid(), "started": "1"}))
    with run_lock(tmp_path):
        pass


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"pid": "x"}', '{"pid": 999999999}'])
def test_a_damaged_or_stale_lock_recovers(tmp_path, content):
    (tmp_path / LOCK).write_text(content)
    for _ in range(2):
        with run_lock(tmp_path):
            pass


def test_an_error_inside_frees_it(tmp_path):
    with pytest.raises(RuntimeError), run_lock(tmp_path):
        raise RuntimeError
    with run_lock(tmp_path):
        pass
