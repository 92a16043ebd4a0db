"""The stage of coverage: how much of what gold lacks stands in made text."""

from __future__ import annotations

from notesmith.config.recipe import ArmConfig
from notesmith.experiment import artefacts as files
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import filtered, names
from notesmith.experiment.stages.common import folded_mentions, gold_in
from notesmith.experiment.stages.score import ScoredDocuments, open_documents, outside_of
from notesmith.metrics import fold_mention


class Measured(Metrics):
    """Mentions of the split unseen in gold, and shares of them, 0 to 1, that stand in made text.

    ``unseen_names`` are distinct; ``covered_by_proposals`` is the share among proposed names.
    """

    split: str
    unseen_mentions: int
    unseen_names: int
    covered_by_made: float
    covered_by_proposals: float


def cell(draw: Draw, arm: ArmConfig, split: str) -> Cell:
    """How much of what gold lacks stands in the arm's synthetic text."""
    own, fingerprints = outside_of(draw, split)
    made = filtered.cell(draw, arm)
    return draw.cell(
        STAGE,
        ScoredDocuments.of(draw, split),
        inputs={"gold": draw.gold, "made": made, "names": names.cell(draw), **own},
        fingerprints=fingerprints,
        seed=0,
        arm=arm.name,
    )


def run(work: Work[ScoredDocuments]) -> Measured:
    """How many test mentions that gold lacks stand in made text: known only after the fact."""
    docs = open_documents(work, work.config).docs
    gold = folded_mentions(gold_in(work))
    made = folded_mentions(files.load_docs(work.inputs["made"]))
    unseen = [
        mention
        for doc in docs
        for mention in map(fold_mention, doc.mentions())
        if mention not in gold
    ]
    proposed = {
        fold_mention(name)
        for found in files.load_names(work.inputs["names"]).names.values()
        for name in found
    }
    n = max(1, len(unseen))
    return Measured(
        split=work.config.split,
        unseen_mentions=len(unseen),
        unseen_names=len(set(unseen)),
        covered_by_made=sum(mention in made for mention in unseen) / n,
        covered_by_proposals=sum(mention in proposed for mention in unseen) / n,
    )


STAGE = Stage(
    "coverage", version=1, config=ScoredDocuments, metrics=Measured, run=run, text_free=True
)
