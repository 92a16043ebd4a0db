"""Made-up cells with realistic spread, for tests; run as a script it writes the example results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from notesmith.config import ArmConfig, CorpusConfig, DrawConfig, EvaluateConfig, RecipeConfig
from notesmith.evaluate import CellScores, assemble
from notesmith.evaluate.scores import hash_ids
from notesmith.experiment.stages import SOURCES
from notesmith.results import Results

EXAMPLE = Path(__file__).parents[1] / "report" / "results-example.json"
LABELS = {"Disease": 0.6, "Medication": 0.4}
# Arm: (F1 at 50 gold documents, made sources).
ARMS = {
    "gold": (0.65, ()),
    "replaced": (0.685, ("replaced",)),
    "lwtr": (0.655, ("lwtr",)),
    "synthetic": (0.675, ("synthetic",)),
    "synthetic+replaced": (0.708, ("synthetic", "replaced")),
    "placebo": (0.61, ("synthetic-shuffled-labels",)),
}
NAMES = {arm: sources for arm, (_, sources) in ARMS.items()}


def made_of(names):
    """Sources by arm, of their names by arm."""
    return {arm: tuple(SOURCES[name].facts for name in own) for arm, own in names.items()}


MADE = made_of(NAMES)


def logit(p):
    return np.log(p / (1 - p))


def expit(x):
    return 1 / (1 + np.exp(-x))


def simulate(cells, *, n_documents=100, n_gold=9, seed=0, split="test", spread=0.05):
    """Cells for (arm, size, replicate, target F1).

    A document has its own difficulty, for all and for each arm; a draw moves all arms alike, an arm
    on a draw moves by ``spread`` (in logits).
    """
    rng = np.random.default_rng(seed)
    counts = {label: rng.poisson(n_gold * share, n_documents) for label, share in LABELS.items()}
    difficulty = rng.normal(0, 0.8, n_documents)
    draw_effect, arm_difficulty = {}, {}
    made = []
    for arm, size, replicate, target in cells:
        moved = draw_effect.setdefault((size, replicate), rng.normal(0, 0.08))
        own = rng.normal(0, spread, 1) + rng.normal(0, 0.15, n_documents)
        own = own + arm_difficulty.setdefault(arm, rng.normal(0, 0.25, n_documents))
        right = expit(logit(target + 0.02) + difficulty + moved + own)
        strict, views = {}, {"lenient": 0, "boundary": 0, "unseen": 0, "seen": 0}
        for label, n in counts.items():
            tp = rng.binomial(n, right)
            fp = rng.binomial(n, 1 - right)
            unseen_share = rng.binomial(n, 0.4)
            unseen_tp = rng.binomial(np.minimum(tp, unseen_share), 0.6)
            near = rng.binomial(np.minimum(fp, n - tp), 0.5)
            rows = np.stack([tp, fp, n - tp], axis=1)
            lenient = np.stack([tp + near, fp - near, n - tp - near], axis=1)
            unseen_fp = rng.binomial(fp, 0.5)
            unseen = np.stack([unseen_tp, unseen_fp, unseen_share - unseen_tp], axis=1)
            unseen[:, 2] = np.minimum(unseen[:, 2], n - tp)
            strict[label] = tuple(map(tuple, rows.tolist()))
            views["lenient"] += lenient
            views["boundary"] += rows
            views["unseen"] += unseen
            views["seen"] += rows - unseen
        made.append(
            CellScores(
                arm=arm,
                size=size,
                replicate=replicate,
                seed=1000 + replicate,
                split=split,
                ids_hash=hash_ids([f"{split}-{i}" for i in range(n_documents)]),
                groups=tuple(range(n_documents)),
                strict=strict,
                **{name: tuple(map(tuple, view.tolist())) for name, view in views.items()},
                seconds=round(float(rng.normal(120, 4)), 2),
                tokens=int(rng.normal(210_000, 3_000)),
            )
        )
    return made


def example_cells(split="test", n_documents=100, seed=8):
    wanted = [(arm, 50, r, f) for r in range(5) for arm, (f, _) in ARMS.items()]
    gains = {25: -0.065, 100: 0.06}
    for size, moved in gains.items():
        wanted += [
            (arm, size, r, ARMS[arm][0] + moved)
            for r in range(3)
            for arm in ("gold", "replaced", "synthetic+replaced")
        ]
    wanted += [("gold", 200, r, ARMS["gold"][0] + 0.105) for r in range(3)]
    return simulate(wanted, n_documents=n_documents, seed=seed, split=split)


def example_results():
    """The example: what scores give, and what a run adds."""
    config = EvaluateConfig(
        comparator="gold", against={"synthetic+replaced": "replaced"}, resamples=4000
    )
    findings = assemble(
        example_cells(),
        config,
        main_size=50,
        made=MADE,
        dev_cells=example_cells("dev", 60, seed=6),
        planned={50: 5, 25: 3, 100: 3, 200: 3},
        pool=592,
        seconds_per_draw=1980.0,
    )
    everywhere = {"gold", "replaced", "synthetic+replaced"}
    recipe = RecipeConfig(
        name="example",
        corpus=CorpusConfig(train="train", dev="dev", test="test", kind="abstract"),
        draws=DrawConfig(
            sizes=(50, 25, 100),
            curve=(200,),
            replicates_by_size=dict.fromkeys(("25", "100", "200"), 3),
        ),
        arm=tuple(
            ArmConfig(name=arm, made=made, sizes=() if arm in everywhere else (50,))
            for arm, made in NAMES.items()
        ),
        evaluate=config,
    )
    made = [
        {
            "size": size,
            "replicate": r,
            "asked": 1500,
            "kept": 1104 + 13 * r,
            "dropped": {
                "no end": 61 - r,
                "parse fault": 48 + r,
                "loop": 9,
                "too short": 17 + 2 * r,
                "near-duplicate within": 158 - 11 * r,
                "near-duplicate of gold": 71 - 3 * r,
                "leaks a held-out document": 2,
                "requested mention missing": 30,
            },
            "tokens": 58_400 + 310 * r,
            "seconds": 112.4 + r,
            "new_names": 402 + 7 * r,
            "unseen_test_mentions_covered": round(0.093 + 0.004 * r, 3),
        }
        for size, replicates in ((25, 3), (50, 5), (100, 3))
        for r in range(replicates)
    ]
    stages = [
        ("ner", False, 44, 5280.0, 9_240_000),
        ("names", True, 11, 1340.0, 262_000),
        ("sft", True, 11, 1940.0, 544_000),
        ("sample", True, 11, 1251.0, 651_000),
        ("filter", False, 11, 26.0, 0),
        ("evaluate", False, 44, 18.0, 0),
    ]
    corpus = {
        "train": {"documents": 592, "sentences": 5645, "entities": 5134},
        "dev": {"documents": 60, "sentences": 561, "entities": 474},
        "test": {"documents": 100, "sentences": 960, "entities": 960},
    }
    return Results.model_validate(
        {
            **dict(findings),
            "recipe": "example",
            "created": "2026-01-15",
            "kind": "abstract",
            "corpus": corpus,
            "made": made,
            "rl": [],
            "stages": [
                {
                    "stage": stage,
                    "uses_lm": uses_lm,
                    "cells": cells,
                    "seconds": seconds,
                    "tokens": tokens,
                    "tokens_per_second": round(tokens / seconds, 1),
                }
                for stage, uses_lm, cells, seconds, tokens in stages
            ],
            "varied": ["gold draw", "generator seed", "student seed"],
            "seal": {"hash": "3f1c" + "0" * 60, "opened": 1},
            "versions": {
                "notesmith": "0.1.0",
                "python": "3.12.0",
                "torch": "2.9.0",
                "transformers": "5.0.0",
                "trl": "1.16.0",
                "peft": "0.18.0",
                "numpy": "2.0.0",
            },
            "machine": {"cpu": "example", "cores": 2, "memory_gib": 8.0},
            "lm": {
                "name": "gemma3-270m-offline",
                "licence": "gemma",
                "terms": "https://ai.google.dev/gemma/terms",
            },
            "encoder": {"name": "minilm", "licence": "apache-2.0", "parameters": 22_700_000},
            "finished": {"scored": 0, "planned": 0},
            "config": recipe,
        }
    )


def example_text():
    return json.dumps(example_results().model_dump(mode="json"), indent=1) + "\n"


if __name__ == "__main__":
    EXAMPLE.parent.mkdir(exist_ok=True)
    EXAMPLE.write_text(example_text())
    sys.stdout.write(f"{EXAMPLE}\n")
