"""The smallest gain that a recipe's documents and number of draws can show, before anything ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from notesmith.config.recipe import RecipeConfig
from notesmith.evaluate.power import detectable
from notesmith.experiment.cost import SplitStats
from notesmith.experiment.plan import n_replicates, scored_split
from notesmith.findings import OUT_OF_DRAW
from notesmith.rules import ENOUGH_RATIO

# Squared differences of a draw, times mentions scored, as they came out on NCBI Disease (960
# mentions, SD 1.3 and 1.7 F1), BC5CDR (9,809, SD 0.3) and MACCROBAT (about 9,800, SD 0.4); and the
# same of the documents that all draws share (docs/results.md).
_DRAW, _DOCUMENTS = 0.2, 0.007
# More documents do not lessen what draws and students differ in: this share of the variance is that
# of 100 documents (1.44 of 3.6 on NCBI Disease, by the simulations in docs/evaluation.md).
_OF_DOCUMENTS = 0.4
ASSUMED = (
    "two arms differ on one mention in five of the test set from draw to draw, as in this "
    "project's own runs (docs/results.md); one comparison, found four times out of five"
)


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest gain, in F1, that would be found; None for a single draw."""

    split: str
    n_documents: int
    n_mentions: int
    n_replicates: int
    gain: float | None
    assumed: str = ASSUMED

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def smallest_gain(config: RecipeConfig, facts: Mapping[str, SplitStats]) -> Smallest | None:
    """What the recipe's comparison at its main size could find, on the documents that decide.

    Args:
        config: the recipe.
        facts: counts by split, ``train`` and what is scored; None is returned without mentions.
    """
    main = config.draws.sizes[0]
    split = scored_split(config)
    scored = facts.get(split)
    if scored is None or not scored.n_mentions:
        return None
    n = n_replicates(config, main)
    variance = 1e4 * _DRAW / scored.n_mentions
    documents, mentions = scored.n_documents, scored.n_mentions
    if OUT_OF_DRAW in facts and "train" in facts:
        beyond = facts[OUT_OF_DRAW]
        used = main + config.draws.unlabelled_documents
        share = max(0.0, 1 - used / max(1, facts["train"].n_documents))
        left, marked = round(share * beyond.n_documents), round(share * beyond.n_mentions)
        if marked and left >= ENOUGH_RATIO * scored.n_documents:
            more = marked / scored.n_mentions
            variance *= 1 - _OF_DOCUMENTS + _OF_DOCUMENTS / more
            split, documents, mentions = OUT_OF_DRAW, left, marked
    gain = detectable(
        variance**0.5,
        n,
        se_documents=100 * (_DOCUMENTS / mentions) ** 0.5,
        alpha=1 - config.evaluate.confidence,
    )
    return Smallest(split, documents, mentions, n, None if gain is None else round(gain, 1))
