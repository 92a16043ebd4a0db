"""Sample with vLLM, for GPUs: the same prompts, settings and ends; no constraints.

Not run on a GPU so far: tests use a stand-in for the package.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from notesmith.config.generator import SampleConfig
from notesmith.errors import MissingExtraError
from notesmith.lm.backends import refuse_constraint, seed_of
from notesmith.lm.samples import Constraints, OnSamples, Sample, SampleResult
from notesmith.models.door import check_folder
from notesmith.progress import OnProgress, Progress, silent

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from notesmith.lm.load import LanguageModel


class VllmBackend:
    """A vLLM engine over a model folder; ``lm`` gives the tokenizer."""

    def __init__(
        self, lm: LanguageModel, folder: Path, *, own_process: bool = True, **options: Any
    ) -> None:
        """Start the engine on ``folder``, which was checked; ``options`` go to ``vllm.LLM``.

        ``load_weights`` needs an engine without a process of its own.

        Raises:
            MissingExtraError: vLLM is not installed.
            ModelError: the folder is refused (see ``notesmith.models.door``).
        """
        check_folder(folder)
        if not own_process:
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        try:
            vllm = import_module("vllm")
        except ModuleNotFoundError as error:
            raise MissingExtraError("vllm", "vllm") from error
        self._lm, self._vllm = lm, vllm
        self._engine = vllm.LLM(
            model=str(folder),
            skip_tokenizer_init=True,
            trust_remote_code=False,
            load_format="safetensors",
            **options,
        )

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Go on with other weights of the same model, by their names in its folder."""
        # As TRL 1.16 reaches the weights of an engine in its own process.
        worker = self._engine.llm_engine.model_executor.driver_worker
        worker.model_runner.model.load_weights(weights.items())
        self._engine.reset_prefix_cache()

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
    ) -> SampleResult:
        """See ``notesmith.lm.sample.sample``; prompts go in portions of ``16 * batch_size``."""
        refuse_constraint(constraint, "vLLM")
        started = time.perf_counter()
        done = {i: s for i, s in (finished or {}).items() if 0 <= i < len(prompts)}
        todo = [i for i in range(len(prompts)) if i not in done]
        encoded = self._lm.encode_prompts([prompts[i] for i in todo]) if todo else []
        tokens, portion = 0, 16 * config.batch_size
        for first in range(0, len(todo), portion):
            some = todo[first : first + portion]
            outputs = self._engine.generate(
                [{"prompt_token_ids": ids} for ids in encoded[first : first + portion]],
                [self._parameters(config, seed_of(seed, i)) for i in some],
                use_tqdm=False,
            )
            written = [self._read(i, o.outputs[0]) for i, o in zip(some, outputs, strict=True)]
            tokens += sum(len(s.token_ids) + s.ended for s in written)
            done |= {s.index: s for s in written}
            if on_samples:
                on_samples(written)
            seconds = time.perf_counter() - started
            on_progress(Progress("sample", len(done), len(prompts), "samples", tokens, seconds))
        samples = tuple(done[i] for i in range(len(prompts)))
        return SampleResult(samples, tokens, time.perf_counter() - started)

    def _parameters(self, config: SampleConfig, seed: int) -> Any:
        return self._vllm.SamplingParams(
            temperature=config.temperature,
            top_k=config.top_k,
            top_p=config.top_p,
            max_tokens=config.max_new_tokens,
            stop_token_ids=list(self._lm.eos_ids),
            seed=seed,
            detokenize=False,
        )

    def _read(self, index: int, output: Any) -> Sample:
        ends = set(self._lm.eos_ids)
        ids = [int(i) for i in output.token_ids]
        while ids and ids[-1] in ends:
            ids.pop()
        return Sample(index, self._lm.decode(ids), tuple(ids), output.finish_reason == "stop")
