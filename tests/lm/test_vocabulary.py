"""A trimmed model encodes, decodes and scores as the full one does on kept tokens."""

import json

import numpy as np
import pytest
import torch

from notesmith.config import LmConfig
from notesmith.errors import ModelError
from notesmith.lm import vocabulary
from notesmith.lm.load import load_lm
from notesmith.lm.vocabulary import (
    KeptTokens,
    check_texts,
    choose_tokens,
    merge_path,
    prove,
    reference_logits,
    shipped_tokens,
    trim_model,
    trim_tokenizer,
)
from notesmith.models.load import read_tokenizer
from tests.lm.tiny import ARCHITECTURES, TEXTS, save_tiny, tiny_lm


def parts_of(tokenizer):
    return json.loads(tokenizer.backend_tokenizer.to_str())


def kept_for(lm, texts=TEXTS[:2], min_count=1):
    counts = np.bincount(
        [i for text in texts for i in lm.encode(text)], minlength=len(lm.tokenizer)
    )
    by_id = {i: int(n) for i, n in enumerate(counts)}
    return choose_tokens(parts_of(lm.tokenizer), by_id, min_count=min_count)


def test_merge_path_is_every_piece_on_the_way():
    ranks = {("a", "b"): 0, ("ab", "c"): 1, ("b", "c"): 2, ("abc", "d"): 3}
    assert merge_path("abcd", ranks) == {"a", "b", "c", "d", "ab", "abc", "abcd"}
    assert merge_path("ca", ranks) == {"c", "a"}


def test_kept_ids_survive_their_file_format():
    kept = KeptTokens((0, 1, 5, 70_000, 262_143), 262_144, "abc")
    assert KeptTokens.from_bytes(kept.to_bytes()) == kept


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_trimming_keeps_tokens_logits_and_special_tokens(architecture):
    lm = tiny_lm(architecture)
    before = [lm.tokenizer.convert_ids_to_tokens(lm.encode(text)) for text in TEXTS[:2]]
    kept = kept_for(lm)
    assert len(kept.ids) < len(lm.tokenizer)
    tokenizer = trim_tokenizer(lm.tokenizer, kept)
    reference = reference_logits(lm.model, lm.tokenizer, tokenizer, kept)
    trim_model(lm.model, kept)
    proof = prove(lm.model, tokenizer, kept, reference)
    assert proof.max_logit_gap <= 1e-5
    assert proof.n_kept == len(kept.ids) == lm.model.config.vocab_size
    assert lm.model.get_output_embeddings().weight.shape[0] == len(kept.ids)
    after = [tokenizer.tokenize(text, add_special_tokens=False) for text in TEXTS[:2]]
    assert after == before
    assert tokenizer.eos_token == "<eos>"
    assert lm.model.config.eos_token_id == tokenizer.eos_token_id
    if architecture != "qwen3":
        assert (
            tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id == lm.model.config.bos_token_id
        )


def test_tied_embeddings_stay_tied():
    lm = tiny_lm("gemma3")
    trim_model(lm.model, kept_for(lm))
    tables = (lm.model.get_input_embeddings().weight, lm.model.get_output_embeddings().weight)
    assert tables[0] is tables[1]


def test_a_wrong_row_fails_the_proof():
    lm = tiny_lm("llama")
    kept = kept_for(lm)
    tokenizer = trim_tokenizer(lm.tokenizer, kept)
    reference = reference_logits(lm.model, lm.tokenizer, tokenizer, kept)
    trim_model(lm.model, kept)
    with torch.no_grad():
        lm.model.get_output_embeddings().weight[7] += 1.0
    with pytest.raises(ModelError, match="logits differ"):
        prove(lm.model, tokenizer, kept, reference)


def test_a_tokenizer_that_loses_text_fails_the_proof():
    lm = tiny_lm("gemma3")
    kept = kept_for(lm)
    ids = tuple(i for i in kept.ids if not lm.tokenizer.convert_ids_to_tokens(i).startswith("<0x"))
    lossy = KeptTokens(ids, kept.n_tokens, kept.fingerprint)
    tokenizer = trim_tokenizer(lm.tokenizer, lossy)
    reference = reference_logits(lm.model, lm.tokenizer, tokenizer, lossy)
    trim_model(lm.model, lossy)
    with pytest.raises(ModelError, match="does not give a check text back"):
        prove(lm.model, tokenizer, lossy, reference)


def test_loading_trims_once_and_leaves_the_source_alone(tmp_path, monkeypatch):
    folder = save_tiny("gemma3", tmp_path / "model")
    kept = kept_for(tiny_lm("gemma3"))
    monkeypatch.setattr(
        vocabulary, "shipped_tokens", lambda parts: kept if kept.fits(parts) else None
    )
    config = LmConfig(model=str(folder), dtype="float32")
    first = load_lm(config, cache=tmp_path / "cache")
    (made,) = (tmp_path / "cache").iterdir()
    stamp = (made / "model.safetensors").stat().st_mtime_ns
    again = load_lm(config, cache=tmp_path / "cache")
    assert (made / "model.safetensors").stat().st_mtime_ns == stamp
    assert first.model.config.vocab_size == len(kept.ids) == again.model.config.vocab_size
    assert first.name == again.name == "tiny-gemma3"
    assert len(read_tokenizer(folder)) > len(kept.ids)
    assert len(first.reserved) == 8


def test_text_of_another_language_switches_trimming_off(tmp_path, monkeypatch, caplog):
    folder = save_tiny("gemma3", tmp_path / "model")
    kept = kept_for(tiny_lm("gemma3"), texts=TEXTS[:1])
    monkeypatch.setattr(vocabulary, "shipped_tokens", lambda parts: kept)
    config = LmConfig(model=str(folder), dtype="float32")
    suits = load_lm(config, cache=tmp_path / "cache", sample_texts=TEXTS[:1])
    assert suits.model.config.vocab_size == len(kept.ids)
    full = load_lm(config, cache=tmp_path / "cache", sample_texts=[TEXTS[4]])
    assert full.model.config.vocab_size > len(kept.ids)
    assert "tokens a word" in caplog.text
    assert "clinic" not in caplog.text


def test_tokens_a_word_are_compared():
    lm = tiny_lm("llama")
    trimmed = trim_tokenizer(lm.tokenizer, kept_for(lm, texts=TEXTS[:1]))
    check = check_texts(lm.tokenizer, trimmed, ["aspirin mg"])
    assert check.tokens_per_word == len(lm.encode("aspirin mg")) / 2
    assert not check.suits
    assert check_texts(lm.tokenizer, trimmed, []).suits


def test_the_shipped_list_is_for_another_tokenizer():
    assert shipped_tokens(parts_of(tiny_lm("llama").tokenizer)) is None


def test_the_shipped_list_reads():
    from importlib import resources

    data = resources.files("notesmith.lm").joinpath("data/gemma3.kept").read_bytes()
    kept = KeptTokens.from_bytes(data)
    assert len(data) < 150_000
    assert kept.n_tokens == 262_144
    assert len(kept.ids) == len(set(kept.ids)) == 38_345
    # Pad, eos, bos, unk, the reserved tokens 0 to 63, runs of white space and all bytes.
    wanted = [range(4), range(6, 70), range(107, 168), range(238, 494)]
    assert {i for ids in wanted for i in ids} <= set(kept.ids)
