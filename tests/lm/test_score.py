"""Scores of continuations equal a sum of log-probabilities worked one token at a time."""

import pytest
import torch

from notesmith.lm.score import score_continuations
from tests.lm.tiny import ARCHITECTURES, TEXTS, tiny_lm


def brute_force(lm, prompt, continuation):
    ids = lm.encode_prompts([prompt])[0] or [lm.eos_ids[0]]
    total = 0.0
    for token in lm.encode(continuation):
        with torch.no_grad():
            logits = lm.model(input_ids=torch.tensor([ids])).logits[0, -1]
        total += float(torch.log_softmax(logits.double(), dim=-1)[token])
        ids = [*ids, token]
    return total


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_equal_brute_force_in_any_batch(architecture):
    lm = tiny_lm(architecture)
    prompts = [TEXTS[0], "", "Diseases:\n- ", "x", TEXTS[1]]
    continuations = ["asthma", "colon cancer", "a", "", " pleural effusion."]
    found = score_continuations(lm, prompts, continuations, batch_size=3)
    for score, prompt, continuation in zip(found, prompts, continuations, strict=True):
        assert score.n_tokens == len(lm.encode(continuation))
        assert score.log_prob == pytest.approx(brute_force(lm, prompt, continuation), abs=1e-4)
    assert found[3].mean == 0.0


def test_soft_caps_count():
    lm = tiny_lm("gemma3")
    lm.model.config.final_logit_softcapping = 0.05
    (score,) = score_continuations(lm, ["No "], ["asthma"])
    assert score.log_prob == pytest.approx(brute_force(lm, "No ", "asthma"), abs=1e-4)


def test_unequal_numbers_are_refused():
    with pytest.raises(ValueError, match="2 prompts but 1"):
        score_continuations(tiny_lm(), ["a", "b"], ["c"])


def test_nothing_to_score_is_nothing():
    assert score_continuations(tiny_lm(), [], []) == []


def test_many_long_texts_are_scored_like_each_alone(monkeypatch):
    lm = tiny_lm()
    texts = ["asthma", TEXTS[0], "", TEXTS[1], "colon cancer"]
    alone = [score_continuations(lm, [""], [text])[0] for text in texts]
    seen = []
    own = lm.model.base_model.forward

    def watched(*args, **kwargs):
        seen.append(tuple(kwargs["input_ids"].shape))
        return own(*args, **kwargs)

    monkeypatch.setattr(lm.model.base_model, "forward", watched)
    monkeypatch.setattr("notesmith.lm.score.PART_TOKENS", 24)
    found = score_continuations(lm, [""] * len(texts), texts)
    for ours, theirs in zip(found, alone, strict=True):
        assert ours.n_tokens == theirs.n_tokens
        assert ours.log_prob == pytest.approx(theirs.log_prob, abs=1e-4)
    assert len(seen) > 1
    assert all(n_rows == 1 or n_rows * width <= 24 for n_rows, width in seen)
