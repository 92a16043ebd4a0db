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
