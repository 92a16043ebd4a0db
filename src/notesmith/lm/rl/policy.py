"""The model in training, and the reference beside it."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from notesmith.config.generator import SampleConfig
from notesmith.config.rewards import RlConfig
from notesmith.errors import StageError
from notesmith.lm.constrain import Forbidden, forbidden_along
from notesmith.lm.load import LanguageModel, write_model_folder
from notesmith.lm.rl.objectives.grpo import kl_terms
from notesmith.lm.rl.run import LORA, Run, seed_at
from notesmith.lm.rollout import Rollout
from notesmith.lm.sample import sample
from notesmith.lm.samples import Constraints, Sample, SampleResult
from notesmith.lm.training.batches import Row, parts_for
from notesmith.lm.training.loop import autocast, multiplies_bf16
from notesmith.lm.training.lora import add_lora, folder_weights, plain_model

if TYPE_CHECKING:
    from notesmith.lm.backends.vllm import VllmBackend

# Stands for a completion that another process draws.
_ELSEWHERE = Sample(-1, "", (), ended=False)


class TrainedPolicy:
    """A float32 copy of the model, or LoRA layers over the model's own weights.

    The reference is the model that came in. What samples is the copy itself; with LoRA it is a
    further copy that takes the merged weights each time, for the fast decoder has no adapters; so
    is what vLLM holds.
    """

    def __init__(self, run: Run) -> None:
        lm, rank = run.lm, run.config.lora_rank
        self._run, self.reference, self.pad_id = run, lm.model, lm.pad_id
        self.bf16 = multiplies_bf16(lm)
        self._dtype = lm.model.dtype
        self.model: Any
        if rank:
            tensors = chain(lm.model.parameters(), lm.model.buffers())
            shared = copy.deepcopy(lm.model, {id(t): t for t in tensors})
            self.model = add_lora(shared, rank, seed=seed_at(run.seed, LORA, 0))
            self._sampler = replace(lm, model=copy.deepcopy(lm.model))
        else:
            self.model = copy.deepcopy(lm.model).to(torch.float32)
            self._sampler = replace(lm, model=self.model)
        if (with_vllm := run.config.rollouts == "vllm") and run.processes.n > 1:
            raise StageError('rl.rollouts = "vllm" is for one process; with several take "own"')
        self._vllm = _vllm(lm, run.config) if with_vllm else None
        # What is drawn and what is learnt from must be the same policy.
        for module in self.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0

    def sample(
        self, prompts: Sequence[str], config: SampleConfig, *, seed: int, constraint: Constraints
    ) -> SampleResult:
        """Completions of the policy as it is now; see ``notesmith.lm.sample.sample``.

        Each process draws its share.
        """
        if self._vllm is not None:
            self._vllm.load_weights(self.weights())
            return self._vllm.sample(prompts, config, seed=seed, constraint=constraint)
        if self._run.config.lora_rank:
            self._sampler.model.load_state_dict(self.weights(), strict=False)
        processes = self._run.processes
        mine = processes.share(len(prompts))
        others = {i: _ELSEWHERE for i in range(len(prompts)) if i not in mine}
        drawn = sample(
            self._sampler, prompts, config, seed=seed, constraint=constraint, finished=others
        )
        own = replace(drawn, samples=drawn.samples[mine.start : mine.stop])
        found = processes.gathered([own])
        samples = tuple(chain.from_iterable(one.samples for one in found))
        return SampleResult(samples, sum(one.tokens for one in found), drawn.seconds)

    def weights(self) -> dict[str, Tensor]:
        """Copy of the weights as they would be saved."""
        return folder_weights(self.model, self._dtype)

    def trained(self) -> dict[str, Tensor]:
        """The parameters that training changes."""
        return {k: p.detach() for k, p in self.model.named_parameters() if p.requires_grad}

    def load(self, trained: Mapping[str, Tensor]) -> None:
        """Take over ``trained()`` of an earlier policy."""
        with torch.no_grad():
            for name, own in self.trained().items():
                own.copy_(trained[name])

    def rows(self, rollouts: Sequence[Rollout]) -> list[Row]:
        """Completions after their prompts, in ids; those that ended with the end of text."""
        lm = self._run.lm
        used = sorted({r.prompt for r in rollouts})
        encoded = lm.encode_prompts([self._run.prompts[i] for i in used])
        # As in sampling: without a first token the first one of a completion follows nothing.
        heads = {i: tuple(ids) or (lm.eos_ids[0],) for i, ids in zip(used, encoded, strict=True)}
        end = (lm.eos_ids[0],)
        tails = [(*r.token_ids, *(end if r.ended else ())) for r in rollouts]
        return [
            Row((*heads[r.prompt], *tail), len(tail))
            for r, tail in zip(rollouts, tails, strict=True)
        ]

    def forbidden(self, prompts: Sequence[int], rows: Sequence[Row]) -> list[Forbidden] | None:
        """What the completion tokens of each row, of prompt ``prompts[i]``, could not have been."""
        rules = self._run.constraint
        if rules is None:
            return None
        own = [rules[i] if isinstance(rules, Sequence) else rules for i in prompts]
        return forbidden_along(own, [row.completion for row in rows])

    def log_probs(
        self,
        model: Any,
        rows: Sequence[Row],
        temperature: float,
        forbidden: Sequence[Forbidden] | None,
    ) -> list[Tensor]:
        """Log-probabilities of each row's completion tokens, in nats, without gradients."""
        found: list[Tensor] = [torch.empty(0)] * len(rows)
        training = model.training
        model.eval()
        with torch.no_grad(), autocast(model.device, self.bf16):
            for part in parts_for(model, rows, pad_id=self.pad_id, forbidden=forbidden):
                pieces = part.log_probs(model, temperature).cpu().split(part.lengths)
                for i, piece in zip(part.rows, pieces, strict=True):
                    found[i] = piece
        model.train(training)
        return found

    def kl(self, rollouts: Sequence[Rollout]) -> float:
        """Distance of the policy to the reference on the policy's own completions, nats a token."""
        rows, temperature = self.rows(rollouts), self._run.config.temperature
        rules = self.forbidden([r.prompt for r in rollouts], rows)
        mine, theirs = (
            torch.cat(self.log_probs(model, rows, temperature, rules)).double()
            for model in (plain_model(self.model), self.reference)
        )
        return float(kl_terms(mine, theirs).mean())


def _vllm(lm: LanguageModel, config: RlConfig) -> VllmBackend:
    """vLLM on the GPU that trains, with the weights of ``lm`` until others are loaded."""
    from notesmith.lm.backends.vllm import VllmBackend

    with tempfile.TemporaryDirectory() as folder:
        write_model_folder(lm, Path(folder))
        return VllmBackend(
            lm, Path(folder), own_process=False, gpu_memory_utilization=config.vllm_memory_ratio
        )


@contextmanager
def policy_of(run: Run) -> Iterator[TrainedPolicy]:
    """A policy to train, so that the model that came in is the same after."""
    model = run.lm.model
    needed = [(p, p.requires_grad) for p in model.parameters()]
    training = model.training
    model.eval()
    try:
        yield TrainedPolicy(run)
    finally:
        for parameter, needs in needed:
            parameter.requires_grad_(needs)
        model.train(training)
