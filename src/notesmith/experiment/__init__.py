"""Recipes, cells and the main job: from a corpus to a verdict, cached and resumable.

Names load on first use, so that the command line answers before the libraries load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notesmith.experiment.packaged import packaged_recipes
    from notesmith.experiment.recipes import load_recipe, preview
    from notesmith.experiment.run import RunResult, Status, run_recipe, status_of, write_results

_WHERE = {
    "RunResult": "run",
    "Status": "run",
    "load_recipe": "recipes",
    "packaged_recipes": "packaged",
    "preview": "recipes",
    "run_recipe": "run",
    "status_of": "run",
    "write_results": "run",
}
__all__ = [
    "RunResult",
    "Status",
    "load_recipe",
    "packaged_recipes",
    "preview",
    "run_recipe",
    "status_of",
    "write_results",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"notesmith.experiment.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'notesmith.experiment' has no attribute {name!r}")
