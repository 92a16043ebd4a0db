"""Two processes train what one trains, resume together, and write everything once."""

import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from accelerate import debug_launcher
from safetensors.torch import load_file

from notesmith.config import GrpoConfig, SftConfig
from notesmith.lm.rl.run import Run
from notesmith.lm.rl.train import train_rl
from notesmith.lm.rollout import Reward
from notesmith.lm.training.batches import Row, padded_parts, parts_for
from notesmith.lm.training.processes import Processes
from notesmith.lm.training.sft import Example, train_sft
from tests.lm.tiny import TEXTS, tiny_lm
from tests.processes import CONTEXT

EXAMPLES = [Example("Write: ", text) for text in TEXTS]
SFT = SftConfig(epochs=2, batch_size=2, learning_rate=1e-3, evaluations_per_epoch=1)
GRPO = GrpoConfig(
    steps=3,
    prompts=3,
    completions=4,
    max_new_tokens=8,
    learning_rate=1e-3,
    kl=1e-3,
    evaluate_every=1,
    save_every=1,
)


def share_of_even(rollouts):
    """Reward the share of tokens with an even id; count the calls."""
    share_of_even.calls += 1
    return [Reward(sum(i % 2 == 0 for i in r.token_ids) / 8) for r in rollouts]


share_of_even.calls = 0


def interrupted(run, done, total, **_):
    """In the place of ``Run.report``, it ends the run in all processes."""
    if done == 2:
        raise InterruptedError


def train_both(folder: Path, *, interrupt: bool) -> dict[str, object]:
    """Fine-tune and learn from rewards; what the results say."""
    torch.set_num_threads(1)
    seen = []

    def learn():
        return train_rl(
            tiny_lm(), list(TEXTS), share_of_even, GRPO, out=folder / "grpo", seed=1,
            held_out=["The patient"] * 3, work=folder / "work", on_progress=seen.append,
        )  # fmt: skip

    sft = train_sft(
        tiny_lm(), EXAMPLES, EXAMPLES[:2], SFT, out=folder / "sft", seed=1, on_progress=seen.append
    )
    if interrupt:
        with patch.object(Run, "report", interrupted), suppress(InterruptedError):
            learn()
        assert (folder / "work").exists()
        seen.clear()
    grpo = learn()
    return {
        "sft": asdict(sft) | {"folder": sft.folder.name},
        "grpo": asdict(grpo) | {"folder": grpo.folder.name},
        "steps_reported": [progress.done for progress in seen],
        "reward_calls": share_of_even.calls,
    }


def in_a_process(folder: Path) -> None:
    """What each of two processes does."""
    said = train_both(folder, interrupt=True)
    processes = Processes.at(torch.device("cpu"))
    assert processes.n == 2
    (folder / f"said-{processes.index}.json").write_text(json.dumps(said))


def launch(folder: Path) -> None:
    """Start the two; they fork from a process in which nothing was computed yet."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    debug_launcher(in_a_process, (folder,), num_processes=2)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder of a training by two processes."""
    folder = tmp_path_factory.mktemp("two")
    child = CONTEXT.Process(target=launch, args=(folder,))
    child.start()
    child.join(120)
    assert child.exitcode == 0
    return folder


@pytest.fixture(scope="module")
def said(two):
    """What each process says of it."""
    return [json.loads((two / f"said-{i}.json").read_text()) for i in range(2)]


def test_two_processes_train_what_one_trains(two, said, tmp_path):
    alone = json.loads(json.dumps(train_both(tmp_path, interrupt=False)))
    for name in ("sft", "grpo"):
        one, other = (load_file(f / name / "model.safetensors") for f in (tmp_path, two))
        assert one.keys() == other.keys()
        for weights in one:
            torch.testing.assert_close(other[weights], one[weights], atol=1e-5, rtol=1e-4)
        for row, expected in zip(said[0][name]["history"], alone[name]["history"], strict=True):
            assert row == pytest.approx(expected, rel=1e-4, abs=1e-5)
        for key in ("folder", "n_steps", "best_step", "tokens"):
            assert said[0][name][key] == alone[name][key]
    assert said[0]["grpo"]["sampled_tokens"] == alone["grpo"]["sampled_tokens"]


def test_all_processes_return_one_result(said):
    assert said[0]["sft"] == said[1]["sft"]
    assert said[0]["grpo"] == said[1]["grpo"]


def test_the_main_process_alone_rewards_reports_and_writes(two, said):
    # Draws and looks at held-out prompts: five until the interruption, two after it.
    assert [found["reward_calls"] for found in said] == [7, 0]
    assert [found["steps_reported"] for found in said] == [[3], []]
    assert sorted(path.name for path in two.iterdir() if path.is_dir()) == ["grpo", "sft"]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_each_thing_is_one_process_share(n):
    shares = [Processes(i, n).share(4) for i in range(n)]
    assert [i for share in shares for i in share] == [0, 1, 2, 3]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_batch_is_cut_so_that_no_process_waits(monkeypatch):
    model, rows = tiny_lm().model, [Row((2, 40, 60 + i), 2) for i in range(4)]

    def numbers():
        packed, padded = (f(model, rows, pad_id=0) for f in (parts_for, padded_parts))
        return [part.rows for part in packed], [part.rows for part in padded]

    assert numbers() == ([(0, 1, 2, 3)], [(0, 1, 2, 3)])
    monkeypatch.setattr(Processes, "at", lambda device: Processes(0, 2))
    packed, padded = numbers()
    assert packed == padded == [(0, 1), (2, 3)]
