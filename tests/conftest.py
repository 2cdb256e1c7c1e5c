"""What all tests share: a seeded generator, and a check that no test leaves the engine in another mode."""

import numpy as np
import pytest
from hypothesis import settings

from autograd.modes import Thread, local

settings.register_profile("bptt", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("bptt")


def thread_state():
    """All per-thread state of the engine, comparable."""
    thread = local.thread
    return {name: getattr(thread, name) for name in Thread.__slots__}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def modes_are_restored():
    """Fails a test that leaves recording, place, instruments or any other mode changed."""
    before = thread_state()
    yield
    after = thread_state()
    local.thread = Thread()
    assert all(after[name] is before[name] for name in before), (before, after)
