"""Word pieces a second of masked language modelling, beside plain transformers on the same notes.

All sides train the packaged encoder with a new head on the same texts, with about as many word
pieces a step, 15% of them masked. ``grouped`` is the library's example ``run_mlm``: notes joined
and cut into blocks of 128, its collator, its Trainer, float32. ``grouped-bf16`` is the same in
bfloat16. ``padded`` is what a user writes first: one note a row, cut at 256, padded to the longest
of its batch. Each side runs in a process of its own, in turns. Word pieces are counted, padding is
not, and the first steps of a run are left out. Processor time is reported too, which other work on
the machine disturbs less.

    python benchmarks/adapt.py CORPUS [--documents 200] [--blocks 32] [--steps 16] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from notesmith.config import AdaptConfig, ReadingConfig
from notesmith.corpus import demo_corpus_path, read_corpus

WARM = 2
BLOCK, LONGEST = 128, 256
SIDES = ("padded", "grouped", "grouped-bf16", "ours")


def texts_of(path: Path | None, limit: int) -> list[str]:
    """The first ``limit`` texts."""
    source = path or demo_corpus_path() / "train"
    return [doc.text for doc in read_corpus(source, ReadingConfig(on_problem="count")).docs[:limit]]


def ours(texts: list[str], encoder: str, steps: int, blocks: int) -> dict[str, float]:
    """Adapt in a process set up as the command line does."""
    from notesmith.cli.process import prepare

    prepare()
    import notesmith.ner.mlm_train as module
    from notesmith.ner.adapt import adapt_encoder

    module._REPORT_EVERY = WARM
    module.N_MEASURED = 1
    marks: list[Any] = []
    clock: list[float] = []

    def note(progress: Any) -> None:
        if progress.unit == "steps":
            marks.append(progress)
            clock.append(time.process_time())

    # The held-out loss is measured at the end, so the last marks are of more steps than are used.
    config = AdaptConfig(
        head_first=0,
        block_tokens=BLOCK,
        batch_tokens=blocks * BLOCK,
        tokens=(steps + WARM) * blocks * (BLOCK - 2),
    )
    with tempfile.TemporaryDirectory() as folder:
        adapt_encoder(
            texts,
            encoder=encoder,
            config=config,
            out=Path(folder) / "out",
            seed=1,
            on_progress=note,
        )
    first, last = marks[0], marks[-2]
    return {
        "tokens": last.tokens - first.tokens,
        "seconds": last.seconds - first.seconds,
        "processor_seconds": clock[-2] - clock[0],
    }


def plain(texts: list[str], encoder: str, steps: int, blocks: int, side: str) -> dict[str, float]:
    """Train with ``transformers.Trainer``, its collator and its defaults."""
    import torch
    from torch.utils.data import Dataset
    from transformers import (
        AutoModelForMaskedLM,
        AutoTokenizer,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    from notesmith.ner.encoder import locate_encoder

    source = locate_encoder(encoder)
    tokenizer = AutoTokenizer.from_pretrained(source)
    if side == "padded":
        found = tokenizer(texts, truncation=True, max_length=LONGEST)["input_ids"]
        rows = [{"input_ids": ids} for ids in found]
        batch = max(1, round(blocks * BLOCK * len(rows) / sum(map(len, found))))
    else:
        joined = [i for ids in tokenizer(texts, truncation=False)["input_ids"] for i in ids]
        whole = len(joined) // BLOCK * BLOCK
        rows = [{"input_ids": joined[i : i + BLOCK]} for i in range(0, whole, BLOCK)]
        batch = blocks

    class Rows(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, i: int) -> dict[str, Any]:
            return dict(rows[i])

    collator = DataCollatorForLanguageModeling(tokenizer)
    n_tokens: list[int] = []
    ends: list[tuple[float, float]] = []

    def collate(features: list[dict[str, Any]]) -> Any:
        made = collator(features)
        n_tokens.append(int((made["input_ids"] != tokenizer.pad_token_id).sum()))
        return made

    class Clock(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append((time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch,
            max_steps=steps,
            learning_rate=5e-4,
            bf16=side == "grouped-bf16",
            use_cpu=not torch.cuda.is_available(),
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        )
        Trainer(
            model=AutoModelForMaskedLM.from_pretrained(source),
            args=arguments,
            train_dataset=Rows(),
            data_collator=collate,
            callbacks=[Clock()],
        ).train()
    return {
        "tokens": sum(n_tokens[WARM : len(ends)]),
        "seconds": ends[-1][0] - ends[WARM - 1][0],
        "processor_seconds": ends[-1][1] - ends[WARM - 1][1],
    }


def main() -> None:
    """Run all sides in turns and print them one below the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", nargs="?", type=Path)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--blocks", type=int, default=32, help="blocks of 128 pieces a step")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=SIDES)
    args = parser.parse_args()
    if args.side:
        import torch

        torch.set_num_threads(args.threads)
        texts = texts_of(args.corpus, args.documents)
        if args.side == "ours":
            found = ours(texts, args.encoder, args.steps, args.blocks)
        else:
            found = plain(texts, args.encoder, args.steps, args.blocks, args.side)
        print(json.dumps(found))
        return
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(args.rounds):
        for side, done in runs.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            done.append(json.loads(result.stdout.strip().splitlines()[-1]))
    for side, rows in runs.items():
        speed = statistics.median(row["tokens"] / row["seconds"] for row in rows)
        work = statistics.median(row["tokens"] / row["processor_seconds"] for row in rows)
        print(
            f"{side:13} {speed:6,.0f} word pieces a second, {work:6,.0f} a processor second, "
            f"median of {len(rows)} runs"
        )


if __name__ == "__main__":
    main()
