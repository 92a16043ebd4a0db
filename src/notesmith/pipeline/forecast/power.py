"""The smallest gain that a recipe's test set and number of draws can show, before anything ran."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from notesmith.config import RecipeConfig
from notesmith.evaluate.power import detectable
from notesmith.pipeline.forecast.facts import SplitFacts
from notesmith.pipeline.plan import n_replicates, scored_split

# Squared differences of a draw, times mentions scored, as they came out on NCBI Disease (960
# mentions, SD 1.3 and 1.7 F1), BC5CDR (9,809, SD 0.3) and MACCROBAT (about 9,800, SD 0.4); and the
# same of the documents that all draws share (docs/results.md).
_DRAW, _DOCUMENTS = 0.2, 0.007
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


def smallest_gain(config: RecipeConfig, scored: SplitFacts) -> Smallest:
    """What the recipe's comparison at its main size could find."""
    n = n_replicates(config, config.draws.sizes[0])
    mentions = max(1, scored.n_mentions)
    gain = detectable(
        100 * (_DRAW / mentions) ** 0.5,
        n,
        se_documents=100 * (_DOCUMENTS / mentions) ** 0.5,
        alpha=1 - config.evaluate.confidence,
    )
    return Smallest(
        scored_split(config),
        scored.n_documents,
        scored.n_mentions,
        n,
        None if gain is None else round(gain, 1),
    )
