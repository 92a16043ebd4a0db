"""Two language models beside each other: runs of recipes/ncbi-disease-models.toml as one table.

    python benchmarks/language_models.py loss runs/gemma3 runs/smollm2 [--documents 40]
    python benchmarks/language_models.py table runs/gemma3 runs/smollm2 [--margin 1]

``loss`` scores gold that no generator saw: the first dev documents, cut into the units of the
recipe, marks and end of text included, in nats a character of plain text, so that tokenizers are
comparable. It needs runs with ``--keep-models``, writes one line of ``loss.jsonl`` a generator into
the run's own folder, and goes on where it stopped. ``table`` takes the second run's scores less the
first's, paired by draw and document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from notesmith.cli.process import prepare
from notesmith.evaluate.bootstrap import bootstrap
from notesmith.evaluate.scores import CellScores
from notesmith.results import Results

if TYPE_CHECKING:
    from notesmith.document import Document
    from notesmith.lm.load import LanguageModel
    from notesmith.lm.training.sft import Example

LOSSES = "loss.jsonl"
GIB = 2**30
_ROWS = 32


def nats_per_character(
    lm: LanguageModel, examples: Sequence[Example], units: Sequence[Document]
) -> float:
    """Loss of the examples' completions, end of text included, over the units' characters."""
    import torch

    from notesmith.lm.training.batches import padded_parts
    from notesmith.lm.training.loop import autocast, multiplies_bf16
    from notesmith.lm.training.sft import encode_examples

    rows = sorted(encode_examples(lm, examples), key=lambda row: len(row.ids))
    nats = 0.0
    with torch.no_grad(), autocast(lm.device, multiplies_bf16(lm)):
        for first in range(0, len(rows), _ROWS):
            for part in padded_parts(lm.model, rows[first : first + _ROWS], pad_id=lm.pad_id):
                nats -= float(part.log_probs(lm.model, 1.0).sum())
    return nats / sum(len(unit.text) for unit in units)


def measure(run: Path, n_documents: int) -> None:
    """Score the generators of ``run`` that have no line in its file yet."""
    from notesmith.config import UnitConfig, part_of
    from notesmith.corpus import read_corpus
    from notesmith.experiment import load_recipe
    from notesmith.experiment.recipes import corpus_path
    from notesmith.lm.load import open_folder
    from notesmith.synthesis.config import PromptConfig
    from notesmith.synthesis.generate import examples_of
    from notesmith.synthesis.plan import marks_for, units_of

    config = load_recipe(str(run / "recipe.toml"))
    labels = Results.read(run).labels
    docs = read_corpus(corpus_path(str(config.corpus.dev)), config.corpus).docs[:n_documents]
    done = {line["generator"] for line in losses_of(run)}
    for folder in sorted(run.glob("cells/sft/*/model")):
        generator = folder.parent.name
        if generator in done:
            continue
        began = time.monotonic()
        lm = open_folder(folder)
        units = units_of(docs, part_of(config.sft, UnitConfig), lm)
        examples = examples_of(
            units,
            neighbours=units,
            marks=marks_for(lm, labels),
            config=PromptConfig.from_recipe(config),
            unit=config.sft.unit,
            labels=labels,
            seed=config.draws.seed,
        )
        line = {
            "generator": generator,
            "documents": len(docs),
            "nats_per_character": round(nats_per_character(lm, examples, units), 5),
            "seconds": round(time.monotonic() - began, 1),
        }
        with (run / LOSSES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{run}: {line}", flush=True)


def losses_of(run: Path) -> list[dict[str, Any]]:
    """What ``measure`` wrote."""
    path = run / LOSSES
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def scores_of(run: Path) -> dict[str, dict[int, CellScores]]:
    """Scores of all students together, by arm and draw."""
    found: dict[str, dict[int, CellScores]] = {}
    for path in sorted(run.glob("cells/*/*/scores.json")):
        cell = CellScores.from_json(json.loads(path.read_text(encoding="utf-8")))
        draws = found.setdefault(cell.arm, {})
        if cell.replicate not in draws or cell.students > draws[cell.replicate].students:
            draws[cell.replicate] = cell
    return found


def facts(run: Path) -> dict[str, str]:
    """The rows of one run: what its generators cost and made."""
    results = Results.read(run)
    made = results.made
    losses = [line["nats_per_character"] for line in losses_of(run)]
    found = {
        "loss, nats a character": _mean(losses, 3) if losses else "–",
        "texts asked for": _mean([m.asked for m in made]),
        "kept": _mean([m.kept for m in made]),
        "requested mentions missing, %": _mean(
            [100 * (m.missing_mentions or 0) / (m.requested_mentions or 1) for m in made]
        ),
        "new names in the kept text": _mean([m.new_names or 0 for m in made]),
    }
    for stage in results.stages:
        if stage.stage in ("names", "sft", "sample"):
            found[f"{stage.stage}: seconds a draw"] = f"{stage.seconds / stage.cells:.0f}"
            found[f"{stage.stage}: tokens a second"] = f"{stage.tokens_per_second or 0:.0f}"
            found[f"{stage.stage}: GiB at most"] = f"{(stage.peak_memory_bytes or 0) / GIB:.1f}"
    return found


def _mean(values: Sequence[float], digits: int = 0) -> str:
    return f"{statistics.mean(values):,.{digits}f}" if values else "–"


def table(first: Path, second: Path, margin: float) -> str:
    """Markdown: costs and text of both runs, then F1 of each arm and the paired difference."""
    names = [(lm.name if (lm := Results.read(run).lm) else run.name) for run in (first, second)]
    lines = [f"| | {names[0]} | {names[1]} |", "| --- | ---: | ---: |"]
    both = facts(first), facts(second)
    lines += [f"| {name} | {both[0][name]} | {both[1].get(name, '–')} |" for name in both[0]]
    lines += [
        "",
        f"| F1 on dev | {names[0]} | {names[1]} | difference, 95% | by draw | margin −{margin:g} |",
        "| --- | ---: | ---: | --- | --- | --- |",
    ]
    scores = scores_of(first), scores_of(second)
    for arm in scores[0]:
        draws = sorted(scores[0][arm].keys() & scores[1].get(arm, {}).keys())
        if not draws:
            continue
        old, new = (
            np.stack([found[arm][draw].counts_apart() for draw in draws]) for found in scores
        )
        f1 = [100 * bootstrap(counts).mean for counts in (old, new)]
        gap = bootstrap(new, old)
        low, mean, high = (100 * value for value in (gap.low, gap.mean, gap.high))
        holds = "holds" if mean >= -margin else "does not hold"
        by_draw = ", ".join(f"{100 * value:+.1f}" for value in gap.values)
        sure = "its interval too" if low >= -margin else "its interval does not"
        lines.append(
            f"| {arm} | {f1[0]:.1f} | {f1[1]:.1f} | {mean:+.1f} [{low:+.1f}, {high:+.1f}] "
            f"| {by_draw} | {holds}, {sure} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure the loss, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("loss")
    step.add_argument("runs", type=Path, nargs="+")
    step.add_argument("--documents", type=int, default=40)
    step = steps.add_parser("table")
    step.add_argument("first", type=Path)
    step.add_argument("second", type=Path)
    step.add_argument("--margin", type=float, default=1.0, help="points of F1")
    args = parser.parse_args()
    if args.step == "table":
        print(table(args.first, args.second, args.margin))
        return
    prepare()
    for run in args.runs:
        measure(run, args.documents)


if __name__ == "__main__":
    main()
