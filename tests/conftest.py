"""What all tests share: seeds, and a check that no test leaves the engine in another mode.

Every test starts from the same random numbers, in whatever order and company it runs. With TEST_SEED=n in the
environment these are others (initial weights, masks, examples of Hypothesis), and the order is shuffled:
`.ci/full` does so with an n that it prints, and so does the last line of a run.
"""

import gc
import os
import random
import sys
from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest

import nn
from autograd.modes import Thread, local
from autograd.replay import sources

SEED = int(os.environ.get("TEST_SEED", "0"))
SHUFFLED = "TEST_SEED" in os.environ

hypothesis.settings.register_profile("bptt", derandomize=True, deadline=None, database=None, max_examples=60)
hypothesis.settings.load_profile("bptt")


def pytest_collectstart(collector):
    """What a file makes when it is imported does not depend on the files before it."""
    nn.manual_seed(SEED)


def pytest_collection_modifyitems(items):
    """Shuffle files and the tests in each, so that fixtures of a file are made once; seed Hypothesis."""
    if not SHUFFLED:
        return
    shuffle = random.Random(SEED)
    place = {path: shuffle.random() for path in dict.fromkeys(item.path for item in items)}
    shuffle.shuffle(items)
    items.sort(key=lambda item: place[item.path])
    for item in items:
        if getattr(item.obj, "is_hypothesis_test", False):
            hypothesis.seed(SEED)(item.obj)


generators = []  # of random numbers, among the objects that were set aside
sources.gc = SimpleNamespace(get_objects=lambda: generators + gc.get_objects())


def set_aside():
    """Keep what there is, a million objects of pytest's, from the garbage collector and from recordings.

    A recording looks for generators of random numbers in all that the collector knows. It finds them still.
    """
    gc.collect()
    kinds = random.Random, np.random.RandomState, np.random.BitGenerator
    generators.extend([x for x in gc.get_objects() if issubclass(type(x), kinds)])
    gc.freeze()


def pytest_collection_finish():
    set_aside()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    if nextitem is None or nextitem.path != item.path:
        set_aside()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """What fixtures of a file make does not depend on the tests before it."""
    nn.manual_seed(SEED)


def pytest_terminal_summary(terminalreporter):
    if SHUFFLED:
        terminalreporter.write_line(f"order, weights and examples by TEST_SEED={SEED}")


def thread_state():
    """All per-thread state of the engine, comparable."""
    thread = local.thread
    return {name: getattr(thread, name) for name in Thread.__slots__}


@pytest.fixture(autouse=True)
def seeded():
    """What a test makes does not depend on fixtures that it may be the first to use."""
    nn.manual_seed(SEED)


@pytest.fixture(autouse=True)
def figures_are_closed():
    """pyplot keeps every figure that a plot makes."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture
def rng():
    return np.random.default_rng(SEED)


@pytest.fixture(autouse=True)
def modes_are_restored():
    """Fails a test that leaves recording, place, instruments or any other mode changed."""
    before = thread_state()
    yield
    after = thread_state()
    local.thread = Thread()
    assert all(after[name] is before[name] for name in before), (before, after)
