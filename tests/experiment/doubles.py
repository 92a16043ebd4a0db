"""Stand-ins for the stages that need torch, a small fictional corpus, and a recipe over them."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np

from notesmith.config import RecipeConfig
from notesmith.corpus import write_corpus
from notesmith.document import Document, Entity, Provenance
from notesmith.experiment import artefacts as files
from notesmith.experiment import stages
from notesmith.filters import Candidate
from notesmith.results import Model
from notesmith.synthesis import NameSet

SIGNS = "cough fever rash vertigo nausea wheeze tremor ataxia oedema syncope".split()
TESTS = "spirometry echocardiogram biopsy ferritin troponin".split()
TAILS = "since Monday|at night|after supper|when climbing stairs|despite rest|on the left".split(
    "|"
)


def remark(split: str, i: int) -> str:
    """A sentence that no other note has."""
    rng = np.random.default_rng([7, i, *split.encode()])
    syllables = "ba ke li mo nu ra se ti vo zu".split()
    made = ["".join(syllables[int(k)] for k in rng.integers(10, size=3)) for _ in range(6)]
    return f"Family says {' '.join(made)}."


def note(split: str, i: int, *, planted: str = "") -> Document:
    """A short fictional note with two labels; no two are alike."""
    rng = np.random.default_rng([i, len(split), *split.encode()])
    sign, test = SIGNS[int(rng.integers(len(SIGNS)))], TESTS[int(rng.integers(len(TESTS)))]
    tail = TAILS[int(rng.integers(len(TAILS)))]
    start = f"Visit {split}{i}: patient reports "
    middle = f" {tail} and worries. We ordered "
    text = f"{start}{sign}{middle}{test} for number {i * 7}. {planted}{remark(split, i)}"
    at = len(start) + len(sign) + len(middle)
    return Document(
        f"{split}-{i}",
        text,
        (
            Entity("T1", "Sign", ((len(start), len(start) + len(sign)),)),
            Entity("T2", "Test", ((at, at + len(test)),)),
        ),
        metadata={"patient": f"{split}-p{i // 2}"},
    )


def write_notes(folder: Path, *, planted: str = "") -> dict[str, Path]:
    """Write train, dev and test as JSON lines."""
    paths = {}
    for split, n in (("train", 14), ("dev", 4), ("test", 6)):
        paths[split] = folder / f"{split}.jsonl"
        write_corpus([note(split, i, planted=planted) for i in range(n)], paths[split])
    return paths


def tiny_recipe(paths: dict[str, Path], **changes) -> RecipeConfig:
    """Two draws of six notes, every source once."""
    values = {
        "name": "tiny",
        "corpus": {name: str(path) for name, path in paths.items()} | {"kind": "note"},
        "draws": {"sizes": [6], "replicates": 2, "curve": [10]},
        "ner": {"steps": 3, "batch_size": 4},
        "sft": {"epochs": 1.0, "replaced_copies": 1, "batch_size": 4},
        "synthesize": {"units": 8, "names": {"proposals": 12}},
        "sample": {"max_new_tokens": 16, "batch_size": 4},
        "filter": {"copy_ratio": 1.0, "near_duplicate": 1.0},
        "augment": {"copies": 1},
        "arm": [
            {"name": "gold"},
            {"name": "replacement", "made": ["replaced"]},
            {"name": "proposed", "made": ["replaced-proposed"]},
            {"name": "lwtr", "made": ["lwtr"]},
            {"name": "shuffled", "made": ["shuffled"]},
            {"name": "synthetic", "made": ["synthetic"]},
            {"name": "both", "made": ["synthetic", "replaced"]},
            {"name": "placebo", "made": ["synthetic-shuffled-labels"]},
        ],
        "evaluate": {"against": {"both": "replacement"}, "resamples": 200},
    }
    for name, value in changes.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    return RecipeConfig.model_validate(values)


def names(work):
    found = NameSet({"Sign": ("lethargy", "pallor")}, {"kept": 2}, 5, 0.1)
    files.save_names(found, work.out)
    lm = Model(name="double", licence="none")
    return stages.names.Measured(tokens=5, proposals=dict(found.counts), names=2, lm=lm)


def sft(work, pause=0.0):
    (work.out / files.MODEL).mkdir()
    for i in range(3):
        (work.out / files.MODEL / f"part{i}.bin").write_bytes(bytes([work.seed % 251]) * 999)
        time.sleep(pause)
    lm = Model(name="double", licence="none")
    return stages.sft.Measured(tokens=50, steps=1, best_step=1, history=(), lm=lm)


def sample(work, pause=0.0):
    gold = files.load_docs(work.inputs["gold"])
    log = work.scratch / "rows.txt"
    n_before = log.read_text().count("\n") if log.exists() else 0
    with log.open("a") as file:
        for i in range(n_before, 4):
            file.write(f"{i}\n")
            file.flush()
            time.sleep(pause)
    made = []
    for k, doc in enumerate(gold):
        text = doc.text.replace("reports", "mentions").replace("worries", f"asks {k} questions")
        start = text.index("mentions ") + len("mentions ")
        sign = doc.mentions()[0]
        ent = Entity("T1", "Sign", ((start, start + len(sign)),))
        origin = Provenance("synthetic", (doc.id,), "double", "synthesize", work.seed)
        result = Document(f"s{k}", text, (ent,), provenance=origin)
        made.append(Candidate(f"s{k}", text, result, ended=k != 0, requested=(("Sign", sign),)))
    files.save_candidates(made, work.out)
    return stages.sample.Measured(
        tokens=80, sampling_seconds=0.5, asked=len(made), resumed=n_before
    )


def ner(work, pause=0.0):
    n = sum(len(files.load_docs(folder)) for folder in work.inputs.values())
    (work.out / files.MODEL).mkdir()
    (work.out / files.MODEL / "weights.bin").write_bytes(b"w" * 5000)
    time.sleep(pause)
    return stages.ner.Measured(
        tokens=100 * n,
        training_seconds=1.0,
        history=(),
        flattened={},
        encoder=Model(name="double", parameters=1),
    )


def score(work, pause=0.0):
    def predict(work, docs):
        students = stages.score.models_in(work.cell)
        seed = [work.seed, len(next(iter(students.values())).inputs)]
        rng = np.random.default_rng(seed + [len(students)] * (len(students) > 1))
        time.sleep(pause)
        return [d.with_entities(e for e in d.entities if rng.random() < 0.7) for d in docs]

    return stages.score.run(work, predict)


def doubles(pause):
    """Functions in the place of those stages' own that would load torch; they pause as they go."""
    slow = {"sft": sft, "sample": sample, "ner": ner, "score": score}
    return {"names": names, **{name: partial(run, pause=pause) for name, run in slow.items()}}


DOUBLES = doubles(0.0)
