"""Processor time of one sampling step, part by part: where ``generate`` and ``sample`` spend it.

    python benchmarks/sampling_steps.py [--rows 48] [--length 60]

One thread, rows of equal length, the least of three repeats. Processor seconds of the thread are
counted, not the clock, so other work on the machine disturbs little.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch
from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from notesmith.allocator import tune_allocator
from notesmith.cli.process import home
from notesmith.config import LmConfig
from notesmith.lm.backends.choose import Chooser
from notesmith.lm.backends.decoder import Decoder
from notesmith.lm.load import load_lm


def least(work: Callable[[], object]) -> float:
    """Processor milliseconds of ``work``."""
    work()
    times = []
    for _ in range(3):
        started = time.thread_time()
        work()
        times.append(time.thread_time() - started)
    return min(times) * 1000


@torch.inference_mode()
def main() -> None:
    """Print parts and their sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--length", type=int, default=60)
    parser.add_argument("--cache", type=Path, default=home() / "models")
    arguments = parser.parse_args()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    tune_allocator()
    torch.set_num_threads(1)
    lm = load_lm(LmConfig(), cache=arguments.cache)
    rows, length = arguments.rows, arguments.length
    text = torch.randint(300, 3000, (rows, length))
    token, place = text[:, -1], torch.full((rows,), length - 1)

    def ours(decoder: Decoder) -> float:
        decoder.begin(rows, length)
        new = [(i, text[i].tolist()) for i in range(rows)]
        started = time.thread_time()
        decoder.step(token, place, longest=length, new=new)
        print(
            f"{'':4}a prompt token: {(time.thread_time() - started) / text.numel() * 1000:.2f} ms"
        )
        return least(lambda: decoder.step(token, place, longest=length))

    print("decoder")
    fast = ours(decoder := Decoder(lm.model, dtype=torch.bfloat16))
    logits = decoder.step(token, place, longest=length)
    print("decoder, matrices as they are")
    with mock.patch("notesmith.lm.backends.weights.can_pack", lambda *_: False):
        plain = ours(Decoder(lm.model, dtype=torch.bfloat16))
    print("the model's own forward pass")
    started = time.thread_time()
    cache = lm.model(text[:, :-1], logits_to_keep=1).past_key_values
    print(f"{'':4}a prompt token: {(time.thread_time() - started) / text.numel() * 1000:.2f} ms")
    own = least(lambda: lm.model(token[:, None], past_key_values=cache, logits_to_keep=1))
    heat, first, mass = TemperatureLogitsWarper(0.9), TopKLogitsWarper(64), TopPLogitsWarper(0.95)

    def draw(some: bool) -> torch.Tensor:
        scores = heat(None, logits.to(torch.float32, copy=True))
        scores = mass(None, first(None, scores) if some else scores)
        return torch.multinomial(torch.softmax(scores, dim=-1), 1)

    everything, some = least(lambda: draw(False)), least(lambda: draw(True))
    chooser, index = Chooser(0.9, 64, 0.95, seed=1), torch.arange(rows)
    choose = least(lambda: chooser(logits, index, place))
    print(f"\n{rows} rows of {length} tokens{'':28} forward   draw  tokens a processor second")
    for name, forward, drawn in (
        ("generate, top-p", own, everything),
        ("generate, top-k 64, then top-p", own, some),
        ("own forward pass, our draw", own, choose),
        ("decoder, matrices as they are", plain, choose),
        ("decoder", fast, choose),
    ):
        speed = rows / (forward + drawn) * 1000
        print(f"{name:45} {forward:5.0f} ms {drawn:5.1f} ms {speed:8.0f}")


if __name__ == "__main__":
    main()
