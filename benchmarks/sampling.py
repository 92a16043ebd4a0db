"""Tokens a second: transformers' ``generate`` beside ``notesmith.lm.sample``, in one run.

    python benchmarks/sampling.py --batch 96 --best 192 --rounds 2

Every arm writes after the same prompts at the same temperature and top-p; arms take turns, so
that other work on the machine meets all of them. Only tokens up to the end of text count. CPU
seconds are printed too: a machine with other work gives fewer per second of wall clock.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from notesmith.allocator import tune_allocator
from notesmith.cli.process import home
from notesmith.config import LmConfig, SampleConfig
from notesmith.lm.constrain import MarkConstraint
from notesmith.lm.load import LanguageModel, load_lm
from notesmith.lm.sample import sample

NAMES = ("cystic fibrosis", "colorectal cancer", "ataxia", "breast cancer", "hemophilia B", "none")
MORE = ("diabetes mellitus", "renal failure", "a rare form of anemia", "deafness", "hypotonia")


@dataclass(frozen=True, slots=True)
class Timing:
    """Tokens written and what they took."""

    tokens: int
    wall: float
    cpu: float


def prompts(n: int) -> list[str]:
    """Invented requests of 10 to 25 tokens."""
    pairs = [
        f"Diseases: {', '.join([a, *MORE[:k], b])}.\nSentence: "
        for a in NAMES
        for k in range(3)
        for b in MORE
    ]
    return [pairs[i * 7 % len(pairs)] for i in range(n)]


def timed(work: Callable[[], int]) -> Timing:
    """Run ``work``, which returns its tokens."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    tokens = work()
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timing(tokens, wall, cpu)


def generate(
    lm: LanguageModel, texts: list[str], *, batch: int, limit: int, top_k: int, ends: list[int]
) -> int:
    """Plain ``generate``, left-padded, prompts sorted by length."""
    encoded = sorted(([*lm.bos_ids, *lm.encode(text)] for text in texts), key=len)
    tokens = 0
    for first in range(0, len(encoded), batch):
        rows = encoded[first : first + batch]
        width = max(map(len, rows))
        ids = torch.tensor([[lm.pad_id] * (width - len(r)) + r for r in rows])
        mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows])
        with torch.inference_mode():
            out = lm.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=limit,
                do_sample=True,
                temperature=0.9,
                top_k=top_k,
                top_p=0.95,
                eos_token_id=ends,
                pad_token_id=lm.pad_id,
            )[:, width:]
        ended = torch.isin(out, torch.tensor(ends)).int()
        tokens += int((ended.cumsum(1) - ended == 0).sum())
    return tokens


def generate_in_threads(lm: LanguageModel, texts: list[str], **options: Any) -> int:
    """The same in one thread a core, each with a part of the rows: the kindest way to run it."""
    n = torch.get_num_threads()
    options["batch"] //= n
    counts: list[int] = []

    def part(i: int) -> None:
        torch.set_num_threads(1)
        counts.append(generate(lm, texts[i::n], **options))

    workers = [threading.Thread(target=part, args=(i,)) for i in range(n)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    torch.set_num_threads(n)
    return sum(counts)


def ours(lm: LanguageModel, texts: list[str], *, batch: int, limit: int, ends: list[int]) -> int:
    """``notesmith.lm.sample`` with its defaults."""
    config = SampleConfig(batch_size=batch, max_new_tokens=limit)
    spare = lm.tokenizer.convert_tokens_to_ids(lm.reserved[0])
    rule = MarkConstraint(open_ids=(), close_id=spare, eos_ids=tuple(ends))
    return sample(lm, texts, config, seed=1, constraint=rule).tokens


def main() -> None:
    """Print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--best", type=int, default=192, help="a larger batch for both")
    parser.add_argument("--prompts", type=int, default=192)
    parser.add_argument("--limit", type=int, default=32, help="tokens a sample at most")
    parser.add_argument("--full-stop", action="store_true", help="samples end at a full stop")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--model", default="gemma3-270m-offline")
    parser.add_argument("--cache", type=Path, default=home() / "models")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", default="", help="arms whose name holds this")
    arguments = parser.parse_args()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    tune_allocator()
    torch.set_num_threads(arguments.threads)
    lm = load_lm(LmConfig(model=arguments.model), cache=arguments.cache)
    texts = prompts(arguments.prompts)
    ends = [*lm.eos_ids, *(lm.encode(".") if arguments.full_stop else [])]
    limit, batch, best = arguments.limit, arguments.batch, arguments.best
    plain: dict[str, Any] = {"limit": limit, "ends": ends}
    arms: dict[str, Callable[[], int]] = {}
    for n in dict.fromkeys((batch, best)):
        arms[f"generate, top-p, batch {n}"] = lambda n=n: generate(
            lm, texts, batch=n, top_k=0, **plain
        )
        arms[f"generate, top-k 64 + top-p, batch {n}"] = lambda n=n: generate(
            lm, texts, batch=n, top_k=64, **plain
        )
        if arguments.threads > 1:
            arms[f"generate in threads, top-k 64 + top-p, batch {n}"] = lambda n=n: (
                generate_in_threads(lm, texts, batch=n, top_k=64, **plain)
            )
        arms[f"notesmith, batch {n}"] = lambda n=n: ours(lm, texts, batch=n, **plain)
    arms = {name: work for name, work in arms.items() if arguments.only in name}
    for work in (lambda: generate(lm, texts[:8], batch=8, top_k=64, limit=2, ends=ends),
                 lambda: ours(lm, texts[:8], batch=8, limit=2, ends=ends)):  # fmt: skip
        work()
    timings: dict[str, list[Timing]] = {name: [] for name in arms}
    for _ in range(arguments.rounds):
        for name, work in arms.items():
            timings[name].append(timed(work))
            last = timings[name][-1]
            print(f"{name:50} {last.tokens / last.wall:7.0f} tokens/s", flush=True)
    print(f"\n{'':50} {'tokens/s':>9} {'tokens/CPU s':>13}")
    table = {}
    for name, runs in timings.items():
        speed = statistics.median(t.tokens / t.wall for t in runs)
        per_cpu = statistics.median(t.tokens / t.cpu for t in runs)
        table[name] = {"tokens_per_second": round(speed), "tokens_per_cpu_second": round(per_cpu)}
        print(f"{name:50} {speed:9.0f} {per_cpu:13.0f}")
    print(json.dumps({"threads": torch.get_num_threads(), "torch": torch.__version__, **table}))


if __name__ == "__main__":
    main()
