"""The placebo: the generator's kept text with its labels shuffled, which must not help."""

from __future__ import annotations

from notesmith.augmentation.shuffle import shuffle_labels
from notesmith.config.recipe import ArmConfig
from notesmith.experiment import artefacts as files
from notesmith.experiment.draw import Draw, Source
from notesmith.experiment.graph import Cell, NoConfig, Stage, Work
from notesmith.experiment.stages import filtered
from notesmith.experiment.stages.common import Made, keep_made
from notesmith.findings import MadeSource


def cell(draw: Draw, arm: ArmConfig) -> Cell:
    """The kept text of an arm's generator, its labels shuffled."""
    return draw.cell(STAGE, NoConfig(), inputs={"made": filtered.cell(draw, arm)})


def run(work: Work[NoConfig]) -> Made:
    """Shuffle the labels."""
    made = files.load_docs(work.inputs["made"])
    return keep_made(work, shuffle_labels(made, seed=work.seed))


STAGE = Stage("synthetic-shuffled-labels", version=1, config=NoConfig, metrics=Made, run=run)
SOURCE = Source(
    MadeSource(
        name=STAGE.name,
        words="the generator's text with its labels shuffled (a placebo)",
        by="generator",
        is_placebo=True,
    ),
    cell,
)
