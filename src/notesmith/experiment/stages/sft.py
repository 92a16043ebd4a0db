"""The stage of fine-tuning: the base model learns to write gold's units."""

from __future__ import annotations

import math
from collections.abc import Sequence

from notesmith.augmentation.replace import gold_names, replace_mentions
from notesmith.config.fields import Config
from notesmith.config.filters import AugmentConfig
from notesmith.config.generator import LmConfig, SftConfig
from notesmith.document import Document
from notesmith.errors import StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import FORWARD, Amount, CorpusStats
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import History, Metrics
from notesmith.experiment.stages.common import about, gold_in, info_in, labels_in, load_base
from notesmith.experiment.stages.fold import share_of_train
from notesmith.ner.attributes import check_attributes
from notesmith.results import Model
from notesmith.synthesis.config import PromptConfig
from notesmith.synthesis.generate import run_sft


class Settings(Config):
    """Which model is tuned, how, and what its prompts say."""

    lm: LmConfig
    sft: SftConfig
    prompt: PromptConfig


class Measured(Metrics):
    """Tokens trained on, steps, the step that was kept, and losses on the way."""

    tokens: int
    steps: int
    best_step: int
    history: History
    lm: Model


def cell(draw: Draw) -> Cell:
    """The fine-tuned generator of a draw."""
    config = draw.config
    return draw.cell(
        STAGE,
        Settings(lm=config.lm, sft=config.sft, prompt=PromptConfig.from_recipe(config)),
        inputs={"gold": draw.gold},
        fingerprints={"lm": draw.outside.lm},
    )


def run(work: Work[Settings]) -> Measured:
    """Fine-tune the base model on gold and its mention-replaced copies."""
    gold, config = gold_in(work), work.config
    if unknown := sorted(config.prompt.label_descriptions.keys() - set(labels_in(work))):
        raise StageError(f"corpus.label_descriptions: no document of train has {unknown}")
    of_train = dict.fromkeys(info_in(work).get("attributes", ()))
    check_attributes(config.prompt.attributes, of_train, option="synthesize.attributes")
    lm = load_base(work, config.lm, gold)
    described = about(lm)
    result = run_sft(
        lm,
        gold,
        config.sft,
        config.prompt,
        replaced=copies_of(gold, config.sft, seed=work.seed),
        labels=labels_in(work),
        out=work.out / files.MODEL,
        seed=work.seed,
        on_progress=work.on_progress,
    )
    return Measured(
        tokens=result.tokens,
        steps=result.n_steps,
        best_step=result.best_step,
        history=result.history,
        lm=described,
    )


def copies_of(gold: Sequence[Document], sft: SftConfig, *, seed: int) -> list[Document]:
    """The mention-replaced copies of ``gold`` that are learnt from beside it; there may be none."""
    if not sft.replaced_copies:
        return []
    config = AugmentConfig(copies=sft.replaced_copies)
    return replace_mentions(gold, gold_names(gold), config=config, seed=seed)


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """Passes over gold and its copies, and looks at the part that is held out."""
    units = facts.train.written
    return tuning(config.sft, units.words + units.prompt_words, cell, facts)


def tuning(sft: SftConfig, words: float, cell: Cell, facts: CorpusStats) -> Amount:
    """Tuning on ``words``, which all of train would give: passes, and looks at what is held out."""
    words *= share_of_train(cell, facts)
    dev = sft.dev_ratio if cell.size > 1 else 0.0
    n_looks = math.ceil(sft.epochs * sft.evaluations_per_epoch) + 1
    trained = words * (1 - dev) * (1 + sft.replaced_copies) * sft.epochs
    return Amount(trained=trained + words * dev * n_looks * FORWARD, lms=1, saved_lms=1)


STAGE = Stage(
    "sft",
    version=3,
    config=Settings,
    metrics=Measured,
    run=run,
    cost=cost,
    keeps="first",
    peak="tuning",
)
