"""Options of the whole suite, what keeps it quick, and a home of its own for every test."""

from __future__ import annotations

import gc
import os
from itertools import count

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every run; `pytest --hypothesis-profile=default` draws new ones, and three
# times as many. Machines that run tests are often busy: time is no reason to fail.
settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("same")

# Tests run side by side, on models so small that a second thread only waits for the first. It has
# to be said before PyTorch loads, and holds for processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the size of the fault tests."""
    parser.addoption("--full", action="store_true", help="all of the fault tests (make faults)")
    parser.addoption("--fault-table", default="", help="folder for counts of what was tried")


def pytest_collection_finish() -> None:
    """Look for no garbage among the libraries and tests that are loaded: they stay."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_forced_onto_the_disk():
    """No test loses power, and a disk takes milliseconds a file. Tests of writing patch the call.

    What replaces it here is counted and made to fail by those tests just as well.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def _homes(tmp_path_factory):
    """Paths that are not there yet: a folder a test would be looked through for every other."""
    folder = tmp_path_factory.mktemp("homes")
    return (str(folder / str(i)) for i in count())


@pytest.fixture(scope="module", autouse=True)
def _home_of_module(_homes):
    """What is cached and registered by the fixtures of a module stays with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTESMITH_HOME", next(_homes))
        yield


@pytest.fixture(autouse=True)
def _home_of_test(_homes, _home_of_module, monkeypatch):
    """Nothing that one test opens counts for another."""
    monkeypatch.setenv("NOTESMITH_HOME", next(_homes))
