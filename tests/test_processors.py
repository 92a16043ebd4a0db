import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from notesmith import processors
from notesmith.processors import heed_quota, n_cores, quota, thread_variables

V1, V2 = "sys/fs/cgroup/cpu,cpuacct", "sys/fs/cgroup"


def system(root, groups, files):
    """A made-up ``/`` with the process's groups and the files of groups."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def v1(folder, time, period=100000):
    return {
        f"{V1}{folder}/cpu.cfs_quota_us": f"{time}\n",
        f"{V1}{folder}/cpu.cfs_period_us": f"{period}\n",
    }


ONE, TWO = "4:memory:/a\n3:cpu,cpuacct:/a/b\n", "0::/a/b\n"


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (TWO, {f"{V2}/a/b/cpu.max": "200000 100000\n"}, 2.0),
        (TWO, {f"{V2}/a/b/cpu.max": "75000 50000\n"}, 1.5),
        (TWO, {f"{V2}/a/b/cpu.max": "max 100000\n"}, None),
        (TWO, {f"{V2}/a/b/cpu.max": "400000 100000", f"{V2}/a/cpu.max": "50000 100000"}, 0.5),
        (TWO, {f"{V2}/a/b/cpu.max": "max 100000", f"{V2}/a/cpu.max": "300000 100000"}, 3.0),
        # A container sees its group as the root, by the path of the host.
        (TWO, {f"{V2}/cpu.max": "200000 100000"}, 2.0),
        (TWO, {f"{V2}/a/b/cpu.max": "broken"}, None),
        (ONE, v1("/a/b", 250000), 2.5),
        (ONE, v1("/a/b", -1), None),
        (ONE, {**v1("/a/b", -1), **v1("/a", 100000)}, 1.0),
        (ONE, v1("", 50000, 25000), 2.0),
        # Both trees: version 2 has no say on the processor here.
        (ONE + "0::/\n", v1("/a/b", 100000), 1.0),
        ("7:cpuset:/a\n", v1("/a", 100000), None),
    ],
)
def test_the_least_quota_of_all_groups_holds(tmp_path, groups, files, expected):
    assert quota(system(tmp_path, groups, files)) == expected


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert quota(tmp_path) is None


@pytest.mark.parametrize(
    ("cpu_max", "expected"),
    [("max", 8), ("1600000", 8), ("300000", 3), ("250000", 2), ("150000", 1), ("20000", 1)],
)
def test_cores_are_whole_ones_of_the_quota_and_at_least_one(
    tmp_path, monkeypatch, cpu_max, expected
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    root = system(tmp_path, "0::/\n", {f"{V2}/cpu.max": f"{cpu_max} 100000"})
    assert n_cores(root) == expected


def test_processes_share_the_threads(monkeypatch):
    monkeypatch.setattr(processors, "n_cores", lambda: 8)
    assert thread_variables({}) == {"OMP_NUM_THREADS": "8", "GOMP_SPINCOUNT": "10000"}
    for n, threads in ((2, "4"), (3, "2"), (9, "1")):
        assert thread_variables({}, n_processes=n)["OMP_NUM_THREADS"] == threads
    # What the command line set for one process is divided among several.
    assert thread_variables(thread_variables({}), n_processes=4)["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(
    ("mine", "expected"),
    [
        ({"OMP_NUM_THREADS": "5"}, {"GOMP_SPINCOUNT": "10000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"OMP_NUM_THREADS": "4"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_NUM_THREADS": "4"}),
    ],
)
def test_what_the_user_has_set_stays(monkeypatch, mine, expected):
    monkeypatch.setattr(processors, "n_cores", lambda: 8)
    assert thread_variables(mine, n_processes=2) == expected


def test_the_command_line_sets_them_before_libraries_load():
    code = (
        "import os, sys\n"
        "from notesmith.cli.process import prepare\n"
        "prepare()\n"
        "assert 'numpy' not in sys.modules\n"
        "print(os.environ['OMP_NUM_THREADS'], os.environ['GOMP_SPINCOUNT'])"
    )
    rest = {n: v for n, v in os.environ.items() if n not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**rest, "GOMP_SPINCOUNT": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(n_cores()), "7"]


@pytest.mark.parametrize(
    ("threads", "allowed", "given", "expected"),
    [(64, 2.0, None, 2), (1, 2.0, None, 1), (64, None, None, 64), (64, 2.0, "64", 64)],
)
def test_pytorchs_threads_go_down_to_the_quota_and_never_up(
    monkeypatch, threads, allowed, given, expected
):
    now = [threads]
    torch = SimpleNamespace(get_num_threads=lambda: now[-1], set_num_threads=now.append)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(processors, "quota", lambda: allowed)
    monkeypatch.setattr(processors, "n_cores", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    heed_quota()
    assert now[-1] == expected
