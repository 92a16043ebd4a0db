"""Options of the whole suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the size of the fault tests."""
    parser.addoption("--full", action="store_true", help="all of the fault tests (make faults)")
    parser.addoption("--fault-table", default="", help="folder for counts of what was tried")
