"""The first recipe: look at a corpus and at the machine, choose, and write it with the reasons.

Names load on first use, so that the command line answers before the libraries load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notesmith.init.write import InitResult, init_recipe

_WHERE = {"InitResult": "write", "init_recipe": "write"}
__all__ = ["InitResult", "init_recipe"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"notesmith.init.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'notesmith.init' has no attribute {name!r}")
