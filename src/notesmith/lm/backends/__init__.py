"""Where samples come from: this process (default), vLLM, or an OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from notesmith.config import SampleConfig
from notesmith.lm.sample import Constraints, OnSamples, Sample, SampleResult
from notesmith.progress import OnProgress, silent


class Backend(Protocol):
    """Writes one sample after each prompt; see ``notesmith.lm.sample.sample``."""

    def sample(
        self,
        prompts: Sequence[str],
        config: SampleConfig,
        *,
        seed: int,
        constraint: Constraints = None,
        on_progress: OnProgress = silent,
        finished: Mapping[int, Sample] | None = None,
        on_samples: OnSamples | None = None,
    ) -> SampleResult: ...
