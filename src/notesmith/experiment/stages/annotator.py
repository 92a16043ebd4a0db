"""The stage of the tuned annotator: the base model learns to find the mentions of gold's units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from notesmith.annotation.prompt import Form, FormName
from notesmith.annotation.tune import form_of, tune
from notesmith.config.fields import Config
from notesmith.config.generator import LmConfig, SftConfig
from notesmith.config.recipe import ArmConfig
from notesmith.errors import StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import History, Metrics
from notesmith.experiment.stages.common import about, gold_in, info_in, labels_in, load_base
from notesmith.experiment.stages.sft import copies_of, tuning
from notesmith.ner.attributes import check_attributes
from notesmith.results import Model

# A mention in JSON beside the words that are copied: some 18 tokens.
_SYNTAX_WORDS = 11
# Words of a mention.
_MENTION_WORDS = 2


class Asking(Config):
    """What an annotator is asked: see ``annotation.prompt.Form``."""

    form: FormName
    unit: str
    context_words: int
    kind: str = ""
    label_descriptions: dict[str, str] = Field(default_factory=dict)
    attributes: tuple[str, ...] = ()

    @classmethod
    def of(cls, draw: Draw, arm: ArmConfig, form: FormName) -> Asking:
        """What the annotator of ``arm`` that answers in ``form`` is asked."""
        corpus, lm = draw.config.corpus, arm.annotate.lm
        return cls(
            form=form,
            unit=sft_of(draw, arm).unit,
            context_words=lm.context_words if form == "json" else 0,
            kind=corpus.kind,
            label_descriptions=corpus.label_descriptions,
            attributes=lm.attributes,
        )

    def form_for(self, work: Work[Any], *, reserved: Sequence[str]) -> Form:
        """The form for the draw of a cell; ``reserved`` tokens are what marks may be.

        Raises:
            StageError: a label that is described is not in train.
            ConfigError: an attribute that is asked for is not.
        """
        labels = labels_in(work)
        if unknown := sorted(self.label_descriptions.keys() - set(labels)):
            raise StageError(f"corpus.label_descriptions: no document of train has {unknown}")
        of_train = dict.fromkeys(info_in(work).get("attributes", ()))
        check_attributes(self.attributes, of_train, option="annotate.lm.attributes")
        return form_of(
            self.form,
            labels,
            gold_in(work),
            attributes=self.attributes,
            context_words=self.context_words,
            reserved=reserved,
            unit=self.unit,
            kind=self.kind,
            label_descriptions=self.label_descriptions,
        )


class Settings(Config):
    """Which model is tuned, how, and what it is asked."""

    lm: LmConfig
    sft: SftConfig
    asking: Asking


class Measured(Metrics):
    """Tokens trained on, steps, the step that was kept, and losses on the way.

    ``without`` of the ``units`` learnt from hold no mention; ``flattened`` are mentions that the
    answers cannot tell as they are, by reason.
    """

    tokens: int
    steps: int
    best_step: int
    history: History
    lm: Model
    units: int
    without: int
    flattened: dict[str, int]


def sft_of(draw: Draw, arm: ArmConfig) -> SftConfig:
    """How the annotator of ``arm`` is tuned, and how text is cut for it."""
    own = {"unit": arm.annotate.lm.unit, "epochs": arm.annotate.lm.epochs}
    given = {name: value for name, value in own.items() if value is not None}
    return draw.config.sft.model_copy(update=given)


def cell(draw: Draw, arm: ArmConfig, form: FormName) -> Cell:
    """The tuned annotator of a draw that answers in ``form``."""
    return draw.cell(
        STAGE,
        Settings(lm=draw.config.lm, sft=sft_of(draw, arm), asking=Asking.of(draw, arm, form)),
        inputs={"gold": draw.gold},
        fingerprints={"lm": draw.outside.lm},
    )


def run(work: Work[Settings]) -> Measured:
    """Tune the base model on gold and its mention-replaced copies."""
    gold, config = gold_in(work), work.config
    lm = load_base(work, config.lm, gold)
    described = about(lm)
    tuned = tune(
        lm,
        gold,
        config.asking.form_for(work, reserved=lm.reserved),
        config.sft,
        replaced=copies_of(gold, config.sft, seed=work.seed),
        out=work.out / files.MODEL,
        seed=work.seed,
        on_progress=work.on_progress,
    )
    return Measured(
        tokens=tuned.sft.tokens,
        steps=tuned.sft.n_steps,
        best_step=tuned.sft.best_step,
        history=tuned.sft.history,
        lm=described,
        units=tuned.units,
        without=tuned.without,
        flattened=dict(tuned.flattened),
    )


def answer_ratio(asking: Asking, facts: CorpusStats) -> float:
    """Words of an answer for each word of the text that it is about."""
    split = facts.train.split
    mentions = split.n_mentions / max(1, split.n_words)
    if asking.form == "inline":
        return 1 + mentions
    return (2 * asking.context_words + _MENTION_WORDS + _SYNTAX_WORDS) * mentions


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """Passes over gold, its copies and their answers, and looks at what is held out."""
    units = facts.train.written
    words = units.words * (1 + answer_ratio(config.asking, facts)) + units.prompt_words
    return tuning(config.sft, words, cell, facts)


STAGE = Stage(
    "annotator",
    version=1,
    config=Settings,
    metrics=Measured,
    run=run,
    cost=cost,
    keeps="first",
    peak="tuning",
)
