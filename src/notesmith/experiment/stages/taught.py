"""The stage of taught text: an arm's other made text with distributions in the place of labels.

What was asked for of a text is known; what stands around it is what annotators make of it.
"""

from __future__ import annotations

from dataclasses import replace

from notesmith.config.fields import Config
from notesmith.config.recipe import ArmConfig
from notesmith.document import Document
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Draw, Source
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.stages.common import Made, describe, labels_in
from notesmith.experiment.stages.silver import annotators_in, mean_of
from notesmith.experiment.stages.teachers import keep_labelled
from notesmith.ner.soft import hard_at_entities, tempered


class Settings(Config):
    """How much sharper or flatter the distributions are made."""

    temperature: float = 1.0


def teaching(source: Source) -> Source:
    """``source``, taught by the annotators of arms that ask for it."""

    def cell(draw: Draw, arm: ArmConfig) -> Cell:
        made = source.cell(draw, arm)
        if "made" not in arm.annotate.teaches:
            return made
        by = {name: draw.annotators[name].cell(draw, arm, made) for name in arm.annotate.by}
        return draw.cell(
            STAGE,
            Settings(temperature=arm.annotate.temperature),
            inputs={"gold": draw.gold, "made": made, **by},
            seed=0,
            arm=arm.name,
        )

    return replace(source, cell=cell)


def run(work: Work[Settings]) -> Made:
    """Keep the mentions of the text, and take the annotators' distributions for all other words."""
    docs, labels = files.load_docs(work.inputs["made"]), labels_in(work)
    scores = mean_of(docs, annotators_in(work.inputs))
    taught = [
        hard_at_entities(tempered(one, work.config.temperature), doc, labels)
        for doc, one in zip(docs, scores, strict=True)
    ]
    # Two sources may give one id to different texts.
    source = work.cell.inputs["made"].stage.name
    named: list[Document] = [replace(doc, id=f"{source}/{doc.id}") for doc in docs]
    keep_labelled(work, named, taught)
    return Made(made=describe(named))


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """Reading and writing the text."""
    return Amount(seconds=1.0)


STAGE = Stage("taught", version=1, config=Settings, metrics=Made, run=run, cost=cost)
