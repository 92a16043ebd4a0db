"""Where samples come from: this process (default), vLLM, or an OpenAI-compatible server."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from notesmith.config.generator import SampleConfig
from notesmith.errors import StageError
from notesmith.lm.samples import Constraints, OnSamples, Sample, SampleResult
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


def seed_of(seed: int, index: int) -> int:
    """A seed of 31 bits for sample ``index``, for engines that draw by themselves."""
    digest = hashlib.blake2b(f"{seed} {index}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) & 0x7FFFFFFF


def refuse_constraint(constraint: Constraints, backend: str) -> None:
    """Say that ``backend`` cannot keep marks in legal places, rather than ignore it.

    Raises:
        StageError: there is a constraint.
    """
    some = any(constraint) if isinstance(constraint, Sequence) else constraint is not None
    if some:
        raise StageError(
            f"the {backend} backend cannot constrain marks: set sample.constrain = 'none' "
            "(faulty samples are dropped and counted) or sample in this process"
        )
