"""The stage of names: the base model proposes them, and those with the best type scores stay.

Names of the user's lists join them, and those mined from notes where the recipe asks for these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from notesmith.augmentation.replace import gold_names
from notesmith.config.fields import Config
from notesmith.config.generator import LmConfig, NamesConfig
from notesmith.errors import StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import mined
from notesmith.experiment.stages.common import about, gold_in, labels_in, load_base
from notesmith.experiment.stages.fold import share_of_train
from notesmith.results import Model
from notesmith.synthesis.names import propose_names

# A list of names goes on for this many tokens, and four of five proposals are new ones.
_LIST_TOKENS, _PER_LIST, _NEW_RATIO = 48, 6, 0.8
_OTHER_LISTS, _MOST_LABELS = 7, 8


class Settings(Config):
    """Which model proposes, and how many names are kept."""

    lm: LmConfig
    names: NamesConfig


class Measured(Metrics):
    """Tokens that were sampled, what became of the proposals, and names that stayed."""

    tokens: int
    proposals: dict[str, int]
    names: int
    lm: Model


def cell(draw: Draw) -> Cell:
    """Approved new names of a draw."""
    config = draw.config.synthesize.names
    return draw.cell(
        STAGE,
        Settings(lm=draw.config.lm, names=config),
        inputs={"gold": draw.gold, **({"mined": mined.of_recipe(draw)} if config.mined else {})},
        fingerprints={"lm": draw.outside.lm, "term_lists": draw.outside.term_lists},
    )


def run(work: Work[Settings]) -> Measured:
    """Let the base model propose names, and keep those with the best type scores."""
    gold, terms = gold_in(work), work.context.terms
    if "mined" in work.inputs:
        terms = _joined(terms, mined.load_mined(work.inputs["mined"]).by_label)
    if unknown := sorted(terms.keys() - set(labels_in(work))):
        raise StageError(f"synthesize.names.term_lists: no document of train has {unknown}")
    lm = load_base(work, work.config.lm, gold)
    names = propose_names(
        lm,
        gold_names(gold),
        work.config.names,
        seed=work.seed,
        terms=terms,
        on_progress=work.on_progress,
    )
    # Times belong to metrics: equal work leaves equal bytes.
    files.save_names(replace(names, seconds=0.0), work.out)
    return Measured(
        tokens=names.tokens,
        proposals=dict(names.counts),
        names=sum(len(found) for found in names.names.values()),
        lm=about(lm),
    )


def _joined(
    one: Mapping[str, Sequence[str]], other: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """The names of both by label, each once."""
    labels = sorted({*one, *other})
    return {x: list(dict.fromkeys([*one.get(x, ()), *other.get(x, ())])) for x in labels}


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """Lists that the model writes for each label, and scores of their names."""
    proposals = config.names.proposals
    # A part of the documents holds more than that part of the names, as names repeat.
    share = min(1.0, 1.5 * share_of_train(cell, facts))
    labels = [n for n in facts.train.split.names.values() if n * share >= 3]
    if not proposals or not labels:
        return Amount(lms=1)
    lists = _OTHER_LISTS + min(_MOST_LABELS, sum(n * share >= 6 for n in labels) - 1)
    n_tokens = len(labels) * max(1, proposals // _PER_LIST) * _LIST_TOKENS
    return Amount(
        sampled=n_tokens / 1.5,
        scored=len(labels) * _NEW_RATIO * proposals * max(_OTHER_LISTS, lists),
        lms=1,
    )


STAGE = Stage(
    "names", version=1, config=Settings, metrics=Measured, run=run, cost=cost, peak="scoring"
)
