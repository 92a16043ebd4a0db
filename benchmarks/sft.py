"""Fine-tuning speed: our loop beside TRL's own, on the same examples and machine.

    python benchmarks/sft.py CORPUS.jsonl.xz [--steps 12] [--threads 2]

CORPUS is JSON lines with a ``text`` field; its first sentences are the completions. TRL's own
trainer runs as it stands, but for the gradient checkpointing that it turns on.
"""

from __future__ import annotations

import argparse
import copy
import re
import tempfile
import time
from itertools import islice
from pathlib import Path

from build_vocabulary import read_texts

from notesmith.cli.process import home, prepare

PROMPT = "Sentence of an abstract that mentions: chest pain; renal failure. Length: medium.\n"


def main() -> None:
    """Time both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=home() / "models")
    args = parser.parse_args()
    prepare()
    import torch

    torch.set_num_threads(args.threads)
    from notesmith.config import LmConfig, SftConfig
    from notesmith.lm.load import load_lm
    from notesmith.lm.training.sft import Example, train_sft

    lm = load_lm(LmConfig(), cache=args.cache)
    config = SftConfig(epochs=1, batch_size=16)
    sentences = (s for text in read_texts(args.corpus) for s in re.split(r"(?<=\.) ", text))
    fitting = (sentence for sentence in sentences if 40 < len(sentence) < 300)
    examples = [Example(PROMPT, sentence) for sentence in islice(fitting, 16 * args.steps)]
    with tempfile.TemporaryDirectory() as folder:
        ours = Clock()
        train_sft(
            lm,
            examples,
            [],
            config,
            out=Path(folder) / "out",
            seed=1,
            on_progress=lambda progress: ours.tick(progress.tokens),
        )
        ours.report("notesmith")
        train_trl(lm, examples, config, Path(folder)).report("TRL")


class Clock:
    """Tokens, seconds and CPU seconds from the end of the first step to that of the last."""

    def __init__(self) -> None:
        self._ticks: list[tuple[int, float, float]] = []

    def tick(self, tokens: int) -> None:
        """Note the end of a step."""
        self._ticks.append((tokens, time.monotonic(), time.process_time()))

    def report(self, name: str) -> None:
        """One line."""
        tokens, seconds, cpu = (b - a for a, b in zip(self._ticks[0], self._ticks[-1], strict=True))
        print(f"{name}: {tokens} tokens, {tokens / seconds:.0f}/s, {tokens / cpu:.0f} a CPU second")


def train_trl(lm, examples, config, folder):  # noqa: ANN001, ANN201
    """TRL's SFTTrainer on prompt and completion columns."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    from notesmith.lm.training.loop import multiplies_bf16

    clock = Clock()

    class Ticker(TrainerCallback):
        """Ticks the clock at each step's end."""

        def on_step_end(self, *args, **kwargs):  # noqa: ANN002, ANN003, ANN202
            """Tick."""
            clock.tick(int(trainer._total_train_tokens))

    trainer = SFTTrainer(
        model=copy.deepcopy(lm.model).float(),
        args=SFTConfig(
            str(folder),
            num_train_epochs=1,
            per_device_train_batch_size=config.batch_size,
            gradient_checkpointing=False,
            bf16=multiplies_bf16(lm),
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            save_strategy="no",
        ),
        train_dataset=Dataset.from_list(
            [{"prompt": e.prompt, "completion": e.completion} for e in examples]
        ),
        processing_class=lm.tokenizer,
        callbacks=[Ticker()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock


if __name__ == "__main__":
    main()
