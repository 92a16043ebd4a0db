"""Tokens a second of training the student, beside a plain Hugging Face Trainer on the same work.

Both train the same encoder on the same sentences of the same documents with batches of the same
number of sentences. The plain side is what a user would write: words to pieces with truncation at
256, the library's collator (pads each random batch to its longest), float32, default optimizer and
attention. Each side runs in a process of its own, in turns; word pieces are counted, padding is
not, and the first steps of a run are left out. Processor time is reported too, which other work on
the machine disturbs less.

    python benchmarks/ner_training.py [CORPUS] [--steps 40] [--rounds 3] [--threads 2]
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

from notesmith.config import NerConfig, ReadingConfig
from notesmith.corpus import demo_corpus_path, read_corpus
from notesmith.document import Document, labels_of

WARM = 8


def documents(path: Path | None, limit: int) -> list[Document]:
    """The first ``limit`` documents."""
    return read_corpus(
        path or demo_corpus_path() / "train", ReadingConfig(on_problem="count")
    ).docs[:limit]


def ours(docs: list[Document], config: NerConfig) -> dict[str, float]:
    """Train with ``train_ner``, in a process set up as the command line does."""
    from notesmith.cli.process import prepare

    prepare()
    import notesmith.ner.train as module

    module._HISTORY_EVERY = WARM
    marks: list[Any] = []
    clock: list[float] = []

    def note(progress: Any) -> None:
        marks.append(progress)
        clock.append(time.process_time())

    module.train_ner(docs, config=config, seed=1, on_progress=note)
    first, last = marks[0], marks[-1]
    return {
        "tokens": last.tokens - first.tokens,
        "seconds": last.seconds - first.seconds,
        "processor_seconds": clock[-1] - clock[0],
        "steps": last.done - first.done,
    }


def plain(docs: list[Document], config: NerConfig) -> dict[str, float]:
    """Train with ``transformers.Trainer`` and its defaults."""
    from torch.utils.data import Dataset
    from transformers import (
        AutoModelForTokenClassification,
        AutoTokenizer,
        DataCollatorForTokenClassification,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    from notesmith.ner.encoder import locate_encoder
    from notesmith.segments import cut, split
    from notesmith.words import tag_names, tag_words, words

    labels = labels_of(docs)
    source = locate_encoder(config.encoder)
    tokenizer = AutoTokenizer.from_pretrained(source)
    rows = []
    for doc in docs:
        for span in split(doc, "sentence"):
            part = cut(doc, span)
            spans = words(part.text)
            tags = tag_words(part, spans, labels).tags
            encoded = tokenizer(
                [part.text[s:e] for s, e in spans],
                is_split_into_words=True,
                truncation=True,
                max_length=256,
            )
            before, aligned = None, []
            for word in encoded.word_ids():
                aligned.append(-100 if word is None or word == before else tags[word])
                before = word
            rows.append({**encoded, "labels": aligned})

    class Rows(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, i: int) -> dict[str, Any]:
            return dict(rows[i])

    collator = DataCollatorForTokenClassification(tokenizer)
    n_tokens: list[int] = []
    ends: list[tuple[float, float]] = []

    def collate(features: list[dict[str, Any]]) -> Any:
        batch = collator(features)
        n_tokens.append(int(batch["attention_mask"].sum()))
        return batch

    class Clock(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append((time.perf_counter(), time.process_time()))

    model = AutoModelForTokenClassification.from_pretrained(
        source, num_labels=len(tag_names(labels))
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=config.batch_size,
            max_steps=config.steps,
            learning_rate=config.learning_rate,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        )
        Trainer(
            model=model,
            args=arguments,
            train_dataset=Rows(),
            data_collator=collate,
            callbacks=[Clock()],
        ).train()
    return {
        "tokens": sum(n_tokens[WARM : len(ends)]),
        "seconds": ends[-1][0] - ends[WARM - 1][0],
        "processor_seconds": ends[-1][1] - ends[WARM - 1][1],
        "steps": len(ends) - WARM,
    }


def main() -> None:
    """Run both sides in turns and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", nargs="?", type=Path)
    parser.add_argument("--documents", type=int, default=50)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=["ours", "plain"])
    args = parser.parse_args()
    if args.side:
        import torch

        torch.set_num_threads(args.threads)
        config = NerConfig(encoder=args.encoder, steps=args.steps, batch_size=args.batch)
        docs = documents(args.corpus, args.documents)
        found = {"ours": ours, "plain": plain}[args.side](docs, config)
        print(json.dumps(found))
        return
    runs: dict[str, list[dict[str, float]]] = {"plain": [], "ours": []}
    for _ in range(args.rounds):
        for side, done in runs.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            done.append(json.loads(result.stdout.strip().splitlines()[-1]))
    speed = {s: statistics.median(r["tokens"] / r["seconds"] for r in v) for s, v in runs.items()}
    work = {
        s: statistics.median(r["tokens"] / r["processor_seconds"] for r in v)
        for s, v in runs.items()
    }
    for side, rows in runs.items():
        best = min(r["seconds"] / r["steps"] for r in rows)
        print(
            f"{side:6} {speed[side]:7.0f} tokens/s, {work[side]:6.0f} tokens a processor second, "
            f"best step {1000 * best:.0f} ms, median of {len(rows)} runs"
        )
    print(f"ratio  {speed['ours'] / speed['plain']:.2f} by clock, ", end="")
    print(f"{work['ours'] / work['plain']:.2f} by processor time")


if __name__ == "__main__":
    main()
