"""Rivals that need no generator: gold with its mentions, its words or their order changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from notesmith.augmentation.replace import gold_names, replace_mentions
from notesmith.augmentation.shuffle import shuffle_segments
from notesmith.augmentation.tokens import replace_tokens
from notesmith.config import ArmConfig, AugmentConfig
from notesmith.document import Document
from notesmith.experiment import artefacts as files
from notesmith.experiment.draw import Draw, Source
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.stages import names
from notesmith.experiment.stages.common import Made, gold_in, keep_made
from notesmith.findings import MadeSource

Run = Callable[[Work[AugmentConfig]], Made]

# Dai and Adel (2020) compare these rules for named entity recognition.
_CITED = "dai2020augmentation"


def replaced(work: Work[AugmentConfig]) -> Made:
    """Mention replacement with gold names."""
    gold = gold_in(work)
    docs = replace_mentions(gold, gold_names(gold), config=work.config, seed=work.seed)
    return keep_made(work, docs)


def replaced_proposed(work: Work[AugmentConfig]) -> Made:
    """Mention replacement in which a share of the names are proposed ones.

    The copies that use proposed names and those that use gold names are apart, so that the share
    holds whatever the sizes of the two lists.
    """
    gold = gold_in(work)
    known = gold_names(gold)
    proposed = files.load_names(work.inputs["names"]).names
    mixed = {
        label: _mixed(known.get(label, ()), proposed.get(label, ()), work.config.proposed_ratio)
        for label in {*known, *proposed}
    }
    return keep_made(work, replace_mentions(gold, mixed, config=work.config, seed=work.seed))


def _mixed(known: Sequence[str], proposed: Sequence[str], ratio: float) -> tuple[str, ...]:
    """A list in which ``ratio`` of the places are proposed names, the rest gold ones.

    Names are repeated so that a uniform draw from the list has the ratio; one list stands alone
    where the other is empty.
    """
    if not proposed or not known:
        return (*known, *proposed)
    total = 10 * max(len(known), len(proposed))
    n_new = round(ratio * total)
    new = [proposed[i % len(proposed)] for i in range(n_new)]
    old = [known[i % len(known)] for i in range(total - n_new)]
    return (*old, *new)


def tokens_replaced(work: Work[AugmentConfig]) -> Made:
    """Words redrawn among those seen under the same tag (label-wise token replacement)."""
    return _changed(work, replace_tokens)


def shuffled(work: Work[AugmentConfig]) -> Made:
    """Words shuffled within segments."""
    return _changed(work, shuffle_segments)


def _changed(work: Work[AugmentConfig], change: Callable[..., list[Document]]) -> Made:
    return keep_made(work, change(gold_in(work), config=work.config, seed=work.seed))


def _rival(
    name: str, run: Run, words: str, *reads: str, with_names: bool = False
) -> tuple[Stage[AugmentConfig, Made], Source]:
    """The stage ``name`` that reads fields ``reads`` of [augment], and the source that it makes."""
    stage = Stage(name, version=1, config=AugmentConfig, metrics=Made, run=run)

    def cell(draw: Draw, arm: ArmConfig) -> Cell:
        config = AugmentConfig(**draw.config.augment.model_dump(include={"copies", *reads}))
        inputs = {"gold": draw.gold, **({"names": names.cell(draw)} if with_names else {})}
        return draw.cell(stage, config, inputs=inputs)

    facts = MadeSource(
        name=name, words=words, by="proposals" if with_names else "rules", cites=(_CITED,)
    )
    return stage, Source(facts, cell)


REPLACED, REPLACED_SOURCE = _rival(
    "replaced",
    replaced,
    "copies of it whose mentions were replaced by other gold mentions of the label",
    "replace_ratio",
)
PROPOSED, PROPOSED_SOURCE = _rival(
    "replaced-proposed",
    replaced_proposed,
    "copies of it whose mentions were replaced, by proposed names too",
    *("replace_ratio", "proposed_ratio"),
    with_names=True,
)
TOKENS, TOKENS_SOURCE = _rival(
    "lwtr",
    tokens_replaced,
    "copies of it with words redrawn among those seen under the same tag",
    "token_ratio",
)
SHUFFLED, SHUFFLED_SOURCE = _rival(
    "shuffled", shuffled, "copies of it with words shuffled within segments", "shuffle_ratio"
)
STAGES = (REPLACED, PROPOSED, TOKENS, SHUFFLED)
SOURCES = (REPLACED_SOURCE, PROPOSED_SOURCE, TOKENS_SOURCE, SHUFFLED_SOURCE)
