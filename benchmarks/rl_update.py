"""Speed of a GRPO update: our parts beside padded rows and TRL's own way, on the same completions.

    python benchmarks/rl_update.py CORPUS.jsonl.xz [--rounds 2] [--threads 1]

CORPUS is JSON lines with a ``text`` field. Its sentences stand for completions, eight of each of
eight prompts, at most 64 tokens. Timed are log-probabilities with their gradient
(the policy) and without (the reference). TRL's own way: prompts padded on the left, completions on
the right, logits at all completion positions, 8 rows at a time.
"""

from __future__ import annotations

import argparse
import copy
import re
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from build_vocabulary import read_texts

from notesmith.cli.process import home, prepare

PROMPTS, COMPLETIONS, LIMIT = 8, 8, 64
ROWS_AT_ONCE = 8
ASKED = ("chest pain", "renal failure", "type 2 diabetes", "gout")


def main() -> None:
    """Time each way in turns."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=home() / "models")
    args = parser.parse_args()
    prepare()
    import torch

    torch.set_num_threads(args.threads)
    from notesmith.config import LmConfig
    from notesmith.lm.load import load_lm
    from notesmith.lm.training.batches import Row, padded_parts, parts_for

    lm = load_lm(LmConfig(), cache=args.cache)
    policy = copy.deepcopy(lm.model).to(torch.float32)
    sentences = (s for text in read_texts(args.corpus) for s in re.split(r"(?<=\.) ", text))
    long_enough = (s for s in sentences if 40 < len(s) < 300)
    tails = [ids[:LIMIT] for ids in lm.encode_all(list(islice(long_enough, PROMPTS * COMPLETIONS)))]
    asked = [
        f"One sentence, about {20 + i} words.\nDisease: {'; '.join(ASKED)}\n" for i in range(8)
    ]
    rows = [
        Row((*prompt, *tails[8 * i + k]), len(tails[8 * i + k]))
        for i, prompt in enumerate(lm.encode_prompts(asked))
        for k in range(COMPLETIONS)
    ]
    packs = parts_for(policy, rows, pad_id=lm.pad_id)
    padded = padded_parts(policy, rows, pad_id=lm.pad_id)
    ways: dict[str, Callable[[Any], Any]] = {
        "TRL": lambda model: trl_batches(model, rows, lm.pad_id),
        "padded parts": lambda model: (part.log_probs(model, 1.0) for part in padded),
        "packs": lambda model: (part.log_probs(model, 1.0) for part in packs),
    }
    n = sum(row.n_completion for row in rows)
    print(f"{len(rows)} rows, {sum(len(row.ids) for row in rows)} tokens, {n} of completions")
    for round_ in range(args.rounds):
        for name, way in ways.items():
            with_gradient = timed(way, policy, gradient=True)
            without = timed(way, lm.model, gradient=False)
            print(
                f"round {round_ + 1}, {name}: policy {with_gradient:.1f}, reference {without:.1f} "
                "processor seconds",
                flush=True,
            )


def timed(way: Callable[[Any], Any], model: Any, *, gradient: bool) -> float:
    """Processor seconds of one pass over all rows, in bfloat16 where training multiplies so."""
    import torch

    from notesmith.lm.load import has_bf16
    from notesmith.lm.training.loop import autocast

    model.zero_grad()
    began = time.process_time()
    with torch.set_grad_enabled(gradient), autocast(model.device, has_bf16(model.device)):
        for log_probs in way(model):
            if gradient:
                log_probs.sum().backward()
    return time.process_time() - began


def trl_batches(model: Any, rows: Any, pad_id: int) -> Any:
    """What GRPOTrainer of TRL 1.16 does with a batch of completions."""
    import torch
    from trl.trainer.utils import entropy_from_logits, selective_log_softmax

    heads = [row.ids[: -row.n_completion] for row in rows]
    tails = [row.ids[-row.n_completion :] for row in rows]
    left, right = max(map(len, heads)), max(map(len, tails))
    ids, mask = [], []
    for head, tail in zip(heads, tails, strict=True):
        before, after = left - len(head), right - len(tail)
        ids.append([pad_id] * before + [*head, *tail] + [pad_id] * after)
        mask.append([0] * before + [1] * (len(head) + len(tail)) + [0] * after)
    for k in range(0, len(rows), ROWS_AT_ONCE):
        some, seen = (torch.tensor(x[k : k + ROWS_AT_ONCE]) for x in (ids, mask))
        found = model(
            input_ids=some, attention_mask=seen, logits_to_keep=right + 1, use_cache=False
        )
        logits = found.logits[:, :-1][:, -right:]
        log_probs = selective_log_softmax(logits, some[:, -right:])
        with torch.no_grad():
            entropy = entropy_from_logits(logits)
        del entropy  # computed for its log
        yield log_probs * seen[:, -right:]


if __name__ == "__main__":
    main()
