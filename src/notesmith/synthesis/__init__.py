"""The generator: a local language model learns from gold to write text and labels together."""

from notesmith.synthesis.config import GenerationConfig, PromptConfig
from notesmith.synthesis.decode import candidates_of
from notesmith.synthesis.generate import SampleOutput, run_sample, run_sft
from notesmith.synthesis.names import NameSet, propose_names
from notesmith.synthesis.reinforce import best_of, reward_of, run_rl
from notesmith.synthesis.requests import Request, plan_requests
from notesmith.synthesis.steer import Coverage, Steering, coverage_of, steering_of

__all__ = [
    "Coverage",
    "GenerationConfig",
    "NameSet",
    "PromptConfig",
    "Request",
    "SampleOutput",
    "Steering",
    "best_of",
    "candidates_of",
    "coverage_of",
    "plan_requests",
    "propose_names",
    "reward_of",
    "run_rl",
    "run_sample",
    "run_sft",
    "steering_of",
]
