import copy
import json
from pathlib import Path

import pytest

from notesmith.report.reading import read_results

_EXAMPLE = json.loads((Path(__file__).parent / "results-example.json").read_text("utf-8"))


@pytest.fixture
def results():
    return copy.deepcopy(_EXAMPLE)


@pytest.fixture
def view(results):
    return read_results(results)
