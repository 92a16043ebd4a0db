"""Fine-tuning lowers the loss, repeats exactly, keeps the best weights and leaves no litter."""

import dataclasses
import random

import pytest
import torch

from notesmith.config import LmConfig, SftConfig
from notesmith.errors import StageError
from notesmith.lm.load import load_lm
from notesmith.lm.score import score_continuations
from notesmith.lm.sft import Example, encode_examples, train_sft
from notesmith.lm.trainer import LengthSampler, collate, completion_losses, parts_of
from tests.lm.tiny import ARCHITECTURES, TEXTS, tiny_lm

EXAMPLES = [Example("Write: ", text) for text in TEXTS]
QUICK = SftConfig(epochs=4, batch_size=2, learning_rate=1e-2, patience=9)


def dev_loss(lm, examples):
    """Mean negative log-likelihood of a completion token, its end included."""
    rows = encode_examples(lm, examples)
    features = [{"input_ids": row.ids, "n_completion": row.n_completion} for row in rows]
    batch = {k: v.to(lm.device) for k, v in collate(features, lm.pad_id).items()}
    with torch.no_grad():
        return float(completion_losses(lm.model, batch).mean())


def load(folder, tmp_path):
    config = LmConfig(model=str(folder), trim=False, dtype="float32")
    return load_lm(config, cache=tmp_path / "cache")


def test_examples_end_and_only_completions_bear_loss():
    lm = tiny_lm("llama")
    (row,) = encode_examples(lm, [Example("Write: ", "asthma")])
    assert row.ids == (2, *lm.encode("Write: "), *lm.encode("asthma"), 1)
    assert row.n_completion == len(lm.encode("asthma")) + 1
    batch = collate(
        [{"input_ids": [2, 5, 6, 1], "n_completion": 2}, {"input_ids": [2, 1], "n_completion": 1}],
        pad_id=0,
    )
    assert batch["labels"].tolist() == [[-100, -100, 6, 1], [-100, 1, -100, -100]]
    assert batch["input_ids"].tolist() == [[2, 5, 6, 1], [2, 1, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_batches_hold_examples_of_like_length_and_differ_between_epochs():
    lengths = [10 * (i % 10) + 10 for i in range(103)]
    sampler = LengthSampler(lengths, 10, seed=1)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(103)) and first != second
    assert first == list(LengthSampler(lengths, 10, seed=1))
    for start in range(0, 100, 10):
        batch = [lengths[i] for i in first[start : start + 10]]
        assert max(batch) <= 1.5 * min(batch) or max(batch) - min(batch) <= 10


def test_the_loss_is_that_of_scoring():
    lm = tiny_lm("gemma3")
    example = EXAMPLES[0]
    (score,) = score_continuations(lm, [example.prompt], [example.completion])
    rows = encode_examples(lm, [example])
    features = [{"input_ids": row.ids, "n_completion": row.n_completion} for row in rows]
    with torch.no_grad():
        losses = completion_losses(lm.model, collate(features, 0))
    assert float(losses[:-1].sum()) == pytest.approx(-score.log_prob, rel=1e-5)


@pytest.mark.parametrize("max_tokens", [1, 40, 10_000])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(max_tokens):
    lm = tiny_lm("gemma3")
    rows = encode_examples(lm, [Example("Write:", text) for text in TEXTS])
    features = [{"input_ids": row.ids, "n_completion": row.n_completion} for row in rows]
    batch = collate(features, lm.pad_id)
    parts = parts_of(batch, max_tokens)
    assert sum(len(part["labels"]) for part in parts) == len(rows)
    for part in parts:
        assert part["input_ids"].numel() <= max_tokens or len(part["labels"]) == 1
        assert part["attention_mask"].any(0).all()  # no column is padding alone

    def gradient(some):
        model = lm.model.float()
        model.zero_grad()
        for part in some:
            completion_losses(model, part).sum().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    torch.testing.assert_close(gradient(parts), gradient([batch]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_fine_tuning_lowers_the_loss_and_saves_what_it_measured(architecture, tmp_path):
    lm = tiny_lm(architecture)
    before = dev_loss(lm, EXAMPLES[:2])
    result = train_sft(lm, EXAMPLES, EXAMPLES[:2], QUICK, out=tmp_path / "out", seed=1)
    assert dev_loss(lm, EXAMPLES[:2]) == before  # the model that came in is as it was
    best = min(row["dev_loss"] for row in result.history if "dev_loss" in row)
    assert best < before - 0.3
    tuned = load(result.folder, tmp_path)
    assert dev_loss(tuned, EXAMPLES[:2]) == pytest.approx(best, rel=1e-5)
    assert (result.n_steps, result.tokens) == (
        12,
        4 * sum(len(r.ids) for r in encode_examples(lm, EXAMPLES)),
    )
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "notesmith-files.json",
        "notesmith.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_same_seed_gives_the_same_weights(tmp_path):
    folders = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        state = random.getstate()
        result = train_sft(tiny_lm(), EXAMPLES, [], QUICK, out=tmp_path / name, seed=seed)
        assert random.getstate() == state
        folders.append((result.folder / "model.safetensors").read_bytes())
    assert folders[0] == folders[1] != folders[2]


def test_early_stopping_keeps_the_best_weights(tmp_path):
    # Dev is what training makes unlikely, so its loss rises after some step.
    dev = [Example("Write: ", "zzzz qqqq jjjj")]
    config = SftConfig(
        epochs=30, batch_size=5, learning_rate=2e-2, patience=2, evaluations_per_epoch=1
    )
    result = train_sft(tiny_lm(), EXAMPLES, dev, config, out=tmp_path / "out", seed=1)
    losses = {row["step"]: row["dev_loss"] for row in result.history if "dev_loss" in row}
    assert result.n_steps == result.best_step + 2 < 30
    assert losses[result.best_step] == min(losses.values())
    tuned = load(result.folder, tmp_path)
    assert dev_loss(tuned, dev) == pytest.approx(min(losses.values()), rel=1e-5)


def test_lora_is_merged_and_leaves_the_model_as_it_was(tmp_path):
    lm = tiny_lm("llama")
    before = {name: value.clone() for name, value in lm.model.state_dict().items()}
    config = QUICK.model_copy(update={"lora_rank": 4})
    result = train_sft(lm, EXAMPLES, EXAMPLES[:2], config, out=tmp_path / "out", seed=1)
    after = lm.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert "forward" not in vars(lm.model)
    assert all(p.requires_grad for p in lm.model.parameters())
    tuned = load(result.folder, tmp_path)
    best = min(row["dev_loss"] for row in result.history if "dev_loss" in row)
    assert best < dev_loss(lm, EXAMPLES[:2])
    assert dev_loss(tuned, EXAMPLES[:2]) == pytest.approx(best, rel=1e-4)
    tables = (tuned.model.get_input_embeddings().weight, lm.model.get_input_embeddings().weight)
    assert torch.equal(*tables)


def test_a_chat_model_is_trained_and_used_in_turns(tmp_path):
    lm = tiny_lm("llama", chat=True)
    result = train_sft(lm, EXAMPLES, [], QUICK, out=tmp_path / "out", seed=1)
    tuned = load(result.folder, tmp_path)
    assert (lm.chat, tuned.chat) == (False, True)
    (ids,) = tuned.encode_prompts(["Write: "])
    assert tuned.tokenizer.decode(ids).endswith("<|end|>\n<|turn|>assistant\n")


def test_progress_counts_steps_and_tokens(tmp_path):
    seen = []
    result = train_sft(
        tiny_lm(), EXAMPLES, [], QUICK, out=tmp_path / "out", seed=1, on_progress=seen.append
    )
    assert [p.done for p in seen] == list(range(1, 13))
    assert (seen[-1].total, seen[-1].unit, seen[-1].tokens) == (12, "steps", result.tokens)


def test_failures_leave_nothing_behind(tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_sft(tiny_lm(), EXAMPLES, [], QUICK, out=tmp_path / "out", seed=1, on_progress=stop)
    assert not list(tmp_path.iterdir())
    with pytest.raises(StageError, match="no examples"):
        train_sft(tiny_lm(), [], [], QUICK, out=tmp_path / "out", seed=1)
    long = [dataclasses.replace(EXAMPLES[0], completion="word " * 300)]
    with pytest.raises(StageError, match=r"example 0 has \d+ tokens, the model's context 256"):
        train_sft(tiny_lm(), long, [], QUICK, out=tmp_path / "out", seed=1)


def test_training_prints_nothing(tmp_path, capfd):
    train_sft(tiny_lm(), EXAMPLES, EXAMPLES, QUICK, out=tmp_path / "out", seed=1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("architecture", ["gemma3", "llama"])  # one table, or two
@pytest.mark.parametrize("rank", [0, 2])
def test_a_spare_token_begins_as_the_mean_of_what_it_stands_for(architecture, rank, tmp_path):
    lm = tiny_lm(architecture)
    token = lm.reserved[1]
    row, words = lm.tokenizer.convert_tokens_to_ids(token), lm.encode("chest pain")
    before = {name: value.clone() for name, value in lm.model.state_dict().items()}
    still = SftConfig(epochs=1, batch_size=2, learning_rate=1e-12, lora_rank=rank)
    result = train_sft(
        lm, EXAMPLES, [], still, out=tmp_path / "out", seed=1, begin_as={token: "chest pain"}
    )
    after = load(result.folder, tmp_path).model
    for table in (after.get_input_embeddings().weight, after.get_output_embeddings().weight):
        torch.testing.assert_close(table[row], table[words].mean(dim=0), atol=1e-5, rtol=1e-4)
    assert all(torch.equal(before[name], value) for name, value in lm.model.state_dict().items())
