"""The stages of blind teachers: what students that did not see a gold document say of its words.

``blind`` trains students on all folds of gold but one and lets each read the fold that it did not
see. ``gold-taught`` mixes what they say with the labels that gold has.
"""

from __future__ import annotations

from notesmith.config.fields import Config
from notesmith.config.recipe import ArmConfig
from notesmith.config.student import NerConfig
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages.common import gold_in, labels_in, words_learnt
from notesmith.ner.soft import mixed, tempered


class Settings(Config):
    """How the students are trained, and into how many folds gold is divided."""

    ner: NerConfig
    folds: int


class Measured(Metrics):
    """How many students read how many documents."""

    students: int
    documents: int


def run(work: Work[Settings]) -> Measured:
    """Train a student for each fold, and keep what it says of the fold that it did not see."""
    from notesmith.ner.crossfit import train_committee

    gold = gold_in(work)
    trained = train_committee(
        gold,
        config=work.config.ner,
        n_members=work.config.folds,
        labels=labels_in(work),
        seed=work.seed,
        on_progress=work.on_progress,
    )
    found = trained.scores_held_out(gold)
    files.save_scores({doc.id: one for doc, one in zip(gold, found, strict=True)}, work.out)
    return Measured(students=len(trained.members), documents=len(gold))


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """A student for each fold."""
    n = config.folds
    return Amount(learnt=n * words_learnt(config.ner, facts), students=n)


STAGE = Stage(
    "blind",
    version=1,
    config=Settings,
    metrics=Measured,
    run=run,
    cost=cost,
    peak="training",
)


class Mixture(Config):
    """The share of gold's own labels, and how much sharper or flatter the rest is made."""

    hard_ratio: float
    temperature: float = 1.0


class Mixed(Metrics):
    """How many documents of gold have distributions."""

    documents: int


def cell(draw: Draw, arm: ArmConfig) -> Cell:
    """The distributions that ``arm`` learns of gold."""
    annotate = arm.annotate
    blind = draw.cell(
        STAGE,
        Settings(ner=draw.gold_arm.ner.mentions_only(), folds=annotate.students),
        inputs={"gold": draw.gold},
        fingerprints=draw.encoder(draw.gold_arm.ner),
        seed=draw.seed("blind"),
    )
    return draw.cell(
        MIXED,
        Mixture(hard_ratio=annotate.hard_ratio, temperature=annotate.temperature),
        inputs={"gold": draw.gold, "blind": blind},
        seed=0,
        arm=arm.name,
    )


def mix(work: Work[Mixture]) -> Mixed:
    """Mix what students say that did not see a document with its own labels."""
    config, labels = work.config, labels_in(work)
    said = files.load_scores(work.inputs["blind"])
    found = {
        doc.id: mixed(
            tempered(said[doc.id], config.temperature), doc, labels, hard_ratio=config.hard_ratio
        )
        for doc in gold_in(work)
    }
    files.save_scores(found, work.out)
    return Mixed(documents=len(found))


MIXED = Stage("gold-taught", version=1, config=Mixture, metrics=Mixed, run=mix)
