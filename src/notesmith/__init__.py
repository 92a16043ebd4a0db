"""notesmith: more labelled clinical text from a local language model, and proof whether it helped.

The names below load on first use, so that ``import notesmith`` is quick and loads no torch. Type
checkers and editors read ``__init__.pyi`` instead: a new name is a line here and a line there.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "Document": "notesmith.document",
    "Entity": "notesmith.document",
    "Relation": "notesmith.document",
    "Provenance": "notesmith.document",
    "ReadingConfig": "notesmith.config.corpus",
    "read_corpus": "notesmith.corpus.reading",
    "write_corpus": "notesmith.corpus.reading",
    "score": "notesmith.metrics",
    "train_ner": "notesmith.ner.train",
    "load_ner": "notesmith.ner.model",
    "run_recipe": "notesmith.experiment.run",
    "synthesize": "notesmith.workflows.synthesize",
    "annotate": "notesmith.workflows.annotate",
}
__all__ = [*_WHERE, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'notesmith' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
