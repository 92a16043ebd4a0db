"""What a run will take and can show, before it runs: facts, speeds, workload, checks.

Names load on first use, so that the command line answers before the libraries load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notesmith.forecast.forecast import Forecast, forecast_run
    from notesmith.forecast.resources import Resources, resources

_WHERE = {
    "Forecast": "forecast",
    "Resources": "resources",
    "forecast_run": "forecast",
    "resources": "resources",
}
__all__ = ["Forecast", "Resources", "forecast_run", "resources"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"notesmith.forecast.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'notesmith.forecast' has no attribute {name!r}")
