"""A language model as annotator on the packaged notes: failures, scores and speed.

    python benchmarks/lm_annotator.py --form json [--steps 40] [--notes 30] [--read 5]

The default model is tuned for some steps on train notes and reads notes of dev, and then does so as
it is, after gold examples; each with constrained answers and without. One JSON line each.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from notesmith.annotation.language_model import LmAnnotator
from notesmith.annotation.tune import choose_shots, form_of, tune, units_of
from notesmith.cli.process import prepare
from notesmith.config import LmAnnotateConfig, LmConfig, SftConfig
from notesmith.corpus import demo_corpus_path, read_corpus
from notesmith.document import Document, labels_of
from notesmith.home import home
from notesmith.lm.load import load_lm
from notesmith.metrics import score


def measure(name: str, annotator: LmAnnotator, gold: list[Document]) -> None:
    """Label ``gold`` and print what came of it."""
    began = time.perf_counter()
    made = annotator.label(gold)
    seconds = time.perf_counter() - began
    found = score(gold, list(made.docs)).micro
    line = {
        "annotator": name,
        "constrained": annotator.config.constrain,
        "units": made.units,
        "failures": made.failures,
        "tolerated": made.tolerated,
        "mentions": sum(len(doc.entities) for doc in made.docs),
        "gold": sum(len(doc.entities) for doc in gold),
        "precision": round(100 * found.precision, 1),
        "recall": round(100 * found.recall, 1),
        "f1": round(100 * found.f1, 1),
        "tokens": made.tokens,
        "sampling_seconds": round(made.seconds, 1),
        "seconds": round(seconds, 1),
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    """Tune, read, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--form", choices=("json", "inline"), default="json")
    parser.add_argument("--steps", type=int, default=40, help="of eight sentences")
    parser.add_argument("--notes", type=int, default=30, help="to tune on")
    parser.add_argument("--read", type=int, default=5, help="notes to label")
    args = parser.parse_args()
    cache = home() / "cache"
    prepare()
    train = read_corpus(demo_corpus_path() / "train").docs[: args.notes]
    dev = read_corpus(demo_corpus_path() / "dev").docs[: args.read]
    labels = labels_of(train)
    lm = load_lm(LmConfig(), cache=cache)
    sft = SftConfig(batch_size=8, learning_rate=2e-4, dev_ratio=0, mark_words=True)
    units = units_of(train, sft, lm)
    sft = sft.model_copy(update={"epochs": args.steps * sft.batch_size / len(units)})
    config = LmAnnotateConfig(batch_size=32)
    form = form_of(args.form, labels, train, unit=sft.unit, reserved=lm.reserved)
    with tempfile.TemporaryDirectory() as folder:
        tuned = tune(lm, train, form, sft, out=Path(folder) / "model", seed=1)
        print(
            json.dumps(
                {
                    "steps": tuned.sft.n_steps,
                    "units": tuned.units,
                    "without": tuned.without,
                    "losses": [round(row["loss"], 3) for row in tuned.sft.history],
                    "seconds": round(tuned.sft.seconds),
                }
            ),
            flush=True,
        )
        model = load_lm(LmConfig(model=str(tuned.sft.folder), trim=False), cache=cache)
    free = config.model_copy(update={"constrain": False})
    reader = LmAnnotator(model, form, sft, config)
    measure("tuned", reader, dev)
    measure("tuned", replace(reader, config=free), dev)
    # A base model never saw the reserved tokens, so its marks are plain tags.
    form = form_of(args.form, labels, train, unit=sft.unit)
    shots = choose_shots(units, form, n=6, seed=1)
    prompted = LmAnnotator(lm, form, sft, config, shots=shots)
    measure("prompted", prompted, dev)
    measure("prompted", replace(prompted, config=free), dev)


if __name__ == "__main__":
    main()
