"""`watch`: gradients at nodes, and of a shared leaf use by use."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import autograd as ag
from autograd import Variable


def loop(W, x, T):
    h = x
    for t in range(T):
        with ag.scope("rnn"), ag.step(t):
            h = ag.tanh(h @ W)
    return h


def leaves():
    rng = np.random.default_rng(0)
    return Variable(rng.normal(size=(3, 3)), name="W"), Variable(rng.normal(size=(2, 3)))


def test_uses_in_order_with_their_place():
    W, x = leaves()
    with ag.watch() as watch:
        loop(W, x, 4).sum().backward()
    uses = watch.uses(W)
    assert [(use.scope, use.step, use.op) for use in uses] == [("rnn", t, "MatMul") for t in range(4)]
    assert [use.number for use in uses] == sorted(use.number for use in uses)


def test_each_use_is_the_gradient_of_a_copy_used_there_alone():
    W, x = leaves()
    copies = [Variable(W.data.copy()) for _ in range(4)]
    h = x
    for copy in copies:
        h = ag.tanh(h @ copy)
    h.sum().backward()
    with ag.watch() as watch:
        loop(W, x, 4).sum().backward()
    for use, copy in zip(watch.uses(W), copies, strict=True):
        assert_allclose(use.grad, copy.grad.data, rtol=1e-12)
    assert_allclose(sum(use.grad for use in watch.uses(W)), W.grad.data, rtol=1e-12)


def test_a_weight_read_and_multiplied():
    """Contributions of different kinds, joined without a watch, are seen apart by it."""
    W = Variable(np.arange(6.0).reshape(3, 2))
    x = np.ones((4, 3))

    def loss():
        return (W[np.array([0, 0, 2])] ** 2).sum() + (x @ W).sum()

    loss().backward()
    expected, W.grad = W.grad.data, None
    with ag.watch() as watch:
        loss().backward()
    assert [use.op for use in watch.uses(W)] == ["Index", "MatMul"]
    assert_allclose(W.grad.data, expected)


def test_gradient_of_intermediates_and_nodes():
    x = Variable(np.array([1.0, 2.0, 3.0, 4.0]))
    a, b = ag.split(x * 2.0, 2)
    y = (a * b).sum()
    unused = x * 3.0
    with ag.watch() as watch:
        y.backward()
    assert_allclose(watch.gradient(a), b.data)
    assert_allclose(watch.gradient(b), a.data)
    assert_allclose(watch.gradient(y), 1.0)
    assert_allclose(np.concatenate(watch.gradient(a.creator)), np.concatenate([b.data, a.data]))
    assert watch.gradient(unused) is None and watch.gradient(unused.creator) is None
    with pytest.raises(ValueError, match="uses"):
        watch.gradient(x)


def test_under_create_graph():
    x = Variable(3.0)
    with ag.watch() as watch:
        g = ag.grad(x**3.0, x, create_graph=True)
    assert_allclose(watch.uses(x)[0].grad, 27.0)
    assert_allclose(ag.grad(g, x).item(), 18.0)


def test_nothing_is_seen_outside():
    W, x = leaves()
    with ag.watch() as watch:
        y = loop(W, x, 2).sum()
    y.backward()
    assert watch.uses(W) == []
