"""Rivals that need no generator: gold with its mentions, its words or their order changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from notesmith.augmentation.replace import gold_names, replace_mentions
from notesmith.augmentation.shuffle import shuffle_segments
from notesmith.augmentation.tokens import replace_tokens
from notesmith.config.filters import AugmentConfig
from notesmith.config.recipe import ArmConfig
from notesmith.document import Document
from notesmith.experiment import artefacts as files
from notesmith.experiment.draw import Draw, Source
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.stages import mined, names
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
    proposed = files.load_names(work.inputs["names"]).names
    return _with_new(work, proposed, work.config.proposed_ratio)


def replaced_mined(work: Work[AugmentConfig]) -> Made:
    """Mention replacement in which a share of the names are mined from notes."""
    found = mined.load_mined(work.inputs["mined"]).by_label
    return _with_new(work, found, work.config.mined_ratio)


def _with_new(work: Work[AugmentConfig], new: Mapping[str, Sequence[str]], ratio: float) -> Made:
    gold = gold_in(work)
    known = gold_names(gold)
    mixed = {
        label: _mixed(known.get(label, ()), new.get(label, ()), ratio) for label in {*known, *new}
    }
    return keep_made(work, replace_mentions(gold, mixed, config=work.config, seed=work.seed))


def _mixed(known: Sequence[str], new: Sequence[str], ratio: float) -> tuple[str, ...]:
    """A list in which ``ratio`` of the places are ``new`` names, the rest gold ones.

    Names are repeated so that a uniform draw from the list has the ratio; one list stands alone
    where the other is empty.
    """
    if not new or not known:
        return (*known, *new)
    total = 10 * max(len(known), len(new))
    n_new = round(ratio * total)
    some = [new[i % len(new)] for i in range(n_new)]
    old = [known[i % len(known)] for i in range(total - n_new)]
    return (*old, *some)


def tokens_replaced(work: Work[AugmentConfig]) -> Made:
    """Words redrawn among those seen under the same tag (label-wise token replacement)."""
    return _changed(work, replace_tokens)


def shuffled(work: Work[AugmentConfig]) -> Made:
    """Words shuffled within segments."""
    return _changed(work, shuffle_segments)


def _changed(work: Work[AugmentConfig], change: Callable[..., list[Document]]) -> Made:
    return keep_made(work, change(gold_in(work), config=work.config, seed=work.seed))


def _rival(
    name: str,
    run: Run,
    words: str,
    *reads: str,
    by: Literal["rules", "proposals", "annotators"] = "rules",
    names_from: Callable[[Draw, ArmConfig], dict[str, Cell]] = lambda draw, arm: {},
) -> tuple[Stage[AugmentConfig, Made], Source]:
    """The stage ``name`` that reads fields ``reads`` of [augment], and the source that it makes."""
    stage = Stage(name, version=1, config=AugmentConfig, metrics=Made, run=run)

    def cell(draw: Draw, arm: ArmConfig) -> Cell:
        config = AugmentConfig(**draw.config.augment.model_dump(include={"copies", *reads}))
        return draw.cell(stage, config, inputs={"gold": draw.gold, **names_from(draw, arm)})

    return stage, Source(MadeSource(name=name, words=words, by=by, cites=(_CITED,)), cell)


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
    by="proposals",
    names_from=lambda draw, arm: {"names": names.cell(draw)},
)
MINED, MINED_SOURCE = _rival(
    mined.SOURCE_NAME,
    replaced_mined,
    "copies of it whose mentions were replaced, by names mined from notes too",
    *("replace_ratio", "mined_ratio"),
    by="annotators",
    names_from=lambda draw, arm: {"mined": mined.cell(draw, arm)},
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
STAGES = (REPLACED, PROPOSED, MINED, TOKENS, SHUFFLED)
SOURCES = (REPLACED_SOURCE, PROPOSED_SOURCE, MINED_SOURCE, TOKENS_SOURCE, SHUFFLED_SOURCE)
