"""How fast this machine does each kind of work, and the memory it takes; kept between plans.

A file below ``$NOTESMITH_HOME/probes`` for each machine, pair of models and size of batch. It holds
numbers, no text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from notesmith.config.recipe import RecipeConfig
from notesmith.experiment.cost import Peak
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.machine import versions
from notesmith.files.checksums import canonical
from notesmith.files.write import atomic_write_text
from notesmith.forecast.corpus_stats import USUAL_TOKENS_PER_WORD
from notesmith.forecast.resources import Resources
from notesmith.lm.presets import OFFLINE_DEFAULT, OFFLINE_GEMMA

GIB = 2**30
# Cores that other work takes, above which speeds are taken from processor time.
BUSY = 0.5
# Bumped when what a probe measures changes.
_VERSION = 2

Origin = Literal["measured", "stored", "reference", "unknown"]


@dataclass(frozen=True, slots=True)
class LmSpeeds:
    """The language model: tokens a second sampled and trained on, names scored a second.

    A name is scored against one list. ``load`` are seconds; ``peaks`` are bytes by kind of work;
    ``folder`` is the size of a tuned model on disk.
    """

    sampled: float
    trained: float
    scored: float
    tokens_per_word: float
    load: float
    folder: int
    peaks: Mapping[Peak, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StudentSpeeds:
    """The student: word pieces a second trained on and read."""

    trained: float
    read: float
    pieces_per_word: float
    load: float
    folder: int
    peaks: Mapping[Peak, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Speeds:
    """Speeds of a recipe's models; None where nothing is known.

    ``busy`` are the cores that other work took while they were measured.
    """

    lm: LmSpeeds | None = None
    student: StudentSpeeds | None = None
    origin: Origin = "unknown"
    when: str = ""
    busy: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Speeds:
        """The inverse of ``to_json``."""
        lm, student = data["lm"], data["student"]
        return cls(
            LmSpeeds(**lm) if lm else None,
            StudentSpeeds(**student) if student else None,
            data["origin"],
            data["when"],
            float(data["busy"]),
        )


# NCBI Disease on 2 cores of an AMD EPYC (Zen 4), one thread a process
# (docs/experiments/ncbi-disease.md).
_REFERENCE_GEMMA = LmSpeeds(
    sampled=350,
    trained=108,
    scored=45,
    tokens_per_word=USUAL_TOKENS_PER_WORD,
    load=8,
    folder=int(0.48 * GIB),
    peaks={"scoring": int(4.6 * GIB), "tuning": int(6.0 * GIB), "sampling": int(4.9 * GIB)},
)
# Gemma's figures, times the ratios of two runs of recipes/ncbi-disease-models.toml side by side on
# another machine (two draws): as fast in training and scoring, 0.86 times in sampling.
_REFERENCE_DEFAULT = LmSpeeds(
    sampled=300,
    trained=108,
    scored=45,
    tokens_per_word=1.55,
    load=4,
    folder=int(0.25 * GIB),
    peaks={"scoring": int(4.6 * GIB), "tuning": int(6.0 * GIB), "sampling": int(5.4 * GIB)},
)
_REFERENCE_STUDENT = StudentSpeeds(
    trained=1400,
    read=5500,
    pieces_per_word=1.6,
    load=2,
    folder=int(0.09 * GIB),
    peaks={"training": int(3.8 * GIB), "predicting": int(2.0 * GIB)},
)
REFERENCE_MACHINE = "2 cores of an AMD EPYC (Zen 4), one thread, other work beside"


def reference_speeds(config: RecipeConfig) -> Speeds:
    """What this project measured on another machine: known of the offline models alone."""
    lm = None
    if config.lm.model == OFFLINE_DEFAULT:
        lm = _REFERENCE_DEFAULT
    elif config.lm.model == OFFLINE_GEMMA and config.lm.trim:
        lm = _REFERENCE_GEMMA
    student = _REFERENCE_STUDENT if config.ner.encoder == "minilm" else None
    return Speeds(lm, student, "reference" if lm or student else "unknown")


def probe_key(config: RecipeConfig, outside: Fingerprints, machine: Resources) -> str:
    """What a speed depends on: machine, packages, models and the size of what goes through them."""
    packages = versions()
    what = {
        "version": _VERSION,
        "machine": [machine.cpu, machine.cores, machine.threads, machine.gpu],
        "packages": {name: packages.get(name) for name in ("notesmith", "torch", "transformers")},
        "models": [config.lm.model, outside.lm, config.ner.encoder, outside.encoders],
        "lm": config.lm.model_dump(mode="json"),
        "sft": config.sft.model_dump(
            mode="json",
            include={"unit", "passage_sentences", "max_unit_tokens", "batch_size", "lora_rank"},
        ),
        "sample": config.sample.model_dump(mode="json", include={"batch_size", "constrain"}),
        "ner": config.ner.model_dump(
            mode="json", include={"unit", "batch_size", "max_tokens", "bf16", "pieces"}
        ),
    }
    return hashlib.sha256(canonical(what).encode()).hexdigest()[:16]


def stored_speeds(folder: Path, key: str) -> Speeds | None:
    """What an earlier probe measured, if it did."""
    try:
        found = Speeds.from_json(json.loads((folder / f"{key}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return replace(found, origin="stored")


def keep_speeds(speeds: Speeds, folder: Path, key: str) -> None:
    """Keep what a probe measured for the next plan."""
    atomic_write_text(folder / f"{key}.json", json.dumps(speeds.to_json(), indent=1) + "\n")
