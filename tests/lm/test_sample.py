from collections import Counter

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
)
from transformers.generation import (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from notesmith.config import SampleConfig
from notesmith.errors import StageError
from notesmith.lm.backends.choose import Chooser, gumbel
from notesmith.lm.backends.decoder import Decoder
from notesmith.lm.backends.transformers import TransformersBackend
from notesmith.lm.backends.weights import UnsupportedModelError
from notesmith.lm.constrain import MarkConstraint, Trie
from notesmith.lm.sample import sample
from notesmith.lm.samples import Sample
from tests.lm.tiny import ARCHITECTURES, tiny_lm

PROMPTS = [f"The patient {word} " for word in ("was", "had", "is on", "denied any", "saw")] * 4


@pytest.fixture(scope="module")
def lm():
    return tiny_lm("gemma3")


def write(lm, prompts=PROMPTS, *, seed=3, constraint=None, backend=None, **changes):
    config = SampleConfig(**({"batch_size": 8, "max_new_tokens": 12, "bf16": "no"} | changes))
    if backend:
        return backend.sample(prompts, config, seed=seed, constraint=constraint)
    return sample(lm, prompts, config, seed=seed, constraint=constraint)


@pytest.fixture
def favour(monkeypatch):
    """Makes tokens likely: adds to their logits in the fast pass."""

    def add(tokens, amount):
        step = Decoder.step

        def biased(self, *args, **options):
            logits = step(self, *args, **options)
            logits[:, tokens] += amount
            return logits

        monkeypatch.setattr(Decoder, "step", biased)

    return add


def warped(logits, temperature, top_k, top_p):
    """Probabilities by transformers' own warpers."""
    scores = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        scores = TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(None, scores)
    return torch.softmax(scores, dim=-1)


@pytest.mark.parametrize("top_k", [0, 1, 7])
@pytest.mark.parametrize("top_p", [0.0, 0.4, 0.95, 1.0])
def test_candidates_are_those_of_transformers(top_k, top_p):
    logits = torch.randn(50, 30, generator=torch.Generator().manual_seed(1)) * 3
    values, ids = Chooser(0.7, top_k, top_p, seed=0).candidates(logits)
    ours = torch.zeros(50, 30).scatter_(1, ids, torch.softmax(values, dim=-1))
    torch.testing.assert_close(ours, warped(logits, 0.7, top_k, top_p))


def test_draws_follow_the_probabilities():
    logits = torch.tensor([[2.0, 1.0, 0.5, 0.0, -1.0]])
    n = 40_000
    index = torch.arange(n)
    drawn = Chooser(0.8, 4, 0.95, seed=5)(logits.expand(n, 5), index, index % 7)
    share = torch.bincount(drawn, minlength=5) / n
    torch.testing.assert_close(share, warped(logits, 0.8, 4, 0.95)[0], atol=0.01, rtol=0)


def test_noise_depends_on_seed_sample_position_and_token_only():
    ids = torch.arange(6).expand(2, 6)
    base = gumbel(1, torch.tensor([4, 9]), torch.tensor([0, 3]), ids)
    again = gumbel(1, torch.tensor([9, 4]), torch.tensor([3, 0]), ids.flip(1)).flip(0, 1)
    assert torch.equal(base, again)
    for other in (
        gumbel(2, torch.tensor([4, 9]), torch.tensor([0, 3]), ids),
        gumbel(1, torch.tensor([5, 8]), torch.tensor([0, 3]), ids),
        gumbel(1, torch.tensor([4, 9]), torch.tensor([1, 4]), ids),
    ):
        assert not torch.isclose(base, other).any()


def test_a_sample_does_not_change_with_the_batch(lm):
    results = [write(lm, batch_size=n) for n in (1, 3, 20)]
    assert results[0].samples == results[1].samples == results[2].samples


def test_rows_are_fewer_where_memory_is_short(lm, monkeypatch):
    whole = write(lm, batch_size=20)
    begun = []
    begin = Decoder.begin

    def counted(self, n_rows, *rest):
        begun.append(n_rows)
        begin(self, n_rows, *rest)

    monkeypatch.setattr(Decoder, "begin", counted)
    monkeypatch.setattr("notesmith.lm.backends.transformers.os.sysconf", lambda name: 512)
    assert write(lm, batch_size=20).samples == whole.samples
    longest = max(map(len, lm.encode_prompts(PROMPTS))) + 12
    assert begun == [512 * 512 // 4 // (256 * longest)]  # keys and values: 256 bytes a token


def test_a_sample_does_not_change_with_the_number_of_threads(lm, monkeypatch):
    alone = write(lm, batch_size=20)
    monkeypatch.setattr("notesmith.lm.backends.transformers._LEAST_ROWS", 5)
    torch.set_num_threads(2)
    try:
        shared = write(lm, batch_size=20)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert alone.samples == shared.samples


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_fast_pass_writes_what_the_models_own_writes(architecture):
    lm = tiny_lm(architecture)
    own = TransformersBackend(lm, fast=False)
    assert write(lm).samples == write(lm, backend=own).samples


def test_prompts_of_other_lengths_and_samples_that_end_early(lm):
    eos = lm.eos_ids[0]
    prompts = ["The", *PROMPTS, "No history of asthma, diabetes mellitus or colon cancer in the "]
    lm = tiny_lm("gemma3")
    weight = lm.model.get_input_embeddings().weight.data
    weight[eos] = weight.mean(0) * 8  # ends are frequent
    fast = write(lm, prompts, max_new_tokens=40, temperature=2.0, top_k=0, top_p=1.0)
    own = TransformersBackend(lm, fast=False)
    slow = write(lm, prompts, backend=own, max_new_tokens=40, temperature=2.0, top_k=0, top_p=1.0)
    assert fast.samples == slow.samples
    assert {s.ended for s in fast.samples} == {True, False}
    assert fast.tokens == sum(len(s.token_ids) + s.ended for s in fast.samples)
    assert all(eos not in s.token_ids for s in fast.samples)


def test_a_sample_that_is_cut_off_has_not_ended(lm):
    result = write(lm, PROMPTS[:2], max_new_tokens=3)
    assert [(len(s.token_ids), s.ended, s.index) for s in result.samples] == [
        (3, False, 0),
        (3, False, 1),
    ]
    assert result.tokens == 6


def test_another_seed_gives_other_text(lm):
    assert write(lm, seed=1).samples != write(lm, seed=2).samples


def test_no_prompts(lm):
    result = write(lm, [])
    assert (result.samples, result.tokens) == ((), 0)


def test_resume_writes_only_what_is_missing(lm):
    whole = write(lm)
    saved = {s.index: s for s in whole.samples[:7]}
    seen: list[Sample] = []
    config = SampleConfig(batch_size=4, max_new_tokens=12, bf16="no")
    rest = sample(lm, PROMPTS, config, seed=3, finished=saved, on_samples=seen.extend)
    assert rest.samples == whole.samples
    assert sorted(s.index for s in seen) == list(range(7, len(PROMPTS)))
    assert rest.tokens == sum(len(s.token_ids) + s.ended for s in whole.samples[7:])


def test_progress_ends_with_everything_done(lm):
    reports = []
    config = SampleConfig(batch_size=4, max_new_tokens=5, bf16="no")
    result = sample(lm, PROMPTS, config, seed=0, on_progress=reports.append)
    last = reports[-1]
    assert (last.done, last.total, last.tokens) == (len(PROMPTS), len(PROMPTS), result.tokens)
    assert last.tokens_per_second > 0


def test_marks_stay_legal(lm, favour):
    open_id, close_id = lm.tokenizer.convert_tokens_to_ids(list(lm.reserved[:2]))
    rule = MarkConstraint((open_id,), close_id, lm.eos_ids)
    favour([open_id, close_id, lm.eos_ids[0]], 5.0)
    options = {"temperature": 2.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": 30}
    free = write(lm, **options)
    kept = write(lm, constraint=rule, **options)

    def faults(result):
        found: Counter[str] = Counter()
        for s in result.samples:
            inside = 0
            for before, token in zip((0, *s.token_ids), s.token_ids, strict=False):
                found["open inside"] += token == open_id and inside
                found["close outside"] += token == close_id and not inside
                found["empty"] += token == close_id and before == open_id
                inside = {open_id: 1, close_id: 0}.get(token, inside)
            found["end inside"] += s.ended and inside
        return +found

    assert len(faults(free)) >= 3
    assert not faults(kept)
    assert sum(s.token_ids.count(open_id) for s in kept.samples) > 5


def test_a_licence_a_prompt(lm, favour):
    open_id, close_id = lm.tokenizer.convert_tokens_to_ids(list(lm.reserved[:2]))
    names = ["colon cancer", "asthma", "pneumonia"]
    rules = [
        MarkConstraint(
            (open_id,), close_id, lm.eos_ids, licence={open_id: Trie.of([lm.encode(names[i % 3])])}
        )
        if i % 4
        else None
        for i in range(len(PROMPTS))
    ]
    favour([open_id], 12.0)
    result = write(lm, constraint=rules, max_new_tokens=40, temperature=3.0, top_k=0, top_p=1.0)
    found = 0
    for i, s in enumerate(result.samples):
        ids = np.array(s.token_ids)
        for start in np.flatnonzero(ids == open_id) if rules[i] else []:
            inside = s.token_ids[start + 1 :]
            if close_id in inside:
                found += 1
                assert lm.decode(inside[: inside.index(close_id)]) == names[i % 3]
    assert found > 10


def test_a_prompt_that_does_not_fit_is_an_error(lm):
    with pytest.raises(StageError, match=r"prompt 0 has \d+ tokens; with 250 new ones"):
        write(lm, PROMPTS[:2], max_new_tokens=250)


def test_a_constraint_is_missing(lm):
    with pytest.raises(StageError, match="1 constraints for 20 prompts"):
        write(lm, constraint=[None])


def test_an_error_of_the_caller_stops_the_workers(lm):
    def fail(samples):
        raise RuntimeError("full disk")

    config = SampleConfig(batch_size=4, max_new_tokens=5, bf16="no")
    with pytest.raises(RuntimeError, match="full disk"):
        sample(lm, PROMPTS, config, seed=0, on_samples=fail)


def test_dropout_is_off_while_sampling_and_on_again_after(lm):
    lm.model.train()
    write(lm, PROMPTS[:1])
    assert lm.model.training
    lm.model.eval()


SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
CONFIGS = {
    "gemma3": Gemma3TextConfig(
        **SIZES,
        sliding_window=6,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        query_pre_attn_scalar=9,
    ),
    "llama": LlamaConfig(**SIZES, attention_bias=True, rope_parameters=LLAMA3),
    "mistral": MistralConfig(**SIZES, sliding_window=6),
    "qwen3": Qwen3Config(**SIZES, use_sliding_window=True, sliding_window=6, max_window_layers=1),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_bfloat16_is_as_near_to_float32_as_the_models_own(name):
    model = AutoModelForCausalLM.from_config(CONFIGS[name]).eval()
    generator = torch.Generator().manual_seed(0)
    for p in model.parameters():
        p.data.normal_(std=0.3, generator=generator)
    text = torch.randint(0, 97, (64, 7), generator=generator)
    decoder = Decoder(model, dtype=torch.bfloat16)
    with torch.inference_mode():
        exact = model(text).logits[:, -1]
        decoder.begin(64, 7)
        new = [(i, text[i].tolist()) for i in range(64)]
        ours = decoder.step(text[:, -1], torch.full((64,), 6), longest=7, new=new)
        own = model.to(torch.bfloat16)(text).logits[:, -1]
    assert (ours - exact).square().mean() < 1.2 * (own - exact).square().mean()


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_equal_those_of_the_model(name):
    """Rows at different positions, a common prefix, equal prompts, a row that begins later."""
    model = AutoModelForCausalLM.from_config(CONFIGS[name]).eval()
    generator = torch.Generator().manual_seed(0)
    for p in model.parameters():
        p.data.normal_(std=0.3, generator=generator)
    texts = torch.randint(0, 97, (4, 60), generator=generator)
    texts[:, :3] = texts[0, :3]
    texts[3, :9] = texts[1, :9]  # rows 1 and 3 have one prompt
    prompts = [5, 9, 4, 9]
    with torch.inference_mode():
        expected = model(texts).logits
        decoder = Decoder(model)
        decoder.begin(4, 60, texts[0, :3].tolist())
        places = torch.tensor(prompts) - 1

        def step(rows, new=()):
            given = [(r, texts[rows[r], : prompts[rows[r]]].tolist()) for r in new]
            at = places[rows]
            logits = decoder.step(texts[rows, at], at, longest=int(at.max()) + 1, new=given)
            torch.testing.assert_close(logits, expected[rows, at], atol=1e-4, rtol=1e-4)
            places[rows] += 1

        step([0, 1, 2], new=[0, 1, 2])
        for _ in range(30):
            step([0, 1, 2])
        places[1] = 8
        step([0, 3, 2, 1], new=[1, 3])
        decoder.keep([0, 3, 2])
        for _ in range(4):
            step([0, 1, 2])


def test_unknown_models_have_no_fast_pass():
    model = AutoModelForCausalLM.from_config(GPT2Config(n_layer=1, n_embd=8, n_head=2))
    with pytest.raises(UnsupportedModelError, match="GPT2LMHeadModel"):
        Decoder(model)
