"""The student: train an encoder for named entity recognition, predict, save and load.

Names are loaded on first use, so that importing this package loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notesmith.ner.crossfit import Committee, train_committee
    from notesmith.ner.decode import Decision, WordScores
    from notesmith.ner.model import NerModel, load_ner
    from notesmith.ner.onnx_export import export_onnx
    from notesmith.ner.student import Student, load_student
    from notesmith.ner.train import NerResult, train_ner
    from notesmith.ner.votes import Votes

__all__ = [
    "Committee",
    "Decision",
    "NerModel",
    "NerResult",
    "Student",
    "Votes",
    "WordScores",
    "export_onnx",
    "load_ner",
    "load_student",
    "train_committee",
    "train_ner",
]

_HOME = {
    "Committee": "crossfit",
    "train_committee": "crossfit",
    "NerModel": "model",
    "Decision": "decode",
    "WordScores": "decode",
    "export_onnx": "onnx_export",
    "load_ner": "model",
    "Student": "student",
    "load_student": "student",
    "NerResult": "train",
    "train_ner": "train",
    "Votes": "votes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
