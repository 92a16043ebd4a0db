"""Every method raises what it is rewarded for, resumes exactly, and leaves nothing but a model."""

import json
import math
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from notesmith.config import RL_METHODS, LmConfig
from notesmith.errors import StageError
from notesmith.lm.constrain import MarkConstraint
from notesmith.lm.load import load_lm
from notesmith.lm.rl.objectives.grpo import advantages, advantages_by_part
from notesmith.lm.rl.run import Drawn, check_rewards
from notesmith.lm.rl.train import train_rl
from notesmith.lm.rollout import Reward, Rollout
from tests.lm.tiny import tiny_lm

WORDS = "The patient was admitted with chest pain and shortness of breath No history".split()
PROMPTS = [f"{a} {b}" for a in WORDS[:8] for b in WORDS[4:8]]
HELD_OUT = [f"{a} {b}" for a in WORDS[8:] for b in WORDS[:4]]
QUICK = dict(
    steps=10,
    prompts=4,
    completions=8,
    rounds=3,
    prompts_per_round=32,
    batch_size=8,
    max_new_tokens=8,
    learning_rate=1e-2,
    kl=1e-3,
    evaluate_every=5,
    save_every=2,
)
SHORT = {**QUICK, "steps": 3, "rounds": 2, "prompts_per_round": 4}
METHODS = ("best-of-n", "dpo", "grpo")
ENDED = {"finish_reason": "stop"}


def share_of_even(rollouts):
    """Reward the share of tokens with an even id."""
    shares = [np.mean([i % 2 == 0 for i in r.token_ids] or [False]) for r in rollouts]
    return [Reward(float(x), {"even": float(x), "half": float(x) / 2}) for x in shares]


class Remembering:
    """A reward that depends on how many completions it has seen."""

    def __init__(self, fail_after=None):
        self.seen, self.fail_after = 0, fail_after

    def __call__(self, rollouts):
        if self.fail_after is not None and self.seen >= self.fail_after:
            raise KeyboardInterrupt
        self.seen += len(rollouts)
        shade = 1 / (1 + self.seen % 7)
        return [Reward(r.total * shade + 0.01) for r in share_of_even(rollouts)]

    def state(self):
        return {"seen": self.seen}

    def restore(self, state):
        self.seen = state["seen"]


def config(method, base=QUICK, **changes):
    """The options among ``base`` and ``changes`` that the method has."""
    kind = RL_METHODS[method]
    return kind(**{k: v for k, v in {**base, **changes}.items() if k in kind.model_fields})


def looks(result, name="held_out_reward"):
    return {int(row["step"]): row[name] for row in result.history if name in row}


def load(folder, tmp_path):
    return load_lm(
        LmConfig(model=str(folder), trim=False, dtype="float32"), cache=tmp_path / "cache"
    )


@pytest.mark.parametrize(
    ("method", "learning_rate"),
    [("best-of-n", 3e-2), ("dpo", 1e-2), ("grpo", 1e-2)],
)
def test_rewards_rise_and_shuffled_ones_do_not(method, learning_rate, tmp_path):
    gains = []
    for placebo in (False, True):
        lm = tiny_lm()
        # Sixteen tokens to choose from, so that a few hundred of them tell good from bad.
        others = tuple(i for i in range(5, len(lm.tokenizer)) if not 100 <= i < 116)
        result = train_rl(
            lm,
            PROMPTS,
            share_of_even,
            config(
                method,
                placebo=placebo,
                learning_rate=learning_rate,
                steps=6,
                rounds=2,
                prompts_per_round=16,
                batch_size=4,
                evaluate_every=6,
            ),
            out=tmp_path / str(placebo),
            seed=1,
            held_out=HELD_OUT,
            constraint=MarkConstraint((), 4, lm.eos_ids, never_ids=others),
        )
        rewards = looks(result)
        gains.append(rewards[max(rewards)] - rewards[0])
    assert gains[0] > 0.3
    assert gains[1] < gains[0] - 0.1


def test_what_a_rejected_text_loses_does_not_go_to_tokens_that_cannot_be_drawn(tmp_path):
    lm = tiny_lm()
    others = tuple(i for i in range(5, len(lm.tokenizer)) if not 100 <= i < 116)
    result = train_rl(
        lm,
        PROMPTS,
        share_of_even,
        config("dpo", learning_rate=1e-2, steps=6, rounds=2, dpo_nll=0.0, prompts_per_round=16),
        out=tmp_path / "out",
        seed=1,
        constraint=MarkConstraint((), 4, lm.eos_ids, never_ids=others),
    )
    masses = []
    for model in (lm.model, load(result.folder, tmp_path).model):
        ids = torch.tensor([lm.encode_prompts(PROMPTS[:1])[0]], device=model.device)
        with torch.no_grad():
            found = torch.softmax(model(input_ids=ids).logits[0, -1], -1)
        masses.append(float(found[list(others)].sum()))
    # Over the whole vocabulary they would rise from 0.95 to 0.98 in these few steps.
    assert masses[1] < masses[0] + 0.01


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_what_is_saved_is_the_best_and_the_model_that_came_in_is_as_it_was(
    lora_rank, tmp_path, capfd
):
    lm = tiny_lm("gemma3")
    lm.model.get_input_embeddings().weight.requires_grad_(False)
    before = {name: value.clone() for name, value in lm.model.state_dict().items()}
    tokenizer = lm.tokenizer.backend_tokenizer.to_str()
    seen = []
    result = train_rl(
        lm,
        PROMPTS,
        share_of_even,
        config("grpo", lora_rank=lora_rank, steps=6, evaluate_every=3),
        out=tmp_path / "out",
        seed=1,
        held_out=HELD_OUT,
        on_progress=seen.append,
        work=tmp_path / "work",
        drift=lambda rollouts: {"words": 5.0},
    )
    assert capfd.readouterr() == ("", "")
    after = lm.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [n for n, p in lm.model.named_parameters() if not p.requires_grad] == [
        "model.embed_tokens.weight"
    ]
    assert lm.tokenizer.backend_tokenizer.to_str() == tokenizer
    assert "forward" not in vars(lm.model) and not lm.model.training
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    rewards = looks(result)
    assert rewards[result.best_step] == max(rewards.values()) and result.best_step > 0
    assert looks(result, "held_out_kl")[0] == 0.0
    assert (result.n_steps, result.stopped) == (6, None)
    assert all(isinstance(v, float) for row in result.history for v in row.values())
    assert [p.done for p in seen] == list(range(1, 7))
    shown = {"reward", "part_even", "part_half", "kl", "length", "pass_ratio"}
    assert shown <= set(seen[-1].values)
    assert {*shown, "drift_words"} <= {name for row in result.history for name in row}
    # Trained again from what was saved, the first look is the best look of this run.
    tuned = load(result.folder, tmp_path)
    again = train_rl(
        tuned,
        PROMPTS,
        share_of_even,
        config("grpo", steps=1, prompts=1, completions=2),
        out=tmp_path / "again",
        seed=1,
        held_out=HELD_OUT,
    )
    assert looks(again)[0] == pytest.approx(max(rewards.values()), abs=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_ends_as_an_unbroken_one(method, tmp_path):
    done = []

    def run(name, *, reward, stop_at=None):
        def on_progress(progress):
            done.append(progress.done)
            if progress.done == stop_at:
                raise KeyboardInterrupt

        return train_rl(
            tiny_lm(),
            PROMPTS,
            reward,
            config(method, steps=5, rounds=2, prompts_per_round=24, prompts=2, evaluate_every=2),
            out=tmp_path / name,
            seed=3,
            held_out=HELD_OUT[:4],
            on_progress=on_progress,
            work=tmp_path / "work" / name,
            reward_state=reward,
        )

    whole = run("whole", reward=Remembering())
    with pytest.raises(KeyboardInterrupt):
        run("broken", reward=Remembering(), stop_at=3)
    with pytest.raises(KeyboardInterrupt):
        run("broken", reward=Remembering(fail_after=50))
    assert not (tmp_path / "broken").exists()
    with pytest.raises(StageError, match="state of another run"):
        train_rl(
            tiny_lm(), PROMPTS, Remembering(), config(method), out=tmp_path / "other", seed=3,
            work=tmp_path / "work" / "broken",
        )  # fmt: skip
    done.clear()
    broken = run("broken", reward=Remembering())
    assert done[0] > 1  # it went on, rather than beginning anew
    names = ("history", "n_steps", "best_step", "tokens", "sampled_tokens")
    for name in names:
        assert getattr(broken, name) == getattr(whole, name), name
    saved = [(r.folder / "model.safetensors").read_bytes() for r in (whole, broken)]
    assert saved[0] == saved[1]
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_dir()) == ["broken", "whole", "work"]


def test_lora_resumes_too(tmp_path):
    def run(name, stop_at=None):
        def on_progress(progress):
            if progress.done == stop_at:
                raise KeyboardInterrupt

        return train_rl(
            tiny_lm(), PROMPTS, share_of_even,
            config("best-of-n", lora_rank=2, rounds=1, batch_size=2),
            out=tmp_path / name, seed=3, on_progress=on_progress, work=tmp_path / f"{name}-work",
        )  # fmt: skip

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("broken", stop_at=3)
    saved = [(r.folder / "model.safetensors").read_bytes() for r in (whole, run("broken"))]
    assert saved[0] == saved[1] and whole.best_step == whole.n_steps > 5


@pytest.mark.parametrize("method", ["grpo", "best-of-n"])
def test_constraints_hold_for_each_prompt(method, tmp_path):
    lm = tiny_lm()
    opens = lm.tokenizer.convert_tokens_to_ids(list(lm.reserved[:3]))
    close = lm.tokenizer.convert_tokens_to_ids(lm.reserved[3])
    rules = [MarkConstraint((opens[i % 3],), close, lm.eos_ids) for i in range(6)]
    seen = []

    def reward(rollouts):
        seen.extend(rollouts)
        return [Reward(r.text.count(lm.reserved[r.prompt % 3]) / 8) for r in rollouts]

    train_rl(
        lm, PROMPTS[:4], reward, config(method, SHORT), out=tmp_path / "out", seed=1,
        held_out=PROMPTS[4:6], constraint=rules,
    )  # fmt: skip
    assert {r.prompt for r in seen} == set(range(6))
    for r in seen:
        depth = 0
        for token in r.token_ids:
            assert token not in set(opens) - {opens[r.prompt % 3]}
            depth += (token == opens[r.prompt % 3]) - (token == close)
            assert 0 <= depth <= 1
        assert not (r.ended and depth)
    assert any(lm.reserved[r.prompt % 3] in r.text for r in seen)  # marks stay in the text
    with pytest.raises(StageError, match="6 constraints for 4 prompts"):
        train_rl(
            lm, PROMPTS[:4], reward, config("grpo"), out=tmp_path / "no", seed=1, constraint=rules
        )


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_in_which_all_fail_teaches_nothing(method, tmp_path):
    result = train_rl(
        tiny_lm(), PROMPTS, lambda rs: [Reward(0.0, {}, "parses") for _ in rs],
        config(method, SHORT, kl=1e-12), out=tmp_path / "out", seed=1, held_out=HELD_OUT[:2],
    )  # fmt: skip
    assert (result.best_step, result.stopped) == (0, None)
    assert result.n_steps == (3 if method == "grpo" else 0)
    saved = load(result.folder, tmp_path).model.cpu().state_dict()
    assert all(torch.equal(saved[k], v) for k, v in tiny_lm().model.state_dict().items())


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        ([Reward(0.1)], "the reward function gave 1 rewards for 2 completions"),
        ([Reward(0.1), Reward(math.nan)], "completion 1: total is nan, not a number"),
        ([Reward(0.1, {"a": math.inf}), Reward(0)], "completion 0: a is inf, not a number"),
        ([Reward(0.0, {"a": 0.5}, "loop"), Reward(0)], "completion 0 failed gate 'loop' but"),
    ],
)
def test_rewards_that_cannot_be_meant_are_errors(rewards, message):
    with pytest.raises(StageError, match=message):
        check_rewards(rewards, 2)


@pytest.mark.parametrize("method", ["grpo", "dpo"])
def test_a_broken_reward_is_raised_and_leaves_nothing(method, tmp_path, capfd, caplog):
    def broken(rollouts):
        if calls.append(1) or len(calls) < 2:
            return share_of_even(rollouts)
        raise ZeroDivisionError("the reward's own message")

    calls = []
    with pytest.raises(ZeroDivisionError, match="the reward's own message"):
        train_rl(
            tiny_lm(), PROMPTS, broken, config(method, SHORT), out=tmp_path / "out", seed=1,
            held_out=HELD_OUT[:2],
        )  # fmt: skip
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "") and not caplog.text
    with pytest.raises(StageError, match="no prompts"):
        train_rl(tiny_lm(), [], broken, config(method), out=tmp_path / "out", seed=1)


@pytest.mark.parametrize(
    ("drifts", "asked", "stopped", "n_steps", "best_step"),
    [
        # Away at steps 2 and 3, which are no candidates; step 1 is.
        ([10, 11, 13, 13, 13], {}, "words", 3, 1),
        ([10, 13, 10, 13, 10], {}, None, 4, 4),
        # Towards what is asked for, 15, and a fifth beyond.
        ([10, 14, 15, 17, 18], {"asked_words": 15}, None, 4, 4),
        ([10, 14, 15, 19, 19], {"asked_words": 15}, "words", 4, 2),
    ],
)
def test_a_collapse_that_lasts_two_looks_stops_the_run(
    drifts, asked, stopped, n_steps, best_step, tmp_path
):
    def reward(rollouts):
        looks_at_held_out = rollouts[0].prompt >= len(PROMPTS)
        rising.append(looks_at_held_out)
        return [Reward(float(sum(rising))) for _ in rollouts]

    def drift(rollouts):
        if rollouts[0].prompt < len(PROMPTS):
            return {}
        return {"words": values.pop(0), "ignored": 0.0, **asked}

    rising, values = [], [float(x) for x in drifts]
    result = train_rl(
        tiny_lm(), PROMPTS, reward, config("grpo", SHORT, steps=4, evaluate_every=1, collapse=0.2),
        out=tmp_path / "out", seed=1, held_out=HELD_OUT[:2], drift=drift,
    )  # fmt: skip
    assert (result.stopped, result.n_steps, result.best_step) == (stopped, n_steps, best_step)


def test_a_run_stops_when_the_gates_pass_half_as_often(tmp_path):
    def reward(rollouts):
        if rollouts[0].prompt < len(PROMPTS):
            return share_of_even(rollouts)
        looked.append(1)
        n_failed = 0 if len(looked) < 2 else 3
        return [Reward(0, {}, "loop")] * n_failed + [Reward(1.0)] * (len(rollouts) - n_failed)

    looked = []
    result = train_rl(
        tiny_lm(), PROMPTS, reward, config("best-of-n", SHORT), out=tmp_path / "out", seed=1,
        held_out=HELD_OUT[:4],
    )  # fmt: skip
    assert result.stopped == "pass_ratio" and result.best_step == 0
    assert len(looked) == 2


def test_a_run_stops_when_the_policy_has_left_the_reference_whatever_it_earns(tmp_path):
    result = train_rl(
        tiny_lm(), PROMPTS, share_of_even,
        config("grpo", SHORT, kl=1e-6, learning_rate=0.5, steps=6, evaluate_every=2),
        out=tmp_path / "out", seed=1, held_out=HELD_OUT,
    )  # fmt: skip
    assert looks(result, "held_out_kl")[2] > 1.0
    assert (result.stopped, result.n_steps, result.best_step) == ("kl", 2, 0)


def test_a_batch_in_parts_has_the_gradient_of_the_whole(tmp_path, monkeypatch):
    folders = []
    for tokens in (8, 4096):
        monkeypatch.setattr("notesmith.lm.score.PART_TOKENS", tokens)
        result = train_rl(
            tiny_lm(), PROMPTS, share_of_even, config("grpo", SHORT, steps=1),
            out=tmp_path / str(tokens), seed=1,
        )  # fmt: skip
        folders.append(load(result.folder, tmp_path).model.state_dict())
        grads = [row["grad_norm"] for row in result.history if "grad_norm" in row]
        folders[-1]["grad_norm"] = torch.tensor(grads)
    torch.testing.assert_close(folders[0]["grad_norm"], folders[1]["grad_norm"], rtol=1e-4, atol=0)


def test_means_and_parts_of_a_batch():
    rollouts = tuple(Rollout(0, "", (5,) * n, True) for n in (1, 2, 3, 6))
    rewards = (
        Reward(0.6, {"a": 0.6, "b": 0.2}),
        Reward(0.0, {}, "loop"),
        Reward(0.2, {"a": 0.2}),
        Reward(0.4, {"a": 0.4, "b": 0.4}),
    )
    batch = Drawn(rollouts, rewards, 2)
    assert batch.totals.tolist() == [[0.6, 0.0], [0.2, 0.4]]
    assert batch.failed.tolist() == [[False, True], [False, False]]
    np.testing.assert_array_equal(batch.parts, [[[0.6, 0.2], [0, 0]], [[0.2, np.nan], [0.4, 0.4]]])
    means = batch.means()
    assert means == pytest.approx(
        {"reward": 0.3, "pass_ratio": 0.75, "length": 3.0, "part_a": 0.3, "part_b": 0.2}
    )
    assert (
        advantages_by_part(batch.parts).shape
        == advantages(batch.totals, over_deviation=False).shape
    )


def test_history_is_json(tmp_path):
    result = train_rl(
        tiny_lm(), PROMPTS, share_of_even, config("dpo", SHORT), out=tmp_path / "out", seed=1
    )
    json.dumps(result.history)
    assert result.best_step == result.n_steps > 0


@pytest.mark.parametrize("method", ["grpo", "best-of-n"])
def test_vllm_writes_with_the_weights_of_each_step(method, tmp_path, monkeypatch):
    lm = tiny_lm()
    loaded, options = [], {}
    ids = lm.encode("chest pain")

    class Engine:
        def __init__(self, **given):
            options.update(given)
            weights = {"load_weights": self.load_weights}
            runner = SimpleNamespace(model=SimpleNamespace(**weights))
            worker = SimpleNamespace(model_runner=runner)
            self.llm_engine = SimpleNamespace(model_executor=SimpleNamespace(driver_worker=worker))

        def load_weights(self, pairs):
            loaded.append(dict(pairs))

        def reset_prefix_cache(self):
            pass

        def generate(self, prompts, parameters, use_tqdm):
            # Completions of odd and even length in turns, so that rewards differ.
            return [
                SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids[: 1 + i % 2], **ENDED)])
                for i in range(len(prompts))
            ]

    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=Engine, SamplingParams=dict))
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    settings = config(method, SHORT, rollouts="vllm")
    result = train_rl(
        lm, PROMPTS, lambda rollouts: [Reward(len(r.token_ids) / 2) for r in rollouts], settings,
        out=tmp_path / "out", seed=1, held_out=HELD_OUT[:2],
    )  # fmt: skip
    assert options["gpu_memory_utilization"] == settings.vllm_memory_ratio
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert result.n_steps > 0
    own = lm.model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in loaded[0].items())
    assert any(not torch.equal(own[name], value) for name, value in loaded[-1].items())
    rule = MarkConstraint(open_ids=(5,), close_id=6, eos_ids=lm.eos_ids, max_depth=1)
    with pytest.raises(StageError, match="cannot constrain marks"):
        train_rl(
            lm, PROMPTS, share_of_even, settings, out=tmp_path / "no", seed=1, constraint=rule,
        )  # fmt: skip


def test_the_time_left_counts_the_draws_to_come_not_the_draw_done(tmp_path, monkeypatch):
    clock, seen = [0.0], []
    monkeypatch.setattr("notesmith.lm.rl.run.time.monotonic", lambda: clock[0])

    def slow(rollouts):
        clock[0] += 100.0
        return share_of_even(rollouts)

    train_rl(
        tiny_lm(), PROMPTS, slow,
        config("best-of-n", SHORT, steps=2, rounds=2, batch_size=1, evaluate_every=1),
        out=tmp_path / "out", seed=1, on_progress=seen.append,
    )  # fmt: skip
    first, last = seen[0], seen[-1]
    assert (first.done, first.total) == (1, 4)
    assert first.eta == pytest.approx(100.0)
    assert (last.done, last.eta) == (4, 0.0)
