"""The text-free numbers that a stage measures in a cell, written and read by the same class."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from notesmith.errors import StageError
from notesmith.experiment.contents import METRICS
from notesmith.files.write import atomic_write_text
from notesmith.findings import Record
from notesmith.results import CorpusCounts, Model

History = tuple[Mapping[str, int | float | None], ...]
"""Rows of numbers by name, each with its ``step``."""

# What the engine adds to what a stage's function returns.
_BY_ENGINE = {"stage", "seed", "seconds", "peak_memory_bytes"}


class Metrics(Record):
    """The numbers of cells of every stage; the class of a stage adds what only it measures.

    A stage's class declares again, without a default, each number that its stage always measures. A
    cell that lacks such a number is then an error, and so is one with a value that the class does
    not know.

    Attributes:
        stage: name of the cell's stage. The engine fills in stage, seed, seconds and peak.
        seed: seed of the cell.
        seconds: time of all the work, including loading and writing.
        peak_memory_bytes: largest resident memory.
        tokens: number of tokens that a model sampled or was trained on.
        lm: the language model, if the stage loads the base model.
        encoder: the encoder of the student that was trained.
        corpus: counts of train where gold is drawn or divided, and of the documents scored.
    """

    stage: str = ""
    seed: int = 0
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    tokens: int = 0
    lm: Model | None = None
    encoder: Model | None = None
    corpus: CorpusCounts | None = None

    @property
    def working_seconds(self) -> float:
        """Seconds spent on sampling ``tokens`` or training on them."""
        return self.seconds

    def write(self, folder: Path) -> None:
        """Write the numbers into the folder of a cell."""
        values = self.model_dump(exclude_unset=True)
        atomic_write_text(folder / METRICS, json.dumps(values, indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the numbers from the folder of a finished cell.

        Raises:
            StageError: a value is missing, unknown or of another type than this version writes.
        """
        path = folder / METRICS
        try:
            found = cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            # A name that the class does not know is not repeated: nobody knows what wrote it.
            at = {str(e["loc"][0]) if e["loc"] else "" for e in error.errors(include_input=False)}
            wrong = sorted(at & cls.model_fields.keys()) or ["a value that it does not know"]
            raise StageError(_said(path, wrong)) from None
        if missing := sorted(_BY_ENGINE - found.model_fields_set):
            raise StageError(_said(path, missing))
        return found


def _said(path: Path, wrong: list[str]) -> str:
    return (
        f"{path}: another version of notesmith wrote it (see {', '.join(wrong)}); move the cell's "
        "folder away, then run again"
    )
