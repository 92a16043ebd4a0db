"""The stages that put the text of all folds together, for the student that ships."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from notesmith.config.fields import Config
from notesmith.experiment import artefacts as files
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, NoConfig, Stage, Work
from notesmith.experiment.stages.common import Made, keep_made


class Settings(Config):
    """The number of folds whose text it is."""

    folds: int


def cell(draw: Draw, parts: Sequence[Cell], *, arm: str) -> Cell:
    """The text of ``parts``, one a fold, and of it as much a gold document as each fold's had."""
    inputs = {f"fold-{i + 1}": part for i, part in enumerate(parts)}
    whole = draw.cell(STAGE, NoConfig(), inputs=inputs, seed=0, arm=arm)
    config = Settings(folds=len(parts))
    return draw.cell(THIN, config, inputs={"made": whole}, seed=0, arm=arm)


def run(work: Work[NoConfig]) -> Made:
    """The text of all folds, one of each in turn; ids say which fold made them."""
    folds = [
        [replace(doc, id=f"{name}/{doc.id}") for doc in files.load_docs(folder)]
        for name, folder in work.inputs.items()
    ]
    rows = itertools.zip_longest(*folds)
    return keep_made(work, [doc for row in rows for doc in row if doc is not None])


def thin(work: Work[Settings]) -> Made:
    """As much of the union a gold document as each fold's students had.

    ``n`` folds made what ``n - 1`` times all gold would have asked for: each saw all but one fold.
    """
    docs = files.load_docs(work.inputs["made"])
    return keep_made(work, docs[: round(len(docs) / (work.config.folds - 1))])


STAGE = Stage("union", version=1, config=NoConfig, metrics=Made, run=run)
THIN = Stage("thin", version=1, config=Settings, metrics=Made, run=thin)
