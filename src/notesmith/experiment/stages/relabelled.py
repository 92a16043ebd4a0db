"""A rival: the generator's kept text with the labels of the student that gold alone trained."""

from __future__ import annotations

from dataclasses import replace

from notesmith.config.recipe import ArmConfig
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Draw, Source
from notesmith.experiment.graph import Cell, NoConfig, Stage, Work
from notesmith.experiment.stages import filtered, ner, sample
from notesmith.experiment.stages.common import Made, keep_made
from notesmith.findings import MadeSource


def cell(draw: Draw, arm: ArmConfig) -> Cell:
    """The kept text of an arm's generator, relabelled."""
    inputs = {"made": filtered.cell(draw, arm), "model": ner.cell(draw, draw.gold_arm)}
    return draw.cell(STAGE, NoConfig(), inputs=inputs)


def run(work: Work[NoConfig]) -> Made:
    """Label the text with the student."""
    from notesmith.ner.model import load_ner

    made = files.load_docs(work.inputs["made"])
    said = load_ner(work.inputs["model"] / files.MODEL).predict(made, on_progress=work.on_progress)
    docs = [
        replace(doc, entities=labels.entities, masked=(), unknown=())
        for doc, labels in zip(made, said, strict=True)
    ]
    return keep_made(work, docs)


def cost(config: NoConfig, cell: Cell, facts: CorpusStats) -> Amount:
    """The student reads what was asked for."""
    asked = sample.n_asked(cell.inputs["made"].inputs["candidates"], facts)
    return Amount(read=asked * facts.train.written.mean, students=1)


STAGE = Stage(
    "relabelled", version=1, config=NoConfig, metrics=Made, run=run, cost=cost, peak="predicting"
)
SOURCE = Source(
    MadeSource(
        name="synthetic-relabelled",
        words="the generator's text, labelled by the student of gold alone",
        by="generator",
    ),
    cell,
)
