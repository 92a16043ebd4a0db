"""One thread a test process: tiny matrices gain nothing from more, and lose much when sharing."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)
