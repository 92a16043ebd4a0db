"""Losses and gradients are those of TRL, unpatched, in float32, on the same completions.

TRL is a development requirement alone; without it these tests are skipped.
"""

import warnings

import numpy as np
import pytest
import torch

from notesmith.config import LmConfig
from notesmith.lm.load import load_lm
from notesmith.lm.rl.policy import policy_of
from notesmith.lm.rl.run import Drawn, Run
from notesmith.lm.rl.steps import Lesson, grpo_batch, lesson_batch
from notesmith.lm.rollout import Reward, Rollout
from notesmith.lm.training.batches import Row
from notesmith.lm.training.processes import Processes
from tests.lm.rl.test_train import config
from tests.lm.tiny import save_tiny

trl = pytest.importorskip("trl")

PROMPTS = ("The patient was", "No history of", "Follow up")
N_EACH = 4
CLOSE = {"atol": 1e-6, "rtol": 1e-5}


@pytest.fixture
def offline(monkeypatch):
    """TRL tells of its use at every start."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)


@pytest.fixture(params=["llama", "gemma3"])
def lm(request, tmp_path):
    folder = save_tiny(request.param, tmp_path / "model")
    loaded = load_lm(
        LmConfig(model=str(folder), trim=False, dtype="float32"), cache=tmp_path / "cache"
    )
    # Where TRL looks for the reference.
    loaded.model.config._name_or_path = str(folder)
    return loaded


def moved(model):
    """Change the weights a little, so that the policy is not its reference."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)


def drawn_for(lm):
    """Completions of several lengths, some of which ended, and rewards of two parts."""
    rng = np.random.default_rng(2)
    rollouts, rewards = [], []
    for prompt in range(len(PROMPTS)):
        for k in range(N_EACH):
            ids = tuple(int(i) for i in rng.integers(20, 300, size=1 + (3 * prompt + k) % 7))
            rollouts.append(Rollout(prompt, "", ids, ended=k % 2 == 0))
            parts = {"a": float(rng.random()), "b": float(rng.random())}
            rewards.append(Reward(sum(parts.values()), parts))
    return Drawn(tuple(rollouts), tuple(rewards), N_EACH)


def ours(model, batch):
    """Loss and gradients of a batch of ours."""
    model.zero_grad()
    total = 0.0
    for part in batch.parts:
        loss = batch.loss(model, part)
        loss.value.backward()
        total += float(loss.value.detach())
    return total, {name: p.grad.clone() for name, p in model.named_parameters()}


def theirs(trainer, inputs):
    """Loss and gradients of a batch of TRL's."""
    trainer.model.train()
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    return float(loss.detach()), {n: p.grad.clone() for n, p in trainer.model.named_parameters()}


def assert_same(one, other):
    assert one[0] == pytest.approx(other[0], abs=1e-6)
    assert one[1].keys() == other[1].keys()
    for name, gradient in one[1].items():
        torch.testing.assert_close(gradient, other[1][name], **CLOSE)
    assert max(float(g.abs().max()) for g in one[1].values()) > 1e-3


def run_of(lm, settings):
    return Run(
        lm, PROMPTS, len(PROMPTS), list, settings, 1, None, lambda _: None, None, None,
        Processes(0, 1),
    )  # fmt: skip


ARGUMENTS = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": [],
    "disable_tqdm": True,
    "save_strategy": "no",
}
SCALES = {"mean": "none", "std": "group", "parts": "none"}


@pytest.mark.parametrize("how", ["mean", "std", "parts"])
def test_grpo(lm, how, tmp_path, offline):
    from datasets import Dataset

    settings = config("grpo", normalise=how, kl=0.3, temperature=0.7, completions=N_EACH)
    drawn = drawn_for(lm)
    with policy_of(run_of(lm, settings)) as policy:
        rows = policy.rows(drawn.rollouts)

        def rollout(prompts, trainer):
            return {
                "prompt_ids": [list(row.prompt) for row in rows],
                "completion_ids": [list(row.completion) for row in rows],
                "logprobs": None,
            }

        def reward(name):
            def score(completions, **kwargs):
                return [r.parts[name] for r in drawn.rewards]

            return score

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = trl.GRPOTrainer(
                model=load_lm(
                    LmConfig(model=str(tmp_path / "model"), trim=False, dtype="float32"),
                    cache=tmp_path / "cache",
                ).model,
                reward_funcs=[reward("a"), reward("b")],
                args=trl.GRPOConfig(
                    str(tmp_path / "out"),
                    **ARGUMENTS,
                    per_device_train_batch_size=len(rows),
                    steps_per_generation=1,
                    num_generations=N_EACH,
                    beta=settings.kl,
                    temperature=settings.temperature,
                    loss_type="dapo",
                    scale_rewards=SCALES[how],
                    multi_objective_aggregation=(
                        "normalize_then_sum" if how == "parts" else "sum_then_normalize"
                    ),
                ),
                train_dataset=Dataset.from_dict({"prompt": list(PROMPTS)}),
                processing_class=lm.tokenizer,
                rollout_func=rollout,
            )
            moved(trainer.model)
            moved(policy.model)
            trainer.model.train()
            trainer.current_gradient_accumulation_steps = 1
            asked = [{"prompt": PROMPTS[r.prompt]} for r in drawn.rollouts]
            expected = theirs(trainer, trainer._generate_and_score_completions(asked))
        batch = grpo_batch(policy, drawn, settings)
        assert_same(ours(policy.model, batch), expected)


@pytest.mark.parametrize("nll", [0.0, 0.2])
def test_dpo(lm, nll, tmp_path, offline):
    from datasets import Dataset

    settings = config("dpo", dpo_beta=0.3, dpo_nll=nll, batch_size=2 * len(PROMPTS))
    rng = np.random.default_rng(3)
    with policy_of(run_of(lm, settings)) as policy:
        heads = lm.encode_prompts(PROMPTS)
        pairs = []
        for k, head in enumerate(heads):
            # TRL's term on the preferred text is a mean over the tokens of the batch, ours one over
            # pairs: the same where these are equally long.
            lengths = (5 if nll else 2 + k, 3 + 2 * k)
            tails = [tuple(int(i) for i in rng.integers(20, 300, size=n)) for n in lengths]
            pairs.append([Row((*head, *tail), len(tail)) for tail in tails])
        flat = [(row, k) for k, pair in enumerate(pairs) for row in pair]
        found = policy.log_probs(policy.reference, [row for row, _ in flat], 1.0, None)
        lessons = [
            Lesson(row, k, float(log_probs.double().sum()))
            for (row, k), log_probs in zip(flat, found, strict=True)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            columns = {
                "prompt": list(PROMPTS),
                "chosen": [" chest pain"] * len(PROMPTS),
                "rejected": [" asthma"] * len(PROMPTS),
            }
            trainer = trl.DPOTrainer(
                model=load_lm(
                    LmConfig(model=str(tmp_path / "model"), trim=False, dtype="float32"),
                    cache=tmp_path / "cache",
                ).model,
                ref_model=lm.model,
                args=trl.DPOConfig(
                    str(tmp_path / "out"),
                    **ARGUMENTS,
                    beta=settings.dpo_beta,
                    loss_type=["sigmoid", "sft"] if nll else ["sigmoid"],
                    loss_weights=[1.0, nll] if nll else [1.0],
                ),
                train_dataset=Dataset.from_dict(columns),
                processing_class=lm.tokenizer,
            )
            moved(trainer.model)
            moved(policy.model)
            collated = trainer.data_collator(
                [
                    {
                        "prompt_ids": list(chosen.prompt),
                        "chosen_ids": list(chosen.completion),
                        "rejected_ids": list(rejected.completion),
                    }
                    for chosen, rejected in pairs
                ]
            )
            expected = theirs(trainer, collated)
        batch = lesson_batch(policy, lessons, lessons, settings)
        assert_same(ours(policy.model, batch), expected)
