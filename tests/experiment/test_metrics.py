"""What stages measure is written and read by one class: no number is lost or made up."""

import json
import re

import pytest

from notesmith.errors import StageError
from notesmith.experiment.contents import METRICS
from notesmith.experiment.engine import run_cells
from notesmith.experiment.graph import Cell, NoConfig, Stage
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import STAGES, rl, sample
from notesmith.experiment.store import CellStore

from .fakes import CONTEXT

HISTORY = ({"reward": 0.5, "step": 0}, {"kl": None, "reward": float("nan"), "step": 1})
LEARNT = rl.Measured(
    stage="rl",
    seed=7,
    seconds=3.0,
    peak_memory_bytes=10,
    tokens=40,
    sampled_tokens=90,
    training_seconds=2.5,
    method="grpo",
    placebo=False,
    steps=2,
    best_step=1,
    stopped=None,
    history=HISTORY,
)


def test_what_is_written_is_read(tmp_path):
    LEARNT.write(tmp_path)
    found = rl.Measured.read(tmp_path)
    assert found.model_copy(update={"history": ()}) == LEARNT.model_copy(update={"history": ()})
    assert repr(found.history) == repr(HISTORY)  # whole numbers stay whole, and nan is nan
    # What a stage did not measure is not written.
    assert not {"lm", "encoder", "corpus"} & json.loads((tmp_path / METRICS).read_text()).keys()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sampled_tokens", None, "sampled_tokens"),
        ("training_seconds", "long", "training_seconds"),
        ("seconds", None, "seconds"),
        ("Quillfeather syndrome", 1, "a value that it does not know"),
    ],
)
def test_a_missing_or_unknown_value_is_an_error_and_not_a_zero(tmp_path, name, value, said):
    LEARNT.write(tmp_path)
    values = json.loads((tmp_path / METRICS).read_text()) | {name: value}
    if value is None:
        del values[name]
    (tmp_path / METRICS).write_text(json.dumps(values))
    with pytest.raises(StageError, match=re.escape(f"(see {said})")) as caught:
        rl.Measured.read(tmp_path)
    assert "\n" not in str(caught.value) and "Quillfeather" not in str(caught.value)


def test_speed_is_that_of_the_work_itself():
    assert LEARNT.working_seconds == 2.5
    sampled = sample.Measured(seconds=9.0, tokens=80, sampling_seconds=4.0, asked=3, resumed=0)
    assert sampled.working_seconds == 4.0
    assert Metrics(seconds=9.0).working_seconds == 9.0


def test_every_stage_says_what_it_always_measures():
    for stage in STAGES:
        own = stage.metrics.__annotations__
        assert stage.metrics is not Metrics and own, stage.name
        assert all(stage.metrics.model_fields[name].is_required() for name in own), stage.name


def test_a_stage_that_returns_another_class_is_caught_as_it_runs(tmp_path):
    wrong = Cell(Stage("wrong", 1, NoConfig, sample.Measured, lambda work: Metrics(tokens=1)))
    store = CellStore(tmp_path)
    with pytest.raises(AssertionError, match="wrong"):
        run_cells([wrong], store=store, context=CONTEXT)
    assert store.state(wrong) == "absent"
