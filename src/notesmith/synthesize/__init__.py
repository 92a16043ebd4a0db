"""The generator: a local language model learns from gold to write text and labels together."""

from notesmith.synthesize.decode import candidates_of
from notesmith.synthesize.generate import SampleOutput, run_sample, run_sft
from notesmith.synthesize.names import NameSet, propose_names
from notesmith.synthesize.reinforce import best_of, reward_of, run_rl
from notesmith.synthesize.requests import Request, plan_requests

__all__ = [
    "NameSet",
    "Request",
    "SampleOutput",
    "best_of",
    "candidates_of",
    "plan_requests",
    "propose_names",
    "reward_of",
    "run_rl",
    "run_sample",
    "run_sft",
]
