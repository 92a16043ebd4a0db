"""The generator: a local language model learns from gold to write text and labels together."""

from notesmith.synthesize.decode import candidates_of
from notesmith.synthesize.generate import SampleOutput, run_sample, run_sft
from notesmith.synthesize.names import NameSet, propose_names
from notesmith.synthesize.requests import Request, plan_requests

__all__ = [
    "NameSet",
    "Request",
    "SampleOutput",
    "candidates_of",
    "plan_requests",
    "propose_names",
    "run_sample",
    "run_sft",
]
