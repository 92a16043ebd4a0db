"""Speed of training the student on a full, a half and a quarter share of the processor.

One process for each setting of threads and waiting trains MiniLM on the packaged notes; all stand
still but one. Shares are made in two ways: by busy loops beside it, one, three, … a core, and by a
quota of processor time (Linux control groups, where this user may make one). Settings take turns,
round after round, so that other work on the machine disturbs all alike.

    python benchmarks/shares.py [--out FILE.json] [--minutes 9] [--settings A,B]
    python benchmarks/shares.py --show FILE.json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notesmith.processors import thread_variables

SHARES = {"full": 1.0, "half": 0.5, "quarter": 0.25}
PERIOD = 100_000


@dataclass(frozen=True)
class Setting:
    """Variables that a process starts with, and whether its threads are as few as its quota."""

    variables: dict[str, str] = field(default_factory=dict)
    heeds_quota: bool = True
    threads: int | None = None


SETTINGS = {
    "before": Setting(heeds_quota=False),
    "now": Setting(thread_variables({})),
    "active": Setting({"OMP_WAIT_POLICY": "active"}),
    "passive": Setting({"OMP_WAIT_POLICY": "passive"}),
    "1e3": Setting({"GOMP_SPINCOUNT": "1000"}),
    "3e3": Setting({"GOMP_SPINCOUNT": "3000"}),
    "1e4": Setting({"GOMP_SPINCOUNT": "10000"}),
    "1e5": Setting({"GOMP_SPINCOUNT": "100000"}),
    "one thread": Setting(threads=1),
}


class Quota:
    """A control group of our own, whose processes may take a part of the cores."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_v2 = (folder / "cpu.max").exists()

    def limit(self, cores: float | None) -> None:
        """Processor seconds a second; None for no limit."""
        n = None if cores is None else round(cores * PERIOD)
        if self._is_v2:
            (self._folder / "cpu.max").write_text(f"{'max' if n is None else n} {PERIOD}")
        else:
            (self._folder / "cpu.cfs_quota_us").write_text(str(-1 if n is None else n))

    def add(self, pid: int) -> None:
        """Put a process in, with its threads."""
        (self._folder / "cgroup.procs").write_text(str(pid))


@contextmanager
def own_group() -> Iterator[Quota | None]:
    """A new control group; None where there can be none."""
    for parent in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu")):
        folder = parent / f"shares-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if any((folder / name).exists() for name in ("cpu.max", "cpu.cfs_quota_us")):
                yield Quota(folder)
                return
        finally:
            for _ in range(50):
                with suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.1)  # until its processes are gone
    yield None


@contextmanager
def neighbours(n: int, cores: Sequence[int], group: Quota | None) -> Iterator[None]:
    """``n`` busy loops, spread over ``cores``, in our group: the scheduler divides by groups."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        for i, loop in enumerate(loops):
            os.sched_setaffinity(loop.pid, {cores[i % len(cores)]})
            if group:
                group.add(loop.pid)
        yield
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()


class Trainee:
    """A process that trains while it is told to."""

    def __init__(self, setting: Setting) -> None:
        names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
        rest = {name: value for name, value in os.environ.items() if name not in names}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--train"],
            env={**rest, **setting.variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._read()

    def train(self, seconds: float, threads: int) -> dict[str, float]:
        """Word pieces, seconds and processor seconds of about ``seconds`` of training."""
        assert self._process.stdin is not None
        print(json.dumps([seconds, threads]), file=self._process.stdin, flush=True)
        return self._read()

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> dict[str, float]:
        assert self._process.stdout is not None
        found: dict[str, float] = json.loads(self._process.stdout.readline())
        return found


def train() -> None:
    """Train step by step: stand still until a line says for how long, on how many threads."""
    from notesmith.allocator import tune_allocator

    tune_allocator()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch

    import notesmith.ner.train as module
    from notesmith.config import NerConfig, ReadingConfig
    from notesmith.corpus import demo_corpus_path, read_corpus
    from notesmith.forecast.resources import busy_seconds

    module._HISTORY_EVERY = 1
    seconds = 0.0
    wall, cpu, busy, tokens = time.perf_counter(), time.process_time(), busy_seconds(), 0

    def note(progress: Any) -> None:
        nonlocal seconds, wall, cpu, busy, tokens
        took = time.perf_counter() - wall
        if took < seconds:
            return
        own = time.process_time() - cpu
        answer = {
            "tokens": progress.tokens - tokens,
            "seconds": took,
            "cpu": own,
            "others": max(0.0, (busy_seconds() - busy - own) / took),
        }
        print(json.dumps(answer), flush=True)
        seconds, threads = json.loads(sys.stdin.readline())
        torch.set_num_threads(threads)
        tokens = progress.tokens
        wall, cpu, busy = time.perf_counter(), time.process_time(), busy_seconds()

    docs = read_corpus(demo_corpus_path() / "train", ReadingConfig(on_problem="count")).docs
    module.train_ner(docs, config=NerConfig(steps=20_000), seed=1, on_progress=note)


def measure(
    way: str, share: str, trainees: dict[str, Trainee], group: Quota | None, args: Any
) -> Iterator[tuple[str, dict[str, float]]]:
    """A reading of each setting at one share."""
    n_cores = len(args.cores)
    allowed = SHARES[share] * n_cores
    by_quota = way == "quota"
    with neighbours(0 if by_quota else round(n_cores / SHARES[share] - n_cores), args.cores, group):
        for name, trainee in trainees.items():
            setting, threads = SETTINGS[name], n_cores
            if by_quota and setting.heeds_quota:
                threads = max(1, int(allowed))
            if group:
                group.limit(allowed if by_quota else None)
            yield name, trainee.train(args.seconds, setting.threads or threads)
            if group:
                group.limit(None)


def main() -> None:
    """Measure all settings at all shares in turns, print a table, write figures without text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", type=Path, help="print the table of these figures alone")
    parser.add_argument("--minutes", type=float, default=9.0, help="as many rounds as fit")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each reading")
    parser.add_argument("--cores", type=int, default=2, help="to keep to")
    parser.add_argument("--settings", default="before,now,passive,3e3,one thread")
    parser.add_argument("--ways", default="neighbours,quota")
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        train()
        return
    if args.show:
        rows = json.loads(args.show.read_text(encoding="utf-8"))
        show(rows, list(dict.fromkeys(row["setting"] for row in rows)))
        return
    # What is made here goes away, whoever ends us.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    args.cores = sorted(os.sched_getaffinity(0))[: args.cores]
    os.sched_setaffinity(0, args.cores)
    names = args.settings.split(",")
    readings: dict[tuple[str, str, str], list[dict[str, float]]] = {}
    began = time.monotonic()
    with ExitStack() as stack:
        group = stack.enter_context(own_group())
        trainees = {}
        for name in names:
            trainees[name] = Trainee(SETTINGS[name])
            stack.callback(trainees[name].end)
            if group:
                group.add(trainees[name].pid)
        ways = [way for way in args.ways.split(",") if way != "quota" or group]
        places = [("neighbours", "full"), *((w, s) for w in ways for s in ("half", "quarter"))]
        longest = 0.0
        while time.monotonic() - began + longest < 60 * args.minutes or not readings:
            started = time.monotonic()
            for way, share in places:
                for name, found in measure(way, share, trainees, group, args):
                    readings.setdefault((way, share, name), []).append(found)
                    speed = f"{found['tokens'] / found['seconds']:7.0f} word pieces/s"
                    others = f"others take {found['others']:.2f} cores"
                    print(f"{share:8} {way:10} {name:10} {speed}, {others}", file=sys.stderr)
            longest = max(longest, time.monotonic() - started)
    rows = [
        {
            "way": way,
            "share": share,
            "setting": name,
            "per_second": round(statistics.median(r["tokens"] / r["seconds"] for r in found)),
            "per_cpu_second": round(statistics.median(r["tokens"] / r["cpu"] for r in found)),
            "readings": [{k: round(v, 2) for k, v in r.items()} for r in found],
        }
        for (way, share, name), found in readings.items()
    ]
    show(rows, names)
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def show(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Word pieces a second (and a processor second) by share and setting."""
    print("| share | " + " | ".join(names) + " |\n|" + " --- |" * (len(names) + 1))
    for way, share in dict.fromkeys((row["way"], row["share"]) for row in rows):
        here = {r["setting"]: r for r in rows if (r["way"], r["share"]) == (way, share)}
        cells = [f"{here[n]['per_second']:,} ({here[n]['per_cpu_second']:,})" for n in names]
        print(f"| {share}{', ' + way if share != 'full' else ''} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
