"""Students that vote: the cells of an arm's members, and the stage that keeps them in one folder.

The members are the same cells that an arm without votes trains. Scores are made from these; the
folder is for those who use the arm's answer after the run.
"""

from __future__ import annotations

from functools import partial

from notesmith.config.recipe import ArmConfig
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, NoConfig, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import ner


class Gathered(Metrics):
    """How many students vote."""

    members: int


def members(draw: Draw, arm: ArmConfig) -> dict[str, Cell]:
    """The arm's students that vote, by the names that they have as inputs."""
    return {f"model-{n + 1}": ner.cell(draw, arm, n) for n in range(arm.votes)}


def cell(draw: Draw, arm: ArmConfig) -> Cell:
    """The arm's answer as a model: one student, or several that vote, in one folder."""
    if arm.votes == 1:
        return ner.cell(draw, arm)
    return draw.cell(STAGE, NoConfig(), inputs=members(draw, arm), seed=0, arm=arm.name)


def run(work: Work[NoConfig]) -> Gathered:
    """Copy the members into one folder, which is loaded like one student."""
    from notesmith.ner.student import copy_student
    from notesmith.ner.votes import write_votes

    folders = [work.inputs[name] / files.MODEL for name in work.cell.inputs]
    write_votes(work.out / files.MODEL, [partial(copy_student, folder) for folder in folders])
    return Gathered(members=len(folders))


def cost(config: NoConfig, cell: Cell, facts: CorpusStats) -> Amount:
    """The members' weights once more on disk."""
    return Amount(saved_students=len(cell.inputs))


STAGE = Stage("votes", version=1, config=NoConfig, metrics=Gathered, run=run, cost=cost)
