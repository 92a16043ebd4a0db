"""No connection leaves the machine, by the kernel's word: commands under ``strace``.

Sockets are blocked in the other tests by replacing Python's; libraries in other languages would
not notice. Here every system call of a command and of its children is traced. The commands run as
a user runs them, in processes of their own, with none of the variables that keep a hub away.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from tests.experiment.doubles import tiny_recipe, write_notes
from tests.lm.tiny import save_tiny
from tests.ner.tiny import tiny_encoder

_OUTSIDE = re.compile(r"(connect|sendto|sendmsg)\(.*AF_INET6?\b.*")
_LOOPBACK = re.compile(r'"127\.|"::1"|inet_addr\("127\.')


def _can_trace() -> bool:
    if not shutil.which("strace"):
        return False
    tried = subprocess.run(["strace", "-f", "true"], capture_output=True, check=False)
    return tried.returncode == 0


pytestmark = pytest.mark.skipif(not _can_trace(), reason="strace is not here, or may not trace")


def connections(arguments: list[str], folder: Path) -> tuple[int, list[str]]:
    """Exit code of a command, and the calls that would reach another machine."""
    trace = folder / "trace.txt"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "TRANSFORMERS_", "NOTESMITH_"))
    }
    environment |= {"NOTESMITH_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [
            *("strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace)),
            *(sys.executable, "-c", "from notesmith.cli import main; main()", *arguments),
        ],
        env=environment,
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=600,
    )
    lines = trace.read_text(errors="replace").splitlines()
    found = [line for line in lines if _OUTSIDE.search(line) and not _LOOPBACK.search(line)]
    return done.returncode, found


def test_the_trace_sees_a_connection(tmp_path):
    code = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.connect(('192.0.2.1', 9))"
    trace = tmp_path / "trace.txt"
    subprocess.run(
        [
            "strace",
            "-f",
            "-qq",
            "-e",
            "trace=connect",
            "-o",
            str(trace),
            sys.executable,
            "-c",
            code,
        ],
        check=False,
    )
    assert [line for line in trace.read_text().splitlines() if _OUTSIDE.search(line)]


def test_no_command_connects(tmp_path, tried, amount):
    (tmp_path / "corpus").mkdir()
    paths = write_notes(tmp_path / "corpus")
    train, test = str(paths["train"]), str(paths["test"])
    commands = [["corpus", "convert", train, "out.conll"]]
    if amount(0, 1):
        commands += [["corpus", "stats", train], ["corpus", "check", train]]
        lm, encoder = str(tmp_path / "lm"), str(tiny_encoder(tmp_path / "encoder"))
        save_tiny("gemma3", tmp_path / "lm")
        config = tiny_recipe(
            paths,
            lm={"model": lm, "trim": False},
            ner={"encoder": encoder, "steps": 2, "batch_size": 4},
            draws={"sizes": [6], "replicates": 1, "curve": []},
        )
        recipe = tmp_path / "tiny.toml"
        recipe.write_text(tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)))
        small = ["--set", "ner.steps=2", "--set", "ner.batch_size=4"]
        commands += [
            ["init", train, "--out", "begun.toml"],
            ["run", str(recipe), "--out", "run"],
            ["status", "run"],
            ["report", "run"],
            ["methods", "run", "--out", "paper"],
            ["train", train, "--set", f"ner.encoder={encoder}", "--out", "student", *small],
            ["predict", "student", test, "--out", "predicted.jsonl"],
            ["evaluate", test, "predicted.jsonl"],
            ["evaluate", test, "predicted.jsonl", "predicted.jsonl"],
            # Names that are nothing on this machine: an error, and no question to a host.
            ["train", train, "--set", "ner.encoder=no/such-model", "--out", "never", *small],
            ["run", str(recipe), "--out", "other", "--set", "lm.model=no/such-model"],
        ]
    for arguments in commands:
        code, found = connections(arguments, tmp_path)
        assert code == (1 if "no/such-model" in " ".join(arguments) else 0), arguments
        tried.count("command under a trace of the network", not found)
    tried.check()
