"""The stage of the student: an NER model is trained on gold and on what its arm adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from notesmith.config.recipe import ArmConfig
from notesmith.config.student import NerConfig
from notesmith.document import Document, attributes_in
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import GOLD, Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import History, Metrics
from notesmith.experiment.stages import adapt, blind
from notesmith.experiment.stages.common import (
    gold_in,
    info_in,
    labels_in,
    texts_of,
    words_learnt,
)
from notesmith.ner.attributes import check_attributes
from notesmith.results import Model

if TYPE_CHECKING:
    from notesmith.ner.model import NerModel

# The inputs with distributions for the words of gold, and with the encoder to begin from.
_OF_GOLD, _ENCODER = "gold-taught", "encoder"


class Measured(Metrics):
    """Word pieces trained on, seconds of training, losses on the way, and what was flattened.

    ``flattened`` also counts the mentions that completion added to made documents, and those that
    it masked there.
    """

    tokens: int
    training_seconds: float
    history: History
    flattened: dict[str, int]
    encoder: Model

    @property
    def working_seconds(self) -> float:
        """Seconds of training."""
        return self.training_seconds


def seed_of(draw: Draw, number: int) -> int:
    """The seed of a student: the same for all arms, which differ in data and not in luck."""
    return draw.seed(f"student {number + 1}" if number else "student")


def cell(draw: Draw, arm: ArmConfig, number: int = 0) -> Cell:
    """The arm's NER model; of several, the first is the one that labels and that is kept."""
    inputs = {"gold": draw.gold, **{source: draw.made(source, arm) for source in arm.made}}
    if "gold" in arm.annotate.teaches:
        inputs[_OF_GOLD] = blind.cell(draw, arm)
    if arm.adapted:
        inputs[_ENCODER] = adapt.cell(draw, arm)
    return draw.cell(
        STAGE,
        arm.ner,
        inputs=inputs,
        fingerprints=draw.encoder(arm.ner),
        seed=seed_of(draw, number),
        arm=arm.name,
        student=number,
    )


def run(work: Work[NerConfig]) -> Measured:
    """Train the student on gold and what the arm adds: on labels, or on distributions."""
    from notesmith.ner.train import train_ner

    gold = gold_in(work)
    beside = sorted((k, v) for k, v in texts_of(work.inputs).items() if k != _ENCODER)
    made = [doc for name, folder in beside if name != _OF_GOLD for doc in files.load_docs(folder)]
    soft = {
        doc_id: scores
        for _, folder in beside
        if files.has_scores(folder)
        for doc_id, scores in files.load_scores(folder).items()
    }
    config = of_draw(work.config, gold, work)
    adapted = work.inputs.get(_ENCODER)
    result = train_ner(
        gold,
        made,
        config=config if adapted is None else _beginning_with(adapted / files.MODEL, config),
        labels=labels_in(work),
        soft=soft,
        seed=work.seed,
        on_progress=work.on_progress,
    )
    model = _as_configured(result.model, config)
    model.save(work.out / files.MODEL)
    n_parameters = sum(p.numel() for p in model.model.parameters())
    return Measured(
        tokens=result.tokens,
        training_seconds=round(result.seconds, 3),
        history=result.history,
        flattened={
            **result.counts,
            **{f"completion_{what}": n for what, n in result.completed.items()},
        },
        encoder=Model(name=model.name, parameters=n_parameters),
    )


def _beginning_with(encoder: Path, config: NerConfig) -> NerConfig:
    return config.model_copy(update={"encoder": str(encoder)})


def _as_configured(model: NerModel, config: NerConfig) -> NerModel:
    """``model`` under the name of the recipe's encoder: what is kept names no folder of the run."""
    return replace(model, encoder=replace(model.encoder, name=config.encoder), config=config)


def of_draw(config: NerConfig, gold: Sequence[Document], work: Work[NerConfig]) -> NerConfig:
    """``config`` with those attributes that the draw has: a small one may lack a rare one.

    Raises:
        ConfigError: train as a whole lacks one.
    """
    if not config.attributes:
        return config
    have = attributes_in(gold)
    of_train = info_in(work).get("attributes", ())
    check_attributes(config.attributes, dict.fromkeys([*of_train, *have]))
    return config.model_copy(
        update={"attributes": tuple(x for x in config.attributes if x in have)}
    )


def cost(config: NerConfig, cell: Cell, facts: CorpusStats) -> Amount:
    """One student's training, and that of the one that completes made documents beforehand."""
    has_made = any(name not in (GOLD, _OF_GOLD, _ENCODER) for name in cell.inputs)
    n = 2 if has_made and config.integration.complete == "before" else 1
    return Amount(learnt=n * words_learnt(config, facts), students=n, saved_students=1)


STAGE = Stage(
    "ner",
    version=2,
    config=NerConfig,
    metrics=Measured,
    run=run,
    cost=cost,
    keeps="first",
    peak="training",
)
