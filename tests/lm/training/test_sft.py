"""Fine-tuning lowers the loss, repeats exactly, keeps the best weights and leaves no litter."""

import dataclasses
import random

import pytest
import torch

from notesmith.config import LmConfig, SftConfig
from notesmith.errors import StageError
from notesmith.lm.load import load_lm
from notesmith.lm.score import score_continuations
from notesmith.lm.training.batches import padded_parts
from notesmith.lm.training.sft import Example, encode_examples, train_sft
from tests.lm.tiny import ARCHITECTURES, TEXTS, tiny_lm

EXAMPLES = [Example("Write: ", text) for text in TEXTS]
QUICK = SftConfig(epochs=4, batch_size=2, learning_rate=1e-2, patience=9)


def losses(model, rows, pad_id=0):
    """Negative log-likelihood of every completion token."""
    parts = padded_parts(model, rows, pad_id=pad_id)
    return torch.cat([-part.log_probs(model, 1.0) for part in parts])


def dev_loss(lm, examples):
    """Mean negative log-likelihood of a completion token, its end included."""
    with torch.no_grad():
        return float(losses(lm.model, encode_examples(lm, examples), lm.pad_id).mean())


def load(folder, tmp_path):
    config = LmConfig(model=str(folder), trim=False, dtype="float32")
    return load_lm(config, cache=tmp_path / "cache")


def test_examples_end_and_only_completions_bear_loss():
    lm = tiny_lm("llama")
    (row,) = encode_examples(lm, [Example("Write: ", "asthma")])
    assert row.ids == (2, *lm.encode("Write: "), *lm.encode("asthma"), 1)
    assert row.n_completion == len(lm.encode("asthma")) + 1
    assert (row.prompt, row.completion) == (row.ids[: -row.n_completion], (*lm.encode("asthma"), 1))


def test_the_first_token_of_a_text_that_begins_with_none_bears_no_loss():
    lm = tiny_lm("qwen3")
    (row,) = encode_examples(lm, [Example("", "asthma")])
    assert (row.ids, row.n_completion) == ((*lm.encode("asthma"), 1), len(lm.encode("asthma")))


def test_the_loss_is_that_of_scoring():
    lm = tiny_lm("gemma3")
    example = EXAMPLES[0]
    (score,) = score_continuations(lm, [example.prompt], [example.completion])
    with torch.no_grad():
        found = losses(lm.model, encode_examples(lm, [example]))
    assert float(found[:-1].sum()) == pytest.approx(-score.log_prob, rel=1e-5)


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
