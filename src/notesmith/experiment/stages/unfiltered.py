"""A rival: all text of the generator that parses, whatever the filters would say of it."""

from __future__ import annotations

from notesmith.config.fields import Config
from notesmith.config.recipe import ArmConfig
from notesmith.document import Document
from notesmith.experiment import artefacts as files
from notesmith.experiment.draw import Draw, Source
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.stages import sample
from notesmith.experiment.stages.common import Made, gold_in, keep_made
from notesmith.experiment.stages.filtered import unit_of
from notesmith.filters.run import kept_at_most
from notesmith.findings import MadeSource


class Settings(Config):
    """Texts kept at most, as a multiple of gold units; all if None."""

    keep_per_gold: float | None = None


def cell(draw: Draw, arm: ArmConfig) -> Cell:
    """The text of an arm's generator, unfiltered."""
    most = sample.times(draw.config.filter.keep_per_gold, arm.amount)
    return draw.cell(
        STAGE,
        Settings(keep_per_gold=most),
        inputs={"gold": draw.gold, "candidates": sample.cell(draw, arm)},
    )


def run(work: Work[Settings]) -> Made:
    """Keep all text that parses."""
    candidates = files.load_candidates(work.inputs["candidates"])
    parsed = [c.result for c in candidates if isinstance(c.result, Document)]
    limit = kept_at_most(work.config.keep_per_gold, gold_in(work), unit_of(work.cell))
    return keep_made(work, parsed[:limit])


STAGE = Stage("unfiltered", version=1, config=Settings, metrics=Made, run=run)
SOURCE = Source(
    MadeSource(
        name="synthetic-unfiltered", words="the generator's text, unfiltered", by="generator"
    ),
    cell,
)
