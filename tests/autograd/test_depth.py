"""Long chains and memory: no recursion anywhere, no reference cycles, nothing kept that need not be."""

import gc
import tracemalloc
import weakref
from contextlib import suppress

import numpy as np
import pytest

import autograd as ag
from autograd import Function, Variable, grad, gradcheck, no_grad, numpy_api
from autograd.functional import jacobian
from autograd.modes import instrumented
from tests.cases.costs import calls

LONG = 100_000


@pytest.fixture
def no_collector():
    """The cyclic collector is off, and nothing is left for it when the test is over."""
    for function in numpy_api.FUNCTIONS:
        numpy_api._signature(function)  # once in a process; `inspect` leaves cycles
    gc.collect()
    gc.disable()
    try:
        yield
        assert gc.collect() == 0
    finally:
        gc.enable()


class Survivors(weakref.WeakSet):
    """An instrument that knows which nodes made while it was installed are still alive."""

    def forward(self, node, inputs, outputs):
        self.add(node)

    def backward(self, node, gys, gxs):
        pass


def chain(x, length):
    y = x
    for _ in range(length // 2):
        y = y * 0.999
        y = y + x
    return y


def test_a_hundred_thousand_nodes(no_collector):
    """Building, a pass, a targeted pass and the end of the graph, all without recursion."""
    x = Variable(1.0)
    nodes = Survivors()
    with instrumented(nodes):
        y = chain(x, LONG)
    assert len(nodes) == LONG
    g = grad(y, x, retain_graph=True)
    y.backward()
    expected = 0.999 ** (LONG // 2) + (1 - 0.999 ** (LONG // 2)) / (1 - 0.999)
    assert g.item() == x.grad.item() == pytest.approx(expected)
    assert len(nodes) == LONG  # the structure is still there
    del y
    assert len(nodes) == 0


def test_a_hundred_thousand_slots(no_collector):
    """A chain through operations with several outputs."""
    x = Variable(np.array([1.0, 1.0]))
    y = x
    for _ in range(LONG // 4):
        a, b = ag.split(y, 2)
        y = ag.concatenate([b, a])
    y.backward(np.array([1.0, 2.0]))
    assert x.grad.tolist() == [1.0, 2.0]


def test_second_order_through_a_long_chain():
    x = Variable(0.5)
    y = x
    for _ in range(5_000):
        y = ag.tanh(y) * 1.0001
    g = grad(y, x, create_graph=True)
    assert np.isfinite(grad(g, x).item())


def test_dying_from_the_front():
    """Cutting the chain where it starts frees nothing that is still held, and does not recurse."""
    x = Variable(1.0)
    first = x * 2.0
    y = chain(first, 20_000)
    first.unchain()
    y.backward()
    assert x.grad is None


@pytest.mark.parametrize("f", [
    lambda x, w: ag.sum(ag.tanh(x @ w)),
    lambda x, w: ag.sum(ag.concatenate(ag.split(x @ w, 2, 1)) ** 2),
    lambda x, w: ag.sum(w[[0, 0, 2]] * ag.softmax(x @ w)[:3]),
    lambda x, w: ag.sum(ag.stack(list(x @ w)) / ag.sqrt(ag.var(w) + 1.0)),
])  # fmt: skip
def test_nothing_survives_the_last_handle(f, no_collector):
    rng = np.random.default_rng(0)
    x, w = Variable(rng.standard_normal((3, 4))), Variable(rng.standard_normal((4, 6)))
    nodes = Survivors()
    with instrumented(nodes):
        y = f(x, w)
        y.backward()
        y = f(x, w)  # never differentiated
        h = x @ w
        h.retain_grad()
        h.register_hook(lambda g: None)
        ag.sum(h * h).backward()
        h.unchain()
        g = grad(f(x, w), [x, w], create_graph=True)
        second = grad(ag.sum(g[0] * g[0]), w, allow_unused=True)
        jacobian(f, x, w)
        assert len(nodes) > 10
    del y, h, g, second
    assert len(nodes) == 0


def test_nothing_survives_a_failed_pass(no_collector):
    x = Variable(np.ones(3))
    nodes = Survivors()
    with instrumented(nodes):
        h = x * 2.0
        h.register_hook(lambda g: 1 / 0)
        with suppress(ZeroDivisionError):
            (h * h).sum().backward()
    del h
    assert len(nodes) == 0


def test_gradcheck_leaves_no_cycles(no_collector):
    gradcheck(lambda x: ag.tanh(x) * x, np.ones(3), order=2)


def test_saved_arrays_are_released_by_the_pass(no_collector):
    x, w = Variable(np.ones((50, 40))), Variable(np.ones((40, 30)))
    h = ag.tanh(x @ w)
    saved = weakref.ref(h.data)
    y = ag.sum(h * h)
    del h
    assert saved() is not None
    y.backward(retain_graph=True)
    assert saved() is not None
    y.backward()
    assert saved() is None


def test_only_what_backward_asks_for_is_kept():
    x = Variable(np.ones((50, 40)))
    h = x * 2.0  # keeps x, a leaf, and a number
    inner = weakref.ref(h.data)
    y = ag.exp(h + 1.0)  # keeps y
    del h
    assert inner() is None
    assert [a.shape for a in y.creator.saved] == [(50, 40)]


def test_after_release_no_node_holds_an_array():
    x, w = Variable(np.ones((4, 3))), Variable(np.ones((3, 3)))
    index, mask = np.array([0, 1, 1, 3]), np.eye(4, 3) > 0
    y = ag.sum(ag.where(mask, x @ w, 0.0)[index] * ag.max(x, axis=0)) + ag.sum(ag.index_update(x, mask, 1.0))
    stack, seen = [y.creator], set()
    y.backward()
    while stack:
        node = stack.pop()
        if isinstance(node, Function) and node not in seen:
            seen.add(node)
            arrays = [name for name, value in vars(node).items() if isinstance(value, np.ndarray)]
            assert node.saved is None and not arrays, (node.label, arrays)
            stack += [getattr(edge, "node", edge) for edge in node.edges]
    labels = {node.label for node in seen}
    assert labels >= {"Where", "MatMul", "Index", "Max", "Sum", "Mul", "Add"}


def test_a_pass_frees_gradients_on_the_way():
    """Peak memory of a pass is a few arrays, not one per node."""
    x = Variable(np.ones(10_000))
    y = x
    for _ in range(300):
        y = y + 1.0  # saves nothing
    y = y.sum()
    tracemalloc.start()
    y.backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * x.data.nbytes


def test_no_grad_builds_nothing(no_collector):
    x = Variable(np.ones(3))
    nodes = Survivors()
    with instrumented(nodes), no_grad():
        y = chain(x, 100)
    assert len(nodes) == 0 and y.creator is None


def test_memory_stays_flat_over_many_steps(no_collector):
    rng = np.random.default_rng(0)
    w = Variable(rng.standard_normal((20, 20)) / 5)
    x = rng.standard_normal((10, 20))

    def train(steps):
        for _ in range(steps):
            h = x
            for _ in range(5):
                h = ag.tanh(h @ w)
            ag.mean(h * h).backward()
            w.data -= 0.01 * w.grad.data
            w.grad = None

    train(20)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    train(300)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 20_000


def test_the_work_of_a_pass_is_linear_in_its_length():
    """Eight times the steps take eight times the calls: far from the 64 of a quadratic walk."""

    def run(steps):
        x, w = Variable(np.ones((steps, 2, 2))), Variable(np.eye(2))
        h = 0.0
        for part in x:
            h = ag.tanh(part @ w + h)
        ag.sum(h).backward()

    run(2)  # what is computed once
    assert calls(lambda: run(800)) < 8.1 * calls(lambda: run(100))
