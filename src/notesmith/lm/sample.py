"""Sample text from a language model: prompts in, samples in prompt order out.

How rows share a batch is left to ``backends``, legal marks to ``constrain``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from notesmith.config.generator import SampleConfig
from notesmith.lm.samples import Constraints, OnSamples, Sample, SampleResult
from notesmith.progress import OnProgress, silent

if TYPE_CHECKING:
    from notesmith.lm.load import LanguageModel


def sample(
    lm: LanguageModel,
    prompts: Sequence[str],
    config: SampleConfig,
    *,
    seed: int,
    constraint: Constraints = None,
    on_progress: OnProgress = silent,
    finished: Mapping[int, Sample] | None = None,
    on_samples: OnSamples | None = None,
) -> SampleResult:
    """Write one sample after each prompt.

    A sample depends on (seed, its index, its prompt) only, not on the batch, as far as rounding
    allows. ``constraint`` holds for all prompts, or is a sequence with one (or None) a prompt.
    Samples in ``finished`` (by index) are not written again; ``on_samples`` gets each new one
    soon after it ends, in no order, so that a caller can save it.

    Raises:
        StageError: a prompt and its sample do not fit the model; a constraint a prompt is missing.
    """
    from notesmith.lm.backends.transformers import TransformersBackend

    return TransformersBackend(lm).sample(
        prompts,
        config,
        seed=seed,
        constraint=constraint,
        on_progress=on_progress,
        finished=finished,
        on_samples=on_samples,
    )
