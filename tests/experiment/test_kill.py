"""Killed at random points, a run goes on and ends as if nothing had happened."""

import hashlib
import json
import os
import random
import time

import pytest

from notesmith.experiment import run_recipe
from notesmith.experiment.contents import DONE, METRICS
from tests.processes import CONTEXT

from .doubles import doubles, tiny_recipe, write_notes

PAUSE = 0.003


def home_beside(out):
    """A register of its own: runs of other tests are no business of this one."""
    os.environ["NOTESMITH_HOME"] = f"{out}-home"


def run_doubles(config, out):
    home_beside(out)
    run_recipe(config, out, instead=doubles(PAUSE), cache=out / "cache")


def run_true(config, out):
    from notesmith.cli.process import prepare

    home_beside(out)
    prepare()
    import torch

    torch.set_num_threads(1)
    run_recipe(config, out, cache=out / "cache")


def kill_until(n_kills, target, config, out, *, span, seed):
    """Start ``target`` again and again, killing it ``n_kills`` times within ``span`` seconds."""
    rng = random.Random(seed)
    for _ in range(n_kills):
        child = CONTEXT.Process(target=target, args=(config, out))
        child.start()
        child.join(rng.uniform(0, span))
        child.kill()
        child.join()
    child = CONTEXT.Process(target=target, args=(config, out))
    child.start()
    child.join()
    assert child.exitcode == 0


def artefacts(out):
    """Hash of every file of every cell but those that hold times."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (out / "cells").rglob("*")
        if path.is_file() and path.name not in (METRICS, DONE)
    }


def results(out):
    """The results without times and memory."""
    value = json.loads((out / "results.json").read_text())
    for name in ("created", "stages", "machine", "checksum"):
        value.pop(name)
    value["power"].pop("seconds_per_draw")
    for arm in value["arms"]:
        arm.pop("seconds")
    for made in value["made"]:
        made.pop("seconds")
    return value


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return tiny_recipe(write_notes(tmp_path_factory.mktemp("corpus")))


def test_twenty_kills_change_nothing(config, tmp_path):
    run_doubles(config, tmp_path / "whole")
    child = CONTEXT.Process(target=run_doubles, args=(config, tmp_path / "warm"))
    child.start()
    child.join()
    started = time.monotonic()
    child = CONTEXT.Process(target=run_doubles, args=(config, tmp_path / "timed"))
    child.start()
    child.join()
    span = time.monotonic() - started
    kill_until(20, run_doubles, config, tmp_path / "killed", span=span / 6, seed=5)
    assert artefacts(tmp_path / "killed") == artefacts(tmp_path / "whole")
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
    stages = (tmp_path / "killed" / "cells").iterdir()
    assert not [p for stage in stages for p in stage.iterdir() if len(p.name) != 24]


def test_a_true_run_survives_kills(config, tmp_path):
    import torch

    from tests.lm.tiny import save_tiny
    from tests.ner.tiny import tiny_encoder

    save_tiny("gemma3", tmp_path / "lm")
    tiny_encoder(tmp_path / "encoder")
    config = tiny_recipe(
        {name: getattr(config.corpus, name) for name in ("train", "dev", "test")},
        lm={"model": str(tmp_path / "lm"), "trim": False},
        ner={"encoder": str(tmp_path / "encoder"), "steps": 2, "batch_size": 4},
        draws={"sizes": [6], "replicates": 1, "curve": []},
        arm=[{"name": "gold"}, {"name": "synthetic", "made": ["synthetic"]}],
        evaluate={"against": {}, "resamples": 200},
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run_recipe(config, tmp_path / "whole", cache=tmp_path / "whole" / "cache")
    torch.set_num_threads(threads)
    kill_until(2, run_true, config, tmp_path / "killed", span=3, seed=3)
    assert artefacts(tmp_path / "killed") == artefacts(tmp_path / "whole")
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
