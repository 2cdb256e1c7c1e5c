"""`checkpoint`: the same values and gradients of every order, with less kept."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import autograd as ag
from autograd import Variable, checkpoint, grad


def make():
    rng = np.random.default_rng(0)
    W, b = Variable(rng.normal(size=(3, 3)), name="W"), Variable(rng.normal(size=3))
    x = Variable(rng.normal(size=(2, 3)))
    return W, b, x


def steps(W, b, n=3):
    def f(h):
        for _ in range(n):
            h = ag.tanh(h @ W + b)
        return h

    return f


def test_values_and_gradients_of_inputs_and_of_what_the_function_closes_over():
    W, b, x = make()
    f = steps(W, b)
    plain, kept = f(x), checkpoint(f, x)
    assert_array_equal(plain.data, kept.data)
    (plain * plain).sum().backward()
    expected = [v.grad.data for v in (W, b, x)]
    W.grad = b.grad = x.grad = None
    (kept * kept).sum().backward()
    for v, g in zip((W, b, x), expected, strict=True):
        assert_allclose(v.grad.data, g, rtol=1e-12)


def test_of_an_intermediate_twice_in_a_row_and_by_grad():
    W, b, x = make()
    f = steps(W, b, 2)
    y = checkpoint(f, checkpoint(f, x * 2.0)).sum()
    expected = grad(f(f(x * 2.0)).sum(), [x, W, b])
    for got, want in zip(grad(y, [x, W, b]), expected, strict=True):
        assert_allclose(got.data, want.data, rtol=1e-12)


@pytest.mark.parametrize("at", ["leaf", "intermediate"])
def test_second_derivatives(at):
    W, b, x = make()
    f = steps(W, b, 2)

    def second(apply):
        h = x if at == "leaf" else x * 1.5
        g = grad((apply(h) ** 2.0).sum(), [x, W], create_graph=True)
        return grad((g[0] ** 2.0).sum() + (g[1] ** 2.0).sum(), [x, W, b])

    for got, want in zip(second(lambda h: checkpoint(f, h)), second(f), strict=True):
        assert_allclose(got.data, want.data, rtol=1e-10)


def test_constants_in_and_parameters_hidden():
    W, b, _ = make()
    y = checkpoint(lambda h, s: ag.tanh(h @ W + b) * s, np.ones((2, 3)), 2.0)
    y.sum().backward()
    want = grad((ag.tanh(np.ones((2, 3)) @ W + b) * 2.0).sum(), [W, b])
    assert_allclose(W.grad.data, want[0].data, rtol=1e-12)
    assert_allclose(b.grad.data, want[1].data, rtol=1e-12)


def test_several_outputs():
    W, b, x = make()

    def f(h):
        h = ag.tanh(h @ W + b)
        return h, h * h

    got = grad(checkpoint(f, x)[1].sum(), [x, W])
    want = grad(f(x)[1].sum(), [x, W])
    for g, w in zip(got, want, strict=True):
        assert_allclose(g.data, w.data, rtol=1e-12)


def test_random_numbers_are_drawn_again():
    rng = np.random.default_rng(7)
    x = Variable(np.ones(50))
    y = checkpoint(lambda v: v * (rng.random(50) > 0.5), x, rng=rng)
    after = rng.bit_generator.state
    y.sum().backward()
    assert_array_equal(x.grad.data, y.data)  # the mask of the second call is that of the first
    assert rng.bit_generator.state == after


def test_less_is_kept():
    W, b, x = make()

    def held(y):
        arrays, waiting, seen = {}, [y.creator], set()
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            arrays.update({id(a): a.nbytes for a in node.saved if isinstance(a, np.ndarray)})
            waiting += [e for e in node.edges if isinstance(e, ag.Function)]
        return sum(arrays.values())

    f = steps(W, b, 50)
    assert held(checkpoint(f, x)) * 20 < held(f(x))


def test_no_grad_records_nothing():
    W, b, x = make()
    with ag.no_grad():
        assert not checkpoint(steps(W, b), x).requires_grad


def test_a_function_that_returns_what_it_was_given():
    x, w = Variable(np.ones(3)), Variable(np.full(3, 5.0))
    (checkpoint(lambda x: x, x) * 2.0).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.full(3, 2.0))
    x.grad = None
    a, b = checkpoint(lambda x: (x, x * 3.0), x)
    (a * 2.0 + b).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.full(3, 5.0))
    (checkpoint(lambda x: w, x) * 2.0).sum().backward()
    np.testing.assert_array_equal(w.grad.data, np.full(3, 2.0))
